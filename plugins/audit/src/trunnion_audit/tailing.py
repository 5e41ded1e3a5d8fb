"""The stream ``audit.tail``: the log as events, its record's number each event's own, from any record on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

import msgspec

from trunnion import Event, Json
from trunnion_audit.reading import LogReader
from trunnion_audit.telling import line_of

TAIL: Final = "audit.tail"
SLICE: Final = 256
"""Events of one batch."""

MOST_BYTES: Final = 1 << 20
"""Bytes of lines in one batch, but for its last one."""

_decode = msgspec.json.Decoder(dict[str, Json]).decode


class Source(Protocol):
    """The log as it grows."""

    @property
    def end(self) -> int:
        """The number of the last record."""

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        """Events after a number."""

    async def grown(self, end: int) -> None:
        """Wait until the log's end is another one."""


def events_of(reader: LogReader, after: int, end: int, limit: int) -> list[Event]:
    """The records after a number as events; a gap stands for those that are no longer kept or cannot be read.

    Args:
        reader: of the log.
        after: the number of the last record that is known.
        end: the number of the last record that counts: what comes behind it may yet be taken back.
        limit: at most so many.
    """
    events, size = list[Event](), 0
    for line in reader.forth(after):
        try:
            record = _decode(line)
        except msgspec.DecodeError:
            continue
        n, ts = record.get("n"), record.get("ts")
        if not isinstance(n, int) or not isinstance(ts, int) or n <= after:
            continue
        if n > end:
            break
        if n > after + 1:
            events.append(_gap(after + 1, n - 1, ts))
        events.append(Event(TAIL, n, ts, "data", _level(record), "audit", line_of(record), msgspec.Raw(line)))
        after, size = n, size + len(line)
        if len(events) >= limit or size >= MOST_BYTES:
            break
    return events[:limit]


def _level(record: dict[str, Json]) -> str:
    kind = record.get("kind")
    if kind in ("refusal", "refusals", "lost", "missing", "torn"):
        return "warning"
    return "error" if record.get("action") == "audit.fault" else "info"


def _gap(first: int, last: int, ts: int) -> Event:
    raw = msgspec.json.encode({"first": first, "last": last, "reason": "audit"})
    text = f"records {first} to {last} are not kept any more, or cannot be read"
    return Event(TAIL, last, ts, "gap", "warning", "audit", text, msgspec.Raw(raw))


class Growth:
    """Tells those who follow the log that it has grown."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """It has."""
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def wait(self) -> None:
        """Until it has."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


async def follow(source: Source, after: int) -> AsyncIterator[Sequence[Event]]:
    """The records after a number in batches, until another log, which counts anew, takes the place of this one."""
    while (end := source.end) >= after:
        if batch := await source.read(after, SLICE):
            after = batch[-1].seq
            yield batch
        else:
            await source.grown(end)
