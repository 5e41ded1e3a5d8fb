"""Defences of those who listen, to be taken out by ``sabotage.py``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from trunnion.kernel.eventlog import EventLog
from trunnion.model.events import Event
from trunnion.protocol.server import Peer


def never_hold_back() -> None:
    """Write to whoever listens, whether it reads or not."""

    async def room(self: Peer, limit: int) -> None:
        return

    Peer.room = room  # type: ignore[method-assign]


def snapshot_first() -> None:
    """Read what there is, then wait for what comes: what came in between is lost."""
    whole = EventLog.follow

    async def follow(
        self: EventLog, name: str, after: int = 0, *, live: bool = True, ward: object = None
    ) -> AsyncGenerator[Sequence[Event], None]:
        log = self.logs.get(name)
        if log is None or not live:
            async for batch in whole(self, name, after, live=live):
                yield batch
            return
        if batch := list(await self._history.events(name, after)):
            yield batch
        at = log.visible
        while not (log.closed and at == log.seq):
            if batch := log.after(at):
                at = batch[-1].seq
                yield batch
            else:
                await log.changed()

    EventLog.follow = follow  # type: ignore[method-assign, assignment]


def tell_each_anew() -> None:
    """Make an event anew for each who hears it, instead of handing out the one that is on record."""
    whole = EventLog.follow

    async def follow(self: EventLog, name: str, after: int = 0, **how: Any) -> AsyncGenerator[Sequence[Event], None]:
        async for batch in whole(self, name, after, **how):
            yield [msgspec.structs.replace(event, ts=time.time_ns() // 1000) for event in batch]

    EventLog.follow = follow  # type: ignore[method-assign, assignment]


def forget_gaps() -> None:
    """Go on behind what is no longer kept without a word."""
    from trunnion.store.replay import Replay

    parts = Replay._parts

    def silent(self: Replay, after: int) -> object:
        return ([event for event in part if event.kind != "gap"] for part in parts(self, after))

    Replay._parts = silent  # type: ignore[method-assign, assignment]
