"""The host's end of the writer process: starting it, sending batches, hearing answers, asking."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from trunnion.model.errors import Unavailable
from trunnion.store import wire

OPEN_TIMEOUT = 60.0
"""Seconds a writer may take to open, migration included, and at the end to write what is on its way."""

ASK_TIMEOUT = 600.0
"""Seconds one request may take; pruning a large history is the longest."""


class Link:
    """One writer process at a time.

    Args:
        path: the database.
        artifacts: the folder of the runs' files.
        greeted: called on the loop with the first answer of a writer that was started again.
        answered: called on the loop with each further answer.
        lost: called on the loop when a writer died.
    """

    def __init__(
        self,
        path: Path,
        artifacts: Path,
        greeted: Callable[[wire.Answer], None],
        answered: Callable[[wire.Answer], None],
        lost: Callable[[], None],
    ) -> None:
        self._arguments = (str(path), str(artifacts))
        self._path = path
        self._greeted = greeted
        self._answered = answered
        self._lost = lost
        self._process: subprocess.Popen[bytes] | None = None
        self._batches: socket.socket | None = None
        self._requests: socket.socket | None = None
        self._asking = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._splitter = wire.Splitter()
        self._waiting = bytearray()
        self._ready = False

    @property
    def pid(self) -> int | None:
        """The writer's process id, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start_and_wait(self) -> int:
        """Start a writer and wait until it has the database open; the number of the last batch in it.

        Raises:
            IncompatibleData: written by a newer version.
            Unavailable: it cannot be opened.
        """
        batches = self._spawn()
        batches.settimeout(OPEN_TIMEOUT)
        try:
            number = self._first_number(batches)
        except BaseException:
            self._drop()
            raise
        batches.setblocking(False)
        self._ready = True
        return number

    def _first_number(self, batches: socket.socket) -> int:
        try:
            while piece := batches.recv(1 << 16):
                for data in self._splitter.feed(piece):
                    first = wire.answer.decode(data)
                    if first.failed is not None:
                        raise wire.as_error(first.failed)
                    return first.number
        except TimeoutError:
            raise Unavailable(f"{self._path} was not open after {OPEN_TIMEOUT:.0f} s") from None
        raise Unavailable(f"the process that writes {self._path} ended before it had it open; see its error output")

    def start(self) -> None:
        """Start a writer; it greets when it has the database open, and is sent nothing before."""
        self._spawn().setblocking(False)
        self._listen()

    def _spawn(self) -> socket.socket:
        self._drop()
        self._batches, far_batches = socket.socketpair()
        self._requests, far_requests = socket.socketpair()
        with far_batches, far_requests:
            ends = (far_batches.fileno(), far_requests.fileno())
            command = [sys.executable, "-m", "trunnion.store.writer", *self._arguments, *map(str, ends)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=ends)
        return self._batches

    def _listen(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._batches is not None:
            self._loop.add_reader(self._batches, self._readable)

    def queue(self, data: bytes) -> None:
        """Have a frame sent by ``finish``."""
        self._waiting += data

    def send(self, data: bytes) -> None:
        """Send a frame at the end of the loop's turn, together with the others of that turn."""
        if self._batches is None:
            self.start()
        if self._loop is None:
            self._listen()
        if self._ready and self._loop is not None:
            if not self._waiting:
                self._loop.call_soon(self._writable)
            self._waiting += data

    def _writable(self) -> None:
        if self._batches is None or self._loop is None:
            return
        try:
            while self._waiting:
                del self._waiting[: self._batches.send(self._waiting)]
        except BlockingIOError:
            self._loop.add_writer(self._batches, self._writable)
            return
        except OSError:
            # The writer died; the reading side notices and has everything sent again.
            self._waiting.clear()
        self._loop.remove_writer(self._batches)

    def _readable(self) -> None:
        try:
            piece = self._batches.recv(1 << 16) if self._batches is not None else b""
        except BlockingIOError:
            return
        except ConnectionResetError:
            piece = b""
        if piece:
            self._take(piece)
        else:
            self._drop()
            self._lost()

    def _take(self, piece: bytes) -> None:
        for data in self._splitter.feed(piece):
            answer = wire.answer.decode(data)
            if self._ready:
                self._answered(answer)
            else:
                self._ready = answer.failed is None
                self._greeted(answer)

    def ask(self, request: wire.Request) -> list[int]:
        """Ask for something beside the batches; from any thread, waits for the answer.

        Raises:
            Unavailable: it could not be done, or the writer died meanwhile.
            DiskFull: there was no space to do it.
        """
        with self._asking:
            requests = self._requests
            if requests is None:
                raise Unavailable(f"the process that writes {self._path} is not running")
            try:
                requests.settimeout(ASK_TIMEOUT)
                requests.sendall(wire.frame(request))
                reply = self._heard(requests)
            except OSError as error:
                raise Unavailable(f"the process that writes {self._path} did not answer: {error}") from error
        if reply.failed is not None:
            raise wire.as_error(reply.failed)
        return reply.numbers

    def _heard(self, requests: socket.socket) -> wire.Reply:
        splitter = wire.Splitter()
        while piece := requests.recv(1 << 16):
            for data in splitter.feed(piece):
                return wire.reply.decode(data)
        raise Unavailable(f"the process that writes {self._path} ended meanwhile; ask again")

    def finish(self, pending: Callable[[], bool]) -> None:
        """Wait until nothing is pending, then end the writer and wait for it; safe to call twice."""
        self._stop_listening()
        if self._batches is not None:
            self._batches.settimeout(OPEN_TIMEOUT)
            with contextlib.suppress(OSError):
                self._batches.sendall(self._waiting)
                self._waiting.clear()
                while pending() and (piece := self._batches.recv(1 << 16)):
                    self._take(piece)
        self._drop()

    def _stop_listening(self) -> None:
        if self._loop is not None and self._batches is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._batches)
            self._loop.remove_writer(self._batches)

    def _drop(self) -> None:
        """Close both sockets, which ends the writer, and reap it."""
        self._stop_listening()
        for end in (self._batches, self._requests):
            if end is not None:
                end.close()
        if self._process is not None:
            _reap(self._process)
        self._batches = self._requests = self._process = None
        self._splitter, self._ready = wire.Splitter(), False
        self._waiting.clear()


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(OPEN_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
