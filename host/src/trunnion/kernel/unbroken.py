"""Work that is brought to its end once it was begun, whatever becomes of those who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class Unbroken:
    """Holds such work while it goes on. On the loop only.

    For changes of more than one place, a record and what is known of it say: stopped between the two by whoever
    waits being cancelled, they would no longer agree.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    async def finished(self, work: Coroutine[None, None, T]) -> T:
        """What it returns or raises; cancelling this wait leaves the work to itself."""
        return await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        """Begin it, for nobody in particular."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[object]) -> None:
        """What failed when nobody waited any more is of no use to anybody."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
