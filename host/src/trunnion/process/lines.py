"""Cutting a stream of bytes into blocks of whole lines. Pure: no descriptors, no loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

BLOCK: Final = 64 * 1024


class Block(msgspec.Struct, frozen=True):
    """Some whole lines of one stream.

    Attributes:
        text: the lines with their ends; only the last of a stream may lack one.
        first_line: number of its first line in the stream, from 1.
        lines: how many they are.
        cut: whether its (only) line was too long and lost its rest.
    """

    text: str
    first_line: int
    lines: int
    cut: bool = False


class LineBlocks:
    """Turns chunks of bytes into blocks of whole lines of at most ``limit`` bytes.

    A line longer than the limit is shown up to there, with a mark, and the rest of it dropped; memory
    stays within two blocks whatever comes. Bytes that are not UTF-8 become U+FFFD.

    Args:
        limit: bytes of a block.
        beginning: makes what is shown of what is left of a line that is cut; half a word may not be fit to be shown.

    Attributes:
        lines: complete lines seen so far.
        dropped: bytes of over-long lines that were left out.
    """

    def __init__(self, limit: int = BLOCK, beginning: Callable[[bytes], bytes] = bytes) -> None:
        self._limit = limit
        self._beginning = beginning
        self._carry = b""
        self._skipping = False
        self.lines = 0
        self.dropped = 0

    def feed(self, data: bytes) -> list[Block]:
        """Add a chunk; return the blocks it completes."""
        if self._skipping:
            data = self._skip(data)
        data = self._carry + data if self._carry else data
        blocks: list[Block] = []
        while len(data) > self._limit:
            end = data.rfind(b"\n", 0, self._limit) + 1
            if end:
                blocks.append(self._block(data[:end]))
                data = data[end:]
            else:
                blocks.append(self._cut(data[: self._limit]))
                data = self._skip(data[self._limit :])
        end = data.rfind(b"\n") + 1
        if end:
            blocks.append(self._block(data[:end]))
        self._carry = data[end:]
        return blocks

    def finish(self) -> list[Block]:
        """The stream has ended: return the unfinished last line, if there is one."""
        rest, self._carry = self._carry, b""
        return [self._block(rest)] if rest else []

    def _block(self, data: bytes) -> Block:
        count = data.count(b"\n") + (not data.endswith(b"\n"))
        self.lines += count
        return Block(data.decode("utf-8", "replace"), self.lines - count + 1, count)

    def _cut(self, head: bytes) -> Block:
        self.lines += 1
        shown = self._beginning(head).decode("utf-8", "ignore")
        return Block(f"{shown} [line longer than {self._limit} bytes, rest left out]\n", self.lines, 1, cut=True)

    def _skip(self, data: bytes) -> bytes:
        """Drop the rest of an over-long line; return what follows it."""
        end = data.find(b"\n")
        self._skipping = end < 0
        self.dropped += len(data) if end < 0 else end
        return b"" if end < 0 else data[end + 1 :]
