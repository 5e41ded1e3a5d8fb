"""How long a client tries a host that cannot be reached."""

from __future__ import annotations

import asyncio

from trunnion import Unavailable

PAUSE = 0.05
"""Seconds before the first new attempt; doubles up to one second."""


class Patience:
    """Waits between attempts, until it is over.

    Args:
        seconds: how long the host may be away.

    Attributes:
        tried: whether there was an attempt that failed.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = PAUSE
        self._lost_at: float | None = None
        self.tried = False

    def rewarded(self) -> None:
        """The host answered."""
        self._pause, self._lost_at = PAUSE, None

    async def wait(self, error: Unavailable) -> None:
        """Wait before the next attempt.

        Raises:
            Unavailable: the host is away for too long: ``error``.
        """
        self.tried = True
        now = asyncio.get_running_loop().time()
        self._lost_at = now if self._lost_at is None else self._lost_at
        if now - self._lost_at >= self._seconds:
            raise error
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, 1.0)
