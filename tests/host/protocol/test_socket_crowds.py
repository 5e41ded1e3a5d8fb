"""The socket under hostile clients and many of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket

import msgspec
import pytest
from socket_kit import collect, until

from trunnion.model.errors import Unavailable
from trunnion.model.events import Event
from trunnion.protocol.client import Client
from trunnion.protocol.client_errors import RemoteError
from trunnion.protocol.connection import Limits
from trunnion.protocol.server import SocketServer, connection_limit

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


async def test_bytes_one_at_a_time_and_a_thousand_frames_at_once(server):
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    for byte in b'{"type":"rpc","id":0,"method":"whoami"}\n':
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert json.loads(await reader.readline())["id"] == 0
    writer.write(b"".join(b'{"type":"rpc","id":%d,"method":"whoami"}\n' % n for n in range(1000)))
    answers = [json.loads(await reader.readline()) for _ in range(1000)]
    assert sorted(answer["id"] for answer in answers) == list(range(1000))
    assert {answer["type"] for answer in answers} == {"rpc_result"}
    writer.close()


async def test_garbage_is_answered_and_a_message_too_long_ends_the_connection(make_host, tmp_path):
    async with SocketServer(make_host(tmp_path), tmp_path, limits=Limits(message_bytes=10_000)) as server:
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        writer.write(os.urandom(200).replace(b"\n", b"") + b"\n")
        assert json.loads(await reader.readline())["code"] == "invalid_arguments"
        writer.write(b"x" * 20_000)
        assert "10000 bytes" in json.loads(await reader.readline())["message"]
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_never_reads_costs_a_bounded_buffer(make_host, tmp_path, events):
    host = make_host(tmp_path)
    host.door.streams["run/1"] = [events("run/1", 10 * n + 1, 10 * n + 10, size=1000) for n in range(2000)]
    async with SocketServer(host, tmp_path) as server:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(str(server.path))
        deaf.sendall(b'{"type":"rpc","id":1,"method":"stream.subscribe","params":{"stream":"run/1"}}\n')
        await until(lambda: host.door.pulled.get("run/1", 0) > 5)
        async with await Client.connect(server.path) as other:
            seen: list[int] = []
            await collect(other, "run/1", seen)
            assert len(seen) == 20_000
        deaf_peer = next(iter(server._peers))
        assert deaf_peer._transport.get_write_buffer_size() < (512 << 10)
        deaf.close()
        await until(lambda: server.connections == 0)


async def test_a_client_that_asks_and_never_reads_is_not_read_from(make_host, tmp_path):
    limits = Limits(soft_buffer=10_000, hard_buffer=50_000)
    async with SocketServer(make_host(tmp_path), tmp_path, limits=limits) as server:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.setblocking(False)
        deaf.connect(str(server.path))
        question = b"".join(b'{"type":"rpc","id":%d,"method":"units.list"}\n' % n for n in range(100))
        await until(lambda: server.connections == 1)
        [peer] = server._peers
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 50 << 20:
                sent += deaf.send(question)
                await asyncio.sleep(0)
        assert sent < 50 << 20, "the server stopped reading, so the kernel's buffer filled up"
        assert peer._transport.get_write_buffer_size() < 2_000_000
        deaf.close()


async def test_a_thousand_idle_connections(make_host, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("needs 4096 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    crowd: list[socket.socket] = []
    try:
        async with SocketServer(make_host(tmp_path), tmp_path) as server:
            for _ in range(1000):
                crowd.append(socket.socket(socket.AF_UNIX))
                crowd[-1].setblocking(False)
                crowd[-1].connect(str(server.path))
                await asyncio.sleep(0)
            await until(lambda: server.connections == 1000)
            async with await Client.connect(server.path) as client:
                assert await client.call("whoami")
    finally:
        for one in crowd:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_longest_idle_connection_makes_room_and_busy_ones_stay(make_host, tmp_path):
    async with SocketServer(make_host(tmp_path), tmp_path, connections=3) as server:
        busy = await Client.connect(server.path)
        waiting = asyncio.create_task(busy.query("wait.for-it"))
        recent = await Client.connect(server.path)
        idle = await Client.connect(server.path)
        await recent.call("whoami")
        admin = await Client.connect(server.path)
        await until(lambda: idle._writer is None)
        assert recent._writer is not None
        assert not waiting.done()
        for client in (busy, idle, recent, admin):
            await client.close()
        with pytest.raises(Unavailable):
            await waiting


async def test_when_all_are_busy_a_new_one_is_refused_by_name(make_host, tmp_path):
    async with SocketServer(make_host(tmp_path), tmp_path, connections=1) as server:
        async with await Client.connect(server.path) as busy:
            waiting = asyncio.create_task(busy.query("wait.for-it"))
            await until(lambda: any(not peer.connection.idle for peer in server._peers))
            with pytest.raises(RemoteError, match="1 connections") as refused:
                await Client.connect(server.path)
            assert refused.value.info.code == "busy"
        with pytest.raises(Unavailable):
            await waiting


async def test_accepting_pauses_without_descriptors_and_recovers(server, monkeypatch, caplog):
    """Descriptors run out below the limit when other parts of the host hold them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    waiting = socket.socket(socket.AF_UNIX)
    waiting.setblocking(False)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        waiting.connect(str(server.path))
        await until(lambda: "no new connections" in caplog.text)
        assert server.connections == 0
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: server.connections == 1, seconds=2)
    waiting.close()


def test_the_limit_leaves_descriptors_for_the_host(monkeypatch):
    for soft, most in ((128, 96), (1024, 768), (8, 4)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert connection_limit() == most


async def test_the_same_bytes_reach_every_follower(server, events):
    server._host.door.streams["run/1"] = [[Event("run/1", 1, 1, "data", raw=msgspec.Raw(b'{"n":  1}'))]]
    received = []
    for _ in range(2):
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        writer.write(b'{"type":"rpc","id":1,"method":"stream.subscribe","params":{"stream":"run/1"}}\n')
        await reader.readline()
        received.append(await reader.readline())
        writer.close()
    assert received[0] == received[1]
    assert b'{"n":  1}' in received[0]
