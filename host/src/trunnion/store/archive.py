"""Ended runs and old events in memory: encoded, and compressed in blocks of many."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

import msgspec

from trunnion.model.events import Event, gap_event, run_stream
from trunnion.model.runs import Run, RunFilter
from trunnion.store import chunks
from trunnion.store.base import Ended, OldEvents
from trunnion.store.listing import matches

BLOCK_SIZE = 256
"""Runs, or events of a long stream, that are compressed together."""


class Part(msgspec.Struct, frozen=True):
    """Encoded events ``first..last`` of a stream; ``ts`` is the time of the last."""

    first: int
    last: int
    ts: int
    data: bytes


class Log:
    """One stream: young events as they are, older ones compressed.

    Args:
        stream: its name.
        parts: what it already has.
        last: the last event number it ever had.
    """

    def __init__(self, stream: str, parts: tuple[Part, ...] = (), last: int = 0) -> None:
        self.stream = stream
        self.last = last
        self._parts = deque(parts)
        self._young: list[Event] = []

    def extend(self, events: Sequence[Event]) -> None:
        """Add events that follow the last one."""
        self._young += events
        self.last = events[-1].seq
        if len(self._young) >= 2 * BLOCK_SIZE:
            old, self._young = self._young[:-BLOCK_SIZE], self._young[-BLOCK_SIZE:]
            self._parts.append(Part(old[0].seq, old[-1].seq, old[-1].ts, zlib.compress(chunks.encode(old), 1)))

    @property
    def bytes(self) -> int:
        """Size of what is encoded."""
        return sum(len(part.data) for part in self._parts) + len(chunks.encode(self._young))

    def read(self, after: int, limit: int, max_bytes: int, now: int) -> list[Event]:
        """As ``Store.read_events``."""
        found: list[Event] = []
        for event in self._from(after, now):
            max_bytes -= 100 + len(event.text) + memoryview(event.raw).nbytes
            if len(found) >= limit or (max_bytes < 0 and found):
                break
            found.append(event)
        return found

    def _from(self, after: int, now: int) -> Iterator[Event]:
        first = self._parts[0].first if self._parts else self._young[0].seq if self._young else self.last + 1
        if after + 1 < first:
            yield gap_event(self.stream, after + 1, first - 1, now, "retention")
        for part in list(self._parts):
            if part.last > after:
                yield from (event for event in _events(part) if event.seq > after)
        yield from (event for event in list(self._young) if event.seq > after)

    def older(self, than: int) -> OldEvents:
        """The compressed parts at the beginning that are older than a time, UTC µs."""
        old = list(takewhile(lambda part: part.ts < than, self._parts))
        events = sum(part.last - part.first + 1 for part in old)
        return OldEvents(self.stream, old[-1].last if old else 0, events, sum(len(part.data) for part in old))

    def cut(self, last: int) -> None:
        """Drop the compressed parts up to a number."""
        while self._parts and self._parts[0].last <= last:
            self._parts.popleft()

    def content(self) -> tuple[tuple[Part, ...], list[Event]]:
        """The compressed parts and the events after them."""
        return tuple(self._parts), self._young


def _events(part: Part) -> list[Event]:
    return list(chunks.decode(chunks.COMPRESSED, zlib.crc32(part.data), part.data) or ())


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An ended run with its events, all encoded: ``lines`` holds the last ones, ``parts`` those before."""

    num: int
    run_id: str
    doc: bytes
    last: int
    first: int
    ts: int
    lines: bytes
    parts: tuple[Part, ...] = ()

    @property
    def run(self) -> Run:
        """The run."""
        return _run.decode(self.doc)

    @property
    def size(self) -> int:
        """Bytes of what is encoded."""
        return len(self.doc) + len(self.lines) + sum(len(part.data) for part in self.parts)

    @property
    def log(self) -> Log:
        """Its stream."""
        parts = self.parts
        if self.lines:
            parts = (*parts, Part(self.first, self.last, self.ts, zlib.compress(self.lines, 1)))
        return Log(run_stream(self.run_id), parts, self.last)


