"""The portal by which threads reach the loop, opened when somebody first asks for it.

Opening one takes a start longer than its store does, for all that has to be imported, and few hosts need one.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal


PATIENCE = 60.0
"""Seconds a thread waits for the portal to be opened; without an end it could wait for a loop that is gone."""


class LatePortal:
    """Opens one portal, and closes it. It is made and closed in one task of its own, as a portal has to be.

    Made on the loop that the portal leads to.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._portal: BlockingPortal | None = None
        self._serving: asyncio.Task[None] | None = None
        self._closed = False

    def get(self) -> BlockingPortal:
        """The portal, from the loop or from any thread.

        Raises:
            RuntimeError: it is asked for after the host's end.
            TimeoutError: the loop does not turn, or has ended meanwhile.
        """
        if self._portal is not None:
            return self._portal
        if self._closed:
            raise RuntimeError("the host has ended, and its portal with it")
        if threading.get_ident() == self._thread:
            return self._open()
        return asyncio.run_coroutine_threadsafe(self._opened(), self._loop).result(PATIENCE)

    async def _opened(self) -> BlockingPortal:
        return self._open()

    def _open(self) -> BlockingPortal:
        if self._closed:
            raise RuntimeError("the host has ended, and its portal with it")
        if self._portal is None:
            portal = self._portal = _made()
            # It begins before any call: what a thread asks for gets its turn on the loop after this task.
            self._serving = self._loop.create_task(_serve(portal), name="portal")
        return self._portal

    async def close(self) -> None:
        """End it, with the calls that go on: a thread's call does not hold up the host's end."""
        self._closed = True
        if self._portal is not None and self._serving is not None:
            await asyncio.sleep(0)  # a task that has not begun has nothing that could be ended
            await self._portal.stop(cancel_remaining=True)
            await asyncio.wait({self._serving})


def _made() -> BlockingPortal:
    """A portal, also outside of any task, where ``sniffio``, if it is there, has to be told whose loop this is."""
    from anyio.from_thread import BlockingPortal

    try:
        from sniffio import thread_local  # type: ignore[import-not-found]
    except ImportError:
        return BlockingPortal()
    known, thread_local.name = thread_local.name, "asyncio"
    try:
        return BlockingPortal()
    finally:
        thread_local.name = known


async def _serve(portal: BlockingPortal) -> None:
    async with portal:
        await portal.sleep_until_stopped()
