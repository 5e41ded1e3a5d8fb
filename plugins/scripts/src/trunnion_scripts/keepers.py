"""One keeper for all scripts of a loop, there as long as somebody needs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunnion.process import Keeper

log = logging.getLogger("trunnion.scripts")


class _Held:
    def __init__(self) -> None:
        self.users = 0
        self.starting = asyncio.Lock()
        self.keeper: Keeper | None = None

    async def started(self) -> Keeper:
        async with self.starting:
            if self.keeper is None:
                keeper = Keeper(log.warning)
                await keeper.start()
                self.keeper = keeper
            return self.keeper


class Keepers:
    """Shares a keeper: the first who holds it starts it, the last who lets go closes it.

    In a host with daemons the watcher holds it all the time; a cold run pays for its start.
    """

    def __init__(self) -> None:
        self._held: dict[asyncio.AbstractEventLoop, _Held] = {}

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Keeper]:
        """The keeper of the running loop.

        Raises:
            Unavailable: it cannot be started.
        """
        loop = asyncio.get_running_loop()
        held = self._held.setdefault(loop, _Held())
        held.users += 1
        try:
            yield await held.started()
        finally:
            held.users -= 1
            if held.users == 0:
                del self._held[loop]
                if held.keeper is not None:
                    await held.keeper.close()
