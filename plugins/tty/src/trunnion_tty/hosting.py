"""The host a shell started: behind it, in a session of its own, and at its end with it. Or one elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Protocol

from trunnion import TrunnionError, Unavailable
from trunnion.config.data_dir import DataDir, holder_of
from trunnion.launcher.behind import HostBehind
from trunnion.launcher.joining import Start, reach
from trunnion.launcher.options import Options
from trunnion.launcher.place import locate
from trunnion.protocol.address import is_served
from trunnion_tty.link import Link
from trunnion_tty.submitting import is_gone

ATTEMPTS = 5
"""Hosts that are tried when each goes just as it was found: another shell's ends with that."""


LOOK_EVERY = 0.2
"""Seconds between looks at a host that is somebody else's, for lines that nobody watches."""

FAR_LOOK_EVERY = 1.0
"""Seconds between looks at one elsewhere, each of which is a call."""


class Hosting(Protocol):
    """What becomes of the host behind a shell, whoever has started it.

    Attributes:
        told: shows a line about that.
    """

    told: Callable[[str], None]

    @property
    def started(self) -> bool:
        """Whether this shell has started a host, whatever became of it."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether that is no more, so that the next line starts it again."""
        ...

    async def connect(self) -> None:
        """Be connected to the host.

        Raises:
            TrunnionError: there is none, it could not start, or it refuses.
        """
        ...

    async def ensure(self) -> None:
        """Start it again if it has ended."""
        ...

    def awaited(self) -> AbstractContextManager[None]:
        """While entered, somebody waits for what runs on it."""
        ...

    def minded(self, patience: float) -> AbstractAsyncContextManager[None]:
        """For lines nobody watches: while entered, a host that goes is replaced or waited for.

        Args:
            patience: seconds to wait for one that this shell may not start.

        Raises:
            Unavailable: there is no host any more.
        """
        ...

    async def stop(self) -> None:
        """Have it stop in order, if this shell has started it; called once more, it waits for nothing."""
        ...


