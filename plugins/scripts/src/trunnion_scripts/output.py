"""What a script writes, on its way to the run: as text, as one JSON document, or as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from trunnion import CommandFailed, Context, InvalidArguments, Json
from trunnion.arguments.strict import loads
from trunnion.kernel.program_output import FLUSH_EVERY, Channel, TextChannel, beginning
from trunnion.process import Block, LineBlocks
from trunnion_scripts.declaration import Output

DOCUMENT: Final = 16 << 20
JSON_LINE: Final = 1 << 20
SHOWN_BAD_LINES: Final = 10


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
            self._ctx.text(beginning(self._ctx, bytes(self._data[:FLUSH_EVERY])).decode("utf-8", "replace"))
            raise CommandFailed(f"the output should be JSON: {error.message}") from error


class JsonLinesChannel:
    """Each line is a document and becomes a ``data`` event; one that is none is shown as text and named."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._blocks = LineBlocks(JSON_LINE, partial(beginning, ctx))
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


def channel_for(output: Output, ctx: Context) -> Channel:
    """The channel for standard output."""
    if output == "json":
        return JsonChannel(ctx)
    return JsonLinesChannel(ctx) if output == "ndjson" else TextChannel(ctx, "stdout", "info")
