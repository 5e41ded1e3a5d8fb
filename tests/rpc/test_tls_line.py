"""The bytes that TLS carries: all of them, in order, at the pace of the slower side, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from certs_kit import ANN, PREFACE, Plant, client_context, knock
from rpc_kit import opened, until
from test_tls_changes import _secured, connections, open_connections
from test_tls_names import plant_host, port_of, reasons, tried

from trunnion import Invocation, TrunnionError
from trunnion.model.events import encode_event
from trunnion_rpc import knocks, tls_front
from trunnion_rpc.client import Client
from trunnion_rpc.target import Tls


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that hosts run on, whose transports are others than those of the tests beside."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


SETTINGS_TAKEN = bytes.fromhex("000000040100000000")
"""What a server of HTTP/2 answers to the first words of a client."""


def joins() -> int:
    return sum("connection to rpc" in task.get_name() for task in asyncio.all_tasks())


async def test_large_things_go_both_ways_unharmed(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``TlsLine.send`` writes until all is written, and reads until there is no more."""
    content = os.urandom(9_000_001)
    async with plant_host(plant, tmp_path) as host:
        async with Client(host.part.address, tls=plant.tls(plant.client(ANN))) as client:
            uploads = [client.files.upload(content) for _ in range(3)]
            brought = await asyncio.gather(*uploads)
            assert {each.sha256 for each in brought} == {hashlib.sha256(content).hexdigest()}
            large = await client.run(Invocation(command_id="demo.large", args={"size": 300_000}))
            assert large.result == "é" * 300_000
            values = await asyncio.gather(*(client.query("demo.lots", {"size": 1_000_000}) for _ in range(5)))
            assert set(values) == {"ü" * 1_000_000}
        await until(lambda: not open_connections(host))
        assert joins() == 0


async def test_what_comes_with_the_last_word_of_the_handshake_is_not_lost(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``_early``; a client need not wait for us before it speaks HTTP/2."""
    async with plant_host(plant, tmp_path) as host:
        assert await asyncio.to_thread(_in_one, port_of(host), plant.tls(plant.client(ANN)))


def _in_one(port: int, tls: Tls) -> bytes:
    """What is answered to somebody whose handshake and first words are one piece."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = client_context(tls).wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), timeout=8) as plain:
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        secured.write(PREFACE)
        plain.sendall(outgoing.read())
        heard = b""
        while SETTINGS_TAKEN not in heard:
            try:
                heard += secured.read(1000)
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65536))
        return heard


