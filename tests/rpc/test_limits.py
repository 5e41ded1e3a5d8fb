"""How much one principal may take, and that a host of settings means what it says."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from rpc_kit import Demo, Raw, Rpc, opened, refused, until

from trunnion import Busy, Host, HostOptions
from trunnion_rpc import guard
from trunnion_rpc import plugin as rpc
from trunnion_rpc.crowd import Crowd
from trunnion_rpc.frontend import options
from trunnion_rpc.nonsense import FREE, Nonsense
from trunnion_rpc.places import problem_of, tcp_place
from trunnion_rpc.service import METHODS, SERVICE
from trunnion_rpc.settings import SCHEMAS, RpcSettings, read_settings
from trunnion_rpc.tls_settings import TLS_SCHEMA, TlsSettings
from trunnion_rpc.v1 import runtime_pb2 as pb

NOTHING_AHEAD = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024),
]
"""Of a client that takes what it is asked to read, and no more."""


def test_the_defaults_are_those_of_the_schema() -> None:
    defaults = {key: schema["default"] for key, schema in SCHEMAS.items() if key != "tls"}
    assert read_settings(defaults) == RpcSettings()
    assert read_settings({}) == RpcSettings()
    inner = {key: schema["default"] for key, schema in TLS_SCHEMA["properties"].items() if "default" in schema}
    files = {"cert": "c", "key": "k"}
    assert read_settings({"tls": {**inner, **files}}).tls == TlsSettings(**files)
    assert TLS_SCHEMA["properties"].keys() == set(TlsSettings.__struct_fields__)


def test_a_crowd_counts_each_by_itself() -> None:
    crowd = Crowd("calls", 2)
    with crowd.one("ann"), crowd.one("ann"), crowd.one("bob"):
        with pytest.raises(Busy, match="2 calls of ann") as full, crowd.one("ann"):
            pass
        assert full.value.details == {"retry_after": 1}
        with crowd.one("bob"):
            assert len(crowd) == 4
    assert len(crowd) == 0
    assert not crowd._under_way


async def test_calls_of_one_do_not_shut_out_another(tmp_path) -> None:
    """Defence: ``Crowd`` around every unary method."""
    async with opened(tmp_path, "max_calls=3") as host:
        ann, bob = await host.person("ann", "operator"), await host.person("bob", "operator")
        async with Raw(host.socket, ann) as raw, Raw(host.socket, bob) as other:
            hold = pb.InvokeRequest(command_id="demo.hold", wait_seconds=30)
            calls = [asyncio.create_task(raw.ask("Invoke", hold)) for _ in range(3)]
            await until(lambda: len(host.shared.calls) == 3)
            with pytest.raises(grpc.aio.AioRpcError) as busy:
                await raw.ask("GetHost", pb.GetHostRequest())
            assert busy.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "3 calls of ann" in busy.value.details()
            assert (await other.ask("GetHost", pb.GetHostRequest())).principal == "bob"
            host.demo.go.set()
            await asyncio.gather(*calls)
            assert (await raw.ask("GetHost", pb.GetHostRequest())).principal == "ann"


async def test_a_large_answer_that_is_not_taken_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``keep_for``; gRPC keeps what is not taken in memory, and there was no end to how much."""
    answered: list[int] = []

    def fitting(self: guard.Guard, answer: bytes) -> bytes:
        answered.append(len(answer))
        return answer

    monkeypatch.setattr(guard.Guard, "_fitting", fitting)
    async with opened(tmp_path, "max_calls=2") as host, Raw(host.socket) as raw, Raw(host.socket) as other:
        await raw.channel.close()
        raw.channel = grpc.aio.insecure_channel(f"unix:{host.socket}", options=NOTHING_AHEAD)
        lots = pb.QueryRequest(query_id="demo.lots", args_json=b'{"size": 500000}')
        calls = [raw.listen("Query", lots) for _ in range(2)]  # a stream, which is read when it is asked for
        await until(lambda: len(answered) == 2)
        assert len(host.shared.calls) == 2
        error = await refused(other.ask("GetHost", pb.GetHostRequest()))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in calls:
            assert len((await call.read()).value_json) > 500_000
        await until(lambda: len(host.shared.calls) == 0)
        calls = [raw.listen("Query", lots) for _ in range(2)]
        await until(lambda: len(answered) == 4)
        for call in calls:
            call.cancel()
        await until(lambda: len(host.shared.calls) == 0)
        assert (await other.ask("GetHost", pb.GetHostRequest())).source == "rpc"


