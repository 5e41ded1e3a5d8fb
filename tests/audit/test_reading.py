"""Searching, following and exporting the log."""

from __future__ import annotations

import csv
import io
import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from audit_kit import HOST, intent, lines, outcome, records
from hypothesis import given, settings
from hypothesis import strategies as st

from trunnion import InvalidArguments
from trunnion_audit.files import segments
from trunnion_audit.log import Log, Rules
from trunnion_audit.reading import LogReader
from trunnion_audit.records import Admin, Refusal
from trunnion_audit.searching import Bounds, search
from trunnion_audit.tailing import events_of
from trunnion_audit.telling import csv_line, guarded, line_of
from trunnion_audit.wanted import Wanted, moment, wanted

ALL = Wanted()
SMALL = Bounds(read=2000, timed=3000, shown=1500)
END = 1 << 40


def written(folder: Path, count: int, seed: int = 1, clock: int = 1000) -> None:
    """A log of many small segments, by a clock that is set back now and then."""
    chance = random.Random(seed)
    log = Log.open(folder, HOST, Rules(segment_bytes=4000, checkpoint_records=9), clock)
    for number in range(1, count + 1):
        clock += chance.choice([1, 5, 50, -40])
        who = chance.choice(["ann", "anna", "bob"])
        where: dict[str, Any] = {"source": chance.choice(["cli", "rpc"]), "chain": chance.choice([(), ("web",)])}
        target = chance.choice(["device.write", "device.read", "files.write"])
        which = chance.randrange(4)
        record: Any = intent(number, ts=clock, principal=who, target=target, decision="grant:ops", **where)
        if which == 1:
            record = outcome(number, 1)
            record.ts, record.status = clock, chance.choice(["succeeded", "failed"])
        elif which == 2:
            facts = {"principal": who, "role": "viewer", "what": "command", "code": "forbidden", "reason": "nö"}
            record = Refusal(ts=clock, target=target, **facts, **where)
        elif which == 3:
            record = Admin(ts=clock, action="host.start", detail='{"a":1}', principal="", role="", source="")
        log.write([record], clock)
    log.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reading") / "audit"
    written(folder, 300)
    assert len(list(folder.glob("audit-*.jsonl"))) > 10
    return folder


def naive(folder: Path, asked: Wanted) -> list[dict[str, Any]]:
    """Reads everything at once and goes by the words of the guide alone."""

    def like(pattern: str | None, value: object) -> bool:
        if pattern is None:
            return True
        return isinstance(value, str) and (value[: len(pattern) - 1] + "*" == pattern or value == pattern)

    def fits(record: dict[str, Any]) -> bool:
        decided = {"refusal": record.get("code"), "intent": record.get("decision")}.get(record["kind"])
        told = [
            record.get(name) for name in ("target", "args", "reason", "error", "detail", "action", "principal", "run")
        ]
        return (
            (asked.since is None or record["ts"] >= asked.since)
            and (asked.until is None or record["ts"] < asked.until)
            and like(asked.principal, record.get("principal"))
            and like(asked.target, record.get("target"))
            and (asked.source is None or asked.source in [record.get("source"), *record.get("chain", [])])
            and (asked.decision is None or like(asked.decision, decided))
            and (asked.status is None or record.get("status") == asked.status)
            and (asked.run is None or record.get("run") == asked.run)
            and (asked.kind is None or asked.kind in (record["kind"], f"{record['kind']}:{record.get('action')}"))
            and (asked.text is None or any(asked.text.lower() in text.lower() for text in told if text))
        )

    return [record for record in reversed(records(folder)) if fits(record)]


def everything(reader: LogReader, asked: Wanted, limit: int, bounds: Bounds) -> list[dict[str, Any]]:
    found, before = list[dict[str, Any]](), END
    for _ in range(5000):
        page = search(reader, asked, limit, before, bounds)
        assert len(page.items) <= limit and not page.unreadable
        found += page.items
        if page.next is None:
            return found
        assert int(page.next) < before
        before = int(page.next)
    raise AssertionError("it does not end")


