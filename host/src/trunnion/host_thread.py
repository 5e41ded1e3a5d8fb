"""A host and its loop in a thread of their own, and calls into it from other threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

from trunnion.host import Host
from trunnion.model.errors import Conflict, Unavailable
from trunnion.running import run

T = TypeVar("T")


class HostThread:
    """Starts a host, lets other threads call it, stops it.

    Args:
        host: one that was not started.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._ended = threading.Event()
        self._refusal = "is not running: use it in a with statement"
        self._calls: set[Callable[[], bool]] = set()
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._live, name="trunnion-host", daemon=True)

    def start(self) -> None:
        """Start the host and wait until it is up.

        Raises:
            TrunnionError: it cannot start; nothing is left behind.
            RuntimeError: it was started before.
        """
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Stop the host and wait for it; when that wait is interrupted, the host waits for nothing any more."""
        try:
            self._tell(self._over.set)
            self._ended.wait()  # a join that is interrupted takes the thread for ended
        except KeyboardInterrupt:
            self._tell(self._over.set)  # the interrupt may have come before that was told
            self._tell(self._hurry)
            self._ended.wait()
            raise
        finally:
            self._thread.join()

    def call(self, make: Callable[[], Coroutine[None, None, T]]) -> T:
        """Run a coroutine on the host's loop and wait for what it returns; an interrupted wait cancels it.

        Raises:
            Unavailable: the host is not running, or stopped before it answered.
            Conflict: the caller is on the host's own loop, which would wait for itself.
            BaseException: what the coroutine raised.
        """
        if threading.current_thread() is self._thread:
            raise Conflict(
                "this call would stop the host's loop, which it waits for: "
                "in async handlers use ctx.invoke, elsewhere on the loop `await` the Host itself"
            )
        with self._lock:
            if self._loop is None or self._refusal:
                raise Unavailable(f"this host {self._refusal}")
            call = asyncio.run_coroutine_threadsafe(make(), self._loop)
            self._calls.add(call.cancel)
        try:
            return call.result()
        except concurrent.futures.CancelledError:
            raise Unavailable("the host stopped before it answered") from None
        finally:
            call.cancel()
            with self._lock:
                self._calls.discard(call.cancel)

    # -- in the thread ----------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
        finally:
            self._close()
            self._ended.set()

    async def _serve(self) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
        async with self._host:
            with self._lock:
                self._refusal = ""
            self._started.set_result(None)
            await self._over.wait()
        self._close()

    def _close(self) -> None:
        """Take no more calls, and have nobody wait for an answer that will not come."""
        with self._lock:
            self._refusal, self._loop = "has stopped", None
            left = list(self._calls)
        for cancel in left:
            cancel()

    def _tell(self, what: Callable[[], None]) -> None:
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(what)
            else:
                what()

    def _hurry(self) -> None:
        self._host.request_stop("interrupted")
        self._host.request_stop()
