"""From other threads to the loop, in order, with one wake-up per loop turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


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

    def drain(self) -> None:
        """Call everything posted so far. On the loop only."""
        self._woken = False
        items = self._items
        try:
            while items:
                items.popleft()()
        finally:
            if items:  # one raised; those behind it are not held up
                self._loop.call_soon(self.drain)
