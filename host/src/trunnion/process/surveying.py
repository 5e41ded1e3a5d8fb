"""Counting what descends from a keeper, by walking over ``/proc``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from trunnion.process.delegation import Subtree
from trunnion.process.keeper import cgroups, tree

_MOMENT: Final = 0.1


class Survey(msgspec.Struct, frozen=True):
    """What the system says of a host's processes.

    Attributes:
        processes: living processes of programs, their descendants included.
        orphans: pids of living processes that descend from the keeper, or are in a cgroup of its, while no living
            program accounts for them.
        zombies: pids of ended processes that the host, the keeper or something below it has not waited for.
        cgroups: how many the keeper's subtree holds.
    """

    processes: int
    orphans: list[int]
    zombies: list[int]
    cgroups: int


def survey(guards: Sequence[int], keeper: int, busy: Sequence[int], idle: Sequence[int], subtree: Subtree) -> Survey:
    """Walk over all processes and sort what is found.

    What looks wrong is looked at again a moment later: a process that has just ended is a zombie until its parent has
    had its turn, and only what stays so is reported.

    Args:
        guards: pids of the processes above this and former keepers.
        keeper: pid of the keeper's process, 0 for none.
        busy: pids of minders with a program at work.
        idle: those without.
        subtree: where the trees have their cgroups.
    """
    first = _look(guards, keeper, busy, idle, subtree)
    if not first.orphans and not first.zombies:
        return first
    time.sleep(_MOMENT)
    second = _look(guards, keeper, busy, idle, subtree)
    orphans, zombies = sorted({*first.orphans} & {*second.orphans}), sorted({*first.zombies} & {*second.zombies})
    return msgspec.structs.replace(second, orphans=orphans, zombies=zombies)


def _look(guards: Sequence[int], keeper: int, busy: Sequence[int], idle: Sequence[int], subtree: Subtree) -> Survey:
    children = tree.by_parent()
    above = {*guards, keeper} - {0}
    minders = {*busy, *idle, *(pid for guard in above for pid in _forks(children, guard))} - above
    owned = [seen for pid in minders - {*idle} for seen in tree.below(children, pid)]
    strays = [seen for pid in above for seen in tree.below(children, pid, minders | above)]
    strays += [seen for pid in idle for seen in tree.below(children, pid)]
    known = {seen.pid for seen in (*owned, *strays)}
    groups = _groups(subtree.root)
    strays += [seen for group in groups for seen in group.living() if seen.pid not in known]
    every = [*owned, *strays, *(seen for pid in {os.getpid(), *above} for seen in children.get(pid, ()))]
    return Survey(
        processes=sum(not seen.zombie for seen in owned),
        orphans=sorted({seen.pid for seen in strays if not seen.zombie}),
        zombies=sorted({seen.pid for seen in every if seen.zombie}),
        cgroups=len(groups),
    )


def _forks(children: dict[int, list[tree.Seen]], parent: int) -> set[int]:
    """Its forks: they have its command line. A minder may be about to end, and unknown to the host by then."""
    words = _words(parent)
    return {seen.pid for seen in children.get(parent, ()) if not seen.zombie and _words(seen.pid) == words}


def _words(pid: int) -> bytes | None:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None


def _groups(root: str) -> list[cgroups.Group]:
    if not root:
        return []
    try:
        return [cgroups.Group(entry.path) for entry in os.scandir(root) if entry.is_dir()]
    except OSError:
        return []
