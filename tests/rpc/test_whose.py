"""J10: the runs and files of others are answered for as if there were none, by every verb, in the very same words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from rpc_kit import Raw, Rpc

from trunnion.access.policy import Policy
from trunnion.model.json import encode
from trunnion_rpc.v1 import runtime_pb2 as pb

OWNERS = ("ann", "adam", "")
"""An operator, an admin, and whoever comes by the socket without a word; a viewer runs nothing."""

CALLERS = {"vera": "viewer", "otto": "operator", "adam": "admin", "tom": None, "gina": None}
SEE_ALL = ("adam", "")
"""Admins, and the owner of the data directory."""


class Things(NamedTuple):
    """What belongs to somebody: a run that lasts, one that ended, a file it kept, and one that was brought."""

    live: str
    ended: str
    artifact: str
    upload: str

    def made_up(self) -> Things:
        """Ids of the same form that nothing has."""
        return Things(*(id_[:-1] + ("0" if id_[-1] != "0" else "1") for id_ in self))


async def _asked(raw: Raw, method: str, request: Message) -> object:
    return await raw.ask(method, request)


async def _read(raw: Raw, method: str, request: Message) -> object:
    return [message async for message in raw.listen(method, request)]


async def _brought(raw: Raw, method: str, request: Message) -> object:
    return await raw.bring(request)


def _query(name: str, /, **args: object) -> pb.QueryRequest:
    return pb.QueryRequest(query_id=name, args_json=encode(args))


def _command(name: str, /, **args: object) -> pb.InvokeRequest:
    return pb.InvokeRequest(command_id=name, args_json=encode(args), wait_seconds=10)


Verb = tuple[Callable[[Raw, str, Message], Awaitable[object]], str, Callable[[Things], Message]]
OF_RUNS: dict[str, Verb] = {
    "get": (_asked, "GetRun", lambda x: pb.GetRunRequest(run_id=x.ended)),
    "get, live": (_asked, "GetRun", lambda x: pb.GetRunRequest(run_id=x.live)),
    "wait": (_asked, "WaitRun", lambda x: pb.WaitRunRequest(run_id=x.ended, timeout_seconds=0.0)),
    "wait, live": (_asked, "WaitRun", lambda x: pb.WaitRunRequest(run_id=x.live, timeout_seconds=0.0)),
    "follow": (_read, "StreamEvents", lambda x: pb.StreamEventsRequest(stream=f"run/{x.ended}", follow=True)),
    "follow, live": (_read, "StreamEvents", lambda x: pb.StreamEventsRequest(stream=f"run/{x.live}")),
    "read": (_read, "ReadContent", lambda x: pb.ReadContentRequest(run_id=x.ended)),
    "read an event": (
        _read,
        "ReadContent",
        lambda x: pb.ReadContentRequest(event=pb.EventContent(stream=f"run/{x.ended}", seq=1)),
    ),
    "read a file": (_read, "ReadContent", lambda x: pb.ReadContentRequest(artifact_id=x.artifact)),
    "read a query": (_read, "ReadContent", lambda x: pb.ReadContentRequest(query=_query("runs.get", run_id=x.ended))),
    "ask runs.get": (_asked, "Query", lambda x: _query("runs.get", run_id=x.ended)),
    "ask runs.result": (_asked, "Query", lambda x: _query("runs.result", run_id=x.ended)),
    "ask runs.events": (_asked, "Query", lambda x: _query("runs.events", run_id=x.ended)),
    "ask runs.export": (_asked, "Query", lambda x: _query("runs.export", run_id=x.ended)),
    "ask runs.artifacts": (_asked, "Query", lambda x: _query("runs.artifacts", run_id=x.ended)),
    "ask artifacts.get": (_asked, "Query", lambda x: _query("artifacts.get", artifact_id=x.artifact)),
    "list children": (_asked, "ListRuns", lambda x: pb.ListRunsRequest(filter=pb.RunFilter(parent_run_id=x.ended))),
    "run runs.rerun": (_asked, "Invoke", lambda x: _command("runs.rerun", run_id=x.ended)),
    "run runs.cancel": (_asked, "Invoke", lambda x: _command("runs.cancel", run_id=x.live)),
    "cancel": (_asked, "CancelRun", lambda x: pb.CancelRunRequest(run_id=x.live)),
    "cancel, ended": (_asked, "CancelRun", lambda x: pb.CancelRunRequest(run_id=x.ended)),
}
OF_UPLOADS: dict[str, Verb] = {
    "get": (_asked, "GetUpload", lambda x: pb.GetUploadRequest(upload_id=x.upload)),
    "write": (_brought, "WriteUpload", lambda x: pb.WriteUploadRequest(upload_id=x.upload, offset=3, chunk=b"x")),
    "finish": (_asked, "FinishUpload", lambda x: pb.FinishUploadRequest(upload_id=x.upload)),
    "ask": (_asked, "Query", lambda x: _query("uploads.get", upload_id=x.upload)),
    "use": (_asked, "Invoke", lambda x: _command("demo.read", file=f"upload:{x.upload}")),
    "drop by a command": (_asked, "Invoke", lambda x: _command("uploads.drop", upload_id=x.upload)),
    "drop": (_asked, "DropUpload", lambda x: pb.DropUploadRequest(upload_id=x.upload)),
}


async def answer(raw: Raw, verb: Verb, things: Things) -> object:
    """What is said to somebody, without the ids that they said themselves; what is there counts as ``seen``."""
    ask, method, request = verb
    try:
        found = await ask(raw, method, request(things))
    except grpc.aio.AioRpcError as error:
        return _without(things, f"{error.code()} {error.details()} {_details(error)}")
    if method == "Invoke":  # whether it failed is said by the run
        return _without(things, found.run.error.message) or "seen"
    return "nothing" if method == "ListRuns" and not found.runs else "seen"


def _without(things: Things, text: str) -> str:
    for id_ in things:
        text = text.replace(id_, "ID")
    return text


def _details(error: grpc.aio.AioRpcError) -> list[object]:
    (raw,) = [value for name, value in error.trailing_metadata() or () if name == "grpc-status-details-bin"]
    found = pb.Error()
    return [(found.code, found.message, found.details_json.decode()) for each in Status.FromString(raw).details
            if each.Unpack(found)]  # fmt: skip


@asynccontextmanager
async def everybody(host: Rpc) -> AsyncIterator[dict[str, Raw]]:
    """All who are there, connected; the owner of the data directory has no name."""
    async with AsyncExitStack() as stack:
        lines = {"": await stack.enter_async_context(Raw(host.socket))}
        for name, role in {"ann": "operator", **CALLERS}.items():
            token = await host.person(name, role, *(["runs:demo.*"] if name == "gina" else []))
            lines[name] = await stack.enter_async_context(Raw(host.socket, token))
        yield lines


async def belongings(raw: Raw) -> Things:
    kept = await raw.ask("Invoke", _command("demo.keep", size=512))
    live = await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.hold"))
    upload = await raw.ask("OpenUpload", pb.OpenUploadRequest(name="n"))
    await raw.bring(pb.WriteUploadRequest(upload_id=upload.upload.id, chunk=b"abc"))
    return Things(live.run.id, kept.run.id, kept.run.result_json.decode().strip('"'), upload.upload.id)


async def leaks(host: Rpc, verbs: dict[str, Verb], who_may: Callable[[str, str], bool]) -> tuple[list[object], int]:
    """For each owner, caller and verb whether others are told the same as of what is not there; how many were tried."""
    found, tried = [], 0
    async with everybody(host) as lines:
        for owner in OWNERS:
            things = await belongings(lines[owner])
            for caller in (name for name in lines if not who_may(name, owner)):
                for name, verb in verbs.items():
                    there = await answer(lines[caller], verb, things)
                    not_there = await answer(lines[caller], verb, things.made_up())
                    tried += 1
                    if there != not_there:
                        found.append((owner, caller, name, there, not_there))
            assert await answer(lines[owner], verbs["get"], things) == "seen"
    host.demo.go.set()
    return found, tried


def _may_see_runs(caller: str, owner: str) -> bool:
    return caller == owner or caller in SEE_ALL or caller == "gina"


def _may_see_uploads(caller: str, owner: str) -> bool:
    return caller == owner or caller in SEE_ALL


async def test_j10_runs_of_others_are_as_if_there_were_none(host: Rpc, figure) -> None:
    found, tried = await leaks(host, OF_RUNS, _may_see_runs)
    figure("combinations", tried)
    figure("leaks", len(found))
    assert found == []


async def test_j10_files_of_others_are_as_if_there_were_none(host: Rpc, figure) -> None:
    found, tried = await leaks(host, OF_UPLOADS, _may_see_uploads)
    figure("combinations", tried)
    figure("leaks", len(found))
    assert found == []


async def test_j10_without_the_fault(host: Rpc) -> None:
    """Whoever may see them does, by every verb: so the comparison would find a leak."""
    async with everybody(host) as lines:
        for caller in ("ann", "adam", ""):
            things = await belongings(lines["ann"])
            for name, verb in OF_RUNS.items():
                seen = await answer(lines[caller], verb, things)
                same = seen == await answer(lines[caller], verb, things.made_up())
                assert same == (name == "list children"), (caller, name, seen)  # it has none
    host.demo.go.set()


async def test_j10_without_the_defence_they_are_seen(host: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "require_run", lambda self, run, caller: None)
    found, _ = await leaks(host, OF_RUNS, _may_see_runs)
    assert {name for _, _, name, _, _ in found} >= {"get", "wait", "read", "ask runs.get"}


async def test_j10_lists_and_changes_have_ones_own_alone(host: Rpc) -> None:
    async with everybody(host) as lines:
        changes = lines["otto"].listen("StreamRuns", pb.StreamRunsRequest())
        assert not (await changes.read()).runs
        things = await belongings(lines["ann"])
        own = await lines["otto"].ask("Invoke", _command("demo.greet", name="A"))
        seen: set[str] = set()
        async with asyncio.timeout(20):
            while own.run.id not in seen:
                seen |= {run.id for run in (await changes.read()).runs}
        assert seen == {own.run.id}
        page = await lines["otto"].ask("ListRuns", pb.ListRunsRequest())
        assert [run.id for run in page.runs] == [own.run.id]
        named = pb.ListRunsRequest(filter=pb.RunFilter(principal="ann"))
        assert not (await lines["otto"].ask("ListRuns", named)).runs
        assert {run.id for run in (await lines[""].ask("ListRuns", named)).runs} == {things.live, things.ended}
    host.demo.go.set()


async def test_j10_the_key_of_another_is_no_key(host: Rpc) -> None:
    """It joins nobody to a run of somebody else, and tells nothing of it."""
    async with everybody(host) as lines:
        asked = pb.InvokeRequest(
            command_id="demo.effect", args_json=b'{"what":"x"}', idempotency_key="k", wait_seconds=9
        )
        first = await lines["ann"].ask("Invoke", asked)
        again = await lines["ann"].ask("Invoke", asked)
        other = await lines["otto"].ask("Invoke", asked)
        assert first.run.id == again.run.id != other.run.id
        assert (other.run.principal, host.demo.effects) == ("otto", ["x", "x"])
