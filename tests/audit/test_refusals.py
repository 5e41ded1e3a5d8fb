"""However many calls are refused: the numbers are exact, and the disk does not fill."""

from __future__ import annotations

import pytest

from trunnion import Caller, Refused
from trunnion_audit.refusals import RefusalBook
from trunnion_audit.settings import AuditSettings

SECOND = 1_000_000


def refused(**changes: object) -> Refused:
    caller = Caller("p" * 200, "rpc", "viewer", ("web", "command"), "token:abcdefghijkl")
    facts = {"kind": "command", "target": "é" * 5000, "source": "rpc", "code": "not_found", "reason": '"' * 5000}
    return Refused(**{**facts, "caller": caller, **changes})  # type: ignore[arg-type]


def flood(minutes: int, each: int) -> tuple[int, float]:
    """So many refusals a second; how many are on record, and how many bytes a minute they take there."""
    book = RefusalBook(AuditSettings().refusals_per_minute)
    written = total = 0
    for second in range(minutes * 60):
        now = 1 + second * SECOND
        for _ in range(each):
            book.add(refused(), now)
        records = book.singles()
        total += len(records)
        if second % 10 == 9:
            for summary in book.summary(now):
                total += summary.total  # type: ignore[attr-defined]
                records.append(summary)
        for record in records:
            record.kind, record.prev = record.KIND, "0" * 64
            written += len(record.line()) + 1
    return total, written / minutes


def test_o15_a_flood_grows_the_record_by_less_than_a_megabyte_a_minute() -> None:
    total, grown = flood(minutes=5, each=200)
    assert total == 5 * 60 * 200
    assert grown < 1 << 20


def test_o15_without_the_defence_a_flood_fills_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RefusalBook, "_may_write", lambda self, now: True)
    total, grown = flood(minutes=1, each=200)
    assert total == 60 * 200
    assert grown > 10 << 20


def test_a_clock_that_is_set_back_lets_nobody_write_more() -> None:
    book = RefusalBook(10)
    for number in range(1000):
        book.add(refused(), 10_000 * SECOND - number * SECOND)
    assert len(book.singles()) == 10


def test_a_run_whose_intent_is_on_record_is_always_told_of() -> None:
    book = RefusalBook(1)
    for number in range(5):
        book.add(refused(run_id=f"r{number}"), 1, intended=True)
    assert len(book.singles()) == 5


def test_codes_and_doors_without_end_take_no_memory_without_end() -> None:
    book = RefusalBook(1)
    for number in range(10_000):
        book.add(refused(source=f"s{number}"), 1)
    (summary,) = book.summary(2)
    assert summary.total == 9_999 and len(summary.counts) <= 201  # type: ignore[attr-defined]
    assert len(summary.line()) < 1 << 16