_run = msgspec.json.Decoder(Run)
_encode_run = msgspec.json.Encoder().encode
_encode = msgspec.msgpack.Encoder().encode
_record = msgspec.msgpack.Decoder(Record)
_records = msgspec.msgpack.Decoder(list[Record])


def _seal(run: Run, log: Log | None) -> bytes:
    if log is None:
        return _encode(Record(run.num, run.id, _encode_run(run), 0, 0, 0, b""))
    parts, young = log.content()
    first, ts = (young[0].seq, young[-1].ts) if young else (0, 0)
    return _encode(Record(run.num, run.id, _encode_run(run), log.last, first, ts, chunks.encode(young), parts))


class Block(msgspec.Struct, frozen=True):
    """Compressed records; ``high`` is the highest run number among them."""

    high: int
    data: bytes


class Archive:
    """Ended runs: the newest as they were encoded, older ones in compressed blocks."""

    def __init__(self) -> None:
        self._young: dict[str, tuple[int, bytes]] = {}
        self._blocks: dict[int, Block] = {}
        self._where: dict[str, int] = {}
        self._count = 0

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._young or run_id in self._where

    def __len__(self) -> int:
        return len(self._young) + len(self._where)

    @property
    def bytes(self) -> int:
        """Size of what is kept."""
        young = sum(len(data) for _, data in self._young.values())
        return young + sum(len(block.data) for block in self._blocks.values())

    def add(self, run: Run, log: Log | None) -> None:
        """Keep a run that ended."""
        self._young[run.id] = (run.num, _seal(run, log))
        if len(self._young) >= 2 * BLOCK_SIZE:
            old = list(self._young)[:BLOCK_SIZE]
            self._count += 1
            self._blocks[self._count] = _pack([self._young.pop(run_id) for run_id in old])
            self._where.update(dict.fromkeys(old, self._count))

    def record(self, run_id: str) -> Record | None:
        """All there is of one run."""
        if (young := self._young.get(run_id)) is not None:
            return _record.decode(young[1])
        if (block := self._where.get(run_id)) is None:
            return None
        return next(record for record in _unpack(self._blocks[block]) if record.run_id == run_id)

    def select(self, wanted: RunFilter, before: int, limit: int) -> list[Run]:
        """Runs below a number that pass a filter, newest first, at most ``limit``."""
        found = _newest([], (_record.decode(data) for _, data in self._young.values()), wanted, before, limit)
        for block in sorted(self._blocks.values(), key=lambda block: block.high, reverse=True):
            if len(found) == limit and block.high < found[-1].num:
                break
            found = _newest(found, _unpack(block), wanted, before, limit)
        return found

    def outlines(self, before: int | None) -> list[Ended]:
        """Runs that ended before a time, UTC µs, or all; in order of number."""
        runs = sorted((record.run for record in self._all()), key=lambda run: run.num)
        found = [Ended(run.num, run.id, run.command_id, run.finished or run.created) for run in runs]
        return [run for run in found if before is None or run.finished < before]

    def remove(self, run_ids: set[str]) -> None:
        """Drop runs."""
        touched = {self._where.pop(run_id) for run_id in run_ids if run_id in self._where}
        for run_id in run_ids:
            self._young.pop(run_id, None)
        for block in touched:
            kept = [record for record in _unpack(self._blocks.pop(block)) if record.run_id not in run_ids]
            if kept:
                self._blocks[block] = _pack([(record.num, _encode(record)) for record in kept])

    def _all(self) -> Iterator[Record]:
        for _, data in self._young.values():
            yield _record.decode(data)
        for block in self._blocks.values():
            yield from _unpack(block)


def _newest(found: list[Run], records: Iterable[Record], wanted: RunFilter, before: int, limit: int) -> list[Run]:
    more = [run for record in records if record.num < before and matches(run := record.run, wanted)]
    return sorted([*found, *more], key=lambda run: run.num, reverse=True)[:limit]


def _pack(records: list[tuple[int, bytes]]) -> Block:
    """Of encoded records with their numbers."""
    high = max(num for num, _ in records)
    return Block(high, zlib.compress(_encode([msgspec.Raw(data) for _, data in records]), 1))


def _unpack(block: Block) -> list[Record]:
    return _records.decode(zlib.decompress(block.data))
