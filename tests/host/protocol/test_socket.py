"""The local socket with real sockets: who gets in, what lies at its path, what slow and many clients do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import stat

import pytest
from socket_kit import collect, until

from trunnion.model.errors import Conflict, Unavailable
from trunnion.model.runs import Invocation
from trunnion.protocol import address
from trunnion.protocol.blocking import BlockingClient
from trunnion.protocol.client import Client
from trunnion.protocol.client_errors import RemoteError
from trunnion.protocol.server import SocketServer, serve

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


# -- the path -------------------------------------------------------------------------------------


async def test_the_socket_is_for_its_owner_only_and_goes_with_the_server(make_host, tmp_path):
    async with SocketServer(make_host(tmp_path), tmp_path) as server:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    assert not server.path.exists()


async def test_a_stale_socket_is_replaced(make_host, tmp_path):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(address.socket_path(tmp_path)))
    stale.close()
    async with SocketServer(make_host(tmp_path), tmp_path) as server, await Client.connect(server.path) as client:
        assert await client.call("whoami")


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
async def test_anything_else_at_the_path_is_left_alone(make_host, tmp_path, kind):
    path = address.socket_path(tmp_path)
    match kind:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
    before = path.lstat()
    with pytest.raises(Conflict, match="not a socket"):
        async with SocketServer(make_host(tmp_path), tmp_path):
            pass
    assert path.lstat() == before


async def test_a_served_socket_is_not_taken_over(server, make_host, tmp_path):
    with pytest.raises(Conflict, match="another process"):
        async with SocketServer(make_host(tmp_path), tmp_path):
            pass
    async with await Client.connect(server.path) as client:
        assert await client.call("whoami")


async def test_a_path_longer_than_a_socket_address(make_host, tmp_path):
    run = tmp_path.joinpath(*["d" * 60] * 3)
    run.mkdir(parents=True)
    assert len(str(run)) > address.LONGEST
    async with SocketServer(make_host(run), run) as server, await Client.connect(server.path) as client:
        assert await client.call("whoami")
        assert await asyncio.to_thread(lambda: BlockingClient(server.path).call("whoami"))


async def test_as_a_frontend_it_tells_its_address_and_ends_when_cancelled(make_host, tmp_path):
    ready = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(make_host(tmp_path), lambda address="": ready.set_result(address)))
    assert await ready == str(address.socket_path(tmp_path))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not address.socket_path(tmp_path).exists()


# -- who ------------------------------------------------------------------------------------------


async def test_the_principal_is_the_login_name(client):
    assert (await client.call("whoami"))["principal"] == pwd.getpwuid(os.getuid()).pw_name


async def test_another_user_is_told_no_in_one_line(server, monkeypatch):
    monkeypatch.setattr(address, "peer_uid", lambda connected: 54321)
    with pytest.raises(RemoteError, match="not valid here") as refused:
        await Client.connect(server.path)
    assert refused.value.info.code == "unauthenticated"
    assert server.connections == 0


def test_peer_uid_is_the_kernels_word():
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert address.peer_uid(one) == os.getuid()


# -- clients --------------------------------------------------------------------------------------


async def test_nobody_listens(tmp_path):
    with pytest.raises(Unavailable, match="trunnion up"):
        await Client.connect(address.socket_path(tmp_path))
    with pytest.raises(Unavailable, match="trunnion up"):
        BlockingClient(address.socket_path(tmp_path))


async def test_typed_results(client, door):
    run = await client.submit(Invocation(command_id="db.backup", args={"to": "x"}))
    assert (run.id, run.status) == ("run1", "running")
    waiting = asyncio.create_task(client.wait(run.id))
    assert (await client.cancel(run.id)).status == "cancelled"
    assert (await waiting).ended
    assert (await client.meta("r1")).modified is False
    with pytest.raises(RemoteError) as refused:
        await client.submit(Invocation(command_id="no.such"))
    assert refused.value.info.details == {"nearest": ["such"]}


async def test_the_blocking_client(server, door):
    def talk():
        with BlockingClient(server.path) as blocking:
            with pytest.raises(RemoteError, match=r"no\.such"):
                blocking.call("command.submit", {"command_id": "no.such"})
            return blocking.call("query", {"query_id": "units.list"})

    assert (await asyncio.to_thread(talk))["query"] == "units.list"


async def test_calls_fail_when_the_line_is_lost_and_the_next_one_connects_again(make_host, tmp_path):
    host = make_host(tmp_path)
    async with SocketServer(host, tmp_path) as first:
        client = await Client.connect(first.path)
        waiting = asyncio.create_task(client.query("wait.for-it"))
        await until(lambda: any(not peer.connection.idle for peer in first._peers))
    with pytest.raises(Unavailable, match="closed the connection"):
        await waiting
    async with SocketServer(host, tmp_path):
        assert await client.call("whoami")
    await client.close()


async def test_follow_takes_up_where_the_line_broke(make_host, tmp_path, events):
    host = make_host(tmp_path)
    host.door.streams["run/1"] = [events("run/1", n, n) for n in range(1, 6)]
    seen: list[int] = []
    async with SocketServer(host, tmp_path) as first:
        client = await Client.connect(first.path, patience=5)
        hold = asyncio.Event()
        original = host.door._follow

        async def broken_after_three(stream, after, live):
            async for batch in original(stream, after, live):
                if batch[0].seq > 3:
                    await hold.wait()
                yield batch

        host.door._follow = broken_after_three
        following = asyncio.create_task(collect(client, "run/1", seen))
        await until(lambda: seen == [1, 2, 3])
    host.door._follow = original
    async with SocketServer(host, tmp_path):
        await following
    assert seen == [1, 2, 3, 4, 5]
    await client.close()


async def test_a_consumer_that_lags_loses_nothing(client, door, events):
    door.streams["run/1"] = [events("run/1", 10 * n + 1, 10 * n + 10) for n in range(500)]
    seen: list[int] = []
    async for batch in client.follow("run/1"):
        seen.extend(event.seq for event in batch)
        await client.call("whoami")
    assert seen == list(range(1, 5001))
    assert door.pulled["run/1"] > 500, "it was given up and taken again at least once"


async def test_follow_reports_what_the_host_refuses(client):
    with pytest.raises(RemoteError, match="no stream"):
        await collect(client, "run/9", [])


async def test_follow_gives_up_when_no_host_comes_back(make_host, tmp_path):
    host = make_host(tmp_path)
    host.door.streams["host"] = []
    async with SocketServer(host, tmp_path) as server:
        client = await Client.connect(server.path, patience=0.2)
        following = asyncio.create_task(collect(client, "host", []))
        await until(lambda: any(not peer.connection.idle for peer in server._peers))
    with pytest.raises(Unavailable):
        await following
    await client.close()


async def test_leaving_follow_ends_the_subscription(server, client, door, events):
    door.streams["host"] = [events("host", 1, 1)]
    async with contextlib.aclosing(client.follow("host")) as batches:
        async for _ in batches:
            break
    [peer] = server._peers
    await until(lambda: not peer.connection._subscriptions)
