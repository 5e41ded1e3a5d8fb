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
        first_line: number of its first line in the stream, from 1; 0 where lines are not counted.
        lines: how many they are.
        cut: bytes that its (only) line was too long by, and lost.
    """

    text: str
    first_line: int
    lines: int
    cut: int = 0


class LineBlocks:
    """Turns chunks of bytes into blocks of whole lines of at most ``limit`` bytes.

    A line longer than the limit is shown up to there once its end has come, with a mark, and its rest is
    dropped and counted; memory stays within two blocks beside the chunk, whatever comes. Bytes that are not
    UTF-8 become U+FFFD.

    Args:
        limit: bytes of a block.
        beginning: makes what is shown of what is left of a line that is cut; half a word may not be fit to be shown.
        counted: whether lines are counted, which takes as long as everything else together.

    Attributes:
        lines: complete lines seen so far, if they are counted.
        dropped: bytes of over-long lines that were left out.
    """

    def __init__(
        self, limit: int = BLOCK, beginning: Callable[[bytes], bytes] = bytes, *, counted: bool = True
    ) -> None:
        self._limit = limit
        self._beginning = beginning
        self._counted = counted
        self._carry = b""
        self._head: bytes | None = None
        self._left_out = 0
        self.lines = 0
        self.dropped = 0

    def feed(self, data: bytes) -> list[Block]:
        """Add a chunk; return the blocks it completes."""
        blocks: list[Block] = []
        at = 0
        if self._head is not None:
            at = self._skip(data, 0, blocks)
        elif self._carry:
            data = self._carry + data
        while len(data) - at > self._limit:
            end = data.rfind(b"\n", at, at + self._limit) + 1
            if end:
                blocks.append(self._block(data[at:end]))
                at = end
            else:
                self._head = data[at : at + self._limit]
                at = self._skip(data, at + self._limit, blocks)
        end = data.rfind(b"\n", at) + 1
        if end:
            blocks.append(self._block(data[at:end]))
            at = end
        self._carry = data[at:]
        return blocks

    def finish(self) -> list[Block]:
        """The stream has ended: return the unfinished last line, if there is one."""
        if self._head is not None:
            return [self._cut(self._head)]
        rest, self._carry = self._carry, b""
        return [self._block(rest)] if rest else []

    def _block(self, data: bytes) -> Block:
        text = data.decode("utf-8", "replace")
        if not self._counted:
            return Block(text, 0, 0)
        count = data.count(b"\n") + (not data.endswith(b"\n"))
        self.lines += count
        return Block(text, self.lines - count + 1, count)

    def _skip(self, data: bytes, at: int, blocks: list[Block]) -> int:
        """Leave out the rest of an over-long line; returns where the next one begins."""
        end = data.find(b"\n", at)
        self._left_out += (len(data) if end < 0 else end) - at
        if end < 0 or self._head is None:
            return len(data)
        blocks.append(self._cut(self._head))
        return end + 1

    def _cut(self, head: bytes) -> Block:
        left_out, self._left_out, self._head = self._left_out, 0, None
        if not left_out:  # nothing but its end was missing
            return self._block(head + b"\n")
        self.dropped += left_out
        self.lines += self._counted
        shown = self._beginning(head).decode("utf-8", "ignore")
        text = f"{shown} [{left_out:,} more bytes of this line are left out]\n"
        return Block(text, self.lines if self._counted else 0, int(self._counted), left_out)
