"""Both ends of a program's pipes on the host's loop: raw descriptors, no transports, no threads."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Callable
from typing import Final

from trunnion.model.errors import Busy, DeadlineExceeded
from trunnion.process.lines import BLOCK, Block, LineBlocks

QUEUE: Final = 1024 * 1024
PIPE: Final = 256 * 1024
"""Bytes a pipe for output holds, and as many are read at a time."""

_READS: Final = 2
_DRAINS: Final = 16
"""Reads that empty any pipe; what comes after that is what somebody goes on writing."""


def output_pipe() -> tuple[int, int]:
    """A pipe for what a program writes, larger than usual where the system has room for it.

    Raises:
        OSError: no descriptors are left.
    """
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
    return reader, writer


class PipeReader:
    """Owns the reading end of a pipe and hands over what comes, as it comes.

    Args:
        descriptor: closed by this object, at the end of the stream or by ``close``.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = descriptor
        self._on_bytes: Callable[[bytes], object] | None = None
        self._paused = False
        self._ended: asyncio.Future[None] = self._loop.create_future()

    @property
    def descriptor(self) -> int | None:
        """The raw descriptor, None once closed."""
        return self._descriptor

    def start(self, on_bytes: Callable[[bytes], object]) -> None:
        """Call ``on_bytes`` with each chunk of up to 256 KiB. If it raises, reading stops and ``ended`` raises it."""
        self._on_bytes = on_bytes
        self._listen()

    def pause(self) -> None:
        """Stop reading: the program blocks once the pipe is full."""
        if not self._paused:
            self._paused = True
            self._ignore()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._listen()

    @property
    def at_end(self) -> bool:
        """Whether ``ended`` would return, or raise, at once."""
        return self._ended.done()

    async def ended(self) -> None:
        """Wait for the end of the stream, or for ``close``.

        Raises:
            Exception: what ``on_bytes`` raised.
        """
        await (self._ended if self._ended.done() else asyncio.shield(self._ended))

    def drain(self) -> None:
        """Take what is in the pipe now, without waiting for its end; a paused reader is left alone."""
        for _ in range(_DRAINS):
            if self._paused or not self._read_once():
                return

    def close(self) -> None:
        """Stop and close; what is still in the pipe is lost."""
        self._finish(None)

    def _listen(self) -> None:
        if self._descriptor is not None and self._on_bytes is not None and not self._paused:
            self._loop.add_reader(self._descriptor, self._read)

    def _ignore(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)

    def _read(self) -> None:
        """Read what a pipe holds, so that a fast program costs one turn of the loop, then let others have theirs."""
        for _ in range(_READS):
            if self._paused or not self._read_once():
                return

    def _read_once(self) -> bool:
        """Read one chunk; whether there may be more at once."""
        if self._descriptor is None or self._on_bytes is None:
            return False
        try:
            data = os.read(self._descriptor, PIPE)
            if data:
                self._on_bytes(data)
        except BlockingIOError:
            return False
        except Exception as error:
            self._finish(error)  # it belongs to whoever awaits the end, not to the loop
            return False
        if not data:
            self._finish(None)
        return len(data) == PIPE

    def _finish(self, error: Exception | None) -> None:
        if self._descriptor is None:
            return
        self._ignore()
        os.close(self._descriptor)
        self._descriptor = None
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
            self._ended.exception()


class PipeWriter:
    """Owns the writing end of a pipe. A program that does not read cannot make the host wait or grow.

    Args:
        descriptor: closed by ``close``.
        cap: bytes that may wait to be written.
    """

    def __init__(self, descriptor: int, cap: int = QUEUE) -> None:
        os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = descriptor
        self._cap = cap
        self._queue: deque[memoryview] = deque()
        self._waiting = 0
        self._empty: asyncio.Future[None] | None = None
        self._broken: BrokenPipeError | None = None

    @property
    def descriptor(self) -> int | None:
        """The raw descriptor, None once closed."""
        return self._descriptor

    @property
    def waiting(self) -> int:
        """Bytes not yet taken by the pipe."""
        return self._waiting

    def send(self, data: bytes) -> None:
        """Write what the pipe takes now and queue the rest.

        Raises:
            BrokenPipeError: nobody reads any more.
            Busy: something waits and with ``data`` it would exceed the cap; nothing of ``data`` was taken.
        """
        if self._descriptor is None or self._broken:
            raise BrokenPipeError("nobody reads this pipe any more")
        if self._waiting and self._waiting + len(data) > self._cap:
            raise Busy(f"{self._waiting} bytes already wait for a program that does not read its input")
        self._queue.append(memoryview(data))
        self._waiting += len(data)
        if len(self._queue) == 1:
            self._write()
            if self._waiting and self._descriptor is not None:
                self._loop.add_writer(self._descriptor, self._write)

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until the pipe has taken everything.

        Args:
            timeout: seconds.

        Raises:
            BrokenPipeError: nobody reads any more, or it was closed meanwhile.
            DeadlineExceeded: the program did not read in time.
        """
        if self._broken:
            raise self._broken
        if not self._waiting:
            return
        self._empty = self._empty or self._loop.create_future()
        try:
            await asyncio.wait_for(asyncio.shield(self._empty), timeout)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the program left {self._waiting} bytes of its input unread for {timeout} s"
            ) from error

    async def write_all(self, data: bytes, timeout: float | None = None) -> None:
        """Write ``data`` of any size, waiting for the program to read it; raises as ``drain`` does."""
        await self.drain(timeout)
        self.send(data)
        await self.drain(timeout)

    def close(self) -> None:
        """Close; what waits is lost and whoever waits for it is told."""
        if self._descriptor is not None:
            self._give_up("it was closed")
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self) -> None:
        while self._queue and self._descriptor is not None:
            head = self._queue[0]
            try:
                count = os.write(self._descriptor, head)
            except BlockingIOError:
                return
            except OSError as error:
                self._give_up(str(error))
                return
            self._waiting -= count
            self._queue[0] = head[count:]
            if count == len(head):
                self._queue.popleft()
        self._settle(None)

    def _give_up(self, why: str) -> None:
        lost, self._waiting = self._waiting, 0
        self._queue.clear()
        self._broken = BrokenPipeError(f"the program stopped reading its input ({why}), {lost} bytes are lost")
        self._settle(self._broken)

    def _settle(self, error: Exception | None) -> None:
        if self._descriptor is not None:
            self._loop.remove_writer(self._descriptor)
        waiter, self._empty = self._empty, None
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
            waiter.exception()


async def read_blocks(reader: PipeReader, on_block: Callable[[Block], object], limit: int = BLOCK) -> LineBlocks:
    """Deliver a stream as blocks of whole lines until it ends; pause and resume through ``reader``.

    Args:
        reader: not started yet.
        on_block: called on the loop with each block.
        limit: bytes of a block, and of a line before it is cut.

    Returns:
        The splitter, for its counts.
    """
    splitter = LineBlocks(limit)

    def take(data: bytes) -> None:
        for block in splitter.feed(data):
            on_block(block)

    reader.start(take)
    await reader.ended()
    for block in splitter.finish():
        on_block(block)
    return splitter
