"""A loop in a thread of its own, and waiting for what is done there without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import TypeVar

from trunnion import Unavailable

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for threads that have no loop, any number of them. Ctrl-C ends what is waited for.

    Args:
        name: of the thread. It keeps no program from ending.

    Attributes:
        closed: whether it has ended.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self.closed = False
        self._closing = threading.RLock()  # a collector may find an iterator while it is held
        self._tasks: set[asyncio.Task[object]] = set()
        self._thread = threading.Thread(target=self._turn, name=name, daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def call(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """What a coroutine returns or raises.

        Raises:
            Unavailable: the loop has been closed, before or meanwhile.
        """
        waited: Future[T] = Future()  # there before anything begins, so that Ctrl-C at any moment finds it
        try:
            self._hand_over(work, waited)
            return waited.result()
        except CancelledError:
            raise Unavailable("the connection was closed meanwhile") from None
        except BaseException:
            waited.cancel()
            raise

    def _hand_over(self, work: Callable[[], Coroutine[object, object, T]], waited: Future[T]) -> None:
        with self._closing:
            if self.closed:
                raise Unavailable("the connection is closed")
            self._loop.call_soon_threadsafe(self._begin, work, waited)

    def _begin(self, work: Callable[[], Coroutine[object, object, T]], waited: Future[T]) -> None:
        if waited.cancelled():
            return
        task = self._loop.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(_settle, waited))
        waited.add_done_callback(lambda _: self._loop.call_soon_threadsafe(task.cancel) if not task.done() else None)

    def each(self, begin: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
        """What an asynchronous generator yields. It is closed when nobody iterates any more; that is not waited for."""
        items = begin()

        async def following() -> tuple[T] | None:
            try:
                return (await anext(items),)
            except StopAsyncIteration:
                return None

        async def end() -> None:
            with suppress(RuntimeError):  # it is under way, and has been cancelled
                await items.aclose()

        try:
            while (found := self.call(following)) is not None:
                yield found[0]
        finally:
            with suppress(Unavailable):  # closed with everything else
                self._hand_over(end, Future())

    def close(self, last: Callable[[], Coroutine[object, object, None]]) -> None:
        """End what is under way, do something last, and end the thread. Whoever still waits is told."""
        with self._closing:  # what another thread begins is in time to be ended, or does not begin
            if self.closed:
                return
            self.closed = True
        asyncio.run_coroutine_threadsafe(_ended(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _settle(waited: Future[T], task: asyncio.Task[T]) -> None:
    """Tell whoever waits, if anybody still does."""
    with suppress(InvalidStateError):
        if task.cancelled():
            waited.cancel()
        elif (error := task.exception()) is not None:
            waited.set_exception(error)
        else:
            waited.set_result(task.result())


async def _ended(last: Callable[[], Coroutine[object, object, None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last()
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
