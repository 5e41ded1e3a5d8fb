"""Having what was written on the disk: one thread, one sync for all who wait."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

Work: TypeAlias = Callable[[], None]


class Syncing:
    """Group commit. Whoever waits is answered by a sync that began after they had written.

    Args:
        work: returns what has to be done, in the thread, for all that is written now to be on the disk.
    """

    def __init__(self, work: Callable[[], Work]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._under_way: list[asyncio.Future[None]] | None = None
        self._tasks: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def synced(self) -> asyncio.Future[None]:
        """Done when all that is written now is on the disk; raises ``OSError`` or ``FileProblem`` if it may not be."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        if self._under_way is None:
            self._loop.call_soon(self._begin)
            self._under_way = []
        return future

    def _begin(self) -> None:
        if not self._waiting:
            self._under_way = None
            return
        self._under_way, self._waiting = self._waiting, []
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="audit-sync", daemon=True)
            self._thread.start()
        self._tasks.put(self._work())

    def _serve(self) -> None:
        while (work := self._tasks.get()) is not None:
            problem: Exception | None = None
            try:
                work()
            except Exception as error:
                problem = error
            try:
                self._loop.call_soon_threadsafe(self._done, problem)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    def _done(self, problem: Exception | None) -> None:
        done, self._under_way = self._under_way or [], []
        self._begin()
        for future in done:
            if future.done():
                continue
            if problem is None:
                future.set_result(None)
            else:
                future.set_exception(problem)
                future.exception()  # looked at here, for whoever waited may be gone

    def close(self) -> None:
        """Let the thread go when it is done."""
        self._tasks.put(None)
