"""Whether streams are what was written: every chunk by its checksum, numbers without a gap, texts in their files."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

import msgspec

from trunnion.model.events import Event, run_stream
from trunnion.store import chunks
from trunnion.store.files import OUTPUT
from trunnion.store.outputs import Output
from trunnion.store.trouble import Trouble

MOST_EVENTS = 1 << 16
"""Events of one chunk that can each be given a gap; no chunk that was written has so many."""

_Chunk: TypeAlias = tuple[int, int, int, int, int, int, bytes]

_CHUNKS = "SELECT stream, position, first, last, codec, crc, data FROM chunks ORDER BY stream, first"
_STREAMS = (
    "SELECT num, name, NULL FROM streams UNION ALL SELECT num, id, last FROM runs"
    " UNION ALL SELECT num, CAST(doc AS TEXT) ->> 'id', NULL FROM live WHERE json_valid(CAST(doc AS TEXT))"
)


def check_streams(connection: sqlite3.Connection, artifacts: Path) -> Iterator[Trouble]:
    """Everything that is wrong with the streams of a database.

    Args:
        connection: reads one state of it.
        artifacts: the folder with the output files.
    """
    streams: dict[int, tuple[str | None, int | None]] = {
        num: (name, last) for num, name, last in connection.execute(_STREAMS)
    }
    seen: set[int] = set()
    for number, rows in groupby(connection.execute(_CHUNKS), key=itemgetter(0)):
        seen.add(number)
        name, last = streams.get(number, (None, None))
        if name is None:
            mend = "its events go to lost+found"
            yield Trouble("stream", f"stream {number}: of a run that is not on record", number, mend)
            continue
        yield from _stream(number, name, last, rows, artifacts)
    for number, (name, last) in streams.items():
        if number not in seen and last:
            yield _gap(f"run {name}", 1, last)


def _stream(number: int, name: str, end: int | None, rows: Iterator[_Chunk], artifacts: Path) -> Iterator[Trouble]:
    shown, stream = (f"run {name}", run_stream(name)) if number > 0 else (f"stream {name}", name)
    # What is not a run's stream may have lost its beginning to retention.
    expected = 1 if number > 0 else None
    for _, position, first, last, codec, crc, data in rows:
        if expected is not None and first > expected:
            yield _gap(shown, expected, first - 1)
        elif expected is not None and first < expected:
            yield Trouble("stream", f"{shown}: events {first} to {expected - 1} are there twice")
        expected = last + 1
        events, wrong = _events(stream, first, last, codec, crc, data)
        if wrong:
            mend = f"{last - first + 1} events are lost, and an explicit gap says so" if _can_cut(first, last) else ""
            yield Trouble("chunk", f"{shown}: events {first} to {last}: {wrong}", position, mend)
        elif codec & chunks.SPANS and (lost := len(unreadable(artifacts / name / OUTPUT, events))):
            mend = f"{lost} events are lost, and an explicit gap says so"
            text = f"{shown}: the text of {lost} of the events {first} to {last} is not in its output file"
            yield Trouble("text", text, position, mend)
    if end is not None and expected is not None and expected <= end:
        yield _gap(shown, expected, end)
    elif end is not None and expected is not None and expected > end + 1:
        yield Trouble("stream", f"{shown}: has events up to {expected - 1} and says that it ended with {end}")


def _can_cut(first: int, last: int) -> bool:
    return first > 0 and first <= last < first + MOST_EVENTS


def _gap(shown: str, first: int, last: int) -> Trouble:
    return Trouble("stream", f"{shown}: events {first} to {last} are missing; readers are shown a gap")


def _events(stream: str, first: int, last: int, codec: int, crc: int, data: bytes) -> tuple[Sequence[Event], str]:
    """The events of a chunk, or what is wrong with it."""
    try:
        events = chunks.decode(codec, crc, data)
    except (msgspec.DecodeError, UnicodeDecodeError, zlib.error) as error:
        return (), f"cannot be read: {error}"
    if events is None:
        return (), "are not what was written (checksum)"
    if [(event.stream, event.seq) for event in events] != [(stream, seq) for seq in _range(first, last, events)]:
        return (), "are others than the row says"
    return events, ""


def _range(first: int, last: int, events: Sequence[Event]) -> range:
    """The numbers a chunk should have; never longer than what it has and one, whatever its row says."""
    return range(first, min(last, first + len(events)) + 1)


def unreadable(output: Path, events: Sequence[Event]) -> list[Event]:
    """Those events whose text is not in the output file any more, or is no text."""
    try:
        file = Output(output)
    except FileNotFoundError:
        return [event for event in events if isinstance(event, chunks.SpannedEvent) and event.span is not None]
    with file:
        return [event for event in events if not _is_there(file, event)]


def _is_there(output: Output, event: Event) -> bool:
    if not isinstance(event, chunks.SpannedEvent) or event.span is None:
        return True
    offset, length = event.span
    block = output.read(offset, length)
    try:
        return len(block.decode().encode()) == length
    except UnicodeDecodeError:
        return False
