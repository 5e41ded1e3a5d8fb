"""A door that does only what a test tells it to, and an outlet that stands for a slow or fast line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from trunnion.kernel.authentication import local_caller
from trunnion.model.access import LocalUser
from trunnion.model.errors import InvalidArguments, NotFound, Unauthenticated
from trunnion.model.events import Event
from trunnion.model.runs import LOCAL_DOORS, Caller, Invocation, Run
from trunnion.protocol.client import Client
from trunnion.protocol.connection import Connection, Limits
from trunnion.protocol.server import SocketServer

sys.path.insert(0, str(Path(__file__).parent))

OWNER = Caller("ann", "cli")


class Meta(msgspec.Struct):
    revision: str = "r1"
    generation: int = 1
    body: bytes = b'{"commands":[]}'


def make_run(run_id: str, command_id: str, status: str = "running", **more: object) -> Run:
    return Run(
        id=run_id, num=1, command_id=command_id, command_revision="c1", status=status, created=1,
        principal="ann", source="cli", **more,
    )  # fmt: skip


class StandInDoor:
    """Keeps the promises of a door for runs that a test ends by hand and streams it fills by hand."""

    source = "cli"

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.ended: dict[str, asyncio.Event] = {}
        self.cancelled: list[str] = []
        self.pulled: dict[str, int] = {}
        self.streams: dict[str, list[list[Event]]] = {}
        self.may_submit = asyncio.Event()
        self.may_submit.set()
        self.may_answer = asyncio.Event()

    async def authenticate(self, credential: LocalUser) -> Caller:
        if credential.uid not in (os.getuid(), 0):
            raise Unauthenticated("the credential is not valid here")
        return local_caller(credential.uid, self.source)

    async def submit(self, caller: Caller, invocation: Invocation) -> Run:
        await self.may_submit.wait()
        if invocation.command_id == "no.such":
            raise NotFound("there is no command no.such", {"nearest": ["such"]})
        run = make_run(f"run{len(self.runs) + 1}", invocation.command_id, args=invocation.args or {})
        self.runs[run.id], self.ended[run.id] = run, asyncio.Event()
        return run

    async def begin(self, caller: Caller, invocation: Invocation) -> SimpleNamespace:
        return SimpleNamespace(run=await self.submit(caller, invocation))

    def end(self, run_id: str, status: str = "succeeded", **fields: object) -> None:
        self.runs[run_id] = msgspec.structs.replace(self.runs[run_id], status=status, **fields)
        self.ended[run_id].set()

    async def wait(self, caller: Caller, run_id: str, timeout: float | None = None, *, begun: object = None) -> Run:
        await self.ended[run_id].wait()
        return self.runs[run_id]

    async def cancel(self, caller: Caller, run_id: str) -> Run:
        self.cancelled.append(run_id)
        self.end(run_id, "cancelled")
        return self.runs[run_id]

    def is_query(self, caller: Caller, name: str) -> bool:
        return name in ("units.list", "broken")

    async def query(self, caller: Caller, query_id: str, args: Mapping | None = None, *, argv=None) -> object:
        if query_id == "wait.for-it":
            await self.may_answer.wait()
        if query_id == "broken":
            raise ZeroDivisionError("secret detail")
        return {"query": query_id, "args": args, "argv": argv}

    def follow(
        self, caller: Caller, stream: str, after: int = 0, *, live: bool = True, begun: object = None
    ) -> AsyncIterator:
        if stream not in self.streams:
            raise NotFound(f"no stream {stream}")
        return self._follow(stream, after, live)

    async def _follow(self, stream: str, after: int, live: bool) -> AsyncIterator[Sequence[Event]]:
        for batch in self.streams[stream]:
            if fresh := [event for event in batch if event.seq > after]:
                self.pulled[stream] = self.pulled.get(stream, 0) + 1
                yield fresh
        if live and not stream.startswith("run/"):
            await asyncio.Event().wait()

    def meta(self, caller: Caller) -> Meta:
        return Meta()

    async def complete(self, caller: Caller, command_id: str, words: Sequence[str], incomplete: str) -> list:
        return [{"value": incomplete + "x", "description": " ".join(words), "kind": "value"}]


class Line:
    """An outlet that takes everything until ``blocked``, and shows what it was given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.blocked = False
        self.changed = asyncio.Event()

    def write(self, message: bytes) -> None:
        self.sent.append(message)
        self.changed.set()

    async def room(self, limit: int) -> None:
        while self.blocked:
            self.changed.clear()
            await self.changed.wait()

    def unblock(self) -> None:
        self.blocked = False
        self.changed.set()

    @property
    def messages(self) -> list[dict]:
        return [msgspec.json.decode(message) for message in self.sent]

    async def until(self, condition: Callable[[list[dict]], bool]) -> list[dict]:
        async with asyncio.timeout(5):
            while not condition(self.messages):
                self.changed.clear()
                await self.changed.wait()
        return self.messages

    async def answer(self, call_id: object) -> dict:
        found = await self.until(lambda sent: any(m.get("id") == call_id for m in sent))
        return next(m for m in found if m.get("id") == call_id)


class Bench(SimpleNamespace):
    """A connection with all its ends in the test's hands."""

    def call(self, call_id: object, method: str, params: Mapping | None = None, **more: object) -> None:
        call = {"type": "rpc", "id": call_id, "method": method, "params": params or {}, **more}
        self.connection.receive(msgspec.json.encode(call))

    async def ask(self, call_id: object, method: str, params: Mapping | None = None, **more: object) -> dict:
        self.call(call_id, method, params, **more)
        return await self.line.answer(call_id)


@pytest.fixture
def make_host():
    def make(run: Path | None = None) -> SimpleNamespace:
        door = StandInDoor()

        def local_door(source: str) -> StandInDoor:
            if door.source not in LOCAL_DOORS:
                raise InvalidArguments(f"the door is {door.source} here, not {source}")
            return door

        return SimpleNamespace(
            door=door,
            local_door=local_door,
            host_id="h1",
            boot_id="b1",
            version="0.1.0",
            data=SimpleNamespace(run=run),
            shown=lambda error: error.info,
            told=(told := []),
            turned_down=lambda what, error, caller: told.append((what, error.code, caller)),
        )

    return make


@pytest.fixture
async def bench(make_host):
    host = make_host()
    line = Line()
    connection = Connection(host, OWNER, line, limits=Limits(pending_calls=8, subscriptions=2, tied_runs=2))
    yield Bench(host=host, door=host.door, line=line, connection=connection)
    connection.close()


@pytest.fixture
def events():
    def make(stream: str, first: int, last: int, size: int = 10) -> list[Event]:
        return [Event(stream, seq, seq, "text", text="x" * size) for seq in range(first, last + 1)]

    return make


@pytest.fixture
async def server(make_host, tmp_path):
    async with SocketServer(make_host(tmp_path), tmp_path) as running:
        yield running


@pytest.fixture
async def client(server):
    async with await Client.connect(server.path) as connected:
        yield connected


@pytest.fixture
def door(server):
    return server._host.door
