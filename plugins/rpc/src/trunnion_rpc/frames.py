"""What a client says in HTTP/2, so far as the headers of its frames tell: enough to see that it is up to no good.

gRPC holds a client to the limits of metadata only once that has confirmed them, which one that wants to go beyond them
does not; and it has nothing against frames that cost a client nothing, however many they are.
"""

from __future__ import annotations

from collections.abc import Callable

PREFACE = 24
"""Bytes a connection begins with."""

HEADER = 9
LARGER = 4
"""By how much the metadata of a call may be larger than the limit before the line is cut: gRPC says it politely."""

MOST_EMPTY = 500
"""Frames without content that a client may send at once."""

EMPTY_PER_SECOND = 100.0
"""How many of them are forgiven each second."""

_DATA, _HEADERS, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 8, 9
_END_STREAM, _END_HEADERS = 1, 4


class FrameWatch:
    """Looks at the frames of one client.

    Calls that are taken back, pings, settings and priorities carry nothing, and neither do pieces of headers or data
    that are empty: of all of them together there may be so many, and so many more each second.

    Args:
        most_metadata: bytes the metadata of a call may have.
        now: monotonic seconds.
    """

    __slots__ = ("_block", "_empty", "_head", "_most", "_now", "_since", "_skip")

    def __init__(self, most_metadata: int, now: Callable[[], float]) -> None:
        self._most = most_metadata * LARGER
        self._now = now
        self._since = now()
        self._skip = PREFACE
        self._head = bytearray()
        self._block = 0
        self._empty = 0.0

    def look(self, data: bytes) -> str:
        """Take what came; returns what is wrong with it, ``""`` for nothing."""
        at = self._skip
        size = len(data)
        while at < size:
            if self._head or size - at < HEADER:
                part = data[at : at + HEADER - len(self._head)]
                self._head += part
                at += len(part)
                if len(self._head) < HEADER:
                    break
                head = bytes(self._head)
                self._head.clear()
            else:
                head = data[at : at + HEADER]
                at += HEADER
            length = head[0] << 16 | head[1] << 8 | head[2]
            if problem := self._judged(head[3], head[4], length):
                return problem
            at += length
        self._skip = max(0, at - size)
        return ""

    def _judged(self, kind: int, flags: int, length: int) -> str:
        if kind == _HEADERS:
            self._block = length
        elif kind == _CONTINUATION:
            self._block += length
        if self._block > self._most:
            return f"the metadata of a call has more than {self._most} bytes"
        says_something = kind in (_HEADERS, _WINDOW_UPDATE) or (kind == _DATA and (length or flags & _END_STREAM))
        return "" if says_something else self._one_more_empty()

    def _one_more_empty(self) -> str:
        self._empty += 1
        if self._empty <= MOST_EMPTY:
            return ""
        now = self._now()
        self._empty = max(1.0, self._empty - (now - self._since) * EMPTY_PER_SECOND)
        self._since = now
        return "frames without content come too often" if self._empty > MOST_EMPTY else ""
