"""Runs that are followed from the call that submits them: fewer ways to and fro, and none to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace

import msgspec
import pytest

from trunnion import Command, Context, Host, HostOptions, Invocation, hookimpl
from trunnion.kernel.history import History
from trunnion.kernel.waiting import Waiting
from trunnion.model.events import run_stream
from trunnion.protocol.client import ENDS, Client
from trunnion.protocol.feeds import FEED_BATCHES

pytestmark = pytest.mark.anyio

HELLO = Invocation(command_id="demo.hello")


def plugin(go: asyncio.Event) -> object:
    async def hello(ctx: Context) -> str:
        ctx.echo("hello")
        return "said"

    async def hold(ctx: Context) -> None:
        ctx.echo("holding")
        await go.wait()

    async def much(ctx: Context, batches: int) -> None:
        for number in range(batches):
            ctx.echo(f"batch {number}")
            await ctx.flush()

    async def click() -> str:
        return "clicked"

    made = SimpleNamespace()

    @hookimpl
    def trunnion_commands(settings):
        ordinary = [Command.of(f, console="demo", lock=None) for f in (hello, hold, much)]
        return [*ordinary, Command.of(click, console="demo", lock=None, keep="none")]

    made.trunnion_commands = trunnion_commands
    return made


@pytest.fixture
def go():
    return asyncio.Event()


@pytest.fixture
async def host(tmp_path, go):
    options = HostOptions(data_dir=tmp_path / "data", overrides=("executor.shutdown_grace=0.2",))
    async with Host(options, plugins={"demo": plugin(go)}, discovery=False, environ={}) as running:
        yield running


class Told(Client):
    """Remembers what it asked for."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.asked: list[str] = []

    async def _call(self, method: str, params: Mapping[str, object]) -> msgspec.Raw:
        self.asked.append(method)
        return await super()._call(method, params)


@pytest.fixture
async def client(host):
    async with await Told.connect(host.data.socket) as connected:
        connected.asked.clear()
        yield connected


async def everything(client: Client, run_id: str) -> list:
    return [event async for batch in client.follow(run_stream(run_id)) for event in batch]


def noting(asked: list[str], function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """The same function; what is asked for is noted."""

    async def noted(self: object, name: str, *rest: object) -> object:
        asked.append(name)
        return await function(self, name, *rest)

    return noted


async def test_one_call_brings_a_run_its_events_and_its_end(client, monkeypatch) -> None:
    """Defence: ``Door.begin`` keeps hold of what is in memory; ``Client._begun`` and ``_over``."""
    looked_up: list[str] = []
    for where in (Waiting, "get"), (History, "events"):
        monkeypatch.setattr(*where, noting(looked_up, getattr(*where)))
    run = await client.submit(HELLO, follow=True)
    events = await everything(client, run.id)
    ended = await client.wait(run.id)
    assert client.asked == ["command.submit"]
    assert looked_up == []
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert "hello\n" in [event.text for event in events]
    assert (ended.status, ended.result, ended.last_seq) == ("succeeded", "said", len(events))
    assert ended == await client.wait(run.id)
    assert events == await everything(client, run.id)
    assert client.asked == ["command.submit", "run.wait", "stream.subscribe"]


async def test_a_long_run_is_followed_to_its_end(client, go) -> None:
    run = await client.submit(Invocation(command_id="demo.hold"), follow=True)
    following = asyncio.create_task(everything(client, run.id))
    waiting = asyncio.create_task(client.wait(run.id))
    go.set()
    assert (await following)[-1].data["status"] == "succeeded"
    assert (await waiting).status == "succeeded"


async def test_a_twin_is_followed_from_the_beginning_too(client) -> None:
    keyed = msgspec.structs.replace(HELLO, idempotency_key="k")
    first = await client.submit(keyed, follow=True)
    events = await everything(client, first.id)
    second = await client.submit(keyed, follow=True)
    assert second.id == first.id
    assert await everything(client, second.id) == events
    assert client.asked == ["command.submit", "command.submit"]


async def test_a_run_without_a_record_has_no_events(client) -> None:
    """Defence: no subscription is begun that could only fail."""
    run = await client.submit(Invocation(command_id="demo.click"), follow=True)
    assert (run.status, run.result) == ("succeeded", "clicked")
    assert not client._begun
    assert not client._early


async def test_nobody_need_come_for_what_was_begun(client, go) -> None:
    """Defence: ``Client.look_away``."""
    run = await client.submit(Invocation(command_id="demo.hold"), follow=True)
    client.look_away(run.id)
    assert not client._begun
    assert not client._early
    go.set()
    assert (await client.wait(run.id)).status == "succeeded"
    assert (await everything(client, run.id))[-1].data["status"] == "succeeded"
    assert client.asked == ["command.submit", "run.wait", "stream.subscribe"]
    assert not client._feeds


async def test_who_comes_late_for_much_loses_nothing(client) -> None:
    """Defence: a feed that is behind is given up and asked for anew."""
    count = 2 * FEED_BATCHES
    run = await client.submit(Invocation(command_id="demo.much", args={"batches": count}), follow=True)
    other = await client.wait(run.id)
    events = await everything(client, run.id)
    assert [e.text for e in events if e.kind == "text"] == [f"batch {n}\n" for n in range(count)]
    assert len(events) == other.last_seq


async def test_of_many_ends_the_first_are_forgotten(client) -> None:
    """Defence: ``ENDS``."""
    for _ in range(ENDS + 3):
        run = await client.submit(HELLO, follow=True)
        await everything(client, run.id)
    assert len(client._over) == ENDS
    assert run.id in client._over


async def test_what_was_begun_ends_with_its_line_and_is_asked_for_on_the_next(client, go) -> None:
    """Defence: ``Client._lost`` forgets it."""
    run = await client.submit(Invocation(command_id="demo.hold"), follow=True)
    client._writer.transport.abort()
    await client._reading
    following = asyncio.create_task(everything(client, run.id))
    go.set()
    async with asyncio.timeout(10):
        assert (await following)[-1].data["status"] == "succeeded"
    assert client.asked == ["command.submit", "stream.subscribe"]
