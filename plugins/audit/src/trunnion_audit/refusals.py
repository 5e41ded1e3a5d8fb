"""Refusals: one by one as long as they are few, beyond that as exact numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trunnion import Refused
from trunnion_audit.building import refusal_of
from trunnion_audit.records import Record, Refusal, Refusals

MOST_KEYS = 200
OTHER = "other"


class RefusalBook:
    """Gathers refusals until they are written.

    Args:
        per_minute: how many are written one by one.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._tokens = float(per_minute)
        self._at = 0
        self._single: list[Record] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._since = 0

    def add(self, refused: Refused, now: int, *, intended: bool = False) -> None:
        """One refusal more.

        Args:
            refused: what was refused.
            now: the time.
            intended: whether the run's intent is on record: then this is written, for it says that it never began.
        """
        if intended or self._may_write(now):
            self._single.append(refusal_of(refused, now))
        else:
            self._count(refused.code, refused.source, now)

    def count(self, records: Sequence[Record], now: int) -> None:
        """These could not be written one by one."""
        for record in records:
            if isinstance(record, Refusal):
                self._count(record.code, record.source, now)

    def _count(self, code: str, source: str, now: int) -> None:
        self._since = self._since or now
        key = (code, source)
        self._counts[key if key in self._counts or len(self._counts) < MOST_KEYS else (OTHER, OTHER)] += 1

    def _may_write(self, now: int) -> bool:
        passed = max(0, now - self._at) if self._at else 0
        self._at = now
        self._tokens = min(float(self.per_minute), self._tokens + passed * self.per_minute / 60e6)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def singles(self) -> list[Record]:
        """What is to be written one by one; the book has them no more."""
        singles, self._single = self._single, []
        return singles

    def summary(self, now: int) -> list[Record]:
        """The numbers of those that were not; the book has them no more."""
        if not self._counts:
            return []
        counts: list[dict[str, str | int]] = [
            {"code": code, "count": count, "source": source} for (code, source), count in sorted(self._counts.items())
        ]
        record = Refusals(ts=now, since=self._since, until=now, total=self._counts.total(), counts=counts)
        self._counts.clear()
        self._since = 0
        return [record]
