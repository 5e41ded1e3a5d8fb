"""The methods that have one request and one answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from trunnion import DeadlineExceeded, Invocation, Json, NotFound, Run
from trunnion.kernel.live import Begun
from trunnion.model.json import encode
from trunnion_rpc.call import Call
from trunnion_rpc.decoding import arguments_of, filter_of, invocation_of, runs_of_page
from trunnion_rpc.encoding import run_message, run_messages
from trunnion_rpc.v1 import runtime_pb2 as pb

PAGE = 50


async def get_host(call: Call, request: pb.GetHostRequest) -> pb.GetHostResponse:
    """See the protocol, as for all others here."""
    identity, caller = call.host.identity, call.caller
    return pb.GetHostResponse(
        host_id=identity.host_id,
        boot_id=identity.boot_id,
        version=identity.version,
        principal=caller.principal,
        role=caller.role,
        source=caller.source,
    )


# -- commands and queries ----------------------------------------------------------------------------------------------


async def invoke(call: Call, request: pb.InvokeRequest) -> pb.InvokeResponse:
    """The run, as it was accepted or at its end."""
    invocation = invocation_of(request)
    if not request.HasField("wait_seconds"):
        run = await call.door.submit(call.caller, invocation)
    elif request.cancel_on_disconnect:
        run = await _tied(call, invocation, request.wait_seconds)
    else:
        run = await _waited(call, await call.door.begin(call.caller, invocation), request.wait_seconds)
    return pb.InvokeResponse(run=_message(call, run))


async def _tied(call: Call, invocation: Invocation, wait: float) -> Run:
    """A run that is cancelled when its call ends before it, be it in the middle of its acceptance."""
    begun = call.shared.keep(call.door.begin(call.caller, invocation), f"submit {invocation.command_id}")
    try:
        return await _waited(call, await asyncio.shield(begun), wait)
    except BaseException:
        call.shared.keep(_cancelled(call, begun), f"cancel {invocation.command_id}")
        raise


async def _waited(call: Call, begun: Begun, seconds: float) -> Run:
    """A run at its end, or as it is when the time is over; as it was where nothing more may be told of it."""
    run = begun.run
    if run.ended:
        return run
    try:
        return await call.door.wait(call.caller, run.id, _bounded(call, seconds), begun=begun)
    except DeadlineExceeded:
        return await call.door.get(call.caller, run.id)
    except NotFound:
        return run


async def _cancelled(call: Call, begun: asyncio.Task[Begun]) -> Run:
    """The client is gone, and wanted its run to go too."""
    run = (await begun).run
    return run if run.ended else await call.door.cancel(call.caller, run.id)


async def query(call: Call, request: pb.QueryRequest) -> pb.QueryResponse:
    """Its value, if it fits."""
    value = encode(await queried(call, request))
    if len(value) > call.shared.room:
        return pb.QueryResponse(incomplete=True)
    return pb.QueryResponse(value_json=value)


async def queried(call: Call, request: pb.QueryRequest) -> Json:
    """The value of a query, of any size."""
    args, argv = arguments_of(request)
    return await call.door.query(call.caller, request.query_id, args, argv=argv)


async def complete(call: Call, request: pb.CompleteRequest) -> pb.CompleteResponse:
    """What may come next."""
    found = await call.door.complete(call.caller, request.command_id, list(request.words), request.incomplete)
    offered = [pb.Completion(value=c.value, description=c.description, kind=c.kind) for c in found]
    return pb.CompleteResponse(completions=offered)


async def get_meta(call: Call, request: pb.GetMetaRequest) -> pb.GetMetaResponse:
    """The description, if it is another one and fits."""
    meta = call.door.meta(call.caller)
    made = pb.GetMetaResponse(revision=meta.revision, generation=meta.generation)
    if request.revision == meta.revision:
        made.not_modified = True
    elif len(meta.body) > call.shared.room:
        made.incomplete = True
    else:
        made.meta_json = meta.body
    return made


# -- runs --------------------------------------------------------------------------------------------------------------


async def get_run(call: Call, request: pb.GetRunRequest) -> pb.GetRunResponse:
    """One run as it is now."""
    return pb.GetRunResponse(run=_message(call, await call.door.get(call.caller, request.run_id)))


async def wait_run(call: Call, request: pb.WaitRunRequest) -> pb.WaitRunResponse:
    """One run at its end."""
    asked = request.timeout_seconds if request.HasField("timeout_seconds") else math.inf
    run = await call.door.wait(call.caller, request.run_id, _bounded(call, asked))
    return pb.WaitRunResponse(run=_message(call, run))


def _bounded(call: Call, seconds: float) -> float:
    """How long a call may wait that asked for so many seconds; what is no length of time is none."""
    return min(seconds, call.shared.settings.max_wait) if seconds > 0 else 0.0


async def list_runs(call: Call, request: pb.ListRunsRequest) -> pb.ListRunsResponse:
    """One page, by the query ``runs.list``: so it is judged and recorded as that is."""
    wanted = filter_of(request.filter)
    args: dict[str, Json] = {
        "status": list(wanted.status) or None,
        "command": wanted.command,
        "principal": wanted.principal,
        "source": wanted.source,
        "session": wanted.session_id,
        "parent": wanted.parent_run_id,
        "created_after": wanted.created_after,
        "created_before": wanted.created_before,
        "limit": request.page_size or PAGE,
        "cursor": request.cursor or None,
    }
    answer = await call.door.query(call.caller, "runs.list", {k: v for k, v in args.items() if v is not None})
    page = runs_of_page(answer)
    return pb.ListRunsResponse(runs=messages(call, page.items), next_cursor=page.next or "")


async def cancel_run(call: Call, request: pb.CancelRunRequest) -> pb.CancelRunResponse:
    """The run, once the wish is on record."""
    return pb.CancelRunResponse(run=_message(call, await call.door.cancel(call.caller, request.run_id)))


def _message(call: Call, run: Run) -> pb.Run:
    return run_message(run, call.shared.room)


def messages(call: Call, runs: Sequence[Run]) -> list[pb.Run]:
    """Runs for one message."""
    return run_messages(runs, call.shared.room)