async def test_streams_of_one_do_not_shut_out_another(tmp_path) -> None:
    """Defence: ``Crowd`` around every stream; one that ended, or whose client is gone, counts no more."""
    async with opened(tmp_path, "max_streams=2") as host:
        ann, bob = await host.person("ann", "operator"), await host.person("bob", "operator")
        async with Raw(host.socket, ann) as raw, Raw(host.socket, bob) as other:
            follow = pb.StreamEventsRequest(stream="host", follow=True)
            open_ = [raw.listen("StreamEvents", follow) for _ in range(2)]
            for call in open_:
                await call.read()
            for beyond in (
                raw.listen("StreamEvents", follow).read(),
                raw.listen("StreamRuns", pb.StreamRunsRequest()).read(),
                raw.listen("ReadContent", pb.ReadContentRequest(meta=pb.MetaContent())).read(),
                raw.bring(pb.WriteUploadRequest(upload_id="u")),
            ):
                assert (await refused(beyond)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await other.listen("StreamEvents", follow).read()
            open_[0].cancel()
            await until(lambda: len(host.shared.streams) == 2)  # one of ann's, one of bob's
            assert await raw.listen("StreamEvents", follow).read()


async def test_a_call_that_waits_for_no_run_has_an_end_too(tmp_path, monkeypatch) -> None:
    """Defence: the limit around every unary method."""
    monkeypatch.setattr(guard, "MARGIN", 0.0)
    async with opened(tmp_path, "max_wait=0.1") as host, Raw(host.socket) as raw:
        late = await refused(raw.ask("Query", pb.QueryRequest(query_id="demo.stall")))
        assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert late.details() == "Query was not answered in time; what it started goes on"
        assert len(host.shared.calls) == 0


class Gone:
    """The context of a call whose client is gone: nothing can be written any more."""

    def invocation_metadata(self) -> tuple:
        return ()

    def done(self) -> bool:
        return True

    async def read(self) -> bytes:
        return pb.StreamEventsRequest(stream="host").SerializeToString()

    async def write(self, message: bytes) -> None:
        raise grpc.aio.UsageError("RPC already finished.")


async def test_what_cannot_be_sent_any_more_is_no_defect(host: Rpc, caplog) -> None:
    """Defence: ``context.done()``."""

    class Silent:
        async def caller(self, metadata: object) -> object:
            return host.host.local_caller("rpc")

    handler = guard.Guard(host.shared, Silent(), SERVICE, METHODS).service(Named(f"/{SERVICE}/StreamEvents"))
    with pytest.raises(asyncio.CancelledError):
        await handler.stream_stream(None, Gone())
    assert "defect" not in caplog.text


class Named(NamedTuple):
    """What a handler is looked up by."""

    method: str
    invocation_metadata: tuple = ()


async def test_j1_what_is_no_grpc_gets_nowhere(host: Rpc) -> None:
    for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + b"\0" * 200, b"\0" * 100):
        with socket.socket(socket.AF_UNIX) as line:
            line.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(line, str(host.socket))
            await loop.sock_sendall(line, said)
            heard = b""
            async with asyncio.timeout(20):
                while piece := await loop.sock_recv(line, 4096):
                    heard += piece
            assert b"trunnion" not in heard.lower()
    assert len(host.shared.calls) == 0