async def test_a_long_way_takes_its_time(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``min_reconnect_backoff_ms``, by which gRPC also gives up a connection that is being made."""
    async with plant_host(plant, tmp_path) as host, far(port_of(host), 0.1) as port:
        client = await Client.connect(f"grpcs://127.0.0.1:{port}", tls=plant.tls(plant.client(ANN)))
        assert (await client.host()).principal == ANN
        await client.close()


@asynccontextmanager
async def far(port: int, seconds: float) -> AsyncIterator[int]:
    """A way to a port by which each word takes its time; gives its beginning."""
    loop, tasks = asyncio.get_running_loop(), set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            loop.call_later(seconds, writer.write, data)
        loop.call_later(seconds, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        tasks.update((asyncio.create_task(carry(reader, forth)), asyncio.create_task(carry(back, writer))))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_two_who_follow_one_run_by_tls_and_by_the_socket_get_the_same_bytes(plant: Plant, tmp_path: Path) -> None:
    _, *tls = plant.settings()
    async with opened(tmp_path, 'listen=["unix", "127.0.0.1:0"]', *tls) as host:
        await host.person(ANN, "admin")
        address = host.part.address.split(", ")[1]
        async with host.client() as near, Client(address, tls=plant.tls(plant.client(ANN))) as far:
            run = await near.submit(Invocation(command_id="demo.much", args={"lines": 3000}))
            both = await asyncio.gather(*(_bytes(client, run.id) for client in (near, far)))
            assert both[0] == both[1]
            assert len(both[0]) > 600_000


async def _bytes(client: Client, run_id: str) -> bytes:
    return b"".join([encode_event(event) async for batch in client.follow(f"run/{run_id}") for event in batch])


async def test_a_client_that_does_not_read_holds_up_nobody_and_nothing_piles_up(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``pause_writing`` stops the server's side; what waits is in the store, not in memory."""
    async with plant_host(plant, tmp_path) as host:
        held: list[int] = []
        lines: list[tls_front.Connection] = []
        async with Client(host.part.address, tls=plant.tls(plant.client(ANN))) as client:
            run = await client.submit(Invocation(command_id="demo.much", args={"lines": 60_000, "size": 400}))
            slow = client.follow(f"run/{run.id}")
            await anext(slow)
            await client.wait(run.id)
            lines += connections(host)
            held += [each.line._transport.get_write_buffer_size() for each in lines]
            count = 1 + sum([1 async for _ in slow])
            assert count > 10
        assert max(held) < 4 << 20


async def test_a_reader_that_stops_is_not_waited_for_in_memory(plant: Plant, tmp_path: Path) -> None:
    """The same, without a library between that reads ahead: a socket that is simply not read."""
    async with plant_host(plant, tmp_path) as host:
        with socket.create_connection(("127.0.0.1", port_of(host))) as plain:
            secured = await asyncio.to_thread(_secured, plain, plant.tls(plant.client(ANN)))
            await until(lambda: connections(host))
            line = connections(host)[0].line
            await until(lambda: line._inner is not None)
            said = 0
            while line._inner._transport.is_reading() and said < 64 << 20:
                line._inner.data_received(bytes(1 << 20))
                said += 1 << 20
            assert 0 < line._transport.get_write_buffer_size() < 4 << 20
            assert said < 64 << 20
            reading = asyncio.create_task(asyncio.to_thread(_read, secured, said))
            await until(line._inner._transport.is_reading)
            assert await reading >= said


def _read(secured: socket.socket, count: int) -> int:
    got = 0
    while got < count and (data := secured.recv(65536)):
        got += len(data)
    return got


async def test_whoever_connects_and_says_nothing_does_not_keep_others_out(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defence: the longest of those that are not secured makes way."""
    monkeypatch.setattr(tls_front, "MOST_UNSECURED", 8)
    async with plant_host(plant, tmp_path) as host:
        with ExitStack() as stack:
            silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port_of(host)))) for _ in range(30)]
            assert await tried(host, plant, plant.client(ANN)) == ""
            for each in silent[:20]:
                each.settimeout(10)
                assert await asyncio.to_thread(_closed, each)


def _closed(connected: socket.socket) -> bool:
    try:
        return connected.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_from_where_tls_fails_again_and_again_nobody_is_let_into_it(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defence: ``Knocks``; an attempt costs the host more than the one who makes it."""
    monkeypatch.setattr(knocks, "PER_SECOND", 0.0)
    async with plant_host(plant, tmp_path) as host:
        good, nobody = plant.tls(plant.client(ANN)), plant.tls()
        for _ in range(knocks.FREE):
            assert "ALERT" in await asyncio.to_thread(knock, port_of(host), nobody)
        for tls in (nobody, good):
            assert "ALERT" not in (heard := await asyncio.to_thread(knock, port_of(host), tls))
            assert heard != "answered"
        assert await reasons(host) == ["none", "too_often"]
        monkeypatch.setattr(knocks, "PER_SECOND", 1000.0)
        assert await asyncio.to_thread(knock, port_of(host), good) == "answered"


def test_failures_are_forgiven_with_time_and_to_whoever_gets_in() -> None:
    now = 100.0
    counted = knocks.Knocks(lambda: now)
    for _ in range(knocks.FREE):
        assert counted.welcome("192.0.2.1")
        counted.failed("192.0.2.1")
    assert not counted.welcome("192.0.2.1")
    assert counted.welcome("192.0.2.2")
    now += 1.5
    assert counted.welcome("192.0.2.1")
    counted.failed("192.0.2.1")
    counted.failed("192.0.2.1")
    assert not counted.welcome("192.0.2.1")
    counted.succeeded("192.0.2.1")
    assert counted.welcome("192.0.2.1")
    counted.failed("192.0.2.1")
    now += 60
    assert counted.welcome("192.0.2.1")
    assert len(counted) == 0


def test_one_network_is_one_place_and_only_so_many_are_remembered() -> None:
    counted = knocks.Knocks(lambda: 0.0)
    for number in range(knocks.FREE):
        counted.failed(f"2001:db8::{number:x}")
    assert not counted.welcome("2001:db8:0:0:ffff::1")
    assert counted.welcome("2001:db8:0:1::1")
    for number in range(knocks.MOST + 10):
        counted.failed(f"10.0.{number >> 8}.{number & 255}")
    assert len(counted) == knocks.MOST


async def test_whoever_takes_too_long_is_hung_up_on(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``handshake_timeout``."""
    async with opened(tmp_path, *plant.settings(), "handshake_timeout=1") as host:
        with socket.create_connection(("127.0.0.1", port_of(host))) as slow:
            slow.settimeout(10)
            slow.sendall(b"\x16\x03")
            assert await asyncio.to_thread(_closed, slow)
        assert await reasons(host) == ["late"]


async def test_there_are_so_many_connections_and_no_more(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``max_connections`` in ``Front.secured``."""
    async with opened(tmp_path, *plant.settings(), "max_connections=2") as host:
        await host.person(ANN, "operator")
        made = plant.client(ANN)
        tls = plant.tls(made)
        async with Client(host.part.address, tls=tls) as one, Client(host.part.address, tls=tls) as other:
            assert (await one.host()).principal == (await other.host()).principal == ANN
            assert open_connections(host) == 2
            assert await asyncio.to_thread(knock, port_of(host), tls) == "closed"
            assert await reasons(host) == ["too_many"]
            assert (await one.host()).principal == (await other.host()).principal == ANN
        await until(lambda: open_connections(host) == 0)
        assert await tried(host, plant, made) == ""


async def test_strangers_who_hold_connections_do_not_keep_others_out(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``Front._has_room``; where tokens count, TLS is established by anybody."""
    async with opened(tmp_path, *plant.settings(identify="either"), "max_connections=4") as host:
        token = await host.person("eve", "operator")
        tls = plant.tls()
        with ExitStack() as stack:
            for _ in range(4):
                plain = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(host))))
                held = stack.enter_context(await asyncio.to_thread(_secured, plain, tls))
                await asyncio.to_thread(held.sendall, PREFACE)
            await until(lambda: open_connections(host) == 4)
            async with Client(host.part.address, tls=tls, token=token, patience=0) as client:
                assert (await client.host()).principal == "eve"
                for _ in range(8):
                    assert await asyncio.to_thread(knock, port_of(host), tls) == "answered"
                assert (await client.host()).principal == "eve"
                assert open_connections(host) <= 4
        assert set(await reasons(host)) == {"made_way"}


@pytest.mark.parametrize("after", [b"", PREFACE], ids=["at once", "in the middle"])
async def test_clients_that_vanish_leave_nothing_behind(plant: Plant, tmp_path: Path, after: bytes) -> None:
    async with plant_host(plant, tmp_path) as host:
        tls = plant.tls(plant.client(ANN))
        before = sum(1 for _ in Path("/proc/self/fd").iterdir())
        for _ in range(20):
            plain = socket.create_connection(("127.0.0.1", port_of(host)))
            secured = await asyncio.to_thread(_secured, plain, tls)
            secured.sendall(after or b"x")
            secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            secured.close()
        await until(lambda: open_connections(host) == 0 and joins() == 0)
        await until(lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before)


async def test_random_bytes_instead_of_tls_end_the_line_and_nothing_else(plant: Plant, tmp_path: Path) -> None:
    async with plant_host(plant, tmp_path) as host:
        for size in (1, 5, 100, 5000):
            await asyncio.to_thread(_say, port_of(host), os.urandom(size))
            await asyncio.to_thread(_say, port_of(host), b"\x16\x03\x01\x02\x00" + os.urandom(size))
        assert await tried(host, plant, plant.client(ANN)) == ""
        assert open_connections(host) <= 1


def _say(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(data)


async def test_the_door_shuts_under_those_who_are_in(plant: Plant, tmp_path: Path) -> None:
    """Calls are answered by gRPC, or told that it shuts, before the lines end; nobody is left connected."""
    async with plant_host(plant, tmp_path) as host:
        client = Client(host.part.address, tls=plant.tls(plant.client(ANN)), patience=0)
        run = await client.submit(Invocation(command_id="demo.hold"))
        waiting = asyncio.create_task(client.wait(run.id))
        await host.demo.begun.wait()
    try:
        assert (await asyncio.wait_for(waiting, 10)).status == "interrupted"
    except TrunnionError as error:
        assert error.code == "unavailable"
    await client.close()
