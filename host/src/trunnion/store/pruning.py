"""Which ended runs go: decided over the history from its oldest end, in pieces, and carried out piece by piece.

A thread's business: it reads with connections of its own, and each removal is a transaction small enough not
to be felt by who commits at the same time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import lru_cache

import msgspec

from trunnion.model.retention import ALL, LIMITS, NO_LIMIT, Held, Limit, Rule, held_by
from trunnion.store.base import Ended, Store, Weight

AT_ONCE = 50
"""Runs that are looked at together."""

STEP_SECONDS = 0.02
"""A removal that takes longer is followed by a smaller one."""

_turn = threading.Lock()
"""Two that have counted the same runs would remove twice as many as are too many."""


class Pruned(msgspec.Struct, frozen=True):
    """What was removed, or would be, of one command by one rule.

    Attributes:
        command: whose runs; ``""`` for events of streams that are no run's.
        limit: what they were beyond.
        on: the pattern that says so.
    """

    command: str
    limit: Limit
    on: str
    runs: int = 0
    events: int = 0
    bytes: int = 0

    def plus(self, runs: int, weight: Weight) -> Pruned:
        """With some more."""
        changes = (self.runs + runs, self.events + weight.events, self.bytes + weight.bytes)
        return Pruned(self.command, self.limit, self.on, *changes)


def prune(store: Store, rules: Sequence[Rule], now: int, *, dry_run: bool = False) -> list[Pruned]:
    """Remove what rules do not keep: by age first, then the oldest beyond a number or a size.

    Runs that have not ended, and those whose children have not, stay. Events of other streams go by the age
    of the rule ``*``, where all of a stored piece is older. One removal waits for the other.

    Args:
        store: whose history.
        rules: commands that no rule stands for are kept.
        now: UTC µs.
        dry_run: only say what would be removed.

    Returns:
        What went, by command and rule.
    """
    with nullcontext() if dry_run else _turn:
        return _Pruning(store, rules, now, dry_run=dry_run).work()


class _Pruning:
    def __init__(self, store: Store, rules: Sequence[Rule], now: int, *, dry_run: bool) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._dry_run = dry_run
        self._found: dict[tuple[str, Limit, str], Pruned] = {}
        self._held: Callable[[str, Limit], Held] = lru_cache(maxsize=None)(self._holding)
        self._size = AT_ONCE
        self._files = 0

    def _holding(self, command_id: str, limit: Limit) -> Held:
        return held_by(self._rules, command_id, limit)

    def work(self) -> list[Pruned]:
        self._by_age()
        self._by_amount()
        self._streams()
        return sorted(self._found.values(), key=lambda gone: (gone.command, LIMITS.index(gone.limit)))

    def _is_old(self, run: Ended) -> bool:
        return run.finished < self._now - self._held(run.command_id, "age").most

    # -- age --------------------------------------------------------------------------------------

    def _by_age(self) -> None:
        ages = [rule.age for rule in self._rules if rule.age is not None]
        if not ages:
            return
        for page in self._store.ended(self._now - min(ages)):
            for part in _parts([run for run in page if self._is_old(run)]):
                self._take("age", list(zip(part, self._store.weigh(part), strict=True)))

    # -- number and size --------------------------------------------------------------------------

    def _by_amount(self) -> None:
        many, large = self._over_number(), self._over_size()
        for page in self._store.ended() if _any(many, large) else ():
            left = [run for run in page if not (self._dry_run and self._is_old(run))]
            for part in _parts(left):
                self._choose(part, many, large)
            if not _any(many, large):
                return

    def _over_number(self) -> dict[str, int]:
        """By how much the runs of each rule are more than it keeps."""
        have: dict[Held, int] = {}
        for command_id, count in self._store.tally().items():
            held = self._held(command_id, "runs")
            have[held] = have.get(held, 0) + count
        if self._dry_run:
            for gone in self._found.values():
                have[self._held(gone.command, "runs")] -= gone.runs
        return {held.on: max(0, count - held.most) for held, count in have.items()}

    def _over_size(self) -> dict[str, int]:
        """By how many bytes what is kept under each rule is more than it allows."""
        over = {}
        for rule in self._rules:
            if rule.bytes is not None and rule.bytes < NO_LIMIT:
                if rule.on == ALL:
                    self._files = self._store.used_files()
                have = self._used() if rule.on == ALL else self._weight_under(rule.on)
                gone = self._gone_under(rule.on) if self._dry_run else 0
                over[rule.on] = max(0, have - gone - rule.bytes)
        return over

    def _used(self) -> int:
        return self._store.used_database() + self._files

    def _weight_under(self, on: str) -> int:
        total = 0
        for page in self._store.ended():
            for part in _parts([run for run in page if self._held(run.command_id, "bytes").on == on]):
                total += sum(each.bytes for each in self._store.weigh(part))
        return total

    def _gone_under(self, on: str) -> int:
        return sum(gone.bytes for gone in self._found.values() if self._held(gone.command, "bytes").on == on)

    def _choose(self, part: Sequence[Ended], many: dict[str, int], large: dict[str, int]) -> None:
        """Of some runs, oldest first, remove those that are too many or too much."""
        left = [run for run in part if self._limit_of(run, many, large) is not None]
        chosen: list[tuple[Limit, Ended, Weight]] = []
        for run, weight in zip(left, self._store.weigh(left), strict=True):
            limit = self._limit_of(run, many, large)
            if limit is not None:
                chosen.append((limit, run, weight))
                _lower(many, self._held(run.command_id, "runs").on, 1)
                _lower(large, self._held(run.command_id, "bytes").on, weight.bytes)
        for limit in LIMITS:
            self._take(limit, [(run, weight) for said, run, weight in chosen if said == limit])
        if ALL in large and chosen and not self._dry_run:
            # How much of the database a run really takes is seen when it is gone.
            self._files -= sum(weight.files for _, _, weight in chosen)
            most = self._held("", "bytes").most
            large[ALL] = max(0, self._used() - most)

    def _limit_of(self, run: Ended, many: dict[str, int], large: dict[str, int]) -> Limit | None:
        if many.get(self._held(run.command_id, "runs").on, 0) > 0:
            return "runs"
        return "bytes" if large.get(self._held(run.command_id, "bytes").on, 0) > 0 else None

    # -- carrying out -----------------------------------------------------------------------------

    def _take(self, limit: Limit, taken: Sequence[tuple[Ended, Weight]]) -> None:
        for run, weight in taken:
            self._count(run.command_id, limit, self._held(run.command_id, limit).on, 1, weight)
        rest = [run.id for run, _ in taken]
        while rest and not self._dry_run:
            step, rest = rest[: self._size], rest[self._size :]
            begun = time.monotonic()
            self._store.remove(step)
            took = time.monotonic() - begun
            self._size = max(1, self._size // 2) if took > STEP_SECONDS else min(AT_ONCE, self._size * 2)

    def _streams(self) -> None:
        age = next((rule.age for rule in self._rules if rule.on == ALL and rule.age is not None), None)
        for old in self._store.old_events(self._now - age) if age is not None else ():
            self._count("", "age", ALL, 0, Weight(old.events, old.bytes))
            if not self._dry_run:
                self._store.cut(old.stream, old.last)

    def _count(self, command: str, limit: Limit, on: str, runs: int, weight: Weight) -> None:
        had = self._found.get((command, limit, on)) or Pruned(command, limit, on)
        self._found[command, limit, on] = had.plus(runs, weight)


def _parts(runs: Sequence[Ended]) -> Iterator[Sequence[Ended]]:
    for start in range(0, len(runs), AT_ONCE):
        yield runs[start : start + AT_ONCE]


def _any(*over: dict[str, int]) -> bool:
    return any(any(each.values()) for each in over)


def _lower(over: dict[str, int], on: str, amount: int) -> None:
    if on in over:
        over[on] = max(0, over[on] - amount)
