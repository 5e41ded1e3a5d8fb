"""Reading one stream from any number on: chunks to events, texts from their file, gaps made explicit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from trunnion.model.events import RETENTION, RUN_STREAM, Event, gap_event
from trunnion.store import chunks
from trunnion.store.files import OUTPUT, RunFiles
from trunnion.store.outputs import Output
from trunnion.store.state import last_of, number

DAMAGED = "damaged on the disk"
LOST_TEXT = "the file with its text is missing or too short"

_CHUNKS = "SELECT first, last, codec, crc, data FROM chunks WHERE stream = ? AND first >= ? ORDER BY first"
_START = "SELECT coalesce(max(first), 0) FROM chunks WHERE stream = ? AND first <= ?"


class Replay:
    """One stream as stored.

    Args:
        connection: a reading connection, for the duration of the object.
        files: where long output lies.
        stream: its name.
        number: its number in the store.
        now: UTC µs, the time put on gap events.
    """

    def __init__(self, connection: sqlite3.Connection, files: RunFiles, stream: str, number: int, now: int) -> None:
        self._connection = connection
        self._files = files
        self._stream = stream
        self._number = number
        self._now = now

    def read(self, after: int, limit: int, max_bytes: int) -> list[Event]:
        """Events after a number, at most ``limit`` and about ``max_bytes``, at least one if there is one."""
        # One snapshot for all statements: chunks may be merged or added between them.
        self._connection.execute("BEGIN")
        try:
            found = self._collect(after, limit, max_bytes)
        finally:
            self._connection.execute("COMMIT")
        return self._hydrated(found)

    def _collect(self, after: int, limit: int, max_bytes: int) -> list[Event]:
        found: list[Event] = []
        for part in self._parts(after):
            for event in part if len(part) <= limit - len(found) else part[: limit - len(found)]:
                max_bytes -= _size(event)
                if max_bytes < 0 and found:
                    return found
                found.append(event)
            if len(found) >= limit:
                break
        return found

    def _parts(self, after: int) -> Iterator[Sequence[Event]]:
        """Runs of events in order, beginning after ``after``, with gap events where something is missing."""
        expected = after + 1
        start = number(self._connection, _START, self._number, expected)
        cursor = self._connection.execute(_CHUNKS, (self._number, start))
        try:
            for first, last, codec, crc, data in cursor:
                if last < expected:
                    continue
                if first > expected:
                    yield [self._gap(expected, first - 1, RETENTION)]
                    expected = first
                events = chunks.decode(codec, crc, data)
                yield events[expected - first :] if events else [self._gap(expected, last, DAMAGED)]
                expected = last + 1
        finally:
            cursor.close()
        end = self._end()
        if end >= expected:
            yield [self._gap(expected, end, RETENTION)]

    def _end(self) -> int:
        """The last number the stream ever had: an ended run says it in its row, others in what is kept."""
        if self._number < 0:
            return last_of(self._connection, self._number)
        return number(self._connection, "SELECT coalesce((SELECT last FROM runs WHERE num = ?), 0)", self._number)

    def _gap(self, first: int, last: int, reason: str) -> Event:
        return gap_event(self._stream, first, last, self._now, reason)

    def _hydrated(self, events: list[Event]) -> list[Event]:
        if not self._stream.startswith(RUN_STREAM):
            return events
        return self.hydrate(self._files, events)

    @staticmethod
    def hydrate(files: RunFiles, events: Sequence[Event]) -> list[Event]:
        """Put the texts back that lie in the output file of the run."""
        if not any(isinstance(event, chunks.SpannedEvent) for event in events):
            return list(events)
        path = files.folder(events[0].stream[len(RUN_STREAM) :]) / OUTPUT
        try:
            output = Output(path)
        except FileNotFoundError:
            return [_with_text(event, None) for event in events]
        with output:
            return [_with_text(event, output) for event in events]


def _with_text(event: Event, output: Output | None) -> Event:
    if not isinstance(event, chunks.SpannedEvent):
        return event
    if event.span is None:
        return chunks.restored(event, event.text)
    offset, length = event.span
    block = output.read(offset, length) if output is not None else b""
    if len(block) < length:
        return gap_event(event.stream, event.seq, event.seq, event.ts, LOST_TEXT)
    try:
        return chunks.restored(event, block.decode())
    except UnicodeDecodeError:
        return gap_event(event.stream, event.seq, event.seq, event.ts, DAMAGED)


def _size(event: Event) -> int:
    span = event.span if isinstance(event, chunks.SpannedEvent) else None
    return 100 + len(event.text) + memoryview(event.raw).nbytes + (span[1] if span else 0)
