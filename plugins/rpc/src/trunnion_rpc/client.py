"""A client for asyncio programs: typed calls, and streams that survive a lost line.

async with await Client.connect("grpcs://host:50051", tls=Tls(ca=…, cert=…, key=…)) as host:
    run = await host.run(Invocation(command_id="device.plc1.write", args={"value": 3}))
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec
from google.protobuf.message import Message

from trunnion import DeadlineExceeded, Event, Invocation, Json, Run, RunChanges, RunFilter, TrunnionError, Unavailable
from trunnion.arguments import Completion
from trunnion.model.json import encode
from trunnion.model.runs import Page
from trunnion.protocol.answers import MetaAnswer
from trunnion_rpc.answers import senseless, struct_of, value_of
from trunnion_rpc.content import Files, read_whole
from trunnion_rpc.decoding import event_of, run_of
from trunnion_rpc.encoding import STATUSES
from trunnion_rpc.line import Line
from trunnion_rpc.patience import Patience
from trunnion_rpc.target import Tls
from trunnion_rpc.v1 import runtime_pb2 as pb

R = TypeVar("R", bound=Message)
T = TypeVar("T")
FOREVER = 1e9
"""Seconds; the host has a limit of its own, after which it is asked again."""


class HostInfo(msgspec.Struct, frozen=True):
    """Which host answers, and whom it takes the client for."""

    host_id: str
    boot_id: str
    version: str
    principal: str
    role: str
    source: str


class Client:
    """A connection to a host.

    Make one with ``await Client.connect(…)``; leave it with ``await client.close()`` or as a context manager. When the
    line is lost, calls that change nothing, and starts of runs, which carry a key, are made again, streams go on where
    they were, files too; all of that until ``patience`` is over.

    Args:
        target: the host's socket, as a path or ``unix:PATH``; ``grpcs://HOST:PORT`` elsewhere; on this machine
            ``grpc://127.0.0.1:PORT`` too.
        token: an API token; None where a certificate, or a socket that only the host's owner can reach, says who it is.
        patience: seconds a host that cannot be reached is tried again.
        insist: whether calls are made again; otherwise they fail at once, and only streams and files go on.
        tls: certificates, of the host's authority and one's own. Files that have changed are read again when the line
            is lost.

    Attributes:
        files: artifacts and uploads.

    Raises:
        InvalidArguments: the target means nothing, or a file cannot be read.
    """

    def __init__(
        self,
        target: Path | str,
        *,
        token: str | None = None,
        patience: float = 30.0,
        tls: Tls | None = None,
        insist: bool = True,
    ) -> None:
        self._line = Line(target, token, tls)
        self._patience = patience
        self._insistence = patience if insist else 0.0
        self.files = Files(self._line, patience)

    @classmethod
    async def connect(
        cls, target: Path | str, *, token: str | None = None, patience: float = 30.0, tls: Tls | None = None
    ) -> Client:
        """Connect, and see that somebody answers.

        Raises:
            InvalidArguments: the target means nothing, or a file cannot be read.
            Unavailable: nobody does; it is not tried again.
            RemoteError: the host refuses.
        """
        client = cls(target, token=token, patience=patience, tls=tls)
        try:
            await client.greet()
        except BaseException:
            await client.close()
            raise
        return client

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect; runs go on unless they were tied to the call that started them."""
        await self._line.close()

    async def greet(self) -> HostInfo:
        """The same as ``host``, asked once and not tried again."""
        answer = await self._ask("GetHost", pb.GetHostRequest(), pb.GetHostResponse)
        return HostInfo(**{name: getattr(answer, name) for name in HostInfo.__struct_fields__})

    async def host(self) -> HostInfo:
        """Which host answers, and whom it takes the client for."""
        return await self._again(self.greet)

    # -- commands and queries ---------------------------------------------------------------------------

    async def submit(self, invocation: Invocation) -> Run:
        """Start a run; returns once it is on record.

        Raises:
            RemoteError: the host refused.
            Unavailable: it could not be reached; with a key of one's own, asking again is safe.
        """
        return await self._invoke(invocation, None)

    async def run(self, invocation: Invocation, *, cancel_on_disconnect: bool = False) -> Run:
        """Start a run and wait for its end; returns it, whatever became of it.

        Args:
            invocation: what is to be run.
            cancel_on_disconnect: cancel the run when the call ends before it, also when the line is lost.

        Raises:
            RemoteError: the host refused.
            Unavailable: it could not be reached.
        """
        run = await self._invoke(invocation, FOREVER, tied=cancel_on_disconnect)
        return run if run.ended else await self.wait(run.id)

    async def _invoke(self, invocation: Invocation, wait: float | None, *, tied: bool = False) -> Run:
        request = pb.InvokeRequest(
            command_id=invocation.command_id,
            args_json=None if invocation.args is None else encode(invocation.args),
            argv=None if invocation.argv is None else pb.Argv(words=invocation.argv),
            line=invocation.line,
            timeout_seconds=invocation.timeout,
            deadline_us=invocation.deadline_at,
            idempotency_key=invocation.idempotency_key or uuid.uuid4().hex,
            session_id=invocation.session_id,
            labels=invocation.labels,
            command_revision=invocation.revision,
            not_before_us=invocation.not_before,
            wait_seconds=wait,
            cancel_on_disconnect=tied,
        )
        answer = await self._again(lambda: self._ask("Invoke", request, pb.InvokeResponse))
        return await self._whole(answer.run)

    async def query(
        self, query_id: str, args: Mapping[str, Json] | None = None, *, argv: Sequence[str] | None = None
    ) -> Json:
        """Ask a query.

        Raises:
            RemoteError: the host refused, or the query failed.
            Unavailable: it could not be reached.
        """
        request = pb.QueryRequest(
            query_id=query_id,
            args_json=None if args is None else encode(args),
            argv=None if argv is None else pb.Argv(words=argv),
        )
        answer = await self._again(lambda: self._ask("Query", request, pb.QueryResponse))
        if not answer.incomplete:
            return value_of(answer.value_json)
        return value_of(await self._content(pb.ReadContentRequest(query=request)))

    async def complete(self, command_id: str, words: Sequence[str], incomplete: str) -> list[Completion]:
        """What may come next on the command line of a command or query."""
        request = pb.CompleteRequest(command_id=command_id, words=words, incomplete=incomplete)
        answer = await self._again(lambda: self._ask("Complete", request, pb.CompleteResponse))
        found = [{"value": c.value, "description": c.description, "kind": c.kind} for c in answer.completions]
        try:
            return msgspec.convert(found, list[Completion])
        except msgspec.ValidationError as error:
            raise senseless(f"proposals of which {error}") from None

    async def meta(self, revision: str | None = None) -> MetaAnswer:
        """The description of everything visible; left out when ``revision`` is current."""
        request = pb.GetMetaRequest(revision=revision or "")
        answer = await self._again(lambda: self._ask("GetMeta", request, pb.GetMetaResponse))
        body = answer.meta_json
        if answer.incomplete:
            body = await self._content(pb.ReadContentRequest(meta=pb.MetaContent()))
        return MetaAnswer(answer.revision, answer.generation, not answer.not_modified, value_of(body))

    # -- runs -------------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Run:
        """A run as it is now."""
        request = pb.GetRunRequest(run_id=run_id)
        answer = await self._again(lambda: self._ask("GetRun", request, pb.GetRunResponse))
        return await self._whole(answer.run)

    async def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """A run at its end.

        Args:
            run_id: the run.
            timeout: seconds; None for as long as it takes.

        Raises:
            RemoteError: with code ``deadline_exceeded``: it has not ended in time, and goes on.
            Unavailable: the host could not be reached.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while True:
            left = None if end is None else max(0.0, end - loop.time())
            request = pb.WaitRunRequest(run_id=run_id, timeout_seconds=left)
            try:
                answer = await self._again(lambda: self._ask("WaitRun", request, pb.WaitRunResponse))  # noqa: B023
                return await self._whole(answer.run)
            except TrunnionError as error:
                over = end is not None and loop.time() >= end
                if error.code != DeadlineExceeded.code or over:
                    raise

    async def list_runs(self, wanted: RunFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> Page:
        """One page of runs, newest first; what is large in one may be left out of it."""
        request = pb.ListRunsRequest(filter=_filter(wanted), page_size=limit, cursor=cursor or "")
        answer = await self._again(lambda: self._ask("ListRuns", request, pb.ListRunsResponse))
        return Page([run_of(run) for run in answer.runs], answer.next_cursor or None)

    async def cancel(self, run_id: str) -> Run:
        """Ask for a run's end; returns once the wish is on record."""
        request = pb.CancelRunRequest(run_id=run_id)
        answer = await self._again(lambda: self._ask("CancelRun", request, pb.CancelRunResponse))
        return await self._whole(answer.run)

    async def follow_runs(
        self, wanted: RunFilter | None = None, *, after: str = ""
    ) -> AsyncGenerator[RunChanges, None]:
        """Iterate over runs that changed; goes on after a lost line. What is large in a run may be left out of it.

        Raises:
            RemoteError: they may not be seen, or no longer.
            Unavailable: no host came back in time.
        """
        patience = Patience(self._patience)
        while True:
            request = pb.StreamRunsRequest(after=after, filter=_filter(wanted))
            try:
                async with aclosing(self._line.listen("StreamRuns", request, pb.StreamRunsResponse)) as answers:
                    async for answer in answers:
                        patience.rewarded()
                        after = answer.cursor
                        yield RunChanges([run_of(run) for run in answer.runs], after, answer.reset)
                return
            except Unavailable as error:
                await patience.wait(error)

    # -- streams ----------------------------------------------------------------------------------------

    async def follow(self, stream: str, after: int = 0, *, live: bool = True) -> AsyncGenerator[list[Event], None]:
        """Iterate over batches of a stream's events with ``seq > after``.

        Ends after a run's last event, or at the present end when ``live`` is False. A lost line is taken up again
        where it broke, without loss and without repetition.

        Raises:
            RemoteError: the stream is not there, or may not be read.
            Unavailable: no host came back in time.
        """
        patience = Patience(self._patience)
        while True:
            request = pb.StreamEventsRequest(stream=stream, after=after, follow=live)
            try:
                async with aclosing(self._line.listen("StreamEvents", request, pb.StreamEventsResponse)) as answers:
                    async for answer in answers:
                        patience.rewarded()
                        last = _last_of(stream, after, answer.events)
                        batch = [await self._event(stream, event) for event in answer.events]
                        after = last
                        if batch:
                            yield batch
                return
            except Unavailable as error:
                await patience.wait(error)

    async def _event(self, stream: str, message: pb.Event) -> Event:
        if not message.incomplete:
            return event_of(stream, message)
        named = pb.EventContent(stream=stream, seq=message.seq)
        return struct_of(await self._content(pb.ReadContentRequest(event=named)), Event)

    # -- inside -----------------------------------------------------------------------------------------

    async def _whole(self, message: pb.Run) -> Run:
        if not message.incomplete:
            return run_of(message)
        return struct_of(await self._content(pb.ReadContentRequest(run_id=message.id)), Run)

    async def _content(self, request: pb.ReadContentRequest) -> bytes:
        return await read_whole(self._line, request, self._patience)

    async def _again(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be made twice until somebody answers it."""
        patience = Patience(self._insistence)
        while True:
            try:
                return await call()
            except Unavailable as error:
                await patience.wait(error)

    async def _ask(self, method: str, request: Message, kind: type[R]) -> R:
        return await self._line.ask(method, request, kind)


def _last_of(stream: str, after: int, events: Iterable[pb.Event]) -> int:
    """The number of the last of some events, each of which is to come later than the one before."""
    for event in events:
        if event.seq <= after:
            raise senseless(f"event {event.seq} of {stream} where {after} was the last one")
        after = event.seq
    return after


def _filter(wanted: RunFilter | None) -> pb.RunFilter | None:
    if wanted is None:
        return None
    return pb.RunFilter(
        status=[STATUSES[status] for status in wanted.status],
        command=wanted.command,
        principal=wanted.principal,
        source=wanted.source,
        session_id=wanted.session_id,
        parent_run_id=wanted.parent_run_id,
        created_after_us=wanted.created_after,
        created_before_us=wanted.created_before,
    )
