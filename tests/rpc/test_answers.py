"""A host that answers with nonsense: a client says so by name, keeps nothing of it, and does not ask for more."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import grpc
import pytest
from corpus_kit import serving
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from trunnion import TrunnionError
from trunnion.protocol.client_errors import RemoteError
from trunnion_rpc import content
from trunnion_rpc.client import Client
from trunnion_rpc.errors import DETAILS
from trunnion_rpc.v1 import runtime_pb2 as pb

LAUNCHER = [sys.executable, "-c", "from trunnion.launcher.main import main; main()"]
NO_MESSAGE, NO_JSON, DEEP = b"\xff" * 20, b"{no", b"[" * 100_000


class Liar(grpc.GenericRpcHandler):
    """Answers each method with what it was told to.

    Args:
        answers: messages or bytes by method; an iterator that never ends is written for as long as somebody reads.
    """

    def __init__(self, answers: Mapping[str, list[Message | bytes] | Callable[[], AsyncIterator[Message]]]) -> None:
        self._answers = answers

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        told = self._answers.get(details.method.rpartition("/")[2])

        async def answer(requests: object, context: grpc.aio.ServicerContext) -> None:
            if callable(told):
                async for each in told():
                    await context.write(each.SerializeToString())
            for each in told if isinstance(told, list) else ():
                await context.write(each if isinstance(each, bytes) else each.SerializeToString())

        return None if told is None else grpc.stream_stream_rpc_method_handler(answer)


def run(**more: object) -> list[Message | bytes]:
    return [pb.GetRunResponse(run=pb.Run(id="r", status=pb.RUN_STATUS_SUCCEEDED, **more))]


def event(seq: int, **more: object) -> pb.StreamEventsResponse:
    return pb.StreamEventsResponse(events=[pb.Event(seq=seq, kind="log", level="info", **more)])


def piece(size: int) -> pb.ReadContentResponse:
    return pb.ReadContentResponse(chunk=bytes(size))


def info(size: int) -> pb.ReadContentResponse:
    return pb.ReadContentResponse(info=pb.ContentInfo(name="file", size=size))


async def endless() -> AsyncIterator[Message]:
    yield info(1 << 40)
    while True:
        yield piece(100_000)


LARGE = {"GetMeta": [pb.GetMetaResponse(incomplete=True)]}


async def followed(client: Client) -> list[int]:
    return [event.seq async for batch in client.follow("run/r", live=False) for event in batch]


async def read(client: Client) -> bytes:
    return b"".join([piece async for piece in client.files.read("a", 0, 5)])


Ask = Callable[[Client], Awaitable[object]]


def get(client: Client) -> Awaitable[object]:
    return client.get("r")


def meta(client: Client) -> Awaitable[object]:
    return client.meta()


@pytest.mark.parametrize(
    ("answers", "ask", "why"),
    [
        ({"GetRun": [NO_MESSAGE]}, get, "no trunnion.v1.GetRunResponse"),
        ({"GetRun": []}, get, "nothing at all"),
        ({"GetRun": run(result_json=NO_JSON)}, get, "JSON that cannot be read"),
        ({"GetRun": run(result_json=DEEP)}, get, "JSON that cannot be read"),
        ({"GetRun": run(incomplete=True), "ReadContent": [info(2), pb.ReadContentResponse(chunk=b"{}")]}, get, "`id`"),
        ({"Query": [pb.QueryResponse(value_json=DEEP)]}, lambda c: c.query("q"), "JSON that cannot be read"),
        ({"GetMeta": [pb.GetMetaResponse(meta_json=NO_JSON)]}, meta, "JSON that cannot be read"),
        ({"Complete": [pb.CompleteResponse(completions=[pb.Completion(kind="x")])]}, lambda c: c.complete("c", [], ""),
         "proposals of which"),
        ({"StreamEvents": [NO_MESSAGE]}, followed, "no trunnion.v1.StreamEventsResponse"),
        ({"StreamEvents": [event(5), event(5)]}, followed, "event 5 of run/r where 5 was the last one"),
        ({"StreamEvents": [event(1, data_json=NO_JSON)]}, followed, "JSON that cannot be read"),
        ({"StreamEvents": [event(1, data_json=DEEP)]}, followed, "JSON that cannot be read"),
        ({"StreamRuns": [NO_MESSAGE]}, lambda c: anext(c.follow_runs()), "no trunnion.v1.StreamRunsResponse"),
        ({"ReadContent": []}, lambda c: c.files.info("a"), "content without saying what it is"),
        ({"ReadContent": [piece(3)]}, read, "content without saying what it is"),
        ({"ReadContent": [info(10), piece(10)]}, read, "more of 'file'"),
        ({"ReadContent": [info(10), piece(3)]}, read, "'file' without its last 2 bytes"),
        ({**LARGE, "ReadContent": [info(10), piece(11)]}, meta, "more of 'file' than its 10 bytes"),
        ({**LARGE, "ReadContent": endless}, meta, "a document of more than 1 MiB"),
        ({"WriteUpload": [NO_MESSAGE], "OpenUpload": [pb.OpenUploadResponse()]}, lambda c: c.files.upload(b"x"),
         "no trunnion.v1.WriteUploadResponse"),
    ],
)  # fmt: skip
async def test_nonsense_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[Message | bytes]], ask: Ask, why: str
) -> None:
    """Defence: ``trunnion_rpc.answers``, and the measures of ``read_content`` and ``read_whole``."""
    monkeypatch.setattr(content, "LARGEST", 1 << 20)
    async with serving(Liar(answers), tmp_path / "s") as socket, Client(socket, patience=60) as client:
        with pytest.raises(RemoteError, match="makes no sense") as error:
            async with asyncio.timeout(20):
                await ask(client)
        assert error.value.code == "internal"
        assert why in error.value.message


async def test_a_batch_of_nothing_is_none(tmp_path: Path) -> None:
    answers = {"StreamEvents": [pb.StreamEventsResponse(), event(3), pb.StreamEventsResponse(), event(7)]}
    async with serving(Liar(answers), tmp_path / "s") as socket, Client(socket) as client:
        assert await followed(client) == [3, 7]


@pytest.mark.parametrize("details", [NO_JSON, b"[" * 2000, b"[1]"])
async def test_an_error_is_told_without_details_that_cannot_be_read(tmp_path: Path, details: bytes) -> None:
    class Refusing(grpc.GenericRpcHandler):
        def service(self, asked: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            status = Status(code=5, message="gone")
            status.details.add().Pack(pb.Error(code="not_found", message="gone", details_json=details))

            async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
                await context.abort(grpc.StatusCode.NOT_FOUND, "gone", ((DETAILS, status.SerializeToString()),))

            return grpc.unary_unary_rpc_method_handler(answer)

    async with serving(Refusing(), tmp_path / "s") as socket, Client(socket) as client:
        with pytest.raises(TrunnionError, match="gone") as error:
            await client.get("r")
        assert (error.value.code, error.value.details) == ("not_found", {})


async def test_what_a_host_calls_a_run_is_no_command_of_a_shell(tmp_path: Path) -> None:
    """Defence: ``shlex.quote`` in the launcher, which says how a run is followed."""
    answers = {
        "GetHost": [pb.GetHostResponse(host_id="h")],
        "Invoke": [pb.InvokeResponse(run=pb.Run(id="r;touch pwned", status=pb.RUN_STATUS_RUNNING))],
    }
    async with serving(Liar(answers), tmp_path / "s") as socket:
        launched = await asyncio.create_subprocess_exec(
            *LAUNCHER, "--connect", f"unix:{socket}", "run", "--detach", "x", stderr=asyncio.subprocess.PIPE
        )
        _, said = await launched.communicate()
    assert said.decode().endswith("follow 'run/r;touch pwned'\n"), said
