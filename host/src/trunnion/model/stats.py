"""The figures of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from trunnion.model.json import valid_text

MAX_FIGURES = 256
MAX_FIGURE = 1e300
MAX_EXACT = 1 << 53
LONGEST_NAME = 200


class Stats:
    """Counters of a run: live, stored with it, listed. From any thread."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._values: dict[str, float] = {}
        self._lock = threading.Lock()
        self._changed = changed

    def add(self, name: str, amount: float = 1) -> None:
        """Add to a counter; it starts at 0."""
        with self._lock:
            self._put(name, self._values.get(name, 0) + amount)
        self._changed()

    def set(self, name: str, value: float) -> None:
        """Set a figure."""
        with self._lock:
            self._put(name, value)
        self._changed()

    def take(self, figures: Mapping[str, float]) -> None:
        """Set several at once."""
        with self._lock:
            for name, value in figures.items():
                self._put(name, value)
        self._changed()

    def _put(self, name: str, value: float) -> None:
        if len(name) > LONGEST_NAME:
            raise ValueError(f"the name of a figure has at most {LONGEST_NAME} characters: {name[:80]!r}…")
        name = valid_text(name)
        if name not in self._values and len(self._values) >= MAX_FIGURES:
            raise ValueError(f"a run has at most {MAX_FIGURES} figures; {name[:80]!r} would be one more")
        self._values[name] = _figure(name, value)

    def snapshot(self) -> dict[str, float]:
        """The figures as they are now."""
        with self._lock:
            return dict(self._values)


def _figure(name: str, value: float) -> float:
    """A figure that JSON has a form for; a row with another could not be read again."""
    if not isinstance(value, int | float) or not -MAX_FIGURE < value < MAX_FIGURE:
        raise ValueError(f"the figure {name!r} must be a finite number, not {value!r}")
    return value if abs(value) < MAX_EXACT else float(value)
