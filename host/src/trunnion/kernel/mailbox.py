"""From other threads to the loop, in order, with one wake-up per loop turn."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

TURN = 0.005
"""Seconds one turn of the loop may spend on what threads posted; they may post faster than it is taken."""


class Mailbox:
    """A queue any thread may post to; the loop empties it in order.

    Posting takes no lock: ``deque.append`` is atomic, and the flag only decides who wakes the loop. A
    post that finds the flag set is safe, because the loop clears it before it looks at the queue.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[Callable[[], None]] = deque()
        self._woken = False

    def post(self, item: Callable[[], None]) -> bool:
        """Have ``item`` called on the loop; False when the loop is closed."""
        self._items.append(item)
        if self._woken:
            return True
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self.drain)
        except RuntimeError:
            return False
        return True

    def go_on(self, item: Callable[[], None]) -> None:
        """Have ``item`` called again before everything else, once the loop has had a turn. Inside an item only."""
        self._items.appendleft(item)

    def drain(self, seconds: float = TURN) -> None:
        """Call what was posted so far; what takes longer than ``seconds`` goes on next turn. On the loop only."""
        self._woken = False
        items, end = self._items, time.perf_counter() + seconds
        try:
            while items:
                items.popleft()()
                if time.perf_counter() > end:
                    break
        finally:
            if items and not self._woken:  # time is up, or one raised: those behind it are not held up
                self._woken = True
                self._loop.call_soon(self.drain)
