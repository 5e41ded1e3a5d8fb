"""What a program writes, on its way to the run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from trunnion.kernel.context import Context
from trunnion.model.json import Json
from trunnion.process import Block, LineBlocks, PipeReader

FLUSH_EVERY: Final = 1 << 20
"""Bytes a program may be ahead of the disk before it is held."""

LAST_LINE: Final = 400
DRAIN: Final = 1.0
"""Seconds a pipe is waited for that some stranger still holds."""


class Channel(Protocol):
    """Takes the bytes of one pipe."""

    def take(self, data: bytes) -> None:
        """Some bytes, as they come."""

    def finish(self) -> None:
        """There are no more."""

    def facts(self) -> Mapping[str, Json]:
        """What the result says of it.

        Raises:
            CommandFailed: what came is not what was declared.
        """


class TextChannel:
    """Blocks of whole lines become text events; the host counts their lines."""

    def __init__(self, ctx: Context, channel: str, level: str) -> None:
        self._ctx = ctx
        self._channel = channel
        self._level = level
        self._blocks = LineBlocks(counted=False)
        self._redactor = ctx.byte_redactor()
        self._last = ""

    def take(self, data: bytes) -> None:
        """Show the lines that are complete."""
        for block in self._blocks.feed(self._redactor.feed(data)):
            self._show(block)

    def finish(self) -> None:
        """Show what is left."""
        for block in [*self._blocks.feed(self._redactor.finish()), *self._blocks.finish()]:
            self._show(block)

    def facts(self) -> Mapping[str, Json]:
        """How many bytes of over-long lines were left out, if any."""
        dropped = self._blocks.dropped
        return {f"{self._channel}_dropped": dropped} if dropped else {}

    @property
    def last_line(self) -> str:
        """The last line that was not empty, as far as it is of bearable length."""
        last = self._last.rstrip().rpartition("\n")[2].strip()
        return (self._ctx.redacted(last) if len(last) > LAST_LINE else last)[:LAST_LINE]

    def _show(self, block: Block) -> None:
        text = _after_returns(block.text) if "\r" in block.text else block.text
        self._ctx.text(text, channel=self._channel, level=self._level, cut=block.cut)
        if not text.isspace():
            self._last = text


def _after_returns(text: str) -> str:
    """What a terminal shows at the end: of each line what stands after its last carriage return."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def beginning(ctx: Context, data: bytes) -> bytes:
    """Bytes whose rest is left out, as they may be shown: what may be half a secret at their end is missing."""
    return ctx.byte_redactor().feed(data)


class Pump:
    """Moves bytes from pipes to channels, never further ahead of the disk than ``FLUSH_EVERY``."""

    def __init__(self, ctx: Context, pipes: Mapping[PipeReader, Channel]) -> None:
        self._ctx = ctx
        self._pipes = pipes
        self._ahead = 0
        self._flushing: asyncio.Task[None] | None = None
        for reader, channel in pipes.items():
            reader.start(self._paced(channel.take))

    async def finish(self) -> None:
        """Take what is left once the program is gone; a pipe some stranger still holds is not waited for.

        Raises:
            Exception: what a channel raised.
        """
        for reader, channel in self._pipes.items():
            if not reader.at_end:
                await _end_of(reader)
            await reader.ended()
            channel.finish()
        if self._flushing is not None:
            await self._flushing

    def _paced(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def paced(data: bytes) -> None:
            take(data)
            self._ahead += len(data)
            if self._ahead >= FLUSH_EVERY and self._flushing is None:
                self._flushing = asyncio.get_running_loop().create_task(self._flush())

        return paced

    async def _flush(self) -> None:
        for reader in self._pipes:
            reader.pause()
        try:
            await self._ctx.flush()
        finally:
            self._ahead = 0
            self._flushing = None
            for reader in self._pipes:
                reader.resume()


async def _end_of(reader: PipeReader) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN):
            await reader.ended()
            return
    reader.resume()
    reader.drain()
    reader.close()
