"""The one clock. Timeouts are monotonic; stored times are UTC. Tests inject their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time_ns
from typing import Protocol


class Timer(Protocol):
    """A scheduled call that can still be called off."""

    def cancel(self) -> None:
        """Call it off; nothing happens if it is too late."""


class Clock(Protocol):
    """What the host knows of time."""

    def utc(self) -> int:
        """UTC, microseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back on the running loop after ``delay`` seconds."""


class SystemClock:
    """The machine's clock."""

    def utc(self) -> int:
        """UTC, microseconds since 1970."""
        return time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return monotonic()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back on the running loop after ``delay`` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)
