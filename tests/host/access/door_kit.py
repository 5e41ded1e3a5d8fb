"""Callers, directories and followers for the tests of what a door lets through."""

from __future__ import annotations

import asyncio

import pytest
from kernel_kit import Plugin, Rig

from trunnion.access.directory import Directory
from trunnion.hookspecs import hookimpl
from trunnion.kernel.context import Context
from trunnion.model.access import Exposure, Grant, Principal
from trunnion.model.errors import TrunnionError
from trunnion.model.events import Event
from trunnion.model.runs import Caller

WEB = frozenset({"web"})
BOB = Caller("bob", "web", "viewer", credential="login")


def people(*grants: Grant, role: str | None = None, tokens=(), exposure: Exposure | None = None) -> Directory:
    return Directory([Principal(name="bob", role=role), Principal(name="ann", role="admin")], tokens, grants, exposure)


def grant(role: str, *on: str) -> Grant:
    return Grant(id="g-" + "-".join(on), principal="bob", role=role, on=on)


async def quick(n: int = 0) -> int:
    return n


async def forever(ctx: Context) -> None:
    ctx.echo("here")
    await ctx.flush()
    await asyncio.Event().wait()


async def ask() -> list[str]:
    return ["one"]


async def refused(waiting: asyncio.Task[object], error: type[TrunnionError], seconds: float = 5) -> TrunnionError:
    with pytest.raises(error) as caught:
        await asyncio.wait_for(waiting, seconds)
    return caught.value


class Follower:
    """Follows a stream in a task of its own."""

    def __init__(self, rig: Rig, caller: Caller, stream: str, source: str = "web") -> None:
        self.seen: list[Event] = []
        self._batches = rig.host.door(source).follow(caller, stream)
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for batch in self._batches:
            self.seen.extend(batch)


class Authorizer(Plugin):
    """A plugin that answers what a test decides."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[object] = []

    @hookimpl
    def trunnion_authorize(self, request) -> object:
        self.asked.append(request)
        return self.answer(request)
