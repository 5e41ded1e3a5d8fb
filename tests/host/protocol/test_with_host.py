"""The protocol with a real host behind it: store, executor, event log and all."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from types import SimpleNamespace

import pytest

from trunnion import Command, Context, Host, HostOptions, Invocation, Query, hookimpl
from trunnion.protocol.client import Client
from trunnion.protocol.client_errors import RemoteError
from trunnion.protocol.server import SocketServer

pytestmark = pytest.mark.anyio


def plugin(gates: dict[str, asyncio.Event]) -> object:
    """Commands whose progress the test decides."""

    def greet(ctx: Context, name: str, *, loud: bool = False) -> str:
        """Greet somebody."""
        ctx.echo("looking for", name)
        return f"hello {name}".upper() if loud else f"hello {name}"

    async def hold(ctx: Context) -> str:
        ctx.echo("holding")
        await gates["go"].wait()
        return "let go"

    async def much(ctx: Context, lines: int) -> int:
        for line in range(lines):
            ctx.data({"n": line}, "x" * 200)
            if line % 500 == 0:
                await ctx.flush()
        return lines

    def broken() -> None:
        raise ValueError("secret detail")

    def count(n: int = 1) -> dict:
        return {"n": n}

    made = SimpleNamespace()

    @hookimpl
    def trunnion_commands(settings):
        return [Command.of(f, console="demo", lock=None) for f in (greet, hold, much, broken)]

    @hookimpl
    def trunnion_queries(settings):
        return [Query.of(count, console="demo")]

    made.trunnion_commands, made.trunnion_queries = trunnion_commands, trunnion_queries
    return made


@pytest.fixture
def gates():
    return {"go": asyncio.Event()}


@pytest.fixture
async def host(tmp_path, gates):
    options = HostOptions(data_dir=tmp_path / "data", overrides=("executor.shutdown_grace=0.2",))
    async with Host(options, plugins={"demo": plugin(gates)}, discovery=False, environ={}) as running:
        yield running


@pytest.fixture
async def client(host):
    async with await Client.connect(host.data.socket) as connected:
        yield connected


async def everything(client: Client, stream: str, **more: object) -> list:
    return [event async for batch in client.follow(stream, **more) for event in batch]


async def test_who_and_where(host, client):
    hello = await client.hello()
    assert (hello.host_id, hello.boot_id) == (host.kernel.identity.host_id, host.kernel.identity.boot_id)
    who = await client.call("whoami")
    assert (who["source"], who["role"]) == ("cli", "admin")


async def test_submit_follow_wait(client):
    run = await client.submit(Invocation(command_id="demo.greet", argv=("Ada", "--loud"), idempotency_key="k"))
    events = await everything(client, f"run/{run.id}")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert "looking for Ada\n" in [event.text for event in events]
    ended = await client.wait(run.id)
    assert (ended.status, ended.result, ended.source, ended.last_seq) == ("succeeded", "HELLO ADA", "cli", len(events))
    assert (
        await client.submit(Invocation(command_id="demo.greet", argv=("Ada", "--loud"), idempotency_key="k"))
    ).id == run.id
    assert await everything(client, f"run/{run.id}", after=len(events) - 1) == events[-1:]


async def test_run_cancel_and_waits_side_by_side(client, gates):
    held = await client.submit(Invocation(command_id="demo.hold"))
    waiting = [asyncio.create_task(client.wait(held.id)) for _ in range(20)]
    assert (await client.run(Invocation(command_id="demo.greet", args={"name": "Bo"}))).result == "hello Bo"
    with pytest.raises(RemoteError, match=r"0\.05") as late:
        await client.wait(held.id, timeout=0.05)
    assert late.value.info.code == "deadline_exceeded"
    await client.cancel(held.id)
    assert {run.status for run in await asyncio.gather(*waiting)} == {"cancelled"}


async def test_ids_as_methods(client):
    assert await client.call("demo.count", {"n": 2}) == {"n": 2}
    assert await client.call("demo.greet", {"name": "Cy"}) == "hello Cy"
    with pytest.raises(RemoteError) as failed:
        await client.call("demo.broken")
    assert "run_id" in failed.value.info.details
    with pytest.raises(RemoteError, match=r"demo\.gret") as unknown:
        await client.call("demo.gret", {})
    assert unknown.value.info.code == "not_found"
    assert "demo.greet" in unknown.value.info.details["nearest"]


async def test_refusals_name_the_argument(client):
    with pytest.raises(RemoteError) as refused:
        await client.submit(Invocation(command_id="demo.greet", args={"name": 5}))
    assert refused.value.info.code == "invalid_arguments"
    assert refused.value.info.details["problems"][0]["path"] == "name"


async def test_meta_until_it_changes(host, client):
    first = await client.meta()
    assert "demo.greet" in {command["id"] for command in first.meta["commands"]}
    assert (await client.meta(first.revision)).modified is False
    host.kernel.registry.withdraw("demo")
    second = await client.meta(first.revision)
    assert second.modified
    assert "demo.greet" not in {command["id"] for command in second.meta["commands"]}


async def test_streams_that_are_not_there(client):
    for stream in ("run/nothing", "no/such"):
        with pytest.raises(RemoteError) as refused:
            await everything(client, stream)
        assert refused.value.info.code == "not_found"


async def test_a_client_that_leaves_takes_only_tied_runs_with_it(host, client, gates):
    leaving = await Client.connect(host.data.socket)
    free = await leaving.submit(Invocation(command_id="demo.hold"))
    tied = await leaving.submit(Invocation(command_id="demo.hold"), cancel_on_disconnect=True)
    await leaving.close()
    assert (await client.wait(tied.id)).status == "cancelled"
    gates["go"].set()
    assert (await client.wait(free.id)).status == "succeeded"


async def test_a_deaf_follower_and_ten_good_ones(host, client):
    """The deaf one's share waits in the store; the others get everything, in the same bytes."""
    run = await client.submit(Invocation(command_id="demo.much", args={"lines": 20_000}))
    subscribe = json.dumps(
        {"type": "rpc", "id": 1, "method": "stream.subscribe", "params": {"stream": f"run/{run.id}"}}
    )
    deaf = socket.socket(socket.AF_UNIX)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(str(host.data.socket))
    deaf.sendall(subscribe.encode() + b"\n")
    others = [await Client.connect(host.data.socket) for _ in range(10)]
    streams = await asyncio.gather(*(everything(other, f"run/{run.id}") for other in others))
    assert all(stream == streams[0] for stream in streams)
    assert sum(event.kind == "data" for event in streams[0]) == 20_000
    assert [event.seq for event in streams[0]] == list(range(1, len(streams[0]) + 1))
    for other in others:
        await other.close()
    deaf.close()


