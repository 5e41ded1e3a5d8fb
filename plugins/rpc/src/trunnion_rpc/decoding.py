"""Messages as what the host has: what a client asks, and, at its side, what it was answered."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern

import msgspec

from trunnion import Event, InvalidArguments, Invocation, Json, Run, StaleMeta
from trunnion.arguments.strict import loads
from trunnion.model.runs import ROLES, Page, Role, RunFilter
from trunnion.model.uploads import UploadInfo
from trunnion_rpc.answers import raw_of, value_of
from trunnion_rpc.encoding import NAMES, TIMES
from trunnion_rpc.errors import info_of
from trunnion_rpc.v1 import runtime_pb2 as pb

DEPTH = 110
"""How deep a document may nest: what arguments may, and a little more, which the host then refuses by name."""

# Words that many messages have are interned. What is then the very object of a default is left out when it is written
# as JSON again, as the host writes it.

_FILTER = ("command", "principal", "source", "session_id", "parent_run_id")
_OPTIONAL = ("session_id", "parent_run_id", "rerun_of", "lock_key", "idempotency_key")
_PLAIN = ("id", "num", "command_id", "command_revision", "principal", "source", "credential", "category",
          "args_digest", "decision", "detached", "depth", "attempt", "owner", "last_seq")  # fmt: skip


# -- what is asked -----------------------------------------------------------------------------------------------------


def invocation_of(request: pb.InvokeRequest) -> Invocation:
    """What is to be run.

    Raises:
        InvalidArguments: arguments are no JSON object.
    """
    args, argv = arguments_of(request)
    return Invocation(
        command_id=request.command_id,
        args=args,
        argv=argv,
        line=request.line if request.WhichOneof("arguments") == "line" else None,
        timeout=request.timeout_seconds if request.HasField("timeout_seconds") else None,
        deadline_at=request.deadline_us if request.HasField("deadline_us") else None,
        idempotency_key=request.idempotency_key if request.HasField("idempotency_key") else None,
        session_id=request.session_id if request.HasField("session_id") else None,
        labels=dict(request.labels),
        revision=request.command_revision if request.HasField("command_revision") else None,
        not_before=request.not_before_us if request.HasField("not_before_us") else None,
    )


def arguments_of(request: pb.InvokeRequest | pb.QueryRequest) -> tuple[dict[str, Json] | None, tuple[str, ...] | None]:
    """Arguments by name, or as words; neither where they are given otherwise.

    Raises:
        InvalidArguments: they are no JSON object.
    """
    given = request.WhichOneof("arguments")
    if given == "argv":
        return None, tuple(request.argv.words)
    if given != "args_json":
        return None, None
    args = loads(request.args_json, max_depth=DEPTH)
    if not isinstance(args, dict):
        raise InvalidArguments("args_json must be a JSON object, with a member for each argument")
    return args, None


def filter_of(message: pb.RunFilter) -> RunFilter:
    """Which runs.

    Raises:
        InvalidArguments: a status that there is not.
    """
    for number in message.status:
        if number not in NAMES:
            raise InvalidArguments(f"there is no status number {number}")
    given = {name: getattr(message, name) for name in _FILTER if message.HasField(name)}
    return RunFilter(
        **given,
        status=tuple(NAMES[number] for number in message.status),
        created_after=message.created_after_us if message.HasField("created_after_us") else None,
        created_before=message.created_before_us if message.HasField("created_before_us") else None,
    )


def runs_of_page(answer: Json) -> Page:
    """The answer of ``runs.list`` as what it was made of."""
    return msgspec.convert(answer, Page)


# -- what is answered --------------------------------------------------------------------------------------------------


def run_of(message: pb.Run) -> Run:
    """A run as the host has it; what was left out of the message is not there.

    Raises:
        StaleMeta: it has a status that this version does not know.
        RemoteError: what it has as JSON is none.
    """
    if message.status not in NAMES:
        raise StaleMeta(f"run {message.id} has status {message.status}, which is of a later version than this")
    args = value_of(message.args_json)
    return Run(
        **{name: getattr(message, name) for name in _PLAIN},
        **{name: getattr(message, name) for name in _OPTIONAL if message.HasField(name)},
        **{own: getattr(message, name) for name, own in TIMES.items() if _has_time(message, name)},
        status=NAMES[message.status],
        role=role_of(message.role),
        chain=tuple(message.chain),
        labels=dict(message.labels),
        stats=dict(message.stats),
        args=dict(args) if isinstance(args, Mapping) else {},
        result=value_of(message.result_json),
        error=info_of(message.error) if message.HasField("error") else None,
    )


def role_of(text: str) -> Role:
    """A role, the least of all where it is one that there is not."""
    return next((role for role in ROLES if role == text), "viewer")


def _has_time(message: pb.Run, name: str) -> bool:
    return name == "created_us" or message.HasField(name)


def event_of(stream: str, message: pb.Event) -> Event:
    """An event as the host has it.

    Raises:
        RemoteError: what it has as JSON is none.
    """
    raw = raw_of(message.data_json)
    kind, level, by = intern(message.kind), intern(message.level), intern(message.by)
    return Event(stream, message.seq, message.time_us, kind, level, by, message.text, raw)


def upload_of(message: pb.Upload) -> UploadInfo:
    """An upload as the host has it."""
    return UploadInfo(
        id=message.id,
        principal=message.principal,
        name=message.name,
        offset=message.offset,
        size=message.size if message.HasField("size") else None,
        sha256=message.sha256,
        media_type=message.media_type,
        created=message.created_us,
        expires=message.expires_us,
        runs=tuple(message.run_ids),
    )
