"""What a program writes, on its way to the run: as text, as one JSON document, or as JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

from trunnion import CommandFailed, Context, InvalidArguments, Json
from trunnion.arguments.strict import loads
from trunnion.process import Block, LineBlocks, PipeReader
from trunnion_scripts.declaration import Output

FLUSH_EVERY: Final = 1 << 20
DOCUMENT: Final = 16 << 20
JSON_LINE: Final = 1 << 20
SHOWN_BAD_LINES: Final = 10
LAST_LINE: Final = 400
DRAIN: Final = 1.0


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


class JsonChannel:
    """The whole output is one document, found in the result."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._data = bytearray()
        self._size = 0

    def take(self, data: bytes) -> None:
        """Keep it, up to the largest document there may be."""
        self._size += len(data)
        if self._size <= DOCUMENT:
            self._data += data

    def finish(self) -> None:
        """Nothing: the document is read when it is asked for."""

    def facts(self) -> Mapping[str, Json]:
        """The document."""
        if self._size > DOCUMENT:
            raise CommandFailed(f"the output is {self._size} bytes long; a JSON document may have {DOCUMENT}")
        try:
            return {"output": loads(bytes(self._data))}
        except InvalidArguments as error:
            self._ctx.text(_beginning(self._ctx, bytes(self._data[:FLUSH_EVERY])).decode("utf-8", "replace"))
            raise CommandFailed(f"the output should be JSON: {error.message}") from error


class JsonLinesChannel:
    """Each line is a document and becomes a ``data`` event; one that is none is shown as text and named."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._blocks = LineBlocks(JSON_LINE, partial(_beginning, ctx))
        self._items = 0
        self._bad = 0

    def take(self, data: bytes) -> None:
        """Hand on the lines that are complete."""
        for block in self._blocks.feed(data):
            self._lines(block)

    def finish(self) -> None:
        """Hand on an unfinished last line."""
        for block in self._blocks.finish():
            self._lines(block)

    def facts(self) -> Mapping[str, Json]:
        """How many lines were documents, and how many were none."""
        return {"items": self._items, **({"bad_lines": self._bad} if self._bad else {})}

    def _lines(self, block: Block) -> None:
        for number, line in enumerate(block.text.split("\n"), block.first_line):
            if line.strip():
                self._line(number, line)

    def _line(self, number: int, line: str) -> None:
        try:
            value = loads(line)
        except InvalidArguments as error:
            self._bad += 1
            self._ctx.text(line + "\n")
            if self._bad <= SHOWN_BAD_LINES:
                self._ctx.log(f"line {number} of the output: {error.message}", "warning", {"line": number})
            return
        self._items += 1
        self._ctx.data(value)


def _beginning(ctx: Context, data: bytes) -> bytes:
    """Data whose rest is left out, without what may be half a secret at its end."""
    return ctx.byte_redactor().feed(data)


async def _end_of(reader: PipeReader) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN):
            await reader.ended()
            return
    reader.resume()
    reader.drain()
    reader.close()


def channel_for(output: Output, ctx: Context) -> Channel:
    """The channel for standard output."""
    if output == "json":
        return JsonChannel(ctx)
    return JsonLinesChannel(ctx) if output == "ndjson" else TextChannel(ctx, "stdout", "info")


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
