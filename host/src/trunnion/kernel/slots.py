"""Slots: how many runs work at once. A run takes one when its lane lets it, the oldest first."""

from __future__ import annotations

import heapq
import itertools
from typing import Generic, Protocol, TypeVar


class Worker(Protocol):
    """What occupies a slot."""

    @property
    def needs_thread(self) -> bool:
        """Whether it occupies a handler thread too."""

    @property
    def rank(self) -> int:
        """Order of acceptance; the smaller goes first."""


W = TypeVar("W", bound=Worker)


class Slots(Generic[W]):
    """Counts slots and threads, and keeps who waits for one.

    A run that needs a thread never stands in the way of one that does not: the two wait apart.

    Args:
        limit: runs at work at once.
        threads: of these, at most so many in threads.
    """

    def __init__(self, limit: int, threads: int) -> None:
        self.limit = limit
        self.threads = threads
        self.used = 0
        self.used_threads = 0
        self._ties = itertools.count()
        self._waiting: dict[bool, list[tuple[int, int, W]]] = {False: [], True: []}

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for one."""
        return bool(self._waiting[False] or self._waiting[True])

    def take(self, worker: W) -> bool:
        """Take a slot if one is free and nobody waits who could have it."""
        thread = worker.needs_thread
        if not self._free(thread) or ((self._waiting[False] or self._waiting[True]) and self._next_kinds()):
            return False
        self.used += 1
        self.used_threads += thread
        return True

    def wait(self, worker: W) -> None:
        """Line up for a slot."""
        heapq.heappush(self._waiting[worker.needs_thread], (worker.rank, next(self._ties), worker))

    def give_up(self, worker: W) -> None:
        """Stop waiting."""
        waiting = self._waiting[worker.needs_thread]
        kept = [entry for entry in waiting if entry[2] is not worker]
        if len(kept) != len(waiting):
            heapq.heapify(kept)
            self._waiting[worker.needs_thread] = kept

    def release(self, worker: W) -> None:
        """Give a slot back."""
        self.used -= 1
        self.used_threads -= worker.needs_thread

    def occupy(self, worker: W) -> None:
        """Take a slot whether one is free or not: a parent goes on at once when its child has ended."""
        self.used += 1
        self.used_threads += worker.needs_thread

    def next(self) -> W | None:
        """The oldest who can have a slot now, with the slot taken; None if nobody can."""
        if not (self._waiting[False] or self._waiting[True]):
            return None
        kinds = self._next_kinds()
        if not kinds:
            return None
        kind = min(kinds, key=lambda k: self._waiting[k][0][:2])
        worker = heapq.heappop(self._waiting[kind])[2]
        self.occupy(worker)
        return worker

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting[False]) + len(self._waiting[True])

    def _next_kinds(self) -> list[bool]:
        """The kinds of which somebody waits who could have a slot now."""
        return [kind for kind in (False, True) if self._waiting[kind] and self._free(kind)]

    def _free(self, needs_thread: bool) -> bool:
        return self.used < self.limit and not (needs_thread and self.used_threads >= self.threads)
