"""How much of what runs in the background is shown: so many lines each second of a run; the rest is counted."""

from __future__ import annotations

SECOND = 1.0


class Throttle:
    """Of one run. What is shown of a second are its first lines, so that lines that belong together stay together.

    Args:
        rate: lines a second.

    Attributes:
        held: lines that were held back and not told yet.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = rate
        self._began = float("-inf")
        self.held = 0

    def begins_anew(self, now: float) -> bool:
        """Whether a new second begins with the next lines.

        Args:
            now: a monotonic time, seconds.
        """
        return now - self._began >= SECOND

    def admit(self, text: str, now: float) -> str:
        """The lines of ``text`` that may be shown now; ``held`` counts the others.

        Args:
            text: whole lines.
            now: a monotonic time, seconds.
        """
        if self.begins_anew(now):
            self._began, self._left = now, self._rate
        count = text.count("\n")
        allowed = min(count, self._left)
        self._left -= allowed
        self.held += count - allowed
        return text if allowed == count else _first(text, allowed)

    def told(self) -> int:
        """How many lines were held back since this was last asked."""
        held, self.held = self.held, 0
        return held


def _first(text: str, lines: int) -> str:
    end = 0
    for _ in range(lines):
        end = text.index("\n", end) + 1
    return text[:end]