class OwnHost:
    """A host of this shell's own, if it has one; see ``Hosting``.

    Args:
        options: the global options a host is started with.
        link: the line to it.
        start: whether one is started.
        begun: one that starts already.

    Attributes:
        told: shows a line about what became of it.
    """

    def __init__(self, options: Options, link: Link, start: Start, begun: HostBehind | None) -> None:
        self._options = options
        self._link = link
        self._start = start
        self._behind = begun
        self._watching: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()
        self._leaving = False
        self._waiting = 0
        self.told: Callable[[str], None] = _unheard

    @property
    def started(self) -> bool:
        """Whether this shell has started a host, whatever became of it."""
        return self._behind is not None

    async def connect(self) -> None:
        """Be connected to the host, whoever has started it.

        Raises:
            TrunnionError: there is none, it could not start, or it refuses.
        """
        for attempt in range(ATTEMPTS):
            begun, self._behind = self._behind, None
            self._behind = await reach(self._options, self._start, begun=begun)
            if self._behind is not None:
                self._watching = asyncio.create_task(self._watch(self._behind), name="trunnion shell: its host")
            try:
                await self._link.open()
            except Unavailable:
                if self._behind is not None or self._start == "never" or attempt + 1 == ATTEMPTS:
                    raise
            else:
                self._start = "missing" if self._start == "always" else self._start
                return

    @property
    def has_ended(self) -> bool:
        """Whether there is one no more, so that the next line starts it again; also while that is done, or undone."""
        return self._renewing.locked() or (self._behind is not None and bool(self._behind.how))

    async def ensure(self) -> None:
        """Start it again if it has ended.

        Raises:
            TrunnionError: it could not start; the next line tries it once more.
        """
        async with self._renewing:
            if self._behind is not None and self._behind.how:
                await self._again()

    async def _again(self) -> None:
        self.told("starting the host again")
        ended, self._behind = self._behind, None
        try:
            await self.connect()
        except BaseException:
            self._behind = self._behind or ended
            raise

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """While entered, somebody waits for what runs on it: one that ends is started again at once, without a line."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def minded(self, patience: float) -> AsyncIterator[None]:
        """For lines nobody watches: when the host goes inside the block, another one is started, so that they go on.

        A host that another shell has started goes with that one, whoever has joined it.

        Args:
            patience: seconds to wait for one where none may be started.

        Raises:
            TrunnionError: there is no host any more.
        """
        async with ended_by(self._mind(patience)):
            yield

    async def _mind(self, patience: float) -> None:
        data = locate(self._options).data
        while True:
            await (_gone(data) if self._behind is None else self._behind.ended())
            if self._start != "never":
                async with self._renewing:
                    if self._behind is None or self._behind.how:
                        await self._again()
            elif not await _comes(data, patience):
                raise Unavailable(f"the host at {data.socket} is gone and has not come back for {patience:g} s")

    async def stop(self) -> None:
        """Have it stop in order; called once more, it waits for nothing."""
        self._leaving = True
        if self._behind is not None:
            await self._behind.stop()
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self, behind: HostBehind) -> None:
        how = await behind.ended()
        if self._leaving:
            return
        words = behind.last_words().splitlines()
        last = f"; its last words: {words[-1]}" if words else ""
        if not self._waiting:
            self.told(f"the host has ended, {how}{last}; the next line starts it again")
            return
        self.told(f"the host has ended, {how}{last}")
        try:
            await self.ensure()
        except TrunnionError as error:
            self.told(f"the host was not started: {error.message}; Ctrl-Z waits no longer, the next line tries again")


class FarHost:
    """A host elsewhere, which is not this shell's to start; see ``Hosting``.

    Args:
        link: the line to it.
        url: where it is, for messages.
    """

    started = False
    has_ended = False

    def __init__(self, link: Link, url: str) -> None:
        self._link = link
        self._url = url
        self.told: Callable[[str], None] = _unheard

    async def connect(self) -> None:
        """Be connected to it.

        Raises:
            TrunnionError: it does not answer, or refuses.
        """
        await self._link.open()

    async def ensure(self) -> None:
        """Whoever looks after it starts it again."""

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Nothing is done for those who wait."""
        yield

    @asynccontextmanager
    async def minded(self, patience: float) -> AsyncIterator[None]:
        """For lines nobody watches: they end when it has been away for so many seconds.

        Raises:
            Unavailable: it has.
        """
        async with ended_by(self._mind(patience)):
            yield

    async def _mind(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        seen = loop.time()
        while True:
            await asyncio.sleep(FAR_LOOK_EVERY)
            try:
                await self._link.client.hello()
            except TrunnionError as error:
                if is_gone(error) and loop.time() - seen >= patience:
                    gone = f"the host at {self._url} is gone and has not come back for {patience:g} s"
                    raise Unavailable(gone) from None
            else:
                seen = loop.time()

    async def stop(self) -> None:
        """It goes on."""


@asynccontextmanager
async def ended_by(minding: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """While entered, something is done beside; what it raises ends the block, and is raised there."""
    task = asyncio.current_task()
    beside = asyncio.create_task(minding, name="trunnion shell: a host for its lines")
    beside.add_done_callback(lambda done: None if done.cancelled() or task is None else task.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if task is None or not beside.done():
            raise
        task.uncancel()
        beside.result()
    finally:
        beside.cancel()
        await asyncio.wait([beside])


async def _gone(data: DataDir) -> None:
    """Wait until no host serves a data directory."""
    while True:
        if holder_of(data) is None and not is_served(data.socket):
            return
        await asyncio.sleep(LOOK_EVERY)


async def _comes(data: DataDir, patience: float) -> bool:
    """Wait until one does; False when none has in so many seconds."""
    until = asyncio.get_running_loop().time() + patience
    while not is_served(data.socket):
        if asyncio.get_running_loop().time() >= until:
            return False
        await asyncio.sleep(LOOK_EVERY)
    return True


def _unheard(text: str) -> None:
    """Nobody is told."""
