"""The way in: resolve, policy, arguments, idempotency, gates, and only then a run."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial

import msgspec

from trunnion.access.redaction import Redactor
from trunnion.access.sealing import Sealer
from trunnion.arguments import Bound
from trunnion.kernel.asked import asked_for, bind, check_storable, deadline_of, named
from trunnion.kernel.authorizers import Authorizers
from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Committer
from trunnion.kernel.entries import CommandEntry
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.executor import Executor
from trunnion.kernel.file_claims import FileClaims
from trunnion.kernel.gates import Gates, question_of
from trunnion.kernel.ids import new_id
from trunnion.kernel.live import LiveRun
from trunnion.kernel.lookup import Lookup
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.masking import clean_labels, cleaned, mask, redactor_for, refuse_secret_words, secrets_of
from trunnion.kernel.sink import Sink
from trunnion.kernel.telling import Telling
from trunnion.model.errors import (
    Busy,
    Cancelled,
    Conflict,
    Forbidden,
    StaleMeta,
    TrunnionError,
    Unavailable,
)
from trunnion.model.events import run_stream
from trunnion.model.json import Json, JsonObject, encode
from trunnion.model.runs import Caller, Invocation, Run
from trunnion.store.base import KeyRow, Store

_sorted = msgspec.json.Encoder(order="sorted")


class Origin(msgspec.Struct, frozen=True):
    """Where an invocation comes from, if not from a door.

    Attributes:
        nested_in: the run it was started from, detached or not.
        parent: the run it ends with; None for detached ones.
        rerun_of: the run it repeats.
    """

    nested_in: LiveRun | None = None
    parent: LiveRun | None = None
    rerun_of: str | None = None


FROM_A_DOOR = Origin()


class Admitted(msgspec.Struct, frozen=True):
    """A run that is on record, and its live part unless it has ended."""

    run: Run
    live: LiveRun | None = None


class _Checked(msgspec.Struct, frozen=True):
    """An invocation that has passed everything that needs no waiting."""

    entry: CommandEntry
    bound: Bound
    decision: str
    digest: str
    secrets: dict[str, Json]
    deadline_at: int | None
    expires: float | None
    folder: str | None


class Admissions:
    """Admits invocations, whatever door they come by.

    Attributes:
        closed: why nothing new is accepted, empty while it is.
    """

    def __init__(
        self,
        *,
        lookup: Lookup,
        gates: Gates,
        authorizers: Authorizers,
        executor: Executor,
        committer: Committer,
        store: Store,
        log: EventLog,
        mailbox: Mailbox,
        clock: Clock,
        sealer: Sealer,
        redactor: Redactor,
        host_id: str,
        files: FileClaims,
        telling: Telling,
    ) -> None:
        self.closed = ""
        self._telling = telling
        self._lookup = lookup
        self._gates = gates
        self._authorizers = authorizers
        self._executor = executor
        self._committer = committer
        self._store = store
        self._log = log
        self._mailbox = mailbox
        self._clock = clock
        self._sealer = sealer
        self._redactor = redactor
        self._host_id = host_id
        self._files = files
        self._claims: dict[tuple[str, str], asyncio.Task[Admitted]] = {}
        self._loop = asyncio.get_running_loop()

    async def submit(self, caller: Caller, invocation: Invocation, origin: Origin = FROM_A_DOOR) -> Admitted:
        """Admit an invocation; returns once the run is on record.

        Args:
            caller: stamped by the door.
            invocation: what the client asks.
            origin: for nested and repeated runs.

        Raises:
            TrunnionError: it was refused, by the code that says why.
        """
        try:
            if self.closed and origin.nested_in is None:
                raise Unavailable(self.closed, {"stopping": True})
            checked = self._check(caller, invocation, origin)
            if invocation.idempotency_key is not None:
                return await self._join_or_admit(caller, invocation, checked, origin)
            if checked.entry.parameters.files or self._gates.covers("commands"):
                live = await self._admit(caller, invocation, checked, origin)
            else:
                live = self._placed(self._new(caller, invocation, checked, origin), caller, checked, origin)
            await self._acknowledged(live)
        except TrunnionError as error:
            clean = cleaned(error, self._redactor)
            self._telling.refused("command", self._redactor.text(asked_for(invocation)), caller, clean, error.run_id)
            if clean is error:
                raise
            raise clean from None
        return Admitted(live.told, live)

    async def _acknowledged(self, child: LiveRun) -> None:
        """Wait until a run is on record; if the caller of a nested one gives up meanwhile it is cancelled."""
        try:
            await child.accepted
        except asyncio.CancelledError:
            if child.parent is not None:
                self._executor.ending.stop(child, "cancelled")
            raise
        except TrunnionError as error:
            error.run_id = child.id
            raise

    # -- what needs no waiting --------------------------------------------------------------------

    def _check(self, caller: Caller, invocation: Invocation, origin: Origin) -> _Checked:
        nested_in = origin.nested_in
        self._lookup.require(caller)
        name, argv = named(invocation)
        check_storable(invocation, self._clock)
        entry, decision = self._lookup.command(name, caller)
        self._authorizers.check("command", entry.id, caller, entry.command.effect, decision.rule)
        if invocation.revision is not None and invocation.revision != entry.revision:
            raise StaleMeta(
                f"command {entry.id} has changed since it was read; read meta again", {"revision": entry.revision}
            )
        if not entry.available:
            raise Unavailable(f"command {entry.id} is not available at the moment: {entry.owner} is down")
        bound = bind(entry.parameters, invocation.args, argv)
        if entry.parameters.files:
            bound = self._files.settled(entry.parameters, bound, caller, invocation.cwd)
        folder = invocation.cwd if invocation.cwd is not None or nested_in is None else nested_in.cwd
        refuse_secret_words(invocation.idempotency_key, folder if entry.command.local else None, self._redactor)
        secrets = secrets_of(bound.args, entry.parameters, self._redactor) if bound.args else {}
        if entry.command.validate is not None:
            self._validate(entry, bound, secrets)
        inherited = None if origin.parent is None else origin.parent.expires
        deadline_at, expires = deadline_of(invocation, inherited, self._clock)
        digest = self._digest(bound, secrets) if invocation.idempotency_key or self._gates.covers("commands") else ""
        return _Checked(entry, bound, decision.rule, digest, secrets, deadline_at, expires, folder)

    def _validate(self, entry: CommandEntry, bound: Bound, secrets: JsonObject) -> None:
        """Have the command's own validator look; what it says may quote what it looked at."""
        try:
            entry.validate(bound)
        except TrunnionError as error:
            raise cleaned(error, redactor_for(secrets, self._redactor)) from error.__cause__

    def _has_room(self, caller: Caller, entry: CommandEntry) -> None:
        executor, limits = self._executor, self._executor.limits
        if executor.table.pending.total() >= limits.max_pending:
            raise Busy(f"{limits.max_pending} runs wait already; try again later", {"retry_after": 1})
        if executor.table.pending.get(caller.principal, 0) >= limits.max_pending_per_principal:
            raise Busy(
                f"{limits.max_pending_per_principal} runs of {caller.principal} wait already; try again later",
                {"retry_after": 1},
            )
        if not entry.is_async and len(executor.table.abandoned) > limits.max_abandoned:
            raise Busy(
                f"{len(executor.table.abandoned)} handlers do not return, so no thread is left for {entry.id}; "
                "see the query lanes.list and the command lanes.release"
            )

    def _digest(self, bound: Bound, secrets: JsonObject) -> str:
        encoded = _sorted.encode(bound.args)
        return self._sealer.digest(encoded) if secrets else hashlib.sha256(encoded).hexdigest()

    # -- idempotency ------------------------------------------------------------------------------

    async def _join_or_admit(
        self, caller: Caller, invocation: Invocation, checked: _Checked, origin: Origin
    ) -> Admitted:
        """One run for all invocations with the same key, those that come at the same time included.

        The first one's admission is a task of its own: whoever comes while it is under way joins it, even if
        the first caller has gone away meanwhile.
        """
        key = (caller.principal, invocation.idempotency_key or "")
        twin = await self._twin(caller, key[1], checked)
        if twin is not None:
            return twin
        claim = self._claims[key] = self._loop.create_task(self._claimed(caller, invocation, checked, origin))
        claim.add_done_callback(partial(self._claim_over, key))
        return await asyncio.shield(claim)

    def _claim_over(self, key: tuple[str, str], claim: asyncio.Task[Admitted]) -> None:
        del self._claims[key]
        if not claim.cancelled():
            claim.exception()  # looked at here, for the first caller may be gone

    async def _claimed(self, caller: Caller, invocation: Invocation, checked: _Checked, origin: Origin) -> Admitted:
        live = await self._admit(caller, invocation, checked, origin)
        await self._acknowledged(live)
        return Admitted(live.told, live)

    async def _twin(self, caller: Caller, key: str, checked: _Checked) -> Admitted | None:
        """The run a key already belongs to."""
        claim = self._claims.get((caller.principal, key))
        if claim is not None:
            admitted = await asyncio.shield(claim)
            _same(admitted.run.command_id, admitted.run.args_digest, checked, key)
            _refuse_others(admitted, caller)
            return admitted
        row = self._store.find_key(caller.principal, key)
        if row is None:
            return None
        _same(row.command_id, row.args_digest, checked, key)
        live = self._executor.table.live.get(row.run_id)
        run = live.told if live is not None else self._store.get_run(row.run_id)
        if run is None:
            raise Conflict(f"the run {row.run_id} of idempotency key {key!r} is no longer kept", {"run_id": row.run_id})
        return Admitted(run, live)

    # -- gates and the run itself -----------------------------------------------------------------

    async def _admit(self, caller: Caller, invocation: Invocation, checked: _Checked, origin: Origin) -> LiveRun:
        """Ask the gates, then give the run its place; ``accepted`` tells when it is on record."""
        run = self._new(caller, invocation, checked, origin)
        if not checked.entry.parameters.files:
            if self._gates.covers("commands"):
                run = await self._admitted(run, caller, checked, origin)
            return self._placed(run, caller, checked, origin)
        async with self._files.taken(run.id, checked.entry.parameters, checked.bound, caller) as follow:
            self._still_open(origin)
            if self._gates.covers("commands"):
                run = await self._admitted(run, caller, checked, origin)
            live = self._placed(run, caller, checked, origin)
            follow(live.accepted)
        return live

    def _new(self, caller: Caller, invocation: Invocation, checked: _Checked, origin: Origin) -> Run:
        """The run to be. Only here is it asked whether there is room: whoever joins a run that is there needs none."""
        self._committer.refuse_if_unable()
        self._has_room(caller, checked.entry)
        return self._run(caller, invocation, checked, origin)

    async def _admitted(self, run: Run, caller: Caller, checked: _Checked, origin: Origin) -> Run:
        """The run as the gates let it pass. Whatever keeps it from coming to be knows its id, for they may know it."""
        try:
            hold = await self._gates.admit(question_of(run, caller, checked.entry.command.effect))
            self._still_open(origin)
            if hold is not None and checked.entry.command.keep == "none":
                raise Forbidden(f"{run.command_id} keeps no record, so it cannot wait for a decision: {hold.reason}")
        except TrunnionError as error:
            error.run_id = run.id
            raise
        except asyncio.CancelledError:
            gone = Cancelled(f"{run.command_id} was not begun: whoever asked for it went away")
            self._telling.refused("command", run.command_id, caller, gone, run.id)
            raise
        if hold is None:
            return run
        labels = {**run.labels, "held": self._redactor.text(hold.reason)}
        return msgspec.structs.replace(run, status="held", labels=labels)

    def _placed(self, run: Run, caller: Caller, checked: _Checked, origin: Origin) -> LiveRun:
        live = self._live(run, caller, checked, origin.parent)
        key = run.idempotency_key
        row = KeyRow(run.principal, key, run.id, run.command_id, run.args_digest, run.created) if key else None
        sealed = self._sealer.seal(run.id, encode(checked.secrets)) if checked.secrets and not live.ephemeral else None
        self._executor.accept(live, None if live.ephemeral else row, sealed)
        return live

    def _still_open(self, origin: Origin) -> None:
        """Look again after a wait."""
        if self.closed and origin.nested_in is None:
            raise Unavailable(self.closed, {"stopping": True})
        if origin.parent is not None and origin.parent.phase != "running":
            raise Unavailable(f"the run {origin.parent.id} that asked for it has ended")

    def _run(self, caller: Caller, invocation: Invocation, checked: _Checked, origin: Origin) -> Run:
        entry, nested_in = checked.entry, origin.nested_in
        depth = 0 if nested_in is None else nested_in.run.depth + 1
        if depth > self._executor.limits.max_depth:
            raise Busy(f"{entry.id}: runs are nested {depth} deep; the limit is {self._executor.limits.max_depth}")
        return Run(
            id=new_id(),
            num=self._store.next_num(),
            command_id=entry.id,
            command_revision=entry.revision,
            status="pending",
            created=self._clock.utc(),
            principal=caller.principal,
            source=caller.source,
            chain=caller.chain,
            role=caller.role,
            credential=caller.credential,
            category=entry.command.category.name if entry.command.category else "",
            args=mask(checked.bound.args, checked.secrets),
            args_digest=checked.digest,
            decision=checked.decision,
            session_id=None if invocation.session_id is None else self._redactor.text(invocation.session_id),
            parent_run_id=None if nested_in is None else nested_in.id,
            rerun_of=origin.rerun_of,
            detached=nested_in is not None and origin.parent is None,
            depth=depth,
            labels=clean_labels(invocation.labels, self._redactor) if invocation.labels else {},
            owner=self._host_id,
            idempotency_key=invocation.idempotency_key,
            not_before=invocation.not_before,
            deadline_at=checked.deadline_at,
            cwd=checked.folder if entry.command.local else None,
        )

    def _live(self, run: Run, caller: Caller, checked: _Checked, parent: LiveRun | None) -> LiveRun:
        kept = checked.entry.command.keep == "history"
        log = self._log.fresh(run_stream(run.id)) if kept else None
        redactor = redactor_for(checked.secrets, self._redactor)
        live = LiveRun(
            run,
            caller,
            checked.entry,
            checked.bound,
            log,
            Sink(log, self._mailbox, redactor, self._executor.limits),
            self._loop.create_future(),
        )
        live.parent, live.cwd = parent, checked.folder
        live.expires = live.expires_asked = checked.expires
        return live


def _refuse_others(admitted: Admitted, caller: Caller) -> None:
    """What a run without a record answers, a new token say, is for whoever proved who they are in the same way."""
    live = admitted.live
    if live is not None and live.ephemeral and live.caller.credential != caller.credential:
        raise Conflict(f"this key is used by {caller.principal} at the moment, logged in otherwise; use a new key")


def _same(command_id: str, digest: str, checked: _Checked, key: str) -> None:
    if command_id != checked.entry.id or digest != checked.digest:
        raise Conflict(
            f"idempotency key {key!r} was used for another command or other arguments; use a new key",
            {"idempotency_key": key},
        )
