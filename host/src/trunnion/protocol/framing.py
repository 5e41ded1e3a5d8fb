"""Lines out of a byte stream: one message a line, whatever pieces the bytes come in."""

from __future__ import annotations

from trunnion.model.errors import InvalidArguments


class LineSplitter:
    """Collects bytes and hands out whole lines.

    Args:
        limit: the longest line accepted, in bytes without its end.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece; return the lines it completes, empty ones left out.

        Raises:
            InvalidArguments: a line is longer than the limit; the splitter is of no use afterwards.
        """
        head, *rest = data.split(b"\n")
        self._keep(head)
        if not rest:
            return []
        lines = [b"".join(self._parts), *rest[:-1]]
        self._parts, self._size = [], 0
        self._keep(rest[-1])
        for line in lines:
            self._check(len(line))
        return [line for line in lines if line.strip()]

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._size += len(piece)
            self._check(self._size)
            self._parts.append(piece)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise InvalidArguments(f"a message may have {self._limit} bytes at most; send large files as uploads")
