"""The method table: every method a client may call, with its parameters, once for all transports.

Beside the methods here, the id of any command or query the caller may use is a method too: its
parameters are the arguments, a query answers its value, a command answers its run's result, or the
error the run ended with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import msgspec

from trunnion.model.errors import Conflict, ErrorInfo, InvalidArguments, TrunnionError
from trunnion.model.json import Json
from trunnion.model.names import is_stream_name
from trunnion.model.runs import Invocation, LocalDoor, Run
from trunnion.protocol.messages import PROTOCOL, Call, CallId, FollowedRun

if TYPE_CHECKING:
    from trunnion.protocol.connection import Connection

Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]


class Reply(NamedTuple):
    """What a method answers, and what is to happen once the answer is on its way."""

    result: object
    then: Callable[[], None] | None = None


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parameters: an unknown one is refused."""


class NoParams(Params, frozen=True):
    """For methods that take nothing."""


class HelloParams(Params, frozen=True):
    """``protocol`` is the generation the client speaks.

    ``door``: what the client is, ``cli`` or ``tty`` (a shell); without it the door stays what it was, ``cli`` at first.
    """

    protocol: int = PROTOCOL
    door: LocalDoor | None = None


class SubmitParams(Params, frozen=True, kw_only=True):
    """An invocation, field by field; see ``trunnion.model.runs.Invocation``.

    ``cancel_on_disconnect``: cancel the run when this connection ends before it does.
    """

    command_id: str = ""
    args: dict[str, Json] | None = None
    argv: tuple[str, ...] | None = None
    line: str | None = None
    timeout: Seconds | None = None
    deadline_at: int | None = None
    idempotency_key: str | None = None
    session_id: str | None = None
    labels: dict[str, str] = {}
    revision: str | None = None
    not_before: int | None = None
    cwd: str | None = None
    cancel_on_disconnect: bool = False

    def invocation(self) -> Invocation:
        """The same without what concerns the connection."""
        return Invocation(**{name: getattr(self, name) for name in Invocation.__struct_fields__})


class FollowedParams(SubmitParams, frozen=True, kw_only=True):
    """The same; ``follow``: have the run's events sent, from the first one to its end."""

    follow: bool = False


class RunParams(Params, frozen=True):
    """Names a run."""

    run_id: str


class WaitParams(Params, frozen=True):
    """``timeout``: seconds to wait; without it, for as long as the run takes."""

    run_id: str
    timeout: Seconds | None = None


class QueryParams(Params, frozen=True):
    """Either ``args`` by name, or ``argv``, parsed like a command line."""

    query_id: str
    args: dict[str, Json] | None = None
    argv: tuple[str, ...] | None = None


class SubscribeParams(Params, frozen=True):
    """``after``: the last event number the client has; ``live``: whether to go on at the present end."""

    stream: str
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    live: bool = True


class UnsubscribeParams(Params, frozen=True):
    """Names a subscription."""

    subscription: str


class MetaParams(Params, frozen=True):
    """``revision``: the one the client has; if it is current, the descriptor is left out."""

    revision: str | None = None


class CompleteParams(Params, frozen=True):
    """``words``: whole words after the command; ``incomplete``: the one being typed."""

    command_id: str
    words: tuple[str, ...] = ()
    incomplete: str = ""


class CancelCallParams(Params, frozen=True):
    """Names a call of this connection."""

    id: CallId


async def hello(connection: Connection, params: HelloParams) -> Reply:
    """Say who is there: protocol, host_id, boot_id, version. Refused when the generations differ.
    A client of the local socket may say by `door` that it is `tty`, a shell, or `cli`, as which each begins; calls
    sent after it, also those sent before it is answered, are stamped so.
    """
    # Nothing may be awaited in here: calls start in order of arrival, and none may overtake its own greeting.
    if params.protocol != PROTOCOL:
        raise Conflict(f"this host speaks protocol {PROTOCOL}, the client {params.protocol}; upgrade the older one")
    if params.door is not None:
        connection.come_by(params.door)
    host = connection.host
    return Reply({"protocol": PROTOCOL, "host_id": host.host_id, "boot_id": host.boot_id, "version": host.version})


async def whoami(connection: Connection, params: NoParams) -> Reply:
    """Say who the host takes the client for: principal, source, role."""
    caller = connection.caller
    return Reply({"principal": caller.principal, "source": caller.source, "role": caller.role})


async def command_submit(connection: Connection, params: FollowedParams) -> Reply:
    """Start a run; answered with the run as soon as it is on record. With ``follow`` the answer has a ``subscription``
    beside the run: its events come as from ``stream.subscribe``, and the message that is ``ended`` has the ``run`` at
    its end. There is none for a run without a record, and where too many are open.
    """
    accepted = await connection.submit(params.invocation(), tied=params.cancel_on_disconnect, follow=params.follow)
    run, name, start = accepted
    if not name:
        return Reply(run)
    return Reply(FollowedRun(**msgspec.structs.asdict(run), subscription=name), start)


async def command_run(connection: Connection, params: SubmitParams) -> Reply:
    """Start a run and wait for its end; answered with the ended run, whatever became of it."""
    return Reply(await _run_to_end(connection, params.invocation(), tied=params.cancel_on_disconnect))