async def test_a_host_that_stops_tells_its_followers_the_end(tmp_path, gates):
    options = HostOptions(data_dir=tmp_path / "data", overrides=("executor.shutdown_grace=0.05",))
    async with Host(options, plugins={"demo": plugin(gates)}, discovery=False, environ={}) as running:
        client = await Client.connect(running.data.socket, patience=0.1)
        run = await client.submit(Invocation(command_id="demo.hold"))
        following = asyncio.create_task(everything(client, f"run/{run.id}"))
        waiting = asyncio.create_task(client.wait(run.id))
        async with asyncio.timeout(5):
            while "holding" not in str(running.kernel.log.stream(f"run/{run.id}").ring):
                await asyncio.sleep(0.005)
    assert (await waiting).status == "interrupted"
    assert (await following)[-1].kind == "state"
    await client.close()


async def test_fuzzed_input_leaves_the_host_as_it_was(host, client):
    """Random bytes, random JSON, calls cut anywhere: each connection gets answers or an end, others nothing."""
    seed = int(os.environ.get("TRUNNION_SEED") or "0", 16) or int.from_bytes(os.urandom(4), "big")
    print(f"TRUNNION_SEED={seed:x}")
    chance = random.Random(seed)
    good = json.dumps({"type": "rpc", "id": 1, "method": "demo.count", "params": {"n": 1}}).encode() + b"\n"
    for _ in range(60):
        reader, writer = await asyncio.open_unix_connection(str(host.data.socket))
        for _ in range(chance.randint(1, 5)):
            piece = bytearray(good[: chance.randint(1, len(good))])
            for _ in range(chance.randint(0, 3)):
                piece[chance.randrange(len(piece))] = chance.randrange(256)
            writer.write(bytes(piece))
        last = good.replace(b'"id": 1', b'"id": "last"')  # a piece may have been a call, its id still in use
        writer.write(b"\n" + last)
        async with asyncio.timeout(5):
            while (answer := json.loads(await reader.readline())).get("id") != "last":
                pass
        assert answer["result"] == {"n": 1}
        writer.close()
    assert await client.call("demo.count", {"n": 7}) == {"n": 7}


async def test_two_servers_cannot_share_a_directory(host):
    with pytest.raises(Exception, match="another process"):
        async with SocketServer(host.handle("cli"), host.data.run):
            pass
