"""Walking and killing trees of processes by descent, read from ``/proc``.

Groups and sessions do not hold a tree together (a ``setsid`` grandchild leaves them), descent does as
long as its root is a subreaper. Before every signal the start time is compared, so that a reused pid is never hit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from typing import NamedTuple, Protocol


class Seen(NamedTuple):
    """One process at the moment of the walk; pid and start time (clock ticks since boot) identify it."""

    pid: int
    start: int
    parent: int
    group: int
    zombie: bool

    @property
    def identity(self) -> tuple[int, int]:
        """What tells it from every other process of this boot."""
        return self.pid, self.start


def look(pid: int) -> Seen | None:
    """Read one process from ``/proc/<pid>/stat``, see proc(5); None when there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    fields = text[text.rindex(b")") + 2 :].split(None, 20)
    return Seen(pid, int(fields[19]), int(fields[1]), int(fields[2]), fields[0] in b"ZX")


def by_parent() -> dict[int, list[Seen]]:
    """All processes of the system, under the pid of their parent."""
    children: dict[int, list[Seen]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would triple the keeper's size
        seen = look(int(name)) if name.isdecimal() else None
        if seen is not None:
            children.setdefault(seen.parent, []).append(seen)
    return children


def below(children: dict[int, list[Seen]], root: int, skip: Collection[int] = ()) -> list[Seen]:
    """Those of a walk that descend from ``root``, parents before children, without ``skip`` and what is below it."""
    found: list[Seen] = []
    todo = [root]
    while todo:
        born = [seen for seen in children.get(todo.pop(), ()) if seen.pid not in skip]
        found += born
        todo += [seen.pid for seen in born]
    return found


def descendants(root: int, skip: Collection[int] = ()) -> list[Seen]:
    """All processes below ``root``, parents before children; those in ``skip`` and what is below them left out."""
    return below(by_parent(), root, skip)


def nearby(root: int, skip: Collection[int] = ()) -> list[Seen]:
    """``descendants`` by the lists of children that the kernel keeps, at a cost that depends on the tree alone.

    While processes of the tree end, others may be missing from those lists; on a kernel without them nothing is found.
    So it is of use to whoever looks again.
    """
    found: list[Seen] = []
    todo = [root]
    while todo:
        parent = todo.pop()
        born = [seen for pid in _children(parent) if pid not in skip and (seen := look(pid)) is not None]
        found += [seen for seen in born if seen.parent == parent]
        todo += [seen.pid for seen in born if seen.parent == parent]
    return found


def _children(pid: int) -> list[int]:
    """Those of all its threads, see proc(5), ``/proc/<pid>/task/<tid>/children``."""
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - see by_parent
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123
                children += map(int, file.readall().split())
    except OSError:
        return children  # it has ended meanwhile
    return children


class Kin(Protocol):
    """A cgroup that holds a tree together; ``cgroups.Group`` is the only one."""

    def living(self) -> list[Seen]:
        """Its processes."""

    def kill(self) -> None:
        """SIGKILL all of them at once."""


class Cull:
    """Kills everything below ``root``, a subreaper, round by round, until the caller finds no child left.

    With a cgroup the kernel kills all of it in one step. What is below ``root`` and not in it, because a program of the
    same user may leave its cgroup, is found by the walk once the cgroup is empty.

    A round walks once and kills by group, which the kernel does in one step against fork: processes
    forked after the walk die as well. A walk may show only the zombies of a chain in which each process forks
    its successor and exits; a zombie shows the group too. Groups below a leader of its own session
    hold nobody else.
    """

    def __init__(self, root: int, group: Kin | None = None) -> None:
        self._root = root
        self._group = group
        self._met: set[tuple[int, int]] = set()

    @property
    def killed(self) -> int:
        """How many living processes the walks met."""
        return len(self._met)

    def round(self, skip: Collection[int] = ()) -> int:
        """Look and kill once; return how many were still alive."""
        found = self._group.living() if self._group else []
        if self._group is not None:
            self._group.kill()
        if not found:
            found = nearby(self._root, skip) or descendants(self._root, skip)
            for member in {seen.group: seen for seen in found}.values():
                send_group(member, signal.SIGKILL)
        alive = [seen.identity for seen in found if not seen.zombie]
        self._met.update(alive)
        return len(alive)


def send_group(member: Seen, number: int) -> None:
    """Signal the group of a process that was seen, while that process, dead or alive, still holds its number."""
    now = look(member.pid)
    if now is None or (now.identity, now.group) != (member.identity, member.group):
        return
    try:
        os.killpg(member.group, number)
    except OSError:
        return  # another user's, or just ended: the next walk shows which


def living(root: int, skip: Collection[int] = ()) -> list[Seen]:
    """``descendants`` without those that have ended and only wait for their parent to notice."""
    return [seen for seen in descendants(root, skip) if not seen.zombie]
