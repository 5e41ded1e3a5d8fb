"""Events as bytes: JSON lines, plain while they are young, compressed when they are old.

One chunk is one row of the store: the events of one stream in one commit, or those of many commits
merged later. The text of long output lies in a file; its events carry the span instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from trunnion.model.events import Event

PLAIN = 0
COMPRESSED = 1
SPANS = 2
"""Flags of a chunk: how it is stored, and whether some of its texts lie in the run's output file."""

LEVEL = 6


class SpannedEvent(Event, frozen=True, omit_defaults=True):
    """An event as stored whose text may lie elsewhere: ``span`` is offset and length in bytes."""

    span: tuple[int, int] | None = None


_encoder = msgspec.json.Encoder()
_plain = msgspec.json.Decoder(Event)
_spanned = msgspec.json.Decoder(SpannedEvent)


def encode(events: Sequence[Event]) -> bytes:
    """Events as JSON lines."""
    return _encoder.encode_lines(events)


def inflate(codec: int, data: bytes) -> bytes:
    """The JSON lines of a chunk."""
    return zlib.decompress(data) if codec & COMPRESSED else data


def deflate(lines: bytes) -> bytes:
    """JSON lines, compressed."""
    return zlib.compress(lines, LEVEL)


def decode(codec: int, crc: int, data: bytes) -> Sequence[Event] | None:
    """The events of a chunk, ``SpannedEvent`` where it says so; None if it is not what was written."""
    if zlib.crc32(data) != crc:
        return None
    return (_spanned if codec & SPANS else _plain).decode_lines(inflate(codec, data))


def spanned(event: Event, offset: int, length: int) -> SpannedEvent:
    """The event without its text, which lies at ``offset`` of the run's output file."""
    return SpannedEvent(
        event.stream, event.seq, event.ts, event.kind, event.level, event.by, "", event.raw, (offset, length)
    )


def restored(event: SpannedEvent, text: str) -> Event:
    """The event with its text, as it was emitted."""
    return Event(event.stream, event.seq, event.ts, event.kind, event.level, event.by, text, event.raw)
