"""Events as bytes: JSON lines, plain while they are young, compressed when they are old.

One chunk is one row of the store: the events of one stream in one commit, or those of many commits
merged later. The text of long output lies in a file; its events carry the span instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from trunnion.model.events import NULL, Event

PLAIN = 0
COMPRESSED = 1
SPANS = 2
LEAN = 4
"""Flags of a chunk: how it is stored, whether some of its texts lie in the run's output file, and whether its lines
are without what follows from the first one: a line with stream and first number, then an array for each event."""

LEVEL = 6

_usual = Event("", 0, 0, "")
LEVEL_LEFT_OUT, BY_LEFT_OUT = _usual.level, _usual.by
"""The very objects that are left out of a line; equal ones from elsewhere are not."""


class SpannedEvent(Event, frozen=True, omit_defaults=True):
    """An event as stored whose text may lie elsewhere: ``span`` is offset and length in bytes."""

    span: tuple[int, int] | None = None


class LeanEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event of a lean chunk. What is left out of the line of an event is None here, and only that: read again it
    becomes the same bytes.

    Attributes:
        after: time since the event before it, µs.
        data: the only member of a list.
    """

    after: int
    kind: str
    level: str | None
    by: str | None
    text: str
    data: tuple[msgspec.Raw] | None
    span: tuple[int, int] | None = None


_encoder = msgspec.json.Encoder()
_plain = msgspec.json.Decoder(Event)
_spanned = msgspec.json.Decoder(SpannedEvent)
_lean = msgspec.json.Decoder(LeanEvent)
_head = msgspec.json.Decoder(tuple[str, int])


def encode(events: Sequence[Event]) -> bytes:
    """Events as JSON lines."""
    return _encoder.encode_lines(events)


def inflate(codec: int, data: bytes) -> bytes:
    """The JSON lines of a chunk, whole events whatever it holds."""
    lines = _lines(codec, data)
    return encode(_whole(codec, lines)) if codec & LEAN else lines


def _lines(codec: int, data: bytes) -> bytes:
    return zlib.decompress(data) if codec & COMPRESSED else data


def deflate(lines: bytes) -> bytes:
    """JSON lines, compressed."""
    return zlib.compress(lines, LEVEL)


def decode(codec: int, crc: int, data: bytes) -> Sequence[Event] | None:
    """The events of a chunk, ``SpannedEvent`` where it says so; None if it is not what was written."""
    if zlib.crc32(data) != crc:
        return None
    return _whole(codec, _lines(codec, data))


def merged(parts: Sequence[tuple[int, bytes]]) -> tuple[int, bytes]:
    """Chunks (codec, data) that follow each other as a single one."""
    spans = 0
    for codec, _ in parts:
        spans |= codec & SPANS
    lines = b"".join([inflate(codec, data) for codec, data in parts])
    events = _whole(spans, lines)
    stream, first = events[0].stream, events[0].seq
    if any(event.stream != stream or event.seq != first + at for at, event in enumerate(events)):
        return COMPRESSED | spans, deflate(lines)
    return COMPRESSED | LEAN | spans, deflate(_without_what_follows(events))


def _without_what_follows(events: Sequence[Event]) -> bytes:
    lean, ts = list[object]([(events[0].stream, events[0].seq)]), 0
    for event in events:
        span = event.span if isinstance(event, SpannedEvent) else None
        level = None if event.level is LEVEL_LEFT_OUT else event.level
        by = None if event.by is BY_LEFT_OUT else event.by
        data = None if event.raw is NULL else (event.raw,)
        lean.append(LeanEvent(event.ts - ts, event.kind, level, by, event.text, data, span))
        ts = event.ts
    return _encoder.encode_lines(lean)


def _whole(codec: int, lines: bytes) -> list[Event]:
    if not codec & LEAN:
        return list((_spanned if codec & SPANS else _plain).decode_lines(lines))
    head, _, rest = lines.partition(b"\n")
    stream, first = _head.decode(head)
    events, ts = list[Event](), 0
    for seq, lean in enumerate(_lean.decode_lines(rest), first):
        ts += lean.after
        raw = NULL if lean.data is None else lean.data[0]
        level = LEVEL_LEFT_OUT if lean.level is None else lean.level
        by = BY_LEFT_OUT if lean.by is None else lean.by
        fields = (stream, seq, ts, lean.kind, level, by, lean.text, raw)
        events.append(SpannedEvent(*fields, lean.span) if codec & SPANS else Event(*fields))
    return events


def spanned(event: Event, offset: int, length: int) -> SpannedEvent:
    """The event without its text, which lies at ``offset`` of the run's output file."""
    return SpannedEvent(
        event.stream, event.seq, event.ts, event.kind, event.level, event.by, "", event.raw, (offset, length)
    )


def restored(event: SpannedEvent, text: str) -> Event:
    """The event with its text, as it was emitted."""
    return Event(event.stream, event.seq, event.ts, event.kind, event.level, event.by, text, event.raw)
