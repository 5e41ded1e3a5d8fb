"""Events: what a stream consists of."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from trunnion.model.json import Json, decode, encode

STATE: Final = "state"
TEXT: Final = "text"
LOG: Final = "log"
PROGRESS: Final = "progress"
STATS: Final = "stats"
TABLE: Final = "table"
DATA: Final = "data"
ARTIFACT: Final = "artifact"
GAP: Final = "gap"
RETENTION: Final = "retention"
META: Final = "meta"

LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

COMMON_KINDS: Final = frozenset({TEXT, LOG, PROGRESS, STATS, TABLE, DATA, ARTIFACT})
"""Kinds that anybody may emit and that need no looking at."""

HOST_KINDS: Final = frozenset({STATE, GAP, "ask"})
"""Kinds that only the host itself emits."""

LARGEST_DATA: Final = 4 << 20
"""Bytes of data one event of a handler may carry; more belongs in an artifact."""

NULL: Final = msgspec.Raw(b"null")

RUN_STREAM: Final = "run/"
HOST_STREAM: Final = "host"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One immutable entry of a stream.

    Attributes:
        stream: the stream's name, such as ``run/<run id>``.
        seq: position in the stream, gapless from 1.
        ts: when it was made, UTC, microseconds since 1970; order is ``seq``, never ``ts``.
        kind: an open set; unknown kinds are shown as data.
        level: debug, info, warning, error or critical.
        by: who spoke: ``host``, ``handler``, ``driver`` or a plugin's id.
        text: human-readable text; for kind ``text`` a block of whole lines.
        raw: the machine-readable part, already encoded, so that it cannot change afterwards and is
            encoded once for every follower. Named ``data`` on the wire.
    """

    stream: str
    seq: int
    ts: int
    kind: str
    level: str = "info"
    by: str = "host"
    text: str = ""
    raw: msgspec.Raw = msgspec.field(name="data", default=NULL)

    @property
    def data(self) -> Json:
        """The machine-readable part as plain data, a fresh copy at each call."""
        return decode(self.raw)


_word = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/ -]{0,127}")


@lru_cache(maxsize=1024)
def event_word(text: str) -> str:
    """The kind, level, channel or speaker of an event, as it is given.

    Raises:
        ValueError: it is no short plain word, so it has no place in a stream.
        TypeError: it is no text.
    """
    if _word.fullmatch(text) is None:
        raise ValueError(f"{text!a} cannot be the kind, level, channel or speaker of an event")
    return text


@lru_cache(maxsize=1024)
def check_words(kind: str, level: str, by: str) -> None:
    """See to it that all three may stand in an event.

    Raises:
        ValueError: one is no short plain word.
        TypeError: one is no text.
    """
    for word in (kind, level, by):
        event_word(word)


def handlers_data(kind: str, data: Json) -> msgspec.Raw:
    """The machine-readable part of an event that a handler emits, encoded.

    Raises:
        ValueError: a kind only the host emits, or too much data for one event.
        TypeError: the data has no form in JSON.
    """
    if kind in HOST_KINDS:
        raise ValueError(f"events of kind {kind!r} are made by the host alone")
    if data is None:
        return NULL
    raw = msgspec.Raw(encode(data))
    if len(memoryview(raw)) > LARGEST_DATA:
        raise ValueError(f"an event carries at most {LARGEST_DATA >> 20} MiB of data: keep more as an artifact")
    return raw


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """One event as JSON, without a line end."""
    return _encoder.encode(event)


def decode_event(data: bytes | msgspec.Raw) -> Event:
    """The inverse of ``encode_event``.

    Raises:
        msgspec.DecodeError: the bytes are not an event.
    """
    return _decoder.decode(data)


def run_stream(run_id: str) -> str:
    """The name of a run's stream."""
    return RUN_STREAM + run_id


def gap_event(stream: str, first: int, last: int, ts: int, reason: str) -> Event:
    """The explicit mark for events ``first``..``last`` that cannot be delivered any more."""
    raw = msgspec.json.encode({"first": first, "last": last, "reason": reason})
    text = f"events {first} to {last} are no longer kept ({reason})"
    return Event(stream, last, ts, GAP, "warning", "host", text, msgspec.Raw(raw))
