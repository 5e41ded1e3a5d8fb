"""The way in for one frontend: what it may ask of the host, always in somebody's name.

Beside commands, queries and streams a door has verbs of its own, for runs, files and meta. Each of them is closed to
remote callers where the command or query of the same purpose is, so that ``[access.withhold]`` speaks of both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

import msgspec

from trunnion.access.policy import Policy, refusal
from trunnion.arguments.completion import Completion
from trunnion.kernel.admission import FROM_A_DOOR, Origin
from trunnion.kernel.cancelling import cancel
from trunnion.kernel.completing import complete
from trunnion.kernel.core import Kernel
from trunnion.kernel.following import Following, as_told, permission
from trunnion.kernel.live import Begun, LiveRun
from trunnion.kernel.meta import Meta
from trunnion.kernel.run_feed import follow_runs
from trunnion.kernel.wards import Judge
from trunnion.model.access import Credential
from trunnion.model.contributions import Admission as Question
from trunnion.model.contributions import StreamSource
from trunnion.model.errors import Forbidden, InvalidArguments, NotFound, TrunnionError
from trunnion.model.events import HOST_STREAM, RUN_STREAM, Event
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import is_stream_name
from trunnion.model.runs import ArtifactInfo, Caller, Invocation, Run, RunChanges
from trunnion.model.uploads import UploadInfo


class Door:
    """The way in for one frontend. The host stamps its source; nobody else can.

    Attributes:
        source: what everything through this door is stamped with.
    """

    def __init__(self, kernel: Kernel, source: str) -> None:
        self._kernel = kernel
        self.source = source

    async def authenticate(self, credential: Credential) -> Caller:
        """Who showed a credential at this door; the only way to a caller.

        Raises:
            Unauthenticated: it proves nobody; the message never says why.
            Busy: too many attempts failed; ``details["retry_after"]`` are the seconds to wait.
        """
        return await self._kernel.authentication.authenticate(self.source, credential)

    def _stamped(self, caller: Caller) -> Caller:
        """A caller made by another door does not pass as one of this door."""
        return caller if caller.source == self.source else self._restamped(caller)

    def _restamped(self, caller: Caller) -> Caller:
        """It stays bounded by the doors it came by."""
        return msgspec.structs.replace(caller, source=self.source, chain=(*caller.chain, caller.source))

    # -- commands ---------------------------------------------------------------------------------

    async def submit(self, caller: Caller, invocation: Invocation, *, rerun_of: str | None = None) -> Run:
        """Admit an invocation; returns the run once it is on record.

        Raises:
            TrunnionError: it was refused, by the code that says why.
        """
        origin = FROM_A_DOOR if rerun_of is None else Origin(rerun_of=rerun_of)
        return (await self._submitted(caller, invocation, origin)).run

    async def begin(self, caller: Caller, invocation: Invocation) -> Begun:
        """Admit an invocation, for somebody who will look on; returns once the run is on record.

        A short run has ended by then. ``follow`` and ``wait`` are handed what this returns, lest they ask the store
        for what is in memory still.

        Raises:
            TrunnionError: as for ``submit``.
        """
        return await self._submitted(caller, invocation, FROM_A_DOOR)

    async def _submitted(self, caller: Caller, invocation: Invocation, origin: Origin) -> Begun:
        admitted = await self._kernel.admissions.submit(self._stamped(caller), invocation, origin)
        if admitted.live is not None and admitted.live.ephemeral:
            return Begun(await self._ephemeral_end(admitted.live))
        return Begun(admitted.run, admitted.live)

    async def _ephemeral_end(self, live: LiveRun) -> Run:
        """A run without a record, at its end; it may have ended, and be gone, before it is asked for."""
        try:
            return await self._kernel.waiting.ended(live.id)
        except NotFound:
            return live.run

    async def wait(
        self, caller: Caller, run_id: str, timeout: float | None = None, *, begun: Begun | None = None
    ) -> Run:
        """The run once it has ended.

        Args:
            caller: who waits.
            run_id: the run.
            timeout: seconds.
            begun: what ``begin`` said of it.

        Raises:
            NotFound: there is none, or it may not be seen.
            Unauthenticated: what proved the caller no longer does.
            DeadlineExceeded: it has not ended within ``timeout`` seconds; it goes on.
        """
        caller, policy = self._stamped(caller), self._kernel.policy
        self._require_open("runs.result", caller, "run", run_id)
        live = (begun and begun.live) or self._kernel.executor.table.live.get(run_id)
        run = live.run if live is not None else await self._seen(caller, run_id)
        if live is not None and live.phase == "ended":
            policy.require(caller)
            policy.require_run(run, caller)
            return run
        if not caller.credential:  # then no change of policy can take the run away
            policy.require_run(run, caller)
            return await self._kernel.waiting.ended(run_id, timeout)
        return await self._kernel.waiting.ended(run_id, timeout, partial(_visible_until, policy, run, caller))

    async def get(self, caller: Caller, run_id: str) -> Run:
        """A run as it is now.

        Raises:
            NotFound: there is none, or it may not be seen.
        """
        caller = self._stamped(caller)
        self._require_open("runs.get", caller, "run", run_id)
        return await self._seen(caller, run_id)

    async def _seen(self, caller: Caller, run_id: str) -> Run:
        self._kernel.policy.require(caller)
        run = await self._kernel.waiting.get(run_id)
        self._kernel.policy.require_run(run, caller)
        return run

    def _require_open(self, name: str, caller: Caller, kind: str, what: str) -> None:
        """See to it that a verb of the door itself is as open as the command or query ``name``."""
        if not self._kernel.lookup.is_open(name, caller):
            self._kernel.policy.require(caller)
            raise NotFound(f"there is no {kind} {what!r}", {"run_id" if kind == "run" else kind: what})

    async def cancel(self, caller: Caller, run_id: str) -> Run:
        """Have a run cancelled; the wish is on record when this returns. An ended run is returned as it is.

        Raises:
            NotFound: there is none, or it may not be seen.
            Forbidden: it may be seen, but not cancelled.
        """
        caller = self._stamped(caller)
        self._require_open("runs.cancel", caller, "run", run_id)
        run = await self._seen(caller, run_id)
        if not self._kernel.policy.may_control_run(run, caller):
            raise Forbidden(f"run {run_id} is another's: {caller.principal} may look at it, not cancel it")
        live = self._kernel.executor.table.live.get(run_id)
        if live is None:
            return run
        await cancel(self._kernel, caller, live)
        if live.run.status in ("pending", "held") or live.phase == "ending":
            return await self._kernel.waiting.ended(run_id)
        return live.run

    # -- queries ----------------------------------------------------------------------------------

    def is_query(self, caller: Caller, name: str) -> bool:
        """Whether a name is that of a query the caller may know of; of any other it is not told what it is."""
        entry = self._kernel.registry.query(name)
        return entry is not None and self._kernel.policy.decide(entry.target, self._stamped(caller)).visible

    async def query(
        self,
        caller: Caller,
        query_id: str,
        args: JsonObject | None = None,
        *,
        argv: Sequence[str] | None = None,
    ) -> Json:
        """Answer a query.

        Raises:
            TrunnionError: it was refused, took too long, or failed.
        """
        return await self._kernel.queries.query(self._stamped(caller), query_id, args, argv)

    # -- streams ----------------------------------------------------------------------------------

    async def follow(
        self, caller: Caller, stream: str, after: int = 0, *, live: bool = True, begun: Begun | None = None
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield batches of committed events after ``after``, in order, without gap.

        A run's stream ends with its terminal event; any other goes on until it is closed. With
        ``live=False`` it ends where the stream ends now.

        Args:
            caller: who looks on.
            stream: its name.
            after: the last event that is known already.
            live: whether to go on at the present end.
            begun: what ``begin`` said of the run whose stream it is.

        Raises:
            InvalidArguments: ``after`` is negative or no stream can have this name.
            NotFound: there is no such stream, or it may not be seen.
            TrunnionError: it may not be followed, or no longer: a grant was withdrawn, a token has expired.
        """
        caller = self._stamped(caller)
        try:
            if after < 0:
                raise InvalidArguments(f"a position in a stream is 0 or more, not {after}")
            if not is_stream_name(stream):
                raise InvalidArguments(f"{stream!r} is not the name of a stream")
            source, judge, end = await self._open(caller, stream, begun and begun.live)
        except TrunnionError as error:
            self._kernel.telling.refused("stream", stream, caller, error)
            raise
        followed, policy = Following(self._kernel, source, stream, end, begun and begun.log), self._kernel.policy
        with self._kernel.wards.ward(judge, followed.break_off) as ward:
            async with aclosing(followed.batches(after, ward, live=live)) as batches:
                async for batch in batches:
                    yield batch if stream != HOST_STREAM else as_told(batch, whole=policy.is_inside(caller))

    def follow_runs(self, caller: Caller, after: str = "") -> AsyncGenerator[RunChanges, None]:
        """Yield the runs the caller may see that changed, each as it is now, for as long as they may list them.

        It begins with all that have not ended, unless ``after`` is the cursor of a batch that can be gone on from.
        A run that changed several times is told of at least once after its last change.

        Raises:
            TrunnionError: the caller may not ask ``runs.list``, or no longer.
            Unavailable: the host has stopped.
        """
        return follow_runs(self._kernel, self._stamped(caller), after)

    async def _open(self, caller: Caller, stream: str, begun: LiveRun | None) -> tuple[StreamSource, Judge, int]:
        """The family of a stream the caller may follow, what says whether it still may, and a run's last event."""
        entry = self._kernel.registry.stream(stream)
        if entry is None:
            self._kernel.policy.require(caller)
            raise NotFound(f"there is no stream {stream!r}", {"stream": stream})
        decision = self._kernel.policy.decide(entry.target_of(stream), caller)
        if not decision.allowed:
            raise refusal(decision, "stream", stream)
        run = None
        if begun is not None:
            run = begun.run
            self._kernel.policy.require_run(run, caller)
        elif stream.startswith(RUN_STREAM):
            run = await self._run_of(caller, stream)
        self._kernel.authorizers.check("stream", stream, caller, "read", decision.rule)
        if self._kernel.gates.covers("streams"):
            await self._kernel.gates.admit(
                Question(
                    kind="stream",
                    target=stream,
                    revision=entry.revision,
                    caller=caller,
                    decision=decision.rule,
                    effect="read",
                )
            )
        judge = permission(self._kernel, caller, stream, entry, run)
        return entry.source, judge, run.last_seq if run is not None else 0

    async def _run_of(self, caller: Caller, stream: str) -> Run:
        try:
            return await self._seen(caller, stream.removeprefix(RUN_STREAM))
        except NotFound:
            raise NotFound(f"there is no stream {stream!r}", {"stream": stream}) from None

    # -- files ------------------------------------------------------------------------------------

    async def artifact(self, caller: Caller, artifact_id: str) -> ArtifactInfo:
        """A file kept with a run.

        Raises:
            NotFound: there is none, or its run may not be seen.
        """
        caller = self._stamped(caller)
        self._require_open("artifacts.get", caller, "artifact", artifact_id)
        return await self._kernel.files.artifacts.info(caller, artifact_id)

    def read_artifact(
        self, caller: Caller, artifact_id: str, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a range of a kept file in pieces of at most 256 KiB; one beyond its end stops there.

        Raises:
            NotFound: there is none, or its run may not be seen, or no longer.
            InvalidArguments: it begins beyond the end; ``details["size"]`` is the file's size.
            Unavailable: the file is gone from the disk or was cut short.
        """
        caller = self._stamped(caller)
        self._require_open("artifacts.get", caller, "artifact", artifact_id)
        return self._kernel.files.artifacts.read(caller, artifact_id, offset, length)

    async def open_upload(
        self, caller: Caller, name: str, *, size: int | None = None, media_type: str = "application/octet-stream"
    ) -> UploadInfo:
        """Begin to bring a file.

        Args:
            caller: whose it will be.
            name: shown to people; not a path.
            size: bytes that will come, if they are known: then fewer do not pass for the whole.
            media_type: what it is; never used to decide how to run it.

        Raises:
            Forbidden: the caller may run nothing.
            InvalidArguments, Busy: too large, or too many; the message names the limit.
        """
        caller = self._bringing(caller, name)
        return await self._kernel.files.uploads.open(caller, name, size, media_type)

    def _bringing(self, caller: Caller, upload_id: str, name: str = "uploads.get") -> Caller:
        caller = self._stamped(caller)
        self._require_open(name, caller, "upload", upload_id)
        return caller

    async def write_upload(self, caller: Caller, upload_id: str, offset: int, chunk: bytes) -> UploadInfo:
        """Add bytes; after a crash or on a new connection an upload goes on where ``upload`` says it is.

        Raises:
            NotFound: there is none, or it is another's.
            Conflict: ``offset`` is not how much has arrived, which ``details["offset"]`` says.
            InvalidArguments, Busy: too large; the message names the limit.
            Unavailable: the disk is full; nothing of the chunk was taken.
        """
        return await self._kernel.files.uploads.write(self._bringing(caller, upload_id), upload_id, offset, chunk)

    async def finish_upload(self, caller: Caller, upload_id: str, sha256: str | None = None) -> UploadInfo:
        """Say that all of it has come; from then on its handle is a file argument.

        Raises:
            NotFound: there is none, or it is another's.
            Conflict: fewer bytes have come than were announced; ``details["offset"]`` says how many.
            InvalidArguments: what came has another digest; the upload is gone.
        """
        return await self._kernel.files.uploads.finish(self._bringing(caller, upload_id), upload_id, sha256)

    async def upload(self, caller: Caller, upload_id: str) -> UploadInfo:
        """An upload as it is now.

        Raises:
            NotFound: there is none, or it is another's.
        """
        return self._kernel.files.uploads.found(self._bringing(caller, upload_id), upload_id)

    async def drop_upload(self, caller: Caller, upload_id: str) -> None:
        """Remove an upload.

        Raises:
            NotFound: there is none, or it is another's.
        """
        await self._kernel.files.uploads.drop(self._bringing(caller, upload_id, "uploads.drop"), upload_id)

    # -- what there is ----------------------------------------------------------------------------

    def meta(self, caller: Caller) -> Meta:
        """Everything the caller may see, as one document.

        Raises:
            Unauthenticated: what proved the caller no longer does.
            NotFound: the door is closed to it.
        """
        caller = self._stamped(caller)
        self._require_open("host.meta", caller, "description", "host.meta")
        return self._kernel.meta.meta(caller)

    async def complete(
        self, caller: Caller, command_id: str, words: Sequence[str], incomplete: str
    ) -> list[Completion]:
        """What may come next on the command line of a command or query, values offered by queries included.

        Raises:
            NotFound: there is no such command, or it may not be seen.
        """
        return await complete(self._kernel, self._stamped(caller), command_id, words, incomplete)


def _visible_until(policy: Policy, run: Run, caller: Caller) -> int | None:
    """Until when a run may be seen unless policy changes; a function, for a closure costs every wait."""
    policy.require_run(run, caller)
    return policy.valid_until(caller)
