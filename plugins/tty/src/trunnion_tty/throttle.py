"""How much of what runs in the background is shown: so many lines a second of each run; the rest is counted."""

from __future__ import annotations


class Throttle:
    """Of one run.

    Args:
        rate: lines a second, and at once.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at = 0.0
        self.held = 0

    def admit(self, text: str, now: float) -> str:
        """The lines of ``text`` that may be shown now; ``held`` counts the others.

        Args:
            text: whole lines.
            now: a monotonic time, seconds.
        """
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        count = text.count("\n")
        if count <= self._left:
            self._left -= count
            return text
        allowed = int(self._left)
        self._left -= allowed
        self.held += count - allowed
        end = 0
        for _ in range(allowed):
            end = text.index("\n", end) + 1
        return text[:end]

    def told(self) -> int:
        """How many lines were held back since this was last asked."""
        held, self.held = self.held, 0
        return held
