"""I1: the one shell there is, ``shell.run``, is reached by the owner at this machine and by nobody else, whatever
the configuration opens, whoever is made admin, and by whatever way round somebody comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands_kit import Open, ended, opener

from trunnion import Caller, Command, Context, Host, Invocation, hookimpl
from trunnion.access import policy
from trunnion.kernel import entries
from trunnion.model.access import BearerToken
from trunnion.model.errors import TrunnionError

pytestmark = pytest.mark.anyio
DOORS = ("web", "rpc", "schedule", "agent")

OPENED = f"""
[access.expose]
"*" = {json.dumps(DOORS)}
"shell.*" = {json.dumps(DOORS)}
"host.meta" = {json.dumps([*DOORS, "telegraph"])}
"shell.run" = {json.dumps([*DOORS, "telegraph"])}
[access.principals.bob]
role = "admin"
[access.principals.eve]
[access.grants.all]
principal = "eve"
role = "admin"
on = ["*", "shell.run", "command:shell.run"]
[access.principals."system:helper"]
role = "admin"
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Open:
    return opener(tmp_path)


@pytest.fixture(autouse=True)
def sh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")


def helper() -> object:
    """A plugin whose commands run others, open to everybody; what a careless author might write."""

    async def go(ctx: Context, line: str, command: str = "shell.run") -> object:
        args = {"line": line} if command == "shell.run" else {"line": line, "command": "shell.run"}
        return await ctx.invoke(command, **args)

    async def away(ctx: Context, line: str) -> object:
        return await (await ctx.spawn("shell.run", detach=True, line=line)).result()

    @hookimpl
    def trunnion_commands() -> list[Command]:
        return [Command.of(f, console="helper", role="viewer", lock=None) for f in (go, away)]

    return SimpleNamespace(trunnion_commands=trunnion_commands)


async def strangers(host: Host) -> AsyncIterator[Caller]:
    """Everybody but the owner at the host's own doors, as admin as can be."""
    owner, door = host.local_caller(), host.door("cli")
    tokens = [await _token(host, name) for name in ("bob", "eve")]
    for source in (*DOORS, "telegraph"):
        yield host.local_caller(source)
        yield Caller("bob", source, "admin", credential="login")
        yield Caller("eve", source, "viewer", credential="login")
        for token in tokens:
            yield await host.door(source).authenticate(BearerToken(token))
        yield Caller(owner.principal, "cli", "admin", chain=(source,))
        yield Caller(owner.principal, "command", "admin", chain=(source, "cli"))
    yield Caller("bob", "cli", "admin", credential="login")
    yield await door.authenticate(BearerToken(tokens[0]))
    yield Caller("system:helper", "system:helper", "admin")
    yield Caller(owner.principal, "command", "admin", chain=("system:helper",))
    yield Caller("ann", "tty", "operator")
    yield Caller("ann", "cli", "viewer")


async def _token(host: Host, name: str) -> str:
    made = await host.door("cli").submit(
        host.local_caller(), Invocation(command_id="tokens.create", args={"principal": name, "on": ["*"]})
    )
    return str(made.result["token"])


async def ways_in(host: Host, canary: Path) -> list[str]:
    """By which way who got a shell to touch the canary, or was told that there is one."""
    line, found = f"touch {canary}", []
    old = await ended(host, command_id="shell.run", args={"line": line})
    assert old.status == "succeeded", old.error
    canary.unlink()
    nested = {"line": line, "command": "helper.go"}
    asked = {
        "by name": {"command_id": "shell.run", "args": {"line": line}},
        "by line": {"line": f"shell.run '{line}'"},
        "wrong words": {"command_id": "shell.run", "argv": ("--nope",)},
        "nested": {"command_id": "helper.go", "args": {"line": line}},
        "nested twice": {"command_id": "helper.go", "args": nested},
        "detached": {"command_id": "helper.away", "args": {"line": line}},
        "repeated": {"command_id": "runs.rerun", "args": {"run_id": old.id}},
    }
    async for caller in strangers(host):
        local = caller.credential == "" and {caller.source, *caller.chain} <= {"cli", "tty", "command"}
        for way, invocation in asked.items():
            code = await outcome(host, caller, invocation)
            # At home, others than admins know that there is one, though not of the run that is to be repeated.
            expected = ({"forbidden", "not_found"} if way == "repeated" else {"forbidden"}) if local else {"not_found"}
            if code not in expected or canary.exists():
                found.append(f"{way} by {caller}: {code}, canary {canary.exists()}")
            canary.unlink(missing_ok=True)
        if not local and b'"id":"shell.run"' in host.door(caller.source).meta(caller).body:
            found.append(f"meta for {caller}")
    return found


async def outcome(host: Host, caller: Caller, invocation: dict[str, object]) -> str:
    """The code of the refusal, of the call or of the run that asked in its turn."""
    door = host.door(caller.source)
    try:
        run = await door.submit(caller, Invocation(**invocation))  # type: ignore[arg-type]
        run = await door.wait(caller, run.id, 20)
    except TrunnionError as error:
        return error.code
    return run.error.code if run.error else run.status


async def test_i1_the_one_shell_is_reached_by_its_owner_alone(start: Open, tmp_path: Path) -> None:
    async with start(OPENED, helper=helper()) as host:
        assert await ways_in(host, tmp_path / "canary") == []


async def test_i1_without_the_fault_the_owner_reaches_it_by_each_way(start: Open, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    async with start(helper=helper()) as host:
        assert b'"id":"shell.run"' in host.door("cli").meta(host.local_caller()).body
        for source in ("cli", "tty"):
            for command, more in (("shell.run", {}), ("helper.go", {}), ("helper.go", {"command": "helper.go"}),
                                  ("helper.away", {})):  # fmt: skip
                asked = {"command_id": command, "args": {"line": f"touch {canary}", **more}}
                assert await outcome(host, host.local_caller(source), asked) == "succeeded"
                canary.unlink()


@pytest.mark.parametrize("defence", ["is_owner_here", "local"])
async def test_i1_without_the_defence_strangers_get_a_shell(
    start: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defence: str
) -> None:
    """Taken from policy, or from the command: then what the configuration opens is open."""
    if defence == "is_owner_here":
        monkeypatch.setattr(policy, "is_owner_here", lambda caller: True)
    else:
        monkeypatch.setattr(entries, "Target", lambda *fields: policy.Target(*fields[:5]))
    async with start(OPENED, helper=helper()) as host:
        assert any("canary True" in line for line in await ways_in(host, tmp_path / "canary"))
