"""One socket, two local doors: a client says whether it is a shell, and the host stamps what it asks for."""

from __future__ import annotations

import asyncio
import json

import pytest
from socket_kit import until

from trunnion import Command, Host, HostOptions, InvalidArguments, Invocation, hookimpl
from trunnion.model.errors import Unavailable
from trunnion.protocol.client import Client
from trunnion.protocol.client_errors import RemoteError
from trunnion.protocol.server import SocketServer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


class Outer:
    """A command that invokes another."""

    @hookimpl
    def trunnion_commands(self, settings):
        async def outer(ctx) -> list:
            return [ctx.caller.source, await ctx.invoke("t.inner")]

        async def inner(ctx) -> list:
            return [*ctx.caller.chain, ctx.caller.source]

        return [Command.of(f, console="t", lock=None) for f in (outer, inner)]


@pytest.fixture
async def host(tmp_path):
    options = HostOptions(data_dir=tmp_path / "data", overrides=("store.durability=memory",))
    async with Host(options, plugins={"t": Outer()}, discovery=False, environ={}) as running:
        yield running


async def source_of(client: Client) -> object:
    return (await client.call("whoami"))["source"]


async def test_what_a_shell_asks_for_is_stamped_so_and_nobody_elses_is(host):
    async with await Client.connect(host.data.socket, door="tty") as shell, Client(host.data.socket) as other:
        run = await shell.run(Invocation(command_id="t.outer"))
        assert (run.source, run.result) == ("tty", ["tty", ["tty", "command"]])
        assert run.decision.endswith("is admin at tty")
        assert (await other.run(Invocation(command_id="t.outer"))).source == "cli"
        page = await other.query("runs.list", {"source": "tty"})
        assert run.id in [item["id"] for item in page["items"]]
        assert (await other.wait(run.id)).source == "tty", "each sees what the other did: both are the owner's"


async def test_explain_knows_both(host):
    async with await Client.connect(host.data.socket, door="tty") as shell:
        own = await shell.query("host.explain", {"target": "t.inner"})
        asked = await shell.query("host.explain", {"target": "t.inner", "source": "cli"})
    assert (own["source"], own["allowed"]) == ("tty", True)
    assert (asked["source"], asked["allowed"]) == ("cli", True)


async def test_no_call_overtakes_the_greeting_it_was_sent_after(host):
    """Sent in one piece, with work before and behind; each is stamped by its place in the line."""
    reader, writer = await asyncio.open_unix_connection(host.data.socket)

    def call(number: int, method: str, **params: object) -> bytes:
        return json.dumps({"type": "rpc", "id": number, "method": method, "params": params}).encode() + b"\n"

    before = [call(n, "whoami") for n in range(50)]
    behind = [call(n, "whoami") for n in range(100, 150)]
    runs = [call(n, "command.submit", command_id="t.inner") for n in range(200, 210)]
    writer.write(b"".join([*before, call(99, "hello", door="tty"), *behind, *runs]))
    answers = [json.loads(await reader.readline()) for _ in range(111)]
    writer.close()
    found = {a["id"]: a["result"].get("source") for a in answers}
    assert {found[n] for n in range(50)} == {"cli"}
    assert {found[n] for n in (*range(100, 150), *range(200, 210))} == {"tty"}


async def test_a_new_line_begins_with_the_greeting_whoever_needs_it_first(make_host, tmp_path, events):
    host = make_host(tmp_path)
    host.door.streams["run/1"] = [events("run/1", 1, 3)]
    async with SocketServer(host, tmp_path) as first:
        client = await Client.connect(first.path, door="tty")
        assert await source_of(client) == "tty"
    await until(lambda: client._writer is None)
    async with SocketServer(host, tmp_path) as second:
        sources = await asyncio.gather(*(source_of(client) for _ in range(20)))
        assert set(sources) == {"tty"}
        assert second.connections == 1
    await until(lambda: client._writer is None)
    async with SocketServer(host, tmp_path):
        assert [e.seq async for batch in client.follow("run/1") for e in batch] == [1, 2, 3]
        assert await source_of(client) == "tty"
    await client.close()


async def test_a_line_whose_greeting_is_refused_is_left(make_host, tmp_path):
    """A host that knows no such door must not take a shell's calls for another's."""
    host = make_host(tmp_path)
    async with SocketServer(host, tmp_path):
        client = Client(host.data.run / "host.sock", door="tty")
        assert await source_of(client) == "tty"
    await until(lambda: client._writer is None)
    host.door.source = "web"
    async with SocketServer(host, tmp_path) as second:
        with pytest.raises(RemoteError, match="the door is web here, not tty"):
            async with asyncio.timeout(5):
                await client.query("wait.for-it")
        await until(lambda: second.connections == 0)
        with pytest.raises(RemoteError, match="the door is web here, not tty"):
            await Client.connect(second.path, door="tty")
    with pytest.raises(Unavailable):
        await client.call("whoami")
    await client.close()


@pytest.mark.parametrize("door", ["web", "command", "system:t", "", 1])
async def test_no_other_door_can_be_said(host, door):
    async with Client(host.data.socket) as client:
        with pytest.raises(RemoteError) as refused:
            await client.call("hello", {"door": door})
        assert refused.value.info.code == "invalid_arguments"
        assert await source_of(client) == "cli"


@pytest.mark.parametrize("own", ["web", "rpc", "system:t", "command"])
async def test_a_remote_door_opens_no_local_one(host, own):
    for door in ("cli", "tty"):
        with pytest.raises(InvalidArguments, match=f"the door is {own} here"):
            host.handle(own).local_door(door)
    with pytest.raises(InvalidArguments):
        host.handle("cli").local_door(own)
