"""The methods that answer with many messages: streams of events, changes of runs, content in pieces."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from trunnion import Conflict, InvalidArguments, NotFound
from trunnion.model.events import encode_event
from trunnion.model.json import encode
from trunnion.model.runs import Run, RunFilter
from trunnion_rpc.call import Call
from trunnion_rpc.calls import messages, queried
from trunnion_rpc.decoding import filter_of
from trunnion_rpc.v1 import runtime_pb2 as pb

FRAME = 128 << 10
"""Bytes of events in one message, roughly."""

PIECE = 256 << 10
"""Bytes of content in one message."""

LARGE = 1 << 20
"""Bytes beyond which a digest is made in a thread."""

JSON = "application/json"


async def stream_events(call: Call, request: pb.StreamEventsRequest) -> AsyncGenerator[bytes, None]:
    """Batches as the host has them; one that is taken slowly waits in the store."""
    batches = call.door.follow(call.caller, request.stream, request.after, live=request.follow)
    async with aclosing(batches):
        async for batch in batches:
            for message in call.shared.encoder.messages(batch, min(FRAME, call.shared.room)):
                yield message


# -- runs --------------------------------------------------------------------------------------------------------------


async def stream_runs(call: Call, request: pb.StreamRunsRequest) -> AsyncGenerator[bytes, None]:
    """Those that are wanted, of those that changed."""
    wanted = filter_of(request.filter)
    changes = call.door.follow_runs(call.caller, request.after)
    async with aclosing(changes):
        async for change in changes:
            runs = [run for run in change.runs if fits(run, wanted)]
            if runs or change.reset:
                made = messages(call, runs)
                yield pb.StreamRunsResponse(runs=made, cursor=change.cursor, reset=change.reset).SerializeToString()


def fits(run: Run, wanted: RunFilter) -> bool:
    """Whether a run is among those that a filter asks for."""
    same = (
        (wanted.principal, run.principal),
        (wanted.source, run.source),
        (wanted.session_id, run.session_id),
        (wanted.parent_run_id, run.parent_run_id),
    )
    return (
        all(asked is None or asked == found for asked, found in same)
        and (not wanted.status or run.status in wanted.status)
        and (wanted.command is None or _named(run.command_id, wanted.command))
        and (wanted.created_after is None or run.created > wanted.created_after)
        and (wanted.created_before is None or run.created < wanted.created_before)
    )


def _named(command_id: str, pattern: str) -> bool:
    return command_id.startswith(pattern[:-1]) if pattern.endswith("*") else command_id == pattern


# -- content -----------------------------------------------------------------------------------------------------------


async def read_content(call: Call, request: pb.ReadContentRequest) -> AsyncGenerator[bytes, None]:
    """What it is, then its pieces."""
    length = request.length if request.HasField("length") else None
    if request.WhichOneof("content") == "artifact_id":
        found = await call.door.artifact(call.caller, request.artifact_id)
        info = pb.ContentInfo(name=found.name, size=found.size, sha256=found.sha256, media_type=found.media_type)
        pieces = call.door.read_artifact(call.caller, request.artifact_id, request.offset, length)
    else:
        name, whole = await _document(call, request)
        info = pb.ContentInfo(name=name, size=len(whole), sha256=await _digest(whole), media_type=JSON)
        pieces = _range(whole, request.offset, length)
    if request.sha256 and request.sha256.lower() != info.sha256:
        raise Conflict(f"{info.name} is another one by now: read it from its beginning", {"sha256": info.sha256})
    yield pb.ReadContentResponse(info=info).SerializeToString()
    most = min(PIECE, call.shared.room)
    async with aclosing(pieces):
        async for piece in pieces:
            for begin in range(0, len(piece), most):
                yield pb.ReadContentResponse(chunk=piece[begin : begin + most]).SerializeToString()


async def _document(call: Call, request: pb.ReadContentRequest) -> tuple[str, bytes]:
    """The name and the whole of something that is no file."""
    match request.WhichOneof("content"):
        case "run_id":
            return f"run {request.run_id}", encode(await call.door.get(call.caller, request.run_id))
        case "query":
            return f"query {request.query.query_id}", encode(await queried(call, request.query))
        case "meta":
            return "meta", call.door.meta(call.caller).body
        case "event":
            return await _event(call, request.event.stream, request.event.seq)
        case _:
            raise InvalidArguments("say what is to be read")


async def _event(call: Call, stream: str, seq: int) -> tuple[str, bytes]:
    async with aclosing(call.door.follow(call.caller, stream, max(0, seq - 1), live=False)) as batches:
        async for batch in batches:
            if batch[0].seq == seq:
                return f"event {seq} of {stream}", encode_event(batch[0])
            break
    raise NotFound(f"there is no event {seq} in stream {stream!r}", {"stream": stream, "seq": seq})


async def _digest(whole: bytes) -> str:
    if len(whole) <= LARGE:
        return hashlib.sha256(whole).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, whole)).hexdigest()


async def _range(whole: bytes, offset: int, length: int | None) -> AsyncGenerator[bytes, None]:
    if offset > len(whole):
        raise InvalidArguments(f"it has {len(whole)} bytes, so it cannot be read from {offset}", {"size": len(whole)})
    yield whole[offset : len(whole) if length is None else offset + length]
