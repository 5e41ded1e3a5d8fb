"""The process's end of the pipes to its host."""

from __future__ import annotations

import os
import threading

from trunnion.isolation.wire import FRAME_CAP, HEADER, Order, Said, order_of, pack
from trunnion.model.errors import InvalidArguments

_LOST = 71
"""Exit status of a process whose host cannot be reached any more; the keeper ends it anyway."""


class Pipe:
    """Speaks to the host, from any thread, and hears it, in one. Whoever speaks waits until the host has room."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = threading.RLock()  # a signal's handler may print while its thread prints

    def say(self, frame: Said) -> None:
        """Say something; it has left the process when this returns.

        Raises:
            InvalidArguments: it is more than can be said at once.
        """
        data = memoryview(pack(frame))
        if len(data) > HEADER + FRAME_CAP:
            what = type(frame).__name__.lower()
            raise InvalidArguments(f"{what}: {len(data)} bytes are too many for an isolated command, use an artifact")
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._writer, data) :]
            except OSError:
                os._exit(_LOST)

    def hear(self) -> Order | None:
        """Wait for what the host says next, None if it says nothing more."""
        header = self._read(HEADER)
        body = self._read(int.from_bytes(header, "big")) if header else b""
        return order_of(body) if body else None

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = os.read(self._reader, size - len(data))
            if not piece:
                return b""
            data += piece
        return bytes(data)


def take_over() -> Pipe:
    """Take the pipes away from descriptors 0 and 1, which then are what code that writes to them expects."""
    pipe = Pipe(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return pipe
