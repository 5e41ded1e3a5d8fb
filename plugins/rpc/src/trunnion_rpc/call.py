"""One call, and what all calls share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import NamedTuple, TypeVar

from trunnion import Caller, Door, HostHandle, JsonObject
from trunnion_rpc.crowd import Crowd
from trunnion_rpc.encoding import SLACK, EventEncoder
from trunnion_rpc.nonsense import Nonsense
from trunnion_rpc.pause import Pause
from trunnion_rpc.settings import RpcSettings, read_settings

T = TypeVar("T")
log = logging.getLogger("trunnion.rpc")


class Shared:
    """What all calls at the door share.

    Attributes:
        host: the door's handle.
        settings: as they are in force.
        calls, streams: how many of each principal are under way.
        nonsense: who sends what cannot be read.
        pause: holds back what those are told who ask for too much.
        encoder: of events.
        room: bytes of content one message may have.
        closing: set when the door is being shut.
    """

    def __init__(self, host: HostHandle, settings: RpcSettings) -> None:
        self.host = host
        self.settings = settings
        self.calls = Crowd("calls", settings.max_calls)
        self.streams = Crowd("streams", settings.max_streams)
        self.nonsense = Nonsense(time.monotonic, self._tell_nonsense)
        self.pause = Pause()
        self.room = settings.max_message_bytes - SLACK
        self.encoder = EventEncoder(self.room)
        self.closing = asyncio.Event()
        self._background: set[asyncio.Task[object]] = set()

    def follow(self, section: JsonObject) -> None:
        """Go by new settings, as far as they are live."""
        self.settings = read_settings(section)
        self.calls.most, self.streams.most = self.settings.max_calls, self.settings.max_streams

    def _tell_nonsense(self, principal: str) -> None:
        text = f"{principal} sends requests that are no messages, again and again; they are refused unread for a while"
        self.host.report("nonsense", text)

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
