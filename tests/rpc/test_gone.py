"""J7: deadlines that were over before anything began, and clients that vanish: all by policy, and nothing is left.

The policy: a call ends with its client, and whatever it started goes on, unless it was asked for with
``cancel_on_disconnect``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from http2_kit import Line, ended
from rpc_kit import Raw, Rpc, refused, until

from trunnion_rpc.crowd import Crowd
from trunnion_rpc.service import METHODS, SERVICE
from trunnion_rpc.v1 import runtime_pb2 as pb

NOT_OF_CALLS = ("AioServer._request_call", "TestRunner.")
"""What waits for the next call, whoever makes it, and what runs the test."""

HOLD = pb.InvokeRequest(command_id="demo.hold", wait_seconds=60)


class Relay:
    """A line to the host that can be cut: everything in between goes without a farewell."""

    def __init__(self, host: Rpc) -> None:
        self._host = host
        self.path = host.socket.with_name("relay.sock")
        self._writers: list[asyncio.StreamWriter] = []

    @classmethod
    async def to(cls, host: Rpc) -> Relay:
        made = cls(host)
        made._server = await asyncio.start_unix_server(made._relayed, made.path)
        return made

    async def _relayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(self._host.socket)
        self._writers += [writer, forth]
        await asyncio.gather(_pumped(reader, forth), _pumped(back, writer), return_exceptions=True)

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)


class Census:
    """What there is while nobody is there, and once they have gone again."""

    def __init__(self, host: Rpc) -> None:
        self._host = host
        self._before = set(asyncio.all_tasks())

    def left(self) -> dict[str, object]:
        """What is there of calls, and was not before."""
        kernel, shared = self._host.host.kernel, self._host.shared
        tasks = asyncio.all_tasks() - self._before
        found: dict[str, object] = {
            "calls": len(shared.calls),
            "streams": len(shared.streams),
            "kept": len(shared._background),
            "wards": len(kernel.wards.open),
            "followers": sum(log.followers for log in kernel.log.logs.values()),
            "following runs": len(kernel.run_feed._waiting),
            "live runs": len(kernel.executor.table.live),
            "tasks": [name for task in tasks if not (name := task.get_coro().__qualname__).startswith(NOT_OF_CALLS)],
        }
        return {name: value for name, value in found.items() if value}

    async def is_clean(self) -> None:
        """Wait until nothing is left; it has ten seconds, for what a lost line leads to."""
        with suppress(TimeoutError):
            await until(lambda: not self.left())
        assert self.left() == {}


@pytest.fixture
async def census(host: Rpc) -> Census:
    """Taken after a first call, which makes what stays for the next ones."""
    async with Raw(host.socket) as raw:
        await raw.ask("GetHost", pb.GetHostRequest())
        await raw.ask("Query", pb.QueryRequest(query_id="demo.count"))
    return Census(host)


# -- deadlines ---------------------------------------------------------------------------------------------


def overdue(path: Path, method: str, body: bytes, timeout: bytes, times: int) -> None:
    """Make calls with a deadline, as no library would send one that is over."""
    with Line(path) as line:
        for _ in range(times):
            line.until(ended(line.call(method, body, ("grpc-timeout", timeout))))


@pytest.mark.parametrize("timeout", [b"0n", b"1n", b"1m"], ids=["over", "as good as over", "a millisecond"])
async def test_j7_deadlines_that_are_over(host: Rpc, census: Census, timeout: bytes, rounds: int, figure) -> None:
    """Every method: it ends, and nothing of it is left; what was started by then goes on."""
    times = max(1, rounds // 10)
    for name in METHODS:
        body = HOLD.SerializeToString() if name == "Invoke" else b""
        await asyncio.to_thread(overdue, host.socket, name, body, timeout, times)
    host.demo.go.set()
    await census.is_clean()
    figure("calls", times * len(METHODS))


async def test_j7_a_deadline_ends_the_call_and_not_its_run(host: Rpc, raw: Raw) -> None:
    call = raw.channel.unary_unary(f"/{SERVICE}/Invoke")
    for seconds in (0.0, 0.001, 0.3):
        late = await refused(call(HOLD.SerializeToString(), timeout=seconds))
        assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not len(host.shared.calls))
    live = host.host.kernel.executor.table.live
    assert {run.run.status for run in live.values()} == {"running"}
    host.demo.go.set()
    await until(lambda: not live)


async def test_j7_a_deadline_ends_the_run_that_was_tied_to_its_call(host: Rpc, raw: Raw) -> None:
    tied = pb.InvokeRequest(command_id="demo.hold", wait_seconds=60, cancel_on_disconnect=True)
    call = raw.channel.unary_unary(f"/{SERVICE}/Invoke")
    late = await refused(call(tied.SerializeToString(), timeout=0.3))
    assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not host.host.kernel.executor.table.live)
    (run,) = (await raw.ask("ListRuns", pb.ListRunsRequest())).runs
    assert run.status == pb.RUN_STATUS_CANCELLED


# -- clients that vanish -----------------------------------------------------------------------------------


async def _begun(raw: Raw, host: Rpc) -> list[asyncio.Task]:
    """Everything that lasts, well on its way."""
    run = await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.hold"))
    upload = (await raw.ask("OpenUpload", pb.OpenUploadRequest(name="n"))).upload.id

    streams = [
        raw.listen("StreamEvents", pb.StreamEventsRequest(stream="host", follow=True)),
        raw.listen("StreamEvents", pb.StreamEventsRequest(stream=f"run/{run.run.id}", follow=True)),
        raw.listen("StreamRuns", pb.StreamRunsRequest()),
    ]
    for stream in streams:
        await stream.read()
    lasting = [
        raw.ask("Invoke", HOLD),
        raw.ask("WaitRun", pb.WaitRunRequest(run_id=run.run.id)),
        raw.ask("Query", pb.QueryRequest(query_id="demo.stall")),
    ]
    tasks = [asyncio.create_task(each) for each in lasting]
    bring = raw.channel.stream_unary(f"/{SERVICE}/WriteUpload")(metadata=raw.metadata)
    await bring.write(pb.WriteUploadRequest(upload_id=upload, chunk=b"x").SerializeToString())
    await until(lambda: len(host.shared.streams) >= 4 and len(host.shared.calls) >= 3)
    return [*tasks, *[asyncio.create_task(_end_of(each)) for each in streams], asyncio.ensure_future(bring.code())]


async def _end_of(stream: grpc.aio.UnaryStreamCall) -> grpc.StatusCode:
    with suppress(grpc.aio.AioRpcError):
        while await stream.read() is not grpc.aio.EOF:
            pass
    return await stream.code()


async def vanished(host: Rpc) -> None:
    """Somebody who has everything under way goes without a word."""
    relay = await Relay.to(host)
    async with Raw(relay.path) as raw:
        tasks = await _begun(raw, host)
        relay.cut()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)


async def test_j7_a_client_vanishes_without_a_word(host: Rpc, census: Census) -> None:
    await vanished(host)
    await until(lambda: not len(host.shared.streams) and not len(host.shared.calls))
    assert {live.run.status for live in host.host.kernel.executor.table.live.values()} == {"running"}
    host.demo.go.set()
    await census.is_clean()


async def test_j7_a_client_takes_its_calls_back(host: Rpc, census: Census) -> None:
    async with Raw(host.socket) as raw:
        for task in await _begun(raw, host):
            task.cancel()
    host.demo.go.set()
    await census.is_clean()


async def test_j7_a_host_that_stops_leaves_no_call(host: Rpc, raw: Raw) -> None:
    """Whoever has something under way is told; the door does not wait for them."""
    tasks = await _begun(raw, host)
    shared = host.shared
    await host.host.stop()
    ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    assert all(end is not None for end in ends)
    assert (len(shared.calls), len(shared.streams)) == (0, 0)


async def test_j7_without_the_fault(host: Rpc, census: Census) -> None:
    async with Raw(host.socket) as raw:
        host.demo.go.set()
        for name in ("GetHost", "ListRuns", "GetMeta"):
            await raw.ask(name, b"")
    await census.is_clean()


async def test_j7_without_the_defence_a_place_is_never_free_again(host: Rpc, census: Census, monkeypatch) -> None:
    """Defence: ``Crowd`` counts down however a call ends."""
    monkeypatch.setattr(Crowd, "leave", lambda self, principal: None)
    await vanished(host)
    with pytest.raises(TimeoutError):
        await until(lambda: not len(host.shared.streams), 0.5)
    host.demo.go.set()
