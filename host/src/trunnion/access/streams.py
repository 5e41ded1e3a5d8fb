"""Redaction of bytes that come in pieces: a secret that is split over two of them is cut all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from trunnion.access.matching import Matcher, merged
from trunnion.access.patterns import Span
from trunnion.access.redaction import MASK

Own: TypeAlias = Callable[[], Matcher | None]

_MASK = MASK.encode()


class StreamRedactor:
    """Cuts a run's own secrets from one stream; however it is chunked, the bytes that come out are the same.

    What may be the beginning of a secret is held back until more has come; nothing else is. Without
    secrets bytes pass untouched.

    Args:
        own: finds the secrets of the run, None while it has none; what it learns later counts from then on.
    """

    def __init__(self, own: Own) -> None:
        self._own = own
        self._held = b""
        self._covered = 0

    def feed(self, data: bytes) -> bytes:
        """Add a chunk; returns what can be shown."""
        matcher = self._own()
        if matcher is None:
            return data
        data = self._held + data if self._held else data
        return self._shown(data, matcher.byte_spans(data), matcher.begun(data))

    def finish(self) -> bytes:
        """The stream has ended: returns what was held back."""
        rest, matcher = self._held, self._own()
        return self._shown(rest, matcher.byte_spans(rest), len(rest)) if rest and matcher is not None else b""

    def _shown(self, data: bytes, spans: list[Span], end: int) -> bytes:
        """What stands before ``end``, and keep the rest. The first ``_covered`` bytes were masked before."""
        if end == 0:
            self._held = data
            return b""
        covered, self._covered = self._covered, 0
        pieces, at = list[bytes](), 0
        for start, stop in merged([(0, covered), *spans] if covered else spans):
            if start >= end:
                break
            pieces += [data[at:start], b"" if covered and start == 0 else _MASK]
            at = min(stop, end)
            self._covered = max(0, stop - end)
        pieces.append(data[at:end])
        self._held = data[end:]
        return b"".join(pieces)


class TextRedactor:
    """The same for text that is written in pieces.

    Args:
        own: see ``StreamRedactor``.
    """

    def __init__(self, own: Own) -> None:
        self._own = own
        self._stream = StreamRedactor(own)

    def feed(self, text: str) -> str:
        """Add a piece; returns what can be shown."""
        if self._own() is None:
            return text
        return self._stream.feed(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def finish(self) -> str:
        """Nothing more is written: returns what was held back."""
        return self._stream.finish().decode("utf-8", "surrogatepass")


UNCUT = TextRedactor(lambda: None)
"""Lets everything pass; it holds nothing back, so all can share it."""
