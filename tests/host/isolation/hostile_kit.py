"""Handlers whose processes say what no handler would, on the descriptor that belongs to the host's own code."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import msgspec

from trunnion.isolation.pipe import Pipe


def _pipe() -> Pipe:
    return next(each for each in gc.get_objects() if isinstance(each, Pipe))


def _framed(*said: object) -> bytes:
    body = msgspec.msgpack.encode(list(said))
    return len(body).to_bytes(4, "big") + body


def _write(pipe: Pipe, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe._writer, view) :]


def asks_and_never_listens(questions: int) -> None:
    pipe = _pipe()
    pipe._read = lambda _size: bytes(threading.Event().wait())  # type: ignore[method-assign]
    for first in range(0, questions, 1000):
        _write(pipe, b"".join(_framed("Flush", 10 + number) for number in range(first, first + 1000)))


def conceals(values: int) -> str:
    pipe = _pipe()
    for number in range(values):
        value = f"secret{number:05}"
        _write(pipe, _framed("Conceal", [value]) + _framed("Text", f"secret {value}\n", "stdout"))
    return f"secret{values - 1:05}"


def babbles() -> None:
    """For as long as it lives."""
    pipe = _pipe()
    while True:
        _write(pipe, b"\x00\x00\x00\x01\xc1" * 1000)


def fails_as(code: str) -> None:
    _write(_pipe(), _framed("Raised", code, "why", b"{}", "", None))


def counts(size: int) -> str:
    _write(_pipe(), _framed("Figures", {"n" * size: 1}))
    return "counted"


def advances(size: int) -> str:
    _write(_pipe(), _framed("Progress", 1, 1, "p" * size))
    return "advanced"


def keeps_as(media_type: str, size: int) -> str:
    from trunnion import Context

    def pieces() -> Iterator[bytes]:
        yield b"kept"

    context = next(each for each in gc.get_objects() if isinstance(each, Context))
    return context.artifact_blocking("n" * size, pieces(), media_type).name
