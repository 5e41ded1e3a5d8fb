"""``capture = "full"``: all text and log output on record, each event once.

The host hands committed events on until they were taken, and after a crash from a place that may lie before where it
was: what is on record already is looked for in the log itself, and left out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

import msgspec

from trunnion import Event
from trunnion_audit.building import cut
from trunnion_audit.reading import LogReader
from trunnion_audit.records import Output, Record

KINDS: Final = frozenset({"text", "log"})
SLACK: Final = 3_600_000_000
"""How much earlier a record may seem to be than its event, µs: the clock may have been set back."""

PIECE: Final = 1 << 20
"""Bytes of text that are written at once, about; and 256 records at most."""

MOST_STREAMS: Final = 100_000


class Takes(Protocol):
    """Takes records; the ledger does."""

    async def record(self, records: Sequence[Record]) -> None:
        """Have them on record, all or none."""


class Last(NamedTuple):
    """How far the output of a stream is on record.

    Attributes:
        seq: the number of the event that was recorded last.
        at: the latest time of those recorded. An event that is later is none of them, whatever its number: the host's
            database may have been put back to what it was.
    """

    seq: int = 0
    at: int = -1

    def has(self, event: Event) -> bool:
        """Whether an event is among them."""
        return event.seq <= self.seq and event.ts <= self.at


class _Seen(msgspec.Struct):
    kind: str
    ts: int
    stream: str = ""
    seq: int = 0
    at: int = 0


NONE: Final = Last()

_seen = msgspec.json.Decoder(_Seen).decode


class Capture:
    """Puts output on record.

    Args:
        ledger: takes the records.
        reader: of the log.
        in_thread: calls something away from the loop.
    """

    def __init__(
        self,
        ledger: Takes,
        reader: LogReader,
        in_thread: Callable[[Callable[[], Mapping[str, Last]]], Awaitable[Mapping[str, Last]]],
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._in_thread = in_thread
        self._done: OrderedDict[str, Last] = OrderedDict()
        self._knows = False

    async def take(self, events: Sequence[Event], most: int, now: int) -> None:
        """Put on record what of the events is output and not there yet. Raises until that is done.

        Args:
            events: as the host hands them on, some perhaps for another time.
            most: bytes of a text that are kept whole.
            now: UTC microseconds.
        """
        output = [event for event in events if event.kind in KINDS]
        if not output:
            return
        if not self._knows:
            oldest = min(event.ts for event in output) - SLACK
            self._done.update(await self._in_thread(lambda: on_record(self._reader, oldest)))
            self._knows = True
        fresh = [event for event in output if not self._done.get(event.stream, NONE).has(event)]
        for piece in _pieces(fresh):
            await self._ledger.record([output_of(event, most, now) for event in piece])
            self._remember(piece)

    def _remember(self, events: Sequence[Event]) -> None:
        for event in events:
            known = self._done.get(event.stream, NONE)
            self._done[event.stream] = Last(event.seq, max(known.at, event.ts))
            self._done.move_to_end(event.stream)
        while len(self._done) > MOST_STREAMS:
            self._done.popitem(last=False)


def on_record(reader: LogReader, since: int) -> dict[str, Last]:
    """How far the output of each stream is on record, of those recorded since a time."""
    found = dict[str, Last]()
    for segment in reversed(reader.segments()):
        for line in reader.back(segment, 1 << 53):
            try:
                seen = _seen(line)
            except msgspec.DecodeError:
                continue
            if seen.kind == Output.KIND:
                known = found.get(seen.stream, Last(seen.seq))
                found[seen.stream] = Last(known.seq, max(known.at, seen.at))
            if seen.ts < since:
                return found
    return found


def output_of(event: Event, most: int, now: int) -> Output:
    """The record of an event of output; of too large a text it has the beginning, and says so."""
    record = Output(
        ts=now,
        stream=event.stream,
        seq=event.seq,
        at=event.ts,
        of=event.kind,
        level=event.level,
        by=event.by,
        text=cut(event.text, most),
    )
    data = event.text.encode(errors="replace")
    if len(data) > most:
        record.text_size, record.text_sha256 = len(data), sha256(data).hexdigest()
    return record


def _pieces(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    piece, size = list[Event](), 0
    for event in events:
        piece.append(event)
        size += len(event.text)
        if size >= PIECE or len(piece) >= 256:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
