"""The host's end of one minder's control socket."""

from __future__ import annotations

import array
import asyncio
import socket
from collections.abc import Callable, Sequence

from trunnion.process.keeper import frames

_CHUNK = 64 * 1024


class Link:
    """Sends commands to a minder and hands over its reports.

    Attributes:
        on_report: called with each report.
        on_lost: called once when the minder is gone, unless ``close`` came first.
        minder: its pid, 0 until it has looked after a program.
        generation: of the keeper that forked it; it is of no use to later ones.
    """

    def __init__(self, control: socket.socket, generation: int) -> None:
        control.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._control = control
        self._unpacker = frames.Unpacker()
        self._out = bytearray()
        self.minder = 0
        self.generation = generation
        self.on_report: Callable[[frames.Message], None] = _unexpected
        self.on_lost: Callable[[], None] = _nothing
        self._loop.add_reader(control.fileno(), self._read)

    @property
    def closed(self) -> bool:
        """Whether the minder can no longer be reached."""
        return self._control.fileno() < 0

    def close(self) -> None:
        """Let go of the minder, which kills whatever it still has."""
        if not self.closed:
            self._loop.remove_reader(self._control.fileno())
            self._loop.remove_writer(self._control.fileno())
            self._control.close()
            self._out.clear()

    def command(self, *message: frames.Plain) -> None:
        """Send a command; it takes its turn behind a request that is still on its way."""
        self._send(frames.pack(message), ())

    def request(self, message: frames.Message, descriptors: Sequence[int]) -> None:
        """Send a message of any size together with descriptors, which may be closed afterwards."""
        self._send(frames.pack(message), descriptors)

    def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        if self.closed:
            return
        if self._out:
            self._out += data
            return
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self._out += data[self._control.sendmsg([data], rights) :]
        except OSError:
            self._lose()
        if self._out:
            self._loop.add_writer(self._control.fileno(), self._flush)

    def _flush(self) -> None:
        try:
            del self._out[: self._control.send(self._out)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()
            return
        if not self._out:
            self._loop.remove_writer(self._control.fileno())

    def _read(self) -> None:
        try:
            data = self._control.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        for message in self._unpacker.feed(data):
            self.on_report(message)

    def _lose(self) -> None:
        if not self.closed:
            self.close()
            self.on_lost()


def _unexpected(message: frames.Message) -> None:
    raise RuntimeError(f"an idle minder sent {message[0]!r}")


def _nothing() -> None:
    """Nobody waits for this minder."""
