"""The host a shell started: behind it, in a session of its own, and at its end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trunnion import Conflict
from trunnion.launcher.behind import HostBehind
from trunnion.launcher.options import Options
from trunnion_tty.link import Link


class OwnHost:
    """A host of this shell's own, if it has one.

    Args:
        options: the global options a host is started with.
        link: the line to it.

    Attributes:
        told: shows a line about what became of it.
    """

    def __init__(self, options: Options, link: Link) -> None:
        self._options = options
        self._link = link
        self._behind: HostBehind | None = None
        self._watching: asyncio.Task[None] | None = None
        self._leaving = False
        self.told: Callable[[str], None] = _unheard

    @property
    def started(self) -> bool:
        """Whether this shell has started a host, whatever became of it."""
        return self._behind is not None

    @property
    def log(self) -> str:
        """The file with what it wrote to its standard error; ``""`` where there is none."""
        return "" if self._behind is None or self._behind.log is None else str(self._behind.log)

    def launch(self) -> None:
        """Begin to start it; ``up`` waits for it. Meanwhile other things can be done.

        Raises:
            TrunnionError: no process can be started, or the configuration cannot be read.
        """
        self._behind = HostBehind.launch(self._options)

    async def up(self) -> bool:
        """Wait until it is up; False if another process was first to start one on the same data directory.

        Raises:
            TrunnionError: it could not start, in its own words.
        """
        assert self._behind is not None
        try:
            await self._behind.up()
        except Conflict as error:
            self._behind = None
            if "socket" not in error.details:
                raise
            return False
        self._watching = asyncio.create_task(self._watch(self._behind), name="trunnion shell: its host")
        return True

    async def ensure(self) -> None:
        """Start it again if it is this shell's and has ended.

        Raises:
            TrunnionError: it could not start.
        """
        if self._behind is None or not self._behind.how:
            return
        self.told("starting the host again")
        self.launch()
        await self.up()
        await self._link.open()

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
        self.told(f"the host has ended, {how}{last}; the next line starts it again")


def _unheard(text: str) -> None:
    """Nobody is told."""