async def run_cancel(connection: Connection, params: RunParams) -> Reply:
    """Ask for a run's end; answered with the run once the request is on record."""
    return Reply(await connection.door.cancel(connection.caller, params.run_id))


async def run_wait(connection: Connection, params: WaitParams) -> Reply:
    """Wait for a run's end; answered with the ended run."""
    run = await connection.door.wait(connection.caller, params.run_id, params.timeout)
    connection.untie(run.id)
    return Reply(run)


async def query(connection: Connection, params: QueryParams) -> Reply:
    """Ask a query; answered with its value."""
    door = connection.door
    return Reply(await door.query(connection.caller, params.query_id, params.args, argv=params.argv))


async def stream_subscribe(connection: Connection, params: SubscribeParams) -> Reply:
    """Follow a stream; answered with ``{"subscription"}``, then events come in batches until ``ended``."""
    if not is_stream_name(params.stream):
        raise InvalidArguments(f"{params.stream!r} is not a stream name such as run/<id>")
    batches = connection.door.follow(connection.caller, params.stream, params.after, live=params.live)
    name, start = connection.subscribe(params.stream, batches)
    return Reply({"subscription": name}, start)


async def stream_unsubscribe(connection: Connection, params: UnsubscribeParams) -> Reply:
    """End a subscription."""
    connection.unsubscribe(params.subscription)
    return Reply(None)


async def meta_get(connection: Connection, params: MetaParams) -> Reply:
    """Describe everything the caller may see: ``{revision, generation, modified, meta?}``."""
    meta = connection.door.meta(connection.caller)
    answer: dict[str, object] = {"revision": meta.revision, "generation": meta.generation, "modified": False}
    if params.revision != meta.revision:
        answer |= {"modified": True, "meta": msgspec.Raw(meta.body)}
    return Reply(answer)


async def command_complete(connection: Connection, params: CompleteParams) -> Reply:
    """Offer values for the word being typed."""
    door = connection.door
    return Reply(await door.complete(connection.caller, params.command_id, params.words, params.incomplete))


async def rpc_cancel(connection: Connection, params: CancelCallParams) -> Reply:
    """Stop waiting for a call; a run it started goes on."""
    return Reply({"cancelled": connection.cancel_call(params.id)})


class Method(NamedTuple):
    """One row of the table."""

    params: type[Params]
    perform: Callable[[Connection, Params], Awaitable[Reply]]

    @property
    def doc(self) -> str:
        """What it is for."""
        return self.perform.__doc__ or ""


def _row(params: type[Params], perform: Callable[..., Awaitable[Reply]]) -> Method:
    return Method(params, perform)


METHODS: Mapping[str, Method] = {
    "hello": _row(HelloParams, hello),
    "whoami": _row(NoParams, whoami),
    "command.submit": _row(FollowedParams, command_submit),
    "command.run": _row(SubmitParams, command_run),
    "command.complete": _row(CompleteParams, command_complete),
    "run.cancel": _row(RunParams, run_cancel),
    "run.wait": _row(WaitParams, run_wait),
    "query": _row(QueryParams, query),
    "stream.subscribe": _row(SubscribeParams, stream_subscribe),
    "stream.unsubscribe": _row(UnsubscribeParams, stream_unsubscribe),
    "meta.get": _row(MetaParams, meta_get),
    "rpc.cancel": _row(CancelCallParams, rpc_cancel),
}


async def dispatch(connection: Connection, call: Call) -> Reply:
    """Perform one call.

    Raises:
        TrunnionError: whatever refuses it.
    """
    method = METHODS.get(call.method)
    if method is None:
        return await _by_id(connection, call)
    try:
        params = msgspec.convert(call.params, method.params)
    except msgspec.ValidationError as error:
        misfit = InvalidArguments(f"{call.method}: {error}")
        connection.host.turned_down(call.method, misfit, connection.caller)
        raise misfit from None
    return await method.perform(connection, params)


async def _by_id(connection: Connection, call: Call) -> Reply:
    """A command's or a query's own id as the method. Whether it may be seen is for the door to say."""
    door = connection.door
    if door.is_query(connection.caller, call.method):
        return Reply(await door.query(connection.caller, call.method, call.params))
    invocation = Invocation(command_id=call.method, args=dict(call.params))
    run = await _run_to_end(connection, invocation, tied=False)
    if run.error is not None:
        raise RunFailed(run.id, run.error)
    return Reply(run.result)


class RunFailed(TrunnionError):
    """The run behind a call did not succeed; ``details["run_id"]`` names it."""

    def __init__(self, run_id: str, error: ErrorInfo) -> None:
        super().__init__(error.message, {**error.details, "run_id": run_id})
        self._code = error.code

    @property
    def info(self) -> ErrorInfo:
        """The run's own error, with the run's id."""
        return ErrorInfo(self._code, self.message, self.details)


async def _run_to_end(connection: Connection, invocation: Invocation, *, tied: bool) -> Run:
    run = (await connection.submit(invocation, tied=tied)).run
    # One that keeps no record has ended by now, and cannot be asked for.
    ended = run if run.ended else await connection.door.wait(connection.caller, run.id)
    connection.untie(run.id)
    return ended
