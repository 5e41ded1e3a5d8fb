"""Walking and killing trees of processes by descent, read from ``/proc``.

Groups and sessions do not hold a tree together (a ``setsid`` grandchild leaves them), descent does as
long as its root is a subreaper. Every signal goes through a descriptor of the process whose start time
was compared after it was opened, so that a reused pid is never hit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from typing import NamedTuple

FREEZE_ROUNDS = 100


class Seen(NamedTuple):
    """One process at the moment of the walk; pid and start time (clock ticks since boot) identify it."""

    pid: int
    start: int
    parent: int
    group: int
    zombie: bool


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


def descendants(root: int, skip: Collection[int] = ()) -> list[Seen]:
    """All processes below ``root``, parents before children; those in ``skip`` and what is below them left out."""
    children: dict[int, list[Seen]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would triple the keeper's size
        seen = look(int(name)) if name.isdecimal() else None
        if seen is not None:
            children.setdefault(seen.parent, []).append(seen)
    found: list[Seen] = []
    todo = [root]
    while todo:
        below = [seen for seen in children.pop(todo.pop(), ()) if seen.pid not in skip]
        found += below
        todo += [seen.pid for seen in below]
    return found


def send(target: Seen, number: int) -> bool:
    """Signal exactly the process that was seen; False when it is gone or may not be signalled."""
    try:
        descriptor = os.pidfd_open(target.pid)
    except OSError:
        return False
    try:
        now = look(target.pid)
        if now is None or now.start != target.start:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


class Cull:
    """Kills everything below ``root``, round by round, until the caller finds no child left.

    The first round kills what one walk shows; that is all an ordinary tree needs. When a later round
    meets processes it has not seen, the tree is forking against us: then all are stopped first, for a
    stopped process neither forks nor makes room for others under a process limit.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._signalled: set[tuple[int, int]] = set()

    @property
    def killed(self) -> int:
        """How many processes were sent SIGKILL."""
        return len(self._signalled)

    def round(self, skip: Collection[int] = ()) -> int:
        """Walk and kill once; return how many were still alive."""
        alive = _alive(self._root, skip)
        if self._signalled and any((seen.pid, seen.start) not in self._signalled for seen in alive):
            alive = self._freeze(alive, skip)
        for seen in alive:
            if send(seen, signal.SIGKILL):
                self._signalled.add((seen.pid, seen.start))
        return len(alive)

    def _freeze(self, alive: list[Seen], skip: Collection[int]) -> list[Seen]:
        frozen: set[tuple[int, int]] = set()
        for _ in range(FREEZE_ROUNDS):
            fresh = [seen for seen in alive if (seen.pid, seen.start) not in frozen]
            if not fresh:
                break
            for seen in fresh:
                send(seen, signal.SIGSTOP)
                frozen.add((seen.pid, seen.start))
            alive = _alive(self._root, skip)
        return alive


def _alive(root: int, skip: Collection[int]) -> list[Seen]:
    return [seen for seen in descendants(root, skip) if not seen.zombie]
