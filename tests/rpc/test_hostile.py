"""J8: whatever comes as a message gets an answer with a name, and the host goes on."""

from __future__ import annotations

import os
import random

import grpc
import pytest
from rpc_kit import Raw, Rpc, opened

from trunnion_rpc.guard import Downward, Unary
from trunnion_rpc.service import METHODS, SERVICE
from trunnion_rpc.v1 import runtime_pb2 as pb

UNARY = [name for name, method in METHODS.items() if isinstance(method, Unary)]
DOWNWARD = [name for name, method in METHODS.items() if isinstance(method, Downward)]
NAMED = {
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


async def test_j8_random_bytes(host: Rpc, raw: Raw) -> None:
    """Random bytes, and good messages with some bytes changed: an answer, or a refusal with a name."""
    seed = int(os.environ.get("TRUNNION_SEED") or "0", 16) or int.from_bytes(os.urandom(4), "big")
    print(f"TRUNNION_SEED={seed:x}")
    chance, seen = random.Random(seed), set()
    good = [
        pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":"A"}', timeout_seconds=1.0),
        pb.QueryRequest(query_id="demo.count", argv=pb.Argv(words=["--n", "2"])),
        pb.StreamEventsRequest(stream="host", after=1),
        pb.ListRunsRequest(filter=pb.RunFilter(command="demo.*"), page_size=3),
        pb.ReadContentRequest(meta=pb.MetaContent(), offset=3),
    ]
    names = [name for name in METHODS if name != "StreamRuns"]  # which would go on
    for _ in range(400):
        data = bytearray(chance.choice(good).SerializeToString())
        for _ in range(chance.randint(0, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        piece = bytes(data[: chance.randint(0, len(data))]) if chance.random() < 0.3 else bytes(data)
        name = chance.choice(names)
        if name == "StreamEvents" and _follows(piece):
            continue
        seen.add(await code_of(raw, name, chance.randbytes(chance.randint(0, 60)) if chance.random() < 0.2 else piece))
    assert seen - {grpc.StatusCode.OK} <= NAMED
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND} <= seen
    assert (await raw.ask("GetHost", pb.GetHostRequest())).source == "rpc"


def _follows(data: bytes) -> bool:
    try:
        return pb.StreamEventsRequest.FromString(data).follow
    except Exception:
        return False
