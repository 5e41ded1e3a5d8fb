"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from trunnion.kernel.clock import SystemClock, Timer


class _Due:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Stands still until advanced.

    Only what the host itself measures goes by it: deadlines, delays, ages. ``asyncio.sleep`` in a handler is the
    loop's. Waits under ``SHORT`` seconds are the machine's own too: the host gathers what it writes for that long.

    Attributes:
        passed: seconds it was advanced by so far.
    """

    SHORT = 0.05

    def __init__(self) -> None:
        self.passed = 0.0
        self._start = SystemClock().utc()
        self._due: list[tuple[float, int, _Due]] = []
        self._ties = itertools.count()

    def utc(self) -> int:
        """UTC, microseconds since 1970."""
        return self._start + int(self.passed * 1e6)

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return 1000.0 + self.passed

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back once the clock was advanced by ``delay`` seconds."""
        if delay < self.SHORT:
            return asyncio.get_running_loop().call_later(delay, callback)
        due = _Due(callback)
        heapq.heappush(self._due, (self.passed + delay, next(self._ties), due))
        return due

    def advance(self, seconds: float) -> None:
        """Let time pass; what becomes due is called in order, at its own time. On the host's loop only."""
        end = self.passed + seconds
        while self._due and self._due[0][0] <= end:
            at, _, due = heapq.heappop(self._due)
            self.passed = at
            if due.callback is not None:
                due.callback()
        self.passed = end