def test_grpc_is_told_the_limits() -> None:
    settings = RpcSettings(
        max_message_bytes=70_000, max_metadata_bytes=5000, max_connections=3, max_connection_calls=7, max_idle=1.5,
        handshake_timeout=0.25, keepalive=2.5,
    )  # fmt: skip
    given = dict(options(settings))
    assert given["grpc.max_receive_message_length"] == given["grpc.max_send_message_length"] == 70_000
    assert given["grpc.max_metadata_size"] == given["grpc.absolute_max_metadata_size"] == 5000
    assert given["grpc.max_allowed_incoming_connections"] == 3
    assert dict(options(settings, counted=True))["grpc.max_allowed_incoming_connections"] > 6
    assert given["grpc.max_concurrent_streams"] == 7
    assert given["grpc.max_connection_idle_ms"] == 1500
    assert given["grpc.server_handshake_timeout_ms"] == 250
    assert given["grpc.keepalive_time_ms"] == 2500


def test_pings_of_a_client_with_a_quiet_stream_are_no_flood() -> None:
    """Many clients ask each ten seconds; by gRPC's own measure that is too often, and the line would be closed."""
    given = dict(options(RpcSettings()))
    assert given["grpc.http2.min_ping_interval_without_data_ms"] <= 10_000


async def test_limits_that_are_live_are_gone_by_at_once(tmp_path: Path) -> None:
    """Defence: ``Shared.follow``; what gRPC was told waits for the next start."""
    config = tmp_path / "trunnion.toml"
    opening = '[rpc]\nenabled = true\naudit = "off-i-know"\n'
    config.write_text(opening + "max_calls = 3\n")
    options = HostOptions(data_dir=tmp_path / "data", config_path=config, strict=True)
    async with Host(options, plugins={"rpc": rpc, "demo": Demo()}, discovery=False, environ={}) as running:
        host = Rpc(running, Demo())
        shared = host.shared
        config.write_text(opening + "max_calls = 1\nmax_streams = 2\nmax_wait = 7\nrequest_timeout = 9\nmax_idle = 8\n")
        pending = (await running.reload())["restart"]
        assert [name for name in pending if name.startswith("rpc.")] == ["rpc.max_idle"]
        assert (shared.calls.most, shared.streams.most) == (1, 2)
        assert (shared.settings.max_wait, shared.settings.request_timeout, shared.settings.max_idle) == (7, 9, 300)
        with shared.calls.one("root"):
            async with Raw(host.socket) as raw:
                assert (
                    await refused(raw.ask("GetHost", pb.GetHostRequest()))
                ).code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_nonsense_runs_off_and_is_told_of_once() -> None:
    clock, told = [0.0], []
    nonsense = Nonsense(lambda: clock[0], told.append)

    def say(principal: str, times: int) -> None:
        for _ in range(times):
            nonsense.count(principal)

    say("ann", FREE - 1)
    nonsense.require_sense("ann")
    say("ann", 3)
    with pytest.raises(Busy, match="of ann") as busy:
        nonsense.require_sense("ann")
    assert busy.value.details == {"retry_after": 3}
    nonsense.require_sense("bob")
    clock[0] = 3.0
    nonsense.require_sense("ann")
    say("ann", 5)
    assert told == ["ann"]
    clock[0] = 100.0
    nonsense.require_sense("ann")
    assert len(nonsense) == 0
    say("ann", FREE)
    assert told == ["ann", "ann"]


def test_of_nobody_in_particular_nonsense_is_not_counted() -> None:
    """Health checks by anybody are one caller's: nobody else is to wait for what somebody sent."""
    nonsense = Nonsense(lambda: 0.0, lambda principal: None)
    for _ in range(2 * FREE):
        nonsense.count("")
    nonsense.require_sense("")
    assert len(nonsense) == 0


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("127.0.0.1:5", "127.0.0.1:5"), ("[::1]:5", "[::1]:5"), ("127.9.9.9:65535", "127.9.9.9:65535")],
)
def test_places_of_this_machine(text: str, spelled: str) -> None:
    place = tcp_place(text)
    assert place is not None
    assert place.spelled(place.port) == spelled
    assert problem_of(text) == ""


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:65536", "::1:5", "[127.0.0.1:5", "a:b", "unix ", "[x]:1"])
def test_what_is_no_place(text: str) -> None:
    assert tcp_place(text) is None
    assert "neither" in problem_of(text)
