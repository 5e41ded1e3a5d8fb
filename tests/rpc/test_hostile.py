"""J8: whatever comes as a message gets an answer with a name, and the host goes on."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

import grpc
import pytest
from figures import SEED
from google.protobuf.message import Message
from rpc_kit import Raw, Rpc, opened

from trunnion import PrivateSocket
from trunnion_rpc import guard, nonsense
from trunnion_rpc.guard import Downward, Guard, Unary
from trunnion_rpc.identity import Identity
from trunnion_rpc.service import METHODS, SERVICE
from trunnion_rpc.v1 import runtime_pb2 as pb

UNARY = [name for name, method in METHODS.items() if isinstance(method, Unary)]
DOWNWARD = [name for name, method in METHODS.items() if isinstance(method, Downward)]
NAMED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
NO_MESSAGE = b"\xff" * 40
NO_TEXT = b"\x0a\x02\xff\xfe"
"""Field 1 as a string that is not UTF-8."""


async def code_of(raw: Raw, name: str, data: bytes) -> grpc.StatusCode:
    """How a call ends."""
    try:
        if name in UNARY:
            await raw.ask(name, data)
        elif name in DOWNWARD:
            call = raw.listen(name, data)
            while await call.read() is not grpc.aio.EOF:
                pass
        else:
            await raw.bring(data)
        return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        assert "Traceback" not in str(error) + str(error.trailing_metadata())
        return error.code()


@pytest.mark.parametrize("name", METHODS)
async def test_j8_what_is_no_message_is_refused_by_name(raw: Raw, name: str) -> None:
    assert await code_of(raw, name, NO_MESSAGE) == grpc.StatusCode.INVALID_ARGUMENT
    if name not in ("GetHost", "ListRuns"):  # whose field 1 is a message, or not there
        assert await code_of(raw, name, NO_TEXT) == grpc.StatusCode.INVALID_ARGUMENT


async def test_j8_fields_of_another_age_are_no_obstacle(raw: Raw) -> None:
    """A newer client sends what this host does not know."""
    unknown = b"\xfa\x3f\x03abc\x80\x40\x01"  # fields 1023 and 1024
    known = pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":"A"}', wait_seconds=9).SerializeToString()
    assert (await raw.ask("Invoke", known + unknown)).run.result_json == b'"hello A"'


async def test_j8_a_number_that_no_status_has(raw: Raw) -> None:
    wanted = pb.ListRunsRequest(filter=pb.RunFilter(status=[99]))
    assert await code_of(raw, "ListRuns", wanted.SerializeToString()) == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "args",
    [b"", b"{", b"[]", b"null", b'"text"', b'{"name":NaN}', b'{"name":"a","name":"b"}', b"\xff", b'{"name":"\\ud800"}',
     b"[" * 5000 + b"]" * 5000, b'{"name":' + b"9" * 500 + b"}"],
)  # fmt: skip
async def test_j8_arguments_that_are_no_object_of_json(raw: Raw, args: bytes) -> None:
    for name, request in (
        ("Invoke", pb.InvokeRequest(command_id="demo.greet", args_json=args)),
        ("Query", pb.QueryRequest(query_id="demo.count", args_json=args)),
    ):
        assert await code_of(raw, name, request.SerializeToString()) == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300])
async def test_j8_times_that_are_none(raw: Raw, seconds: float) -> None:
    odd = pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":"A"}', timeout_seconds=seconds)
    assert await code_of(raw, "Invoke", odd.SerializeToString()) == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("seconds", [float("nan"), float("-inf"), -1.0, 0.0])
async def test_j8_waits_that_are_none(host: Rpc, raw: Raw, seconds: float) -> None:
    answer = await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.hold", wait_seconds=seconds))
    wait = pb.WaitRunRequest(run_id=answer.run.id, timeout_seconds=seconds)
    assert await code_of(raw, "WaitRun", wait.SerializeToString()) == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_method_that_there_is_not(raw: Raw) -> None:
    for name in ("Attach", "invoke", "", "GetHost/x"):
        call = raw.channel.unary_unary(f"/{SERVICE}/{name}")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(b"")
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_that_is_too_large_is_not_read(tmp_path) -> None:
    async with opened(tmp_path, "max_message_bytes=65536") as host, Raw(host.socket) as raw:
        large = pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":"%b"}' % (b"x" * 65536))
        assert await code_of(raw, "Invoke", large.SerializeToString()) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await raw.ask("GetHost", pb.GetHostRequest())).source == "rpc"


GOOD: dict[str, list[Message]] = {
    "Invoke": [
        pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":"A"}', timeout_seconds=1.0),
        pb.InvokeRequest(line="demo.greet A --loud", wait_seconds=0.0, labels={"a": "b"}, idempotency_key="k"),
        pb.InvokeRequest(command_id="demo.greet", argv=pb.Argv(words=["A"]), session_id="s", not_before_us=1),
    ],
    "Query": [pb.QueryRequest(query_id="demo.count", argv=pb.Argv(words=["--n", "2"]))],
    "Complete": [pb.CompleteRequest(command_id="demo.greet", words=["--l"], incomplete="A")],
    "StreamEvents": [pb.StreamEventsRequest(stream="host", after=1)],
    "StreamRuns": [pb.StreamRunsRequest(after="x:1", filter=pb.RunFilter(status=[1, 2], command="demo.*"))],
    "ListRuns": [pb.ListRunsRequest(filter=pb.RunFilter(command="demo.*", created_after_us=1), page_size=3)],
    "WaitRun": [pb.WaitRunRequest(run_id="r", timeout_seconds=0.0)],
    "GetMeta": [pb.GetMetaRequest(revision="r")],
    "ReadContent": [
        pb.ReadContentRequest(meta=pb.MetaContent(), offset=3, length=5),
        pb.ReadContentRequest(event=pb.EventContent(stream="host", seq=1), sha256="x"),
        pb.ReadContentRequest(query=pb.QueryRequest(query_id="demo.count", args_json=b'{"n":3}')),
    ],
    "OpenUpload": [pb.OpenUploadRequest(name="n", size=3, media_type="a/b")],
    "WriteUpload": [pb.WriteUploadRequest(upload_id="u", offset=3, chunk=b"abc")],
    "FinishUpload": [pb.FinishUploadRequest(upload_id="u", sha256="x")],
}
"""Requests to begin with; those of other methods have one field or none."""


def cases(chance: random.Random, name: str) -> bytes:
    """Random bytes, or a good request of which some bytes were changed, lost or doubled."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randint(0, 60))
    good = GOOD.get(name) or GOOD[chance.choice(list(GOOD))]
    data = bytearray(chance.choice(good).SerializeToString())
    for _ in range(chance.randint(0, 2)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.2:
        at = chance.randrange(len(data))
        data[at:at] = data[chance.randrange(len(data)) :]
    return bytes(data[: chance.randint(0, len(data))]) if chance.random() < 0.3 else bytes(data)


class Aborted(Exception):
    """How gRPC leaves a handler that refuses."""


class Said:
    """The context of a call without a line: what any request of a client leads to, and nothing of gRPC's own time.

    Attributes:
        code: how it ended.
    """

    def __init__(self, data: bytes) -> None:
        self._data = [data]
        self.code = grpc.StatusCode.OK
        self.text = ""

    def invocation_metadata(self) -> tuple:
        return ()

    def peer(self) -> str:
        return "unix:"

    def done(self) -> bool:
        return False

    async def read(self) -> bytes | object:
        return self._data.pop() if self._data else grpc.aio.EOF

    def __aiter__(self) -> Said:
        return self

    async def __anext__(self) -> bytes:
        if not self._data:
            raise StopAsyncIteration
        return self._data.pop()

    async def write(self, message: bytes) -> None:
        assert isinstance(message, bytes)

    async def abort(self, code: grpc.StatusCode, text: str, trailers: object) -> None:
        self.code, self.text = code, text + str(trailers)
        raise Aborted


async def said_to(handlers: Guard, name: str, data: bytes) -> Said:
    """What one request leads to; a stream that would go on counts as answered."""
    handler = handlers.service(Named(f"/{SERVICE}/{name}"))
    said = Said(data)
    with suppress(Aborted, TimeoutError):
        async with asyncio.timeout(0.02 if isinstance(METHODS[name], Downward) else 20):
            await (handler.stream_unary or handler.stream_stream)(said, said)
    return said


async def test_j8_random_bytes(host: Rpc, raw: Raw, rounds: int, figure, monkeypatch, caplog) -> None:
    """An answer, or a refusal with a name; what the log calls a defect is one."""
    monkeypatch.setattr(nonsense, "FREE", math.inf)
    owner = await host.host.door("rpc").authenticate(PrivateSocket(host.socket))
    handlers = Guard(host.shared, Identity(host.host.door("rpc"), silent=owner), SERVICE, METHODS)
    chance, seen, names = random.Random(SEED), Counter(), list(METHODS)
    number = 2000 if rounds <= 20 else 5000 * rounds
    for _ in range(number):
        name = chance.choice(names)
        data = cases(chance, name)
        said = await said_to(handlers, name, data)
        assert said.code in NAMED, (name, data, said.text)
        assert "Traceback" not in said.text
        seen[said.code.name] += 1
    assert not [record for record in caplog.records if "defect" in record.getMessage()]
    for _ in range(100):  # and the same with gRPC in between
        name = chance.choice([name for name in names if name not in DOWNWARD])
        assert await code_of(raw, name, cases(chance, name)) in NAMED
    figure("requests", number)
    figure("answered", seen["OK"])
    figure("not readable or not valid", seen["INVALID_ARGUMENT"])
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= set(seen)
    assert (await raw.ask("GetHost", pb.GetHostRequest())).source == "rpc"


async def test_j8_without_the_fault(host: Rpc, raw: Raw) -> None:
    for name, good in GOOD.items():
        for request in good if name not in ("StreamRuns", "StreamEvents") else ():
            named = await code_of(raw, name, request.SerializeToString())
            assert named in NAMED
    assert await code_of(raw, "Invoke", GOOD["Invoke"][0].SerializeToString()) == grpc.StatusCode.OK


async def test_j8_without_the_defence_the_reason_is_not_named(host: Rpc, raw: Raw, monkeypatch) -> None:
    """Defence: ``parsed``. What is no message would be a defect of the host."""

    def unguarded(kind: type[Message], data: bytes) -> Message:
        return kind.FromString(data)

    monkeypatch.setattr(guard, "parsed", unguarded)
    assert await code_of(raw, "Invoke", NO_MESSAGE) == grpc.StatusCode.INTERNAL


class Named(NamedTuple):
    """What a handler is looked up by."""

    method: str
    invocation_metadata: tuple = ()
