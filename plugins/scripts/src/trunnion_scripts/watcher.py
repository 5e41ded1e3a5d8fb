"""Keeps the registry in step with the folders, by looking at them now and then.

Looking costs one listing per interval and works on every file system. A change counts once two looks in a row
agree, so that files still being written are not read half.
"""

from __future__ import annotations

import asyncio
from functools import partial

from trunnion import HostHandle, Ready, TrunnionError
from trunnion_scripts.folder import read_folders, snapshot
from trunnion_scripts.library import Library


async def watch(handle: HostHandle, ready: Ready) -> None:
    """Serve until cancelled: read the folders, follow their changes."""
    changed = asyncio.Event()
    handle.on_settings(lambda _: changed.set())
    watcher = _Watcher(handle, changed)
    await watcher.begin()
    ready(watcher.about)
    while True:
        try:
            await asyncio.wait_for(changed.wait(), watcher.interval)
        except TimeoutError:
            if await watcher.look():
                await watcher.apply()
        else:
            await watcher.begin()


class _Watcher:
    """Goes by the settings of its last beginning; once ``changed`` is set they are old, and so is what they say."""

    def __init__(self, handle: HostHandle, changed: asyncio.Event) -> None:
        self._handle = handle
        self._changed = changed
        self._library = Library(handle.settings)
        self.interval = 0.0
        self._seen = self._read = snapshot([])
        self._told: set[str] = set()

    async def begin(self) -> None:
        """Take the place of what was registered with these settings, which is not kept up to date."""
        self._changed.clear()
        settings = self._handle.settings
        self._library = Library(settings, before=self._library)
        self.interval = float(str(settings["poll_interval"]))
        await self.look()
        await self._take()
        if not self._changed.is_set():
            self._handle.registry.replace(self._handle.owner, self._library.contributed())

    @property
    def about(self) -> str:
        """What is looked at, for people."""
        return ", ".join(map(str, self._library.folders))

    async def look(self) -> bool:
        """Look once; whether something changed since the last reading and has come to rest."""
        now = await self._handle.in_thread(partial(snapshot, self._library.folders))
        at_rest, self._seen = now == self._seen, now
        return at_rest and now != self._read

    async def apply(self) -> None:
        """Read the folders and tell the registry."""
        changes = await self._take()
        if not changes or self._changed.is_set():
            return
        try:
            self._handle.registry.replace(self._handle.owner, self._library.contributed())
        except TrunnionError as error:
            self._handle.report("refused", f"the scripts cannot be used together: {error.message}")
            return
        self._handle.report("changed", ", ".join(changes))

    async def _take(self) -> list[str]:
        self._read = self._seen
        found = await self._handle.in_thread(partial(read_folders, self._library.folders))
        changes = self._library.take(found)
        self._tell_refused()
        return changes

    def _tell_refused(self) -> None:
        reasons = {refused.reason for refused in self._library.refused}
        for reason in sorted(reasons - self._told):
            self._handle.report("refused", reason)
        self._told = reasons
