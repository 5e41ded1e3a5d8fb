"""I5: a command that is not exposed where somebody asks is answered as if it were not there, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands_kit import Open, opener

from trunnion import Caller, Command, Host, Invocation, Query, StreamSource
from trunnion.access.directory import Directory
from trunnion.access.policy import Decision
from trunnion.hookspecs import hookimpl
from trunnion.kernel.registry import Contributed
from trunnion.model.access import Principal
from trunnion.model.errors import TrunnionError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Open:
    return opener(tmp_path)


def nothing() -> None:
    """Do nothing."""


async def no_events(stream: str, after: int, limit: int = 0) -> list[object]:
    return []


def hidden() -> object:
    """Everything a remote door may not see, and one thing it may."""

    @hookimpl
    def trunnion_commands() -> list[Command]:
        return [
            Command.of(nothing, console="hidden", name="alpha", aliases=("hidden.aleph",), lock=None),
            Command.of(nothing, console="open", name="gate", role="viewer", lock=None, expose=frozenset({"web"})),
        ]

    @hookimpl
    def trunnion_queries() -> list[Query]:
        return [Query.of(nothing, console="hidden", name="query")]

    @hookimpl
    def trunnion_streams() -> list[StreamSource]:
        return [StreamSource(pattern="hidden/*"), StreamSource(pattern="open/*", expose=frozenset({"web"}))]

    return SimpleNamespace(
        trunnion_commands=trunnion_commands, trunnion_queries=trunnion_queries, trunnion_streams=trunnion_streams
    )


STRANGERS = [
    Caller("ann", "web", "operator"),
    Caller("bob", "rpc", "viewer"),
    Caller("eve", "web", "viewer", (), "password"),
]
TWINS = {"hidden.alpha": "hidden.gamma", "hidden.aleph": "hidden.zayin", "hidden.query": "hidden.quark"}


async def told_apart(host: Host) -> list[str]:
    """Where something a caller may not see is answered otherwise than something that is not there."""
    host.kernel.policy.replace(Directory(principals=[Principal(name="eve", role="operator", has_password=True)]))
    owner = host.local_caller()
    run = await host.door("cli").submit(owner, Invocation(command_id="hidden.alpha"))
    await host.door("cli").wait(owner, run.id)
    absent_run = run.id[:-12] + ("0" * 12 if not run.id.endswith("0" * 12) else "1" * 12)
    down = Command.of(nothing, console="hidden", name="down", lock=None)
    host.kernel.registry.replace("driver", Contributed(commands=[down]), available=False)
    names = {**TWINS, "hidden.down": "hidden.dawn", "hidden/log": "nowhere/lg", f"run/{run.id}": f"run/{absent_run}"}
    names |= {run.id: absent_run}
    found = []
    for caller in STRANGERS:
        for there, absent in names.items():
            for way, ask in WAYS.items():
                one, other = [await answer(ask, host, caller, name) for name in (there, absent)]
                if one != other:
                    found.append(f"{way} {there} by {caller.principal} at {caller.source}: {one} but {other}")
    return found


async def answer(ask: Callable[..., object], host: Host, caller: Caller, name: str) -> bytes:
    """What is said of a name, byte by byte, with the name itself cut out."""
    door = host.door(caller.source)
    before = dict(host.kernel.telling.counts)
    try:
        said = repr(await ask(door, caller, name))
    except TrunnionError as error:
        said = json.dumps([error.code, error.message, error.details], sort_keys=True)
    counted = {code: n - before.get(code, 0) for code, n in host.kernel.telling.counts.items()}
    return (said + repr(sorted((k, n) for k, n in counted.items() if n))).replace(name, "NAME").encode()


async def _followed(door: object, caller: Caller, name: str) -> list[object]:
    return [event async for batch in door.follow(caller, name, live=False) for event in batch]  # type: ignore[attr-defined]


WAYS = {
    "submit": lambda d, c, n: d.submit(c, Invocation(command_id=n)),
    "bad arguments": lambda d, c, n: d.submit(c, Invocation(command_id=n, args={"nope": 1})),
    "stale revision": lambda d, c, n: d.submit(c, Invocation(command_id=n, revision="0" * 64)),
    "line": lambda d, c, n: d.submit(c, Invocation(line=f"{n} --nope")),
    "query": lambda d, c, n: d.query(c, n, {}),
    "query, bad arguments": lambda d, c, n: d.query(c, n, {"nope": 1}),
    "complete": lambda d, c, n: d.complete(c, n, (), ""),
    "follow": _followed,
    "get": lambda d, c, n: d.get(c, n),
    "wait": lambda d, c, n: d.wait(c, n, 0.01),
    "cancel": lambda d, c, n: d.cancel(c, n),
    "runs.get": lambda d, c, n: d.query(c, "runs.get", {"run_id": n}),
    "explain": lambda d, c, n: d.query(c, "host.explain", {"target": n}),
}


async def test_i5_what_is_not_exposed_is_like_what_is_not_there(start: Open) -> None:
    async with start(hidden=hidden()) as host:
        assert await told_apart(host) == []
        stranger = STRANGERS[0]
        assert (await host.door("web").submit(stranger, Invocation(command_id="open.gate"))).command_id == "open.gate"
        for caller in STRANGERS:
            meta = host.door(caller.source).meta(caller).body
            assert b"hidden." not in meta
            assert b"hidden/" not in meta


async def test_i5_without_the_fault_what_is_exposed_is_reached(start: Open) -> None:
    async with start(hidden=hidden()) as host:
        stranger = STRANGERS[0]
        assert (await host.door("web").submit(stranger, Invocation(command_id="open.gate"))).command_id == "open.gate"
        assert b"open.gate" in host.door("web").meta(stranger).body


async def test_i5_without_the_defence_it_is_told_apart(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decision, "visible", property(lambda self: True))
    async with start(hidden=hidden()) as host:
        assert any("hidden.alpha" in line for line in await told_apart(host))
