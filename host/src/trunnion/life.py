"""The life of a host: started and stopped in one task of its own, whatever happens to the task that holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Life:
    """Runs ``start``, waits until it is over, runs ``stop``.

    Whoever embeds a host may be cancelled at any moment, more than once, or by a scope that cancels every wait
    inside it. In a task of its own neither start nor stop is broken off half-way by that.

    Args:
        start: cleans up after itself where it fails.
        stop: always ends.
    """

    def __init__(self, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
        self._start = start
        self._stop = stop
        self._started = asyncio.Event()
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Start; being cancelled meanwhile takes the start back.

        Raises:
            RuntimeError: it was begun before.
            BaseException: what ``start`` raised.
        """
        if self._task is not None:
            raise RuntimeError("a host starts once; make another Host to start again")
        task = self._task = asyncio.get_running_loop().create_task(self._live(), name="host")
        started = asyncio.get_running_loop().create_task(self._started.wait())
        try:
            await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await _outlast(task, lambda: None)
            raise
        finally:
            started.cancel()
        if not self._started.is_set():
            task.result()

    async def end(self, hurry: Callable[[], None]) -> None:
        """Stop, and wait for it; a second time it only waits.

        Args:
            hurry: called when the wait is cancelled; the stop goes on all the same.
        """
        if self._task is None:
            return
        self._over.set()
        await _outlast(self._task, hurry)
        self._task.result()

    async def _live(self) -> None:
        await self._start()
        try:
            self._started.set()
            await self._over.wait()
        finally:
            await self._stop()


async def _outlast(task: asyncio.Task[None], cancelled: Callable[[], None]) -> None:
    """Wait for a task to its end, and only then be cancelled."""
    from anyio import CancelScope

    wish: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                wish = error
                cancelled()
    if wish is not None:
        raise wish
