"""perf-rpc-invoke and perf-rpc-stream: calls and events by gRPC, beside a bare server of the same messages."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.harness import Effort, Work, duel, in_flight
from bench.hosting import open_host, scratch
from bench.result import Line, Result, rate
from trunnion import Command, Context
from trunnion.host import Host

INVOKE_TARGETS = {1: 0.8, 50: 0.6}
STREAM_TARGET = 6.0
STREAMS = (1, 50)
TEXT = "the quick brown fox jumps over the lazy dog"
SERVICE = "trunnion.v1.RuntimeService"
CONFIG = '[rpc]\nenabled = true\naudit = "off-i-know"\n'
OPEN = frozenset({"rpc"})
FLUSH = 500


def measure_invoke(effort: Effort) -> Result:
    """A start of a durable run, answered once it is on record."""
    return _measured(
        _invoke,
        effort,
        "Ceiling: grpc.aio with the generated classes, a handler that answers a message of the same size, client and "
        "server on the loop they have in the measurement of ours, through a Unix socket. Ours: the same client; the "
        "run is on disk before the answer, and is performed and ended within the time that is measured.",
    )


def measure_stream(effort: Effort) -> Result:
    """Events of a run while it is running, decoded by all who follow it."""
    return _measured(
        _stream,
        effort,
        "Ceiling: grpc.aio with the generated classes, one event a message. Ours: a run that emits them, each on disk "
        "before it is sent; all follow the same run.",
    )


def _measured(measure: Callable[[Path, Effort], Awaitable[list[Line]]], effort: Effort, note: str) -> Result:
    if importlib.util.find_spec("trunnion_rpc") is None:
        return Result(notes=["Not measured: trunnion-rpc is not installed."])
    with scratch() as folder:
        return Result(lines=asyncio.run(measure(folder, effort)), notes=[note])


async def noop() -> None:
    """Do nothing."""


class Talk:
    """Emits when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def talk(self, ctx: Context, events: int) -> None:
        """Say the same thing over and over."""
        await self.go.wait()
        for number in range(events):
            ctx.data({"n": number}, TEXT)
            if number % FLUSH == 0:
                await ctx.flush()


@asynccontextmanager
async def _door(folder: Path, *commands: Command) -> AsyncIterator[Path]:
    """A host with its door for gRPC open; gives the socket."""
    plugins = {"rpc": importlib.import_module("trunnion_rpc.plugin")}
    async with open_host(folder / "host", "process", commands, plugins=plugins, config=CONFIG) as host:
        yield _socket(host)


def _socket(host: Host) -> Path:
    return host.data.run / "rpc.sock"


@asynccontextmanager
async def _channel(path: Path) -> AsyncIterator[Any]:
    import grpc.aio

    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"unix:{path}", options=options) as channel:
        yield channel


@asynccontextmanager
async def _bare(path: Path, method: str, handler: Any) -> AsyncIterator[None]:
    """A server of one method."""
    import grpc.aio

    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{path}")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {method: handler}),))
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


# -- invoke ----------------------------------------------------------------------------------------------


async def _invoke(folder: Path, effort: Effort) -> list[Line]:
    import grpc

    from trunnion_rpc.v1 import runtime_pb2 as pb

    request = pb.InvokeRequest(command_id="bench.noop", args_json=b"{}")
    lines = []
    command = Command.of(noop, console="bench", lock=None, expose=OPEN)
    async with _door(folder, command) as socket, _channel(socket) as channel:
        ours = _caller(channel, pb)
        answer = await ours(request)

        async def echo(request: object, context: object) -> object:
            return answer

        handler = grpc.unary_unary_rpc_method_handler(
            echo, pb.InvokeRequest.FromString, pb.InvokeResponse.SerializeToString
        )
        async with _bare(folder / "bare.sock", "Invoke", handler), _channel(folder / "bare.sock") as bare:
            ceiling = _caller(bare, pb)
            for width, target in INVOKE_TARGETS.items():
                figures = await duel(
                    in_flight(lambda: ours(request), width), in_flight(lambda: ceiling(request), width), effort
                )
                lines.append(rate("perf-rpc-invoke", f"{width} in flight", "call", figures, at_least=target))
    return lines


def _caller(channel: Any, pb: Any) -> Callable[[Any], Awaitable[Any]]:
    return channel.unary_unary(  # type: ignore[no-any-return]
        f"/{SERVICE}/Invoke",
        request_serializer=pb.InvokeRequest.SerializeToString,
        response_deserializer=pb.InvokeResponse.FromString,
    )


# -- streams ---------------------------------------------------------------------------------------------


async def _stream(folder: Path, effort: Effort) -> list[Line]:
    import grpc

    from trunnion_rpc.v1 import runtime_pb2 as pb

    talk, lines = Talk(), []
    event = pb.Event(seq=1000, time_us=1_700_000_000_000_000, kind="data", level="info", by="handler", text=TEXT,
                     data_json=b'{"n":1000}')  # fmt: skip
    single = pb.StreamEventsResponse(events=[event])

    async def one_by_one(request: Any, context: object) -> AsyncIterator[object]:
        for _ in range(request.after):
            yield single

    handler = grpc.unary_stream_rpc_method_handler(
        one_by_one, pb.StreamEventsRequest.FromString, pb.StreamEventsResponse.SerializeToString
    )
    command = Command.of(talk.talk, console="bench", lock=None, expose=OPEN)
    async with (
        _door(folder, command) as socket,
        _channel(socket) as channel,
        _bare(folder / "bare.sock", "StreamEvents", handler),
        _channel(folder / "bare.sock") as bare,
    ):
        for width in STREAMS:
            ours, ceiling = _followed(channel, pb, talk, width), _listened(bare, pb, width)
            figures = await duel(ours, ceiling, effort)
            lines.append(rate("perf-rpc-stream", f"{width} streams", "event", figures, at_least=STREAM_TARGET))
    return lines


def _followed(channel: Any, pb: Any, talk: Talk, width: int) -> Work:
    """So many follow a run that emits."""

    async def work(count: int) -> None:
        talk.go.clear()
        asked = pb.InvokeRequest(command_id="bench.talk", args_json=b'{"events":%d}' % count)
        run = (await _caller(channel, pb)(asked)).run
        request = pb.StreamEventsRequest(stream=f"run/{run.id}", follow=True)
        calls = [aiter(_listener(channel, pb)(request)) for _ in range(width)]
        for call in calls:
            await anext(call)  # that it has started
        talk.go.set()
        seen = await asyncio.gather(*(_counted(call) for call in calls))
        if min(seen) < count:
            raise RuntimeError(f"{min(seen)} of {count} events arrived")

    return work


def _listened(channel: Any, pb: Any, width: int) -> Work:
    """So many listen to the bare server."""

    async def work(count: int) -> None:
        request = pb.StreamEventsRequest(after=count)
        await asyncio.gather(*(_counted(aiter(_listener(channel, pb)(request))) for _ in range(width)))

    return work


def _listener(channel: Any, pb: Any) -> Any:
    return channel.unary_stream(
        f"/{SERVICE}/StreamEvents",
        request_serializer=pb.StreamEventsRequest.SerializeToString,
        response_deserializer=pb.StreamEventsResponse.FromString,
    )


async def _counted(messages: AsyncIterator[Any]) -> int:
    seen = 0
    async for message in messages:
        seen += len(message.events)
    return seen
