"""What an earlier host left behind: nothing stays running without an owner, nothing accepted is lost."""

from __future__ import annotations

import asyncio

import msgspec

from trunnion.access.redaction import Redactor
from trunnion.access.sealing import Sealer
from trunnion.arguments import Bound
from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Change, Committer
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.executor import Executor
from trunnion.kernel.live import LiveRun, Outcome
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.masking import redactor_for
from trunnion.kernel.registry import Registry
from trunnion.kernel.reporting import Report
from trunnion.kernel.retry import next_attempt, retry_delay
from trunnion.kernel.sink import Sink
from trunnion.model.errors import ErrorInfo, TrunnionError
from trunnion.model.events import run_stream
from trunnion.model.json import Json, decode
from trunnion.model.runs import Caller, Run
from trunnion.store.base import LiveRun as StoredRun
from trunnion.store.base import Store


class Recovery:
    """Takes up the live runs found at start."""

    def __init__(
        self,
        *,
        registry: Registry,
        executor: Executor,
        committer: Committer,
        store: Store,
        log: EventLog,
        mailbox: Mailbox,
        clock: Clock,
        sealer: Sealer,
        redactor: Redactor,
        host_id: str,
        report: Report,
    ) -> None:
        self._registry = registry
        self._executor = executor
        self._committer = committer
        self._store = store
        self._log = log
        self._mailbox = mailbox
        self._clock = clock
        self._sealer = sealer
        self._redactor = redactor
        self._host_id = host_id
        self._report = report

    def recover(self) -> dict[str, int]:
        """Take up every live run; returns how many were queued again and how many interrupted."""
        counts = {"queued": 0, "interrupted": 0, "cancelled": 0, "failed": 0}
        stored = self._store.live()
        present = {row.run.id for row in stored}
        orphans = _orphans(stored)
        for row in stored:
            secrets = self._secrets(row)
            live = self._live(row, secrets or {})
            status = self._judge(live, lost_parent=row.run.id in orphans, unreadable=secrets is None)
            counts[status] += 1
        if present:
            self._report("host.recovered", f"{len(present)} runs of an earlier host: " + _counted(counts))
        return counts

    def _judge(self, live: LiveRun, *, lost_parent: bool, unreadable: bool) -> str:
        run, executor = live.run, self._executor
        if run.cancel_requested_at is not None:
            executor.adopt(live)
            executor.ending.conclude(live, "cancelled", Outcome(stopped=True))
            return "cancelled"
        interrupted = run.status == "running" or lost_parent
        if unreadable and not interrupted:
            executor.adopt(live)
            error = ErrorInfo("internal", f"the secret arguments of {run.command_id} cannot be read any more")
            executor.ending.conclude(live, "failed", Outcome(error=error))
            return "failed"
        lost = lost_parent or unreadable
        if interrupted and not (run.status == "running" and not lost and self._retried(live)):
            executor.adopt(live)
            error = ErrorInfo("interrupted", f"{run.command_id} was interrupted: the host stopped while it was running")
            executor.ending.conclude(live, "interrupted", Outcome(error=error))
            return "interrupted"
        executor.adopt(live)
        executor.restore(live)
        return "queued"

    def _retried(self, live: LiveRun) -> bool:
        entry = live.entry
        delay = retry_delay(entry.command, "interrupted", live.run.attempt) if entry is not None else None
        if delay is None:
            return False
        error = ErrorInfo("interrupted", "the host stopped while it was running")
        next_attempt(live, error, delay, self._clock.utc(), owner=self._host_id)
        if live.log is not None:
            self._committer.change(Change(live.log, lambda _: None, start=live.run))
        return True

    def _live(self, row: StoredRun, secrets: dict[str, Json]) -> LiveRun:
        run = msgspec.structs.replace(row.run, owner=self._host_id)
        args: dict[str, Json] = {**run.args, **secrets}
        log = self._log.resume(run_stream(run.id), row.last_seq)
        redactor = redactor_for(secrets, self._redactor)
        sink = Sink(log, self._mailbox, redactor, self._executor.limits)
        caller = Caller(run.principal, run.source, run.role, run.chain, run.credential)
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        accepted.set_result(None)
        entry = self._registry.command(run.command_id)
        live = LiveRun(run, caller, entry, Bound(args, {}), log, sink, accepted)
        live.cwd = run.cwd
        live.expires = live.expires_asked = self._expires(run)
        return live

    def _secrets(self, row: StoredRun) -> dict[str, Json] | None:
        """Its secret arguments; None where there are some that cannot be opened."""
        if row.sealed is None:
            return {}
        try:
            opened = decode(self._sealer.open(row.run.id, row.sealed))
        except TrunnionError as error:
            self._report("host.sealed", f"run {row.run.id}: {error.message}", error)
            return None
        return dict(opened) if isinstance(opened, dict) else {}

    def _expires(self, run: Run) -> float | None:
        """``deadline_at`` is read again only here: within one host's life the monotonic clock counts."""
        if run.deadline_at is None:
            return None
        return self._clock.monotonic() + (run.deadline_at - self._clock.utc()) / 1e6


def _orphans(stored: list[StoredRun]) -> set[str]:
    """Children of runs whose handlers are gone: they end with them, and are never tried again alone."""
    return {row.run.id for row in stored if row.run.parent_run_id is not None and not row.run.detached}


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "none"
