"""J11: what client and host of a release said to each other, kept so that later ones can take the place of either.

``python tests/rpc/corpus_kit.py`` records ``tests/rpc/corpus/<version>``: once for each release, before it is made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
import tempfile
from abc import abstractmethod
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import grpc
import grpc.aio
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

from trunnion import Invocation, RunFilter, TrunnionError
from trunnion_rpc.client import Client
from trunnion_rpc.v1 import runtime_pb2

CORPUS = Path(__file__).with_name("corpus")
SERVICE = "trunnion.v1.RuntimeService"
DETAILS = "grpc-status-details-bin"


class Exchange(NamedTuple):
    """One call: what was sent, what came back, and how it ended."""

    method: str
    requests: list[bytes]
    answers: list[bytes]
    code: str = "OK"
    text: str = ""
    details: bytes = b""


class Release(NamedTuple):
    """What is kept of a release.

    Attributes:
        protocol: its file.
        exchanges: in the order they began.
        facts: what the client made of it.
    """

    protocol: FileDescriptorProto
    exchanges: list[Exchange]
    facts: dict[str, object]

    def kind(self, method: str, of: str) -> type[Message]:
        """The class of the requests (``Request``) or answers (``Response``) of a method, as they were then."""
        pool = descriptor_pool.DescriptorPool()
        pool.Add(self.protocol)
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"trunnion.v1.{method}{of}"))


def protocol() -> FileDescriptorProto:
    """The present one."""
    made = FileDescriptorProto()
    runtime_pb2.DESCRIPTOR.CopyToProto(made)
    return made


# -- on disk -----------------------------------------------------------------------------------------------


def releases() -> list[str]:
    return sorted(folder.name for folder in CORPUS.iterdir() if folder.is_dir())


def load(release: str) -> Release:
    folder = CORPUS / release
    (file,) = FileDescriptorSet.FromString((folder / "protocol.binpb").read_bytes()).file
    lines = [json.loads(line) for line in (folder / "exchanges.jsonl").read_text().splitlines()]
    exchanges = [
        Exchange(
            line["method"],
            [base64.b64decode(each) for each in line["requests"]],
            [base64.b64decode(each) for each in line["answers"]],
            line["code"],
            line["text"],
            base64.b64decode(line["details"]),
        )
        for line in lines
    ]
    return Release(file, exchanges, json.loads((folder / "facts.json").read_text()))


def save(release: str, kept: Release) -> None:
    folder = CORPUS / release
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.binpb").write_bytes(FileDescriptorSet(file=[kept.protocol]).SerializeToString())
    with (folder / "exchanges.jsonl").open("w") as file:
        for each in kept.exchanges:
            line = each._asdict() | {
                "requests": [_text(data) for data in each.requests],
                "answers": [_text(data) for data in each.answers],
                "details": _text(each.details),
            }
            file.write(json.dumps(line) + "\n")
    (folder / "facts.json").write_text(json.dumps(kept.facts, indent=1) + "\n")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


# -- the session -------------------------------------------------------------------------------------------


async def session(client: Client) -> dict[str, object]:
    """A client uses everything that there is; what it made of the answers, without what differs each time."""
    facts: dict[str, object] = {}
    host = await client.host()
    facts["host"] = [host.principal, host.role, host.source]
    facts["meta"] = sorted((await client.meta()).meta)  # type: ignore[arg-type]
    run = await client.run(Invocation(command_id="demo.greet", args={"name": "Ann"}, labels={"a": "b"}, session_id="s"))
    facts["run"] = [
        run.command_id,
        run.status,
        run.args,
        run.result,
        run.labels,
        run.session_id,
        run.attempt,
        run.source,
    ]
    failed = await client.run(Invocation(command_id="demo.fail", argv=()))
    facts["failed"] = [failed.status, failed.error.code if failed.error else "", failed.error.message]
    lined = await client.submit(Invocation(command_id="", line="demo.effect x"))
    facts["waited"] = [(await client.wait(lined.id)).result, (await client.get(lined.id)).status]
    events = [event async for batch in client.follow(f"run/{run.id}") for event in batch]
    facts["events"] = [[event.seq, event.kind, event.level, event.by, event.text] for event in events]
    held = await client.submit(Invocation(command_id="demo.hold"))
    changes = client.follow_runs(RunFilter(command="demo.hold"))
    change = await anext(changes)
    await changes.aclose()
    facts["changes"] = [change.reset, [each.id == held.id for each in change.runs]]
    facts["cancelled"] = [(await client.cancel(held.id)).command_id, (await client.wait(held.id)).status]
    page = await client.list_runs(RunFilter(command="demo.*"), limit=2)
    facts["page"] = [[each.command_id for each in page.items], page.next is not None]
    facts["query"] = [await client.query("demo.count", {"n": 3}), await client.query("demo.count", argv=["--n", "4"])]
    facts["completion"] = [each.value for each in await client.complete("demo.greet", [], "--")]
    facts["refusals"] = [await _refusal(client, name, args) for name, args in REFUSED]
    brought = await client.files.upload(b"content", name="a.txt", media_type="text/plain")
    facts["upload"] = [brought.name, brought.size, brought.sha256, brought.media_type]
    other = await client.files.upload(b"", name="b")
    await client.files.drop(other.id)
    read = await client.run(Invocation(command_id="demo.read", args={"file": brought.handle}))
    facts["used"] = [read.status, read.result, (await client.files.uploaded(brought.id)).offset]
    kept = await client.run(Invocation(command_id="demo.keep", args={"size": 512}))
    info = await client.files.info(str(kept.result))
    content = b"".join([piece async for piece in client.files.read(str(kept.result), 256)])
    facts["artifact"] = [info.name, info.size, info.sha256, info.media_type, len(content)]
    return json.loads(json.dumps(facts))  # type: ignore[no-any-return]


REFUSED = (("demo.greet", {}), ("no.such", {}), ("demo.greet", {"name": 3}))


async def _refusal(client: Client, name: str, args: dict[str, object]) -> list[str]:
    try:
        await client.submit(Invocation(command_id=name, args=args))
    except TrunnionError as error:
        return [error.code, error.message]
    return ["none"]


# -- in between --------------------------------------------------------------------------------------------


class _All(grpc.GenericRpcHandler):
    """Every method, as streams of bytes both ways."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]

        async def talk(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
            await self.talk(method, requests, context)

        return grpc.stream_stream_rpc_method_handler(talk)

    @abstractmethod
    async def talk(self, method: str, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None: ...


class Recorder(_All):
    """Passes on what is said, and keeps it."""

    def __init__(self, host: Path) -> None:
        self._host = host
        self.exchanges: list[Exchange] = []

    async def talk(self, method: str, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        sent, answers = [], []
        async with grpc.aio.insecure_channel(f"unix:{self._host}") as channel:
            call = channel.stream_stream(f"/{SERVICE}/{method}")()

            async def pass_on() -> None:
                async for request in requests:
                    sent.append(request)
                    await call.write(request)
                await call.done_writing()

            place = len(self.exchanges)
            self.exchanges.append(Exchange(method, sent, answers))
            passing = asyncio.create_task(pass_on())
            try:
                async for answer in call:
                    answers.append(answer)
                    await context.write(answer)
            except grpc.aio.AioRpcError as error:
                raw = dict(error.trailing_metadata() or ()).get(DETAILS, b"")
                self.exchanges[place] = Exchange(method, sent, answers, error.code().name, error.details() or "", raw)
                await context.abort(error.code(), error.details() or "", ((DETAILS, raw),))
            finally:
                passing.cancel()


class Playback(_All):
    """Answers as the host of a release did, call by call of each method."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._left: dict[str, deque[Exchange]] = defaultdict(deque)
        for exchange in exchanges:
            self._left[exchange.method].append(exchange)

    async def talk(self, method: str, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        exchange = self._left[method].popleft()
        async for _ in requests:
            pass
        for answer in exchange.answers:
            await context.write(answer)
        if exchange.code != "OK":
            await context.abort(grpc.StatusCode[exchange.code], exchange.text, ((DETAILS, exchange.details),))


@asynccontextmanager
async def serving(handler: grpc.GenericRpcHandler, path: Path) -> AsyncIterator[Path]:
    """A server at a socket."""
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{path}")
    server.add_generic_rpc_handlers((handler,))
    await server.start()
    try:
        yield path
    finally:
        await server.stop(0)


# -- comparing ---------------------------------------------------------------------------------------------


class Names:
    """The ids of then, and what is called so now."""

    def __init__(self) -> None:
        self._now: dict[bytes, bytes] = {}

    def learn(self, then: Message, now: Message) -> None:
        """Two answers to the same request name the same things, at the same places."""
        for old, new in zip(_ids(then), _ids(now), strict=False):
            self._now[old] = new

    def put(self, data: bytes) -> bytes:
        """A request of then, about the things of now; ids are of one length."""
        for old, new in self._now.items():
            data = data.replace(old, new)
        return data


_id = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def _ids(message: Message) -> list[bytes]:
    return _id.findall(message.SerializeToString(deterministic=True))


def told(message: Message, stable: frozenset[str]) -> Iterator[str]:
    """What a message says, as lines: which fields are there, and the values of some of them."""
    yield from sorted(set(_told("", json_format.MessageToDict(message, preserving_proto_field_name=True), stable)))


def _told(path: str, value: object, stable: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _told(f"{path}.{name}", part, stable)
    elif isinstance(value, list):
        for part in value:
            yield from _told(f"{path}[]", part, stable)
    else:
        yield f"{path}={value}" if path.rpartition(".")[2] in stable else path


async def record(folder: Path) -> Release:
    """What is said now."""
    from rpc_kit import opened

    async with opened(folder) as host:
        recorder = Recorder(host.socket)
        async with serving(recorder, folder / "between.sock") as between, Client(between) as client:
            facts = await session(client)
    return Release(protocol(), recorder.exchanges, facts)


def main() -> None:
    sys.path[:0] = [str(Path(__file__).parent)]
    with tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(record(Path(folder)))
    save(version("trunnion-rpc"), kept)
    print(f"{len(kept.exchanges)} exchanges kept in {CORPUS.name}/{version('trunnion-rpc')}")


if __name__ == "__main__":
    main()
