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
    stopped process neither forks nor makes room for others under a process limit. Stopping goes by
    group, which the kernel does in one step against fork. Groups below a leader of its own session hold nobody
    else, and the walk that showed them is too young for their numbers to have gone round.

    Args:
        root: a subreaper; it is not killed itself.
        leader: the leader of the first group below it. A chain of processes that each fork their successor and
            exit is faster than a walk, which then shows nothing; its group is stopped unseen.
    """

    def __init__(self, root: int, leader: tuple[int, int] | None = None) -> None:
        self._root = root
        self._leader = leader
        self._rounds = 0
        self._signalled: set[tuple[int, int]] = set()

    @property
    def killed(self) -> int:
        """How many processes were sent SIGKILL."""
        return len(self._signalled)

    def round(self, skip: Collection[int] = ()) -> int:
        """Walk and kill once; return how many were still alive."""
        self._rounds += 1
        alive = living(self._root, skip) if self._rounds == 1 else self._freeze(skip)
        self._signalled.update(seen.identity for seen in alive if send(seen, signal.SIGKILL))
        return len(alive)

    def _freeze(self, skip: Collection[int]) -> list[Seen]:
        self._stop_first_group()
        alive = living(self._root, skip)
        frozen = set(self._signalled)
        for _ in range(FREEZE_ROUNDS):
            fresh = [seen for seen in alive if seen.identity not in frozen]
            if not fresh:
                break
            for group in {seen.group for seen in fresh}:
                signal_group(group, signal.SIGSTOP)
            frozen.update(seen.identity for seen in fresh)
            alive = living(self._root, skip)
        return alive

    def _stop_first_group(self) -> None:
        """Unless the leader's number has been given to a stranger since."""
        if self._leader is None:
            return
        now = look(self._leader[0])
        if now is None or now.identity == self._leader:
            signal_group(self._leader[0], signal.SIGSTOP)


def signal_group(group: int, number: int) -> None:
    """Signal a process group; one that has just ended, or belongs to somebody else, is left alone."""
    try:
        os.killpg(group, number)
    except OSError:
        return


def living(root: int, skip: Collection[int] = ()) -> list[Seen]:
    """``descendants`` without those that have ended and only wait for their parent to notice."""
    return [seen for seen in descendants(root, skip) if not seen.zombie]
