"""What the host and its writer process say to each other: frames of a length and a msgpack value.

Batches go one way over one socket, answers come back on it in the same order. Requests that take a
while (retention, a new observer) have a socket of their own, one at a time.
"""

from __future__ import annotations

import struct
from typing import Literal, TypeAlias

import msgspec

from trunnion.model.errors import IncompatibleData, TrunnionError, Unavailable
from trunnion.store.base import DiskFull
from trunnion.store.rows import Rows

_LENGTH = struct.Struct(">I")

Failure: TypeAlias = tuple[Literal["disk_full", "incompatible", "unavailable", "error"], str]


class Sent(msgspec.Struct, array_like=True, frozen=True):
    """One batch. ``round`` goes up after each failure: what was sent before it fails with it."""

    number: int
    round: int
    rows: Rows


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """Batches up to ``number`` are committed, or ``number`` and all behind it in its round failed."""

    number: int
    failed: Failure | None = None


class Request(msgspec.Struct, array_like=True, frozen=True):
    """Something else than a batch."""

    verb: Literal["remove", "cut", "observer"]
    text: str = ""
    last: int = 0
    run_ids: list[str] = []


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """The numbers a request is answered with."""

    numbers: list[int] = []
    failed: Failure | None = None


_encoder = msgspec.msgpack.Encoder()
sent = msgspec.msgpack.Decoder(Sent)
answer = msgspec.msgpack.Decoder(Answer)
request = msgspec.msgpack.Decoder(Request)
reply = msgspec.msgpack.Decoder(Reply)


def frame(value: Sent | Answer | Request | Reply) -> bytes:
    """One value as a frame."""
    data = _encoder.encode(value)
    return _LENGTH.pack(len(data)) + data


class Splitter:
    """Puts frames together from whatever pieces arrive."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The frames that are complete with this piece."""
        self._data += piece
        found, start = [], 0
        while len(self._data) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data, start)
            end = start + _LENGTH.size + length
            if len(self._data) < end:
                break
            found.append(bytes(self._data[start + _LENGTH.size : end]))
            start = end
        del self._data[:start]
        return found


def failed(error: Exception) -> Failure:
    """An exception as data."""
    if isinstance(error, DiskFull):
        return "disk_full", str(error)
    if isinstance(error, IncompatibleData):
        return "incompatible", error.message
    if isinstance(error, TrunnionError):
        return "unavailable", error.message
    return "error", f"{type(error).__name__}: {error}"


def as_error(failure: Failure) -> Exception:
    """The exception that ``failed`` was given, or one that says the same."""
    kind, message = failure
    if kind == "disk_full":
        return DiskFull(message)
    if kind == "incompatible":
        return IncompatibleData(message)
    return Unavailable(message)
