"""One call, and what all calls share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import NamedTuple, TypeVar

from trunnion import Caller, Door, HostHandle
from trunnion_rpc.crowd import Crowd
from trunnion_rpc.encoding import SLACK, EventEncoder
from trunnion_rpc.settings import RpcSettings

T = TypeVar("T")
log = logging.getLogger("trunnion.rpc")


class Shared:
    """What all calls at the door share.

    Attributes:
        host: the door's handle.
        settings: as the door was opened with them.
        calls, streams: how many of each principal are under way.
        encoder: of events.
        room: bytes of content one message may have.
        closing: set when the door is being shut.
    """

    def __init__(self, host: HostHandle, settings: RpcSettings) -> None:
        self.host = host
        self.settings = settings
        self.calls = Crowd("calls", settings.max_calls)
        self.streams = Crowd("streams", settings.max_streams)
        self.room = settings.max_message_bytes - SLACK
        self.encoder = EventEncoder(self.room)
        self.closing = asyncio.Event()
        self._background: set[asyncio.Task[object]] = set()

    def keep(self, coroutine: Coroutine[object, object, T], name: str) -> asyncio.Task[T]:
        """Have something done to its end, whether or not anybody still waits for it."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._background.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[T]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("%s: %s", task.get_name(), error)  # whoever waits for it is told


class Call(NamedTuple):
    """One call.

    Attributes:
        caller: who makes it.
        shared: what all calls share.
    """

    caller: Caller
    shared: Shared

    @property
    def host(self) -> HostHandle:
        """The door's handle."""
        return self.shared.host

    @property
    def door(self) -> Door:
        """The way in."""
        return self.shared.host.door
