"""A host in this process with its door for gRPC open, things to call there, and people to call them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from trunnion import Command, Context, Host, HostOptions, Invocation, Query, Secret, hookimpl
from trunnion.kernel.parts import Part
from trunnion.model.json import Json
from trunnion.model.runs import Run
from trunnion_rpc import plugin as rpc
from trunnion_rpc.call import Shared
from trunnion_rpc.client import Client
from trunnion_rpc.places import socket_of
from trunnion_rpc.service import SERVICE
from trunnion_rpc.v1 import runtime_pb2 as pb

OPEN = frozenset({"rpc"})
PATIENCE = 20


class Demo:
    """Commands and queries, some of which wait for the test."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.effects: list[str] = []

    async def greet(self, ctx: Context, name: str, *, loud: bool = False) -> str:
        """Greet somebody."""
        ctx.echo("looking for", name)
        return f"hello {name}".upper() if loud else f"hello {name}"

    async def hold(self, ctx: Context) -> str:
        """Wait for the test."""
        ctx.echo("holding")
        await ctx.flush()
        self.begun.set()
        await self.go.wait()
        return "let go"

    async def effect(self, what: str) -> int:
        """Do something that is counted."""
        self.effects.append(what)
        return len(self.effects)

    async def much(self, ctx: Context, lines: int, size: int = 200) -> int:
        """Say a lot."""
        for line in range(lines):
            ctx.data({"n": line}, "x" * size)
            if line % 500 == 0:
                await ctx.flush()
        return lines

    async def large(self, ctx: Context, size: int) -> str:
        """Answer a lot, and say it too."""
        ctx.data({"text": "é" * size})
        return "é" * size

    async def keep(self, ctx: Context, size: int) -> str:
        """Keep a file."""
        return (await ctx.artifact("kept.bin", bytes(range(256)) * (size // 256), "application/x-kept")).id

    async def fail(self, ctx: Context) -> None:
        """Raise."""
        raise ValueError("why it failed")

    async def sign(self, key: Annotated[str, Secret()]) -> str:
        """Take a secret."""
        return f"signed with {len(key)} characters"

    async def read(self, file: Path) -> int:
        """Measure a file that was brought."""
        return file.stat().st_size

    async def nest(self, ctx: Context) -> Json:
        """Have another one run, and count it."""
        ctx.stats.add("children")
        return await ctx.invoke("demo.greet", name="Eve")

    async def closed(self) -> str:
        """For nobody at this door."""
        return "how did you get here?"

    def count(self, n: int = 1) -> dict[str, Json]:
        """Count."""
        return {"n": n}

    def lots(self, size: int) -> str:
        """Answer a lot."""
        return "ü" * size

    async def stall(self) -> str:
        """Answer when the test lets it."""
        self.begun.set()
        await self.go.wait()
        return "let go"

    def broken(self) -> None:
        """Raise."""
        raise ZeroDivisionError("internal matter")

    @hookimpl
    def trunnion_commands(self, settings: object) -> list[Command]:
        open_ = (self.greet, self.hold, self.effect, self.much, self.large, self.keep, self.fail, self.sign, self.read,
                 self.nest)  # fmt: skip
        made = [Command.of(function, console="demo", lock=None, expose=OPEN) for function in open_]
        return [*made, Command.of(self.closed, console="demo")]

    @hookimpl
    def trunnion_queries(self, settings: object) -> list[Query]:
        return [
            Query.of(function, console="demo", expose=OPEN)
            for function in (self.count, self.lots, self.stall, self.broken)
        ]


class Rpc:
    """A running host, seen from its door for gRPC."""

    def __init__(self, host: Host, demo: Demo) -> None:
        self.host = host
        self.demo = demo
        self.socket = socket_of(host.data.run)

    @property
    def part(self) -> Part:
        return next(part for part in self.host.kernel.parts if part.name == "rpc")

    @property
    def shared(self) -> Shared:
        """What all calls at the door share."""
        found = [each for each in gc.get_objects() if isinstance(each, Shared)]
        return next(each for each in found if each.host.identity is self.host.kernel.identity)

    def client(self, token: str | None = None, *, patience: float = 5.0) -> Client:
        return Client(self.socket, token=token, patience=patience)

    async def person(self, name: str, role: str | None = None, *grants: str) -> str:
        """A principal's token, which reaches whatever its principal may see."""
        await self.do("principals.add", name=name, **({"role": role} if role else {}))
        if grants:
            await self.do("grants.add", principal=name, role="operator", on=list(grants))
        return (await self.do("tokens.create", principal=name, on=["*", "runs:*"]))["token"]

    async def do(self, command_id: str, **args: object) -> dict[str, str]:
        """Something the owner does at home."""
        door, caller = self.host.door("cli"), self.host.local_caller()
        run = await door.submit(caller, Invocation(command_id=command_id, args=args))
        run = run if run.ended else await door.wait(caller, run.id, PATIENCE)
        assert run.error is None, run.error
        return run.result

    async def at_home(self, run_id: str) -> Run:
        """A run as the owner sees it at home, at its end."""
        return await self.host.door("cli").wait(self.host.local_caller(), run_id, PATIENCE)


@asynccontextmanager
async def opened(
    root: Path, *overrides: str, demo: Demo | None = None, plugins: dict | None = None
) -> AsyncIterator[Rpc]:
    """A host with the door open; ``overrides`` are settings, those of the door without its name before them."""
    demo = demo or Demo()
    own = ["executor.shutdown_grace=0.2", "rpc.enabled=true", "rpc.audit=off-i-know"]
    given = [each if "." in each.partition("=")[0] else f"rpc.{each}" for each in overrides]
    options = HostOptions(data_dir=root / "data", overrides=(*own, *given), strict=True)
    together = {"rpc": rpc, "demo": demo, **(plugins or {})}
    async with Host(options, plugins=together, discovery=False, environ={}) as host:
        yield Rpc(host, demo)


class Raw:
    """A channel without our client: what any other client of gRPC sees."""

    def __init__(self, target: Path | str, token: str | None = None) -> None:
        spelled = f"unix:{target}" if isinstance(target, Path) else target
        self.channel = grpc.aio.insecure_channel(spelled, options=[("grpc.use_local_subchannel_pool", 1)])
        self.metadata: tuple[tuple[str, str | bytes], ...] = ()
        if token is not None:
            self.metadata = (("authorization", f"Bearer {token}"),)

    async def __aenter__(self) -> Raw:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def ask(self, method: str, request: Message | bytes, service: str = SERVICE, **more: object) -> Message:
        """One answer; of another service, its bytes."""
        kind = getattr(pb, f"{method}Response").FromString if service == SERVICE else None
        call = self.channel.unary_unary(f"/{service}/{method}", response_deserializer=kind)
        return await call(_bytes(request), metadata=self.metadata, timeout=PATIENCE, **more)

    def listen(self, method: str, request: Message | bytes, service: str = SERVICE) -> grpc.aio.UnaryStreamCall:
        kind = getattr(pb, f"{method}Response").FromString if service == SERVICE else None
        call = self.channel.unary_stream(f"/{service}/{method}", response_deserializer=kind)
        return call(_bytes(request), metadata=self.metadata)

    async def bring(self, *requests: Message | bytes) -> pb.WriteUploadResponse:
        kind = pb.WriteUploadResponse.FromString
        call = self.channel.stream_unary(f"/{SERVICE}/WriteUpload", response_deserializer=kind)

        async def each() -> AsyncIterator[bytes]:
            for request in requests:
                yield _bytes(request)

        return await call(each(), metadata=self.metadata, timeout=PATIENCE)


def _bytes(request: Message | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()


async def refused(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """How a call was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for something that the host brings about by itself."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