maybe = st.none
ASKED = st.builds(
    Wanted,
    since=maybe() | st.integers(900, 4000),
    until=maybe() | st.integers(900, 4000),
    principal=maybe() | st.sampled_from(["ann", "ann*", "bob", "nobody"]),
    target=maybe() | st.sampled_from(["device.*", "device.read", "x"]),
    source=maybe() | st.sampled_from(["cli", "web"]),
    decision=maybe() | st.sampled_from(["grant:*", "forbidden", "owner"]),
    status=maybe() | st.sampled_from(["succeeded", "failed"]),
    kind=maybe() | st.sampled_from(["intent", "refusal", "outcome", "admin", "admin:host.start", "checkpoint"]),
    run=maybe() | st.sampled_from(["run-5", "run-77"]),
    text=maybe() | st.sampled_from(["NÖ", "value", "zzz", "host.st"]),
)


@settings(max_examples=80, deadline=None)
@given(asked=ASKED, limit=st.integers(1, 400), small=st.booleans())
def test_search_finds_what_a_naive_reading_finds(large: Path, asked: Wanted, limit: int, small: bool) -> None:
    reader = LogReader(large)
    assert everything(reader, asked, limit, SMALL if small else Bounds()) == naive(large, asked)


def test_a_page_reads_no_more_than_it_may(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = LogReader(large)
    read = 0
    back = reader.back

    def counted(segment: Any, before: int) -> Any:
        nonlocal read
        for line in back(segment, before):
            read += len(line) + 1
            yield line

    monkeypatch.setattr(reader, "back", counted)
    page = search(reader, Wanted(principal="nobody"), 50, END, SMALL)
    assert not page.items and page.next is not None
    assert read <= SMALL.read + 4000


def test_a_page_looks_for_the_times_of_a_few_segments_only(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, timed, times = LogReader(large), list[int](), LogReader.times

    def counted(self: LogReader, segment: Any) -> Any:
        timed.append(segment.path.stat().st_size)
        return times(self, segment)

    monkeypatch.setattr(LogReader, "times", counted)
    page = search(reader, Wanted(until=0), 50, END, Bounds(timed=3000))
    assert not page.items and page.next is not None
    assert sum(timed) <= 3000 + max(timed)


def test_segments_of_another_time_are_gone_through_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, asked = LogReader(large), Wanted(since=0, until=1010)
    first = everything(reader, asked, 50, Bounds())
    monkeypatch.setattr(LogReader, "times", lambda *_: pytest.fail("looked for again"))
    assert first and everything(reader, asked, 50, Bounds()) == first


def test_a_damaged_log_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    written(folder, 60)
    paths = sorted(folder.glob("audit-*.jsonl"))
    whole = paths[1].read_bytes().split(b"\n")
    paths[1].write_bytes(b"\n".join([whole[0], b"\xff no record", whole[3], *whole[2:]]))
    with paths[-1].open("ab") as file:
        file.write(b'{"n":9999')
    found, before, unreadable = list[int](), END, 0
    while True:
        page = search(LogReader(folder), ALL, 3, before, SMALL)
        found += [item["n"] for item in page.items if isinstance(item["n"], int)]
        unreadable += page.unreadable
        if page.next is None:
            break
        assert int(page.next) < before
        before = int(page.next)
    assert unreadable
    assert found == sorted(set(found), reverse=True)
    assert set(found) >= {record["n"] for path in (paths[0], paths[-2]) for record in map(json.loads, path.open())}


def test_what_is_all_damaged_is_gone_through_and_not_kept_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    written(folder, 40)
    paths = sorted(folder.glob("audit-*.jsonl"))
    paths[1].write_bytes(b"x" * (3 << 20) + b"\n")
    page = search(LogReader(folder), ALL, 1000, END)
    assert page.items[-1]["n"] == 1 and page.unreadable
    assert max(map(len, LogReader(folder).forth(0))) <= 1 << 20
    assert max(map(len, LogReader(folder).back(segments(folder)[1], END))) <= 2 << 20


def test_the_times_of_another_segment_in_its_place_are_looked_for_anew(tmp_path: Path) -> None:
    folder, reader, asked = tmp_path / "audit", LogReader(tmp_path / "audit"), Wanted(until=5000)
    written(folder, 60, seed=1)
    assert everything(reader, asked, 50, Bounds()) == naive(folder, asked)
    for path in folder.iterdir():
        path.unlink()
    written(folder, 90, clock=100_000)
    assert everything(reader, asked, 50, Bounds()) == naive(folder, asked)
    late = Wanted(since=90_000)
    assert everything(reader, late, 50, Bounds()) == naive(folder, late)


@pytest.mark.parametrize("after", [0, 1, 2, 57, 58, 150, 299])
def test_the_tail_goes_on_from_any_record(large: Path, after: int) -> None:
    whole, reader = lines(large), LogReader(large)
    end, told, at = len(whole) - 5, list[bytes](), after
    while batch := events_of(reader, at, end, 7):
        assert [event.seq for event in batch] == list(range(at + 1, at + len(batch) + 1))
        told += [bytes(event.raw) for event in batch]
        at = batch[-1].seq
    assert told == whole[after:end]


def test_what_is_not_kept_is_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    written(folder, 60)
    first, second, *_ = sorted(folder.glob("audit-*.jsonl"))
    first.unlink()
    start = json.loads(second.open().readline())["n"]
    gap, event = events_of(LogReader(folder), 3, END, 2)
    assert (gap.kind, gap.seq, gap.data) == ("gap", start - 1, {"first": 4, "last": start - 1, "reason": "audit"})
    assert event.seq == start
    (same,) = events_of(LogReader(folder), 3, END, 1)
    assert same == gap


def test_a_log_is_read_while_it_grows_and_its_beginning_goes(tmp_path: Path) -> None:
    folder, state = tmp_path / "audit", {"end": 0, "over": 0}
    log = Log.open(folder, HOST, Rules(segment_bytes=3000, checkpoint_records=5), 1)

    def grow() -> None:
        for number in range(1500):
            log.write([intent(number)], 2)
            state["end"] = log.state.n
            if number % 50 == 49:
                log.syncing()()
                for old in segments(folder)[:-4]:
                    old.path.unlink()
        state["over"] = 1

    writer, reader, rounds = threading.Thread(target=grow), LogReader(folder), 0
    writer.start()
    try:
        while not state["over"]:
            end, rounds = state["end"], rounds + 1
            page = search(reader, ALL, 40, end + 1)
            found = [int(str(item["n"])) for item in page.items]
            assert not page.unreadable
            assert found == sorted(set(found), reverse=True)
            told = [event.seq for event in events_of(reader, max(0, end - 20), end, 50) if event.kind != "gap"]
            assert told == sorted(set(told)) and (not told or told[-1] <= end)
    finally:
        writer.join()
        log.close()
    assert rounds > 5


def test_times_are_given_in_the_ways_people_write_them() -> None:
    now = 1_800_000_000_000_000
    assert moment("2h", now, "since") == now - 7200 * 10**6
    assert moment("1970-01-02", now, "since") == 86_400 * 10**6
    assert moment("1970-01-01T01:00+01:00", now, "since") == 0
    assert moment("12345", now, "since") == 12345
    for wrong in ("yesterday", "5", "2026-13-01", "9" * 30, "2x"):
        if wrong != "5":
            with pytest.raises(InvalidArguments, match="since"):
                wanted(now, {"since": wrong})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(), min_size=1))
def test_no_cell_of_a_table_is_a_formula(cells: list[str]) -> None:
    (row,) = csv.reader(io.StringIO(csv_line(cells).decode(), newline=""), strict=True)
    assert len(row) == len(cells)
    for cell in row:
        assert not cell.lstrip(" ").startswith(
            ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
        )


@settings(max_examples=200, deadline=None)
@given(st.text() | st.sampled_from(["\x1b]0;x\x07", "\x9b2J", "a\nintent command x by eve", "\u202ed", "x" * 9000]))
def test_what_is_shown_of_a_record_is_one_harmless_line(text: str) -> None:
    for record in (
        {"kind": "refusal", "what": "call", "target": text, "reason": text, "principal": text, "source": "rpc"},
        {"kind": "output", "stream": "host", "text": text},
        {"kind": text, "args": text, "action": text},
    ):
        told = line_of(record)
        assert told.isprintable() and len(told) <= 6 * 2100


def test_cells_that_harm_nobody_stay_as_they_are() -> None:
    assert [guarded(cell) for cell in ("a=1", "=1+1", "  @x", "", "ünï")] == ["a=1", "'=1+1", "'  @x", "", "ünï"]
