"""A host in a thread of its own, as programs in front of it see it, and what it has on record of a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from doors_kit.operations import Operations, rule

from trunnion import Command, Host, HostOptions
from trunnion.access.throttle import Throttle
from trunnion.kernel.registry import Contributed
from trunnion.model.access import BearerToken
from trunnion.model.events import Event, run_stream
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Invocation, Run, RunFilter
from trunnion.running import new_loop, run
from trunnion_rpc import plugin as rpc
from trunnion_rpc.places import socket_of

T = TypeVar("T")
PATIENCE = 10.0

PEOPLE = {
    "vera": "viewer",
    "otto": "operator",
    "adam": "admin",
    "gina": None,
    "nobody": None,
    "gone": "admin",
    "lost": "admin",
}
"""Whom the host knows beside its owner, each with a token: gina has a grant, gone is disabled, lost's token revoked."""

GRANTED = ["d.say", "d.end", "query:d.count", "command:d.parent"]
REMOTE_SOURCES = ("web", "rpc")


class Served:
    """The host under test. Everything on its loop is done by ``do``.

    Attributes:
        tokens: of the people, for doors that take them as text.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host: Host
        self.loop: asyncio.AbstractEventLoop
        self.tokens: dict[str, str] = {}
        self._callers: dict[tuple[str, str], Caller] = {}
        self._ready = threading.Event()
        self._over: asyncio.Event
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="host under test")
        self._thread.start()
        self._ready.wait(PATIENCE)
        if self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        try:
            run(self._main(), new_loop)
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        overrides = ("executor.shutdown_grace=0.1", "rpc.enabled=true", "rpc.audit=off-i-know")
        options = HostOptions(data_dir=self.root / "data", overrides=overrides)
        plugins = {"doors": Operations(), "rpc": rpc}
        async with Host(options, plugins=plugins, discovery=False, environ={}) as self.host:
            down = Command.of(rule, console="d", name="down", lock=None)
            self.host.kernel.registry.replace("driver", Contributed(commands=[down]), available=False)
            await self._meet_people()
            self.loop, self._over = asyncio.get_running_loop(), asyncio.Event()
            self._ready.set()
            await self._over.wait()

    async def _meet_people(self) -> None:
        for name, role in PEOPLE.items():
            await self._do("principals.add", name=name, **({"role": role} if role else {}))
            made = await self._do("tokens.create", principal=name)
            self.tokens[name] = made["token"]
            for source in REMOTE_SOURCES:
                self._callers[name, source] = await self.host.door(source).authenticate(BearerToken(made["token"]))
        await self._do("grants.add", principal="gina", role="operator", on=GRANTED)
        await self._do("principals.set", name="gone", disabled=True)
        await self._do("tokens.revoke", id=made["id"])

    async def _do(self, command_id: str, **args: object) -> dict[str, Json]:
        door, caller = self.host.door("cli"), self.host.local_caller()
        run = await door.submit(caller, Invocation(command_id=command_id, args=args))
        run = run if run.ended else await door.wait(caller, run.id)
        assert isinstance(run.result, dict), run
        return run.result

    def close(self) -> None:
        """Stop the host."""
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def do(self, coroutine: Coroutine[object, object, T]) -> T:
        """Have something done on the host's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    @property
    def socket(self) -> Path:
        """The local socket."""
        return self.host.data.socket

    @property
    def rpc_socket(self) -> Path:
        """The socket for gRPC, which asks for a token from all but the owner."""
        return socket_of(self.host.data.run)

    def caller(self, who: str, source: str) -> Caller:
        """The owner, or a principal who has proved who it is by its token."""
        return self._callers[who, source] if who else self.host.local_caller(source)

    def forgive(self) -> None:
        """Failed proofs so far slow nobody down."""
        self.host.kernel.authentication.throttle = Throttle(self.host.kernel.clock.monotonic)

    # -- what is on record ------------------------------------------------------------------------

    async def newest(self) -> int:
        """The number of the newest run."""
        page = self.host.kernel.store.list_runs(RunFilter(), 1, None)
        return page.items[0].num if page.items else 0

    async def since(self, num: int) -> list[Run]:
        """Runs after a number, oldest first; those that merely look after another are no part of a call."""
        page = self.host.kernel.store.list_runs(RunFilter(), 20, None)
        return sorted((r for r in page.items if r.num > num and not r.command_id.startswith("runs.")), key=_num)

    async def events(self, run_id: str) -> list[Event]:
        """The whole stream of an ended run."""
        door, caller = self.host.door("cli"), self.host.local_caller()
        return [e async for batch in door.follow(caller, run_stream(run_id), live=False) for e in batch]

    async def at_work(self, run_id: str) -> None:
        """Wait until a run says something."""
        door, caller = self.host.door("cli"), self.host.local_caller()
        async with asyncio.timeout(PATIENCE):
            async for batch in door.follow(caller, run_stream(run_id)):
                if any(event.kind == "text" for event in batch):
                    return

    async def refusals(self) -> dict[str, int]:
        """Refusals counted so far, by code."""
        return dict(self.host.kernel.telling.counts)


def _num(run: Run) -> int:
    return run.num
