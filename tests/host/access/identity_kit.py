"""A host with a configuration file of its own, and people at its doors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from kernel_kit import ANN, Plugin, Rig, cmd

from trunnion.access.credentials import Passwords
from trunnion.host import Host, HostOptions
from trunnion.kernel.context import Context
from trunnion.model.access import BearerToken, Password
from trunnion.model.commands import Query
from trunnion.model.errors import Unauthenticated, error_from_info
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Invocation

REMOTE = frozenset({"web", "rpc"})
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GOOD = "correct horse"


def look() -> str:
    """For viewers."""
    return "seen"


def turn() -> str:
    """For operators."""
    return "turned"


async def whoami(ctx: Context) -> str:
    """For whoever gets here."""
    return ctx.caller.principal


class People(Rig):
    """The questions tests of identity ask."""

    async def do(self, command_id: str, caller: Caller = ANN, /, **args: Json) -> Json:
        """Run a command to its end and return its result; its error is raised."""
        door = self.host.door(caller.source)
        run = await door.submit(caller, Invocation(command_id=command_id, args=args))
        run = run if run.ended else await door.wait(caller, run.id, 20)
        if run.error is not None:
            raise error_from_info(run.error)
        return run.result

    async def ask_of(self, query_id: str, caller: Caller = ANN, /, **args: Json) -> Json:
        return await self.host.door(caller.source).query(caller, query_id, args)

    async def log_in(self, name: str, password: str = GOOD, source: str = "web") -> Caller:
        return await self.host.door(source).authenticate(Password(name, password))

    async def bearer(self, token: str, source: str = "web") -> Caller:
        return await self.host.door(source).authenticate(BearerToken(token))

    async def refused(self, attempt: object) -> str:
        with pytest.raises(Unauthenticated) as refused:
            await attempt
        assert refused.value.details == {}
        return refused.value.message

    async def person(self, name: str, role: str | None = None, password: str = GOOD) -> None:
        await self.do("principals.add", name=name, role=role)
        await self.do("principals.password", name=name, password=password)

    async def token(self, principal: str, **args: Json) -> tuple[str, str]:
        made = await self.do("tokens.create", principal=principal, **args)
        return made["id"], made["token"]

    async def changes(self) -> list[dict]:
        return [event.data for event in await self.host_events("host/access")]


@asynccontextmanager
async def people(
    root: Path, config: str = "", *, data: Path | None = None, durability: str = "memory", clock: object = None
) -> AsyncIterator[People]:
    """A host with two commands and a query that remote doors reach."""
    file = root / "trunnion.toml"
    file.write_text(config)
    commands = [
        cmd(look, role="viewer", expose=REMOTE), cmd(turn, expose=REMOTE), cmd(whoami, role="viewer", expose=REMOTE)
    ]  # fmt: skip
    plugin = Plugin(commands, queries=[Query.of(look, console="t", name="peek", expose=REMOTE)])
    options = HostOptions(
        config_path=file,
        data_dir=data or root / "data",
        capture=False,
        overrides=(f"store.durability={durability}", "executor.shutdown_grace=0.2"),
    )
    async with Host(options, plugins={"p": plugin}, discovery=False, environ={}, clock=clock) as host:
        host.kernel.authentication.passwords = Passwords(QUICK)
        yield People(host)
