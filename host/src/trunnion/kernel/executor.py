"""The executor: from an accepted run to its one terminal event.

It owns every live run. All of it happens on one loop; what comes from handler threads comes through the
mailbox, in order, so that a run's events always stand before its end.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Change, Committer
from trunnion.kernel.context import Context, Nested, stop_error
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.limits import Limits
from trunnion.kernel.live import LiveRun, Outcome, StopReason
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.outcome import is_defect, raised, returned
from trunnion.kernel.output import current
from trunnion.kernel.placement import Placement
from trunnion.kernel.registry import Registry
from trunnion.kernel.retry import retry_delay
from trunnion.kernel.threads import Breather, DaemonThreads
from trunnion.model.errors import ErrorInfo, TrunnionError, Unavailable
from trunnion.model.json import Json
from trunnion.model.runs import Run
from trunnion.model.status import Status
from trunnion.store.base import Accept, KeyRow

KEEP_NONE_TIMEOUT = 5.0

_ARRIVALS = {
    "running": "started",
    "lane": "waits for its lane",
    "slot": "waits for a free slot",
    "delayed": "waits for its time",
    "held": "held",
    "parked": "waits for its command",
}


class Report(Protocol):
    """Takes what operators should know: a stable code, a sentence, and the traceback behind it."""

    def __call__(self, code: str, text: str, error: BaseException | None = None) -> None: ...


KeepResult = Callable[[LiveRun, Outcome], Awaitable[Outcome]]
"""Keeps a result that is too large for its row; the outcome it returns names where."""


class Executor:
    """All live runs.

    Attributes:
        live: by id, in order of acceptance.
        pending: accepted and not yet at work, by principal.
        abandoned: settled although their handlers go on.
        counts: what happened since the start, by name.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        committer: Committer,
        log: EventLog,
        mailbox: Mailbox,
        clock: Clock,
        limits: Limits,
        report: Report,
        nested: Nested,
        keep_result: KeepResult,
    ) -> None:
        self.limits = limits
        self.live: dict[str, LiveRun] = {}
        self.pending: Counter[str] = Counter()
        self.abandoned: set[LiveRun] = set()
        self.counts: Counter[str] = Counter()
        self.draining = False
        self.placement = Placement(registry, clock, limits, self._ready, self._park_expired)
        self._registry = registry
        self._committer = committer
        self._log = log
        self._mailbox = mailbox
        self._clock = clock
        self._report = report
        self._nested = nested
        self._keep_result = keep_result
        self._threads = DaemonThreads("trunnion-handler")
        self._breather = Breather(clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_start: deque[LiveRun] = deque()
        self._starting = False
        self._loop = asyncio.get_running_loop()

    # -- accepting --------------------------------------------------------------------------------

    def accept(self, live: LiveRun, key: KeyRow | None, sealed: bytes | None) -> None:
        """Give a new run its place and put it on record; ``live.accepted`` tells when, or why not."""
        self.live[live.id] = live
        if live.parent is not None:
            live.parent.children.add(live)
        if live.run.status == "held":
            live.phase = "held"
        else:
            self.placement.place(live)
        live.arriving = False
        if live.phase != "running":
            self.pending[live.run.principal] += 1
        if live.log is None:
            self._loop.call_soon(self._accepted, live, None)
            return
        self._say_state(live, _ARRIVALS.get(live.phase, live.phase))
        accept = Accept(live.run, key, sealed)
        self._committer.change(Change(live.log, lambda error: self._accepted(live, error), accept=accept))

    def adopt(self, live: LiveRun) -> None:
        """Know a run that an earlier host accepted."""
        live.arriving = False
        live.acknowledged = True
        live.checked = False
        self.live[live.id] = live
        self.pending[live.run.principal] += 1

    def restore(self, live: LiveRun) -> None:
        """Give an adopted run its place again."""
        self._arm_expiry(live)
        if live.run.status == "held":
            live.phase = "held"
        else:
            self.placement.place(live)

    def _accepted(self, live: LiveRun, error: TrunnionError | None) -> None:
        if error is not None:
            self._never_was(live, error)
            return
        live.acknowledged = True
        self.counts["accepted"] += 1
        if not live.accepted.done():
            live.accepted.set_result(None)
        if live.phase == "running":
            self._launch(live)
        elif live.stop_reason is not None:
            self.stop(live, live.stop_reason)
        else:
            self._arm_expiry(live)
            if live.start_when_accepted:
                self._ready(live)

    def _never_was(self, live: LiveRun, error: TrunnionError) -> None:
        """A run that could not be stored is forgotten, and the caller told."""
        del self.live[live.id]
        if live.parent is not None:
            live.parent.children.discard(live)
        if live.phase != "running":
            self.pending[live.run.principal] -= 1
        self.placement.leave(live)
        live.phase = "ended"
        if live.log is not None:
            self._log.drop(live.log.name)
            live.log.close()
        if not live.accepted.done():
            live.accepted.set_exception(error)

    # -- starting ---------------------------------------------------------------------------------

    def _ready(self, live: LiveRun) -> None:
        """The run holds its lane and a slot."""
        if live.arriving:
            live.phase = "running"
            live.move("running", started=live.run.created)
        elif not live.acknowledged:
            live.start_when_accepted = True
        else:
            self._to_start.append(live)
            self._start_all()

    def _start_all(self) -> None:
        """One after the other, not one within the other: a start that fails lets the next one in."""
        if self._starting:
            return
        self._starting = True
        try:
            while self._to_start:
                self._commit_start(self._to_start.popleft())
        finally:
            self._starting = False

    def _commit_start(self, live: LiveRun) -> None:
        """Put a queued run's start on record; its first step comes after that."""
        if live.phase in ("ending", "ended"):
            return
        if self.draining and live.parent is None:
            self.placement.leave(live)
            live.phase = "parked"
            return
        if not self._still_valid(live):
            return
        live.phase = "running"
        self.pending[live.run.principal] -= 1
        live.move("running", started=self._clock.utc())
        self._say_state(live, "started")
        if live.log is None:
            self._launch(live)
        else:
            self._committer.change(Change(live.log, lambda error: self._launch(live), start=live.run))

    def _still_valid(self, live: LiveRun) -> bool:
        """Whether the command is there and is the one the arguments were checked against."""
        entry = self._registry.command(live.run.command_id)
        if entry is None or not entry.available:
            self.placement.leave(live)
            live.entry = entry
            self.placement.park(live)
            return False
        if live.checked and entry is live.entry and entry.revision == live.run.command_revision:
            return True
        same_kind = live.entry is not None and entry.is_async == live.entry.is_async
        try:
            live.bound = entry.parameters.bind(live.args)
        except TrunnionError as error:
            self.conclude(live, "failed", Outcome(error=error.info))
            return False
        live.checked = True
        live.run = msgspec.structs.replace(live.run, command_revision=entry.revision)
        if same_kind:
            live.entry = entry
            return True
        self.placement.leave(live)
        live.entry = entry
        self.placement.place(live)
        return False

    def _launch(self, live: LiveRun) -> None:
        if live.phase != "running" or live.entry is None:
            return
        if live.stop_reason is not None:
            self.settle(live, Outcome(stopped=True))
            return
        self._set_expiry(live)
        live.context = Context(live.run, live.caller, live.sink, self._nested, self._loop, live.expires)
        if live.entry.is_async:
            live.task = self._loop.create_task(self._drive(live, live.context), name=f"run {live.id}")
        else:
            self._breather.entered()
            self._threads.start(lambda: self._in_thread(live))

    def _set_expiry(self, live: LiveRun) -> None:
        """The command's own timeout counts from its start, and never beyond what was asked."""
        timeout = live.entry.command.timeout if live.entry is not None else None
        timeout = (self.limits.default_timeout or None) if timeout is None else timeout
        if live.ephemeral:
            timeout = min(timeout or KEEP_NONE_TIMEOUT, KEEP_NONE_TIMEOUT)
        if timeout is not None:
            own = self._clock.monotonic() + timeout
            live.expires = own if live.expires is None else min(own, live.expires)
        self._arm_expiry(live)

    def _arm_expiry(self, live: LiveRun) -> None:
        live.disarm_expiry()
        if live.expires is not None:
            delay = max(0.0, live.expires - self._clock.monotonic())
            live.expiry = self._clock.call_later(delay, lambda: self.stop(live, "timed_out"))

    # -- the handler ------------------------------------------------------------------------------

    async def _drive(self, live: LiveRun, context: Context) -> None:
        current.set(context)
        try:
            value = self._call(live, context)
            outcome = returned(await value if isinstance(value, Awaitable) else value)
        except BaseException as error:
            outcome = self._raised(live, error)
        self.settle(live, outcome)

    def _in_thread(self, live: LiveRun) -> None:
        """The whole life of a sync handler, in its thread."""
        context = live.context
        outcome: Outcome | Awaitable[object]
        try:
            if context is None:
                raise AssertionError("a handler thread was started without a context")
            value = contextvars.copy_context().run(self._call_with_current, live, context)
            outcome = value if isinstance(value, Awaitable) else returned(value)
        except BaseException as error:
            outcome = self._raised(live, error)
        self._mailbox.post(lambda: self._thread_returned(live, outcome))

    def _call_with_current(self, live: LiveRun, context: Context) -> object:
        current.set(context)
        return self._call(live, context)

    def _call(self, live: LiveRun, context: Context) -> object:
        if live.entry is None:
            raise AssertionError("a run without a command was started")
        return live.entry.parameters.call(live.entry.command.handler, context, live.bound)

    def _raised(self, live: LiveRun, error: BaseException) -> Outcome:
        if is_defect(error):
            self._report(
                "handler.raised", f"{live.run.command_id} (run {live.id}) raised {type(error).__name__}", error
            )
        return raised(error)

    def _thread_returned(self, live: LiveRun, outcome: Outcome | Awaitable[object]) -> None:
        self._breather.left()
        if isinstance(outcome, Outcome):
            self.settle(live, outcome)
        else:
            live.task = self._loop.create_task(self._await_value(live, outcome), name=f"run {live.id}")

    async def _await_value(self, live: LiveRun, value: Awaitable[object]) -> None:
        """A plain function returned something to await."""
        current.set(live.context)
        try:
            outcome = returned(await value)
        except BaseException as error:
            outcome = self._raised(live, error)
        self.settle(live, outcome)

    # -- stopping ---------------------------------------------------------------------------------

    def stop(self, live: LiveRun, reason: StopReason) -> None:
        """Have a run end: at once where it waits, as soon as its handler lets it where it works."""
        if live.phase in ("ending", "ended"):
            return
        if live.stop_reason is None:
            live.stop_reason = reason
        if not live.acknowledged:
            return
        for child in list(live.children):
            self.stop(child, reason)
        if live.phase != "running":
            self.conclude(live, reason, Outcome(stopped=True))
        elif live.context is not None and not live.context.cancelled:
            live.context.request_stop(reason)
            if live.task is not None:
                live.task.cancel()
            live.disarm()
            live.timer = self._clock.call_later(self.limits.cancel_grace, lambda: self._abandon(live))

    def _abandon(self, live: LiveRun) -> None:
        """The handler ignored its end: settle the run without it. Its lane stays taken until it returns."""
        if live.phase != "running":
            return
        live.timer = None
        live.abandoned = True
        self.abandoned.add(live)
        kind = "thread" if live.needs_thread else "task"
        self._report(
            "handler.abandoned",
            f"{live.run.command_id} (run {live.id}) did not end within {self.limits.cancel_grace:g} s of being told; "
            f"its {kind} goes on by itself",
        )
        if live.task is not None:
            live.task.cancel()
        self.settle(live, Outcome(stopped=True))

    # -- ending -----------------------------------------------------------------------------------

    def settle(self, live: LiveRun, outcome: Outcome) -> None:
        """The handler is at its end, or was given up."""
        if live.phase != "running" or live.outcome is not None:
            if live in self.abandoned:
                self._returned_late(live)
            return
        live.outcome = outcome
        live.disarm()
        if live.context is not None:
            live.context.finish_output()
        live.sink.close()
        if live.children:
            for child in list(live.children):
                self.stop(child, "interrupted" if live.stop_reason == "interrupted" else "cancelled")
        else:
            self._settle_alone(live)

    def _settle_alone(self, live: LiveRun) -> None:
        """No child is left: judge the outcome."""
        outcome = live.outcome or Outcome()
        if outcome.size > self.limits.max_result_bytes and live.stop_reason is None:
            self._background(self._keep_large(live, outcome))
            return
        if live.stop_reason is not None:
            self.conclude(live, live.stop_reason, outcome)
        elif outcome.stopped:
            error = ErrorInfo("failed", f"{live.run.command_id} cancelled itself from within")
            self.conclude(live, "failed", Outcome(error=error))
        elif outcome.error is None:
            self.conclude(live, "succeeded", outcome)
        elif not self._retry(live, outcome.error):
            self.conclude(live, "failed", outcome)

    async def _keep_large(self, live: LiveRun, outcome: Outcome) -> None:
        try:
            live.outcome = await self._keep_result(live, outcome)
        except Exception as error:
            self._report("result.lost", f"the result of run {live.id} could not be kept", error)
            live.outcome = Outcome(error=ErrorInfo("internal", f"the result could not be kept: {error}"))
        self._settle_alone(live)

    def _retry(self, live: LiveRun, error: ErrorInfo) -> bool:
        delay = retry_delay(live.entry.command.retry if live.entry else None, error.code, live.run.attempt)
        if delay is None or live.log is None or self.draining:
            return False
        not_before = self._clock.utc() + int(delay * 1e6)
        live.move("pending", attempt=live.run.attempt + 1, not_before=not_before, started=None)
        live.state(
            f"failed, tried again in {delay:.1f} s: {error.message}", level="warning", facts={"not_before": not_before}
        )
        self.pending[live.run.principal] += 1
        self.placement.leave(live)
        live.outcome, live.context, live.task = None, None, None
        live.sink.reopen()
        live.phase = "delayed"
        self._committer.change(Change(live.log, lambda _: self._placed_again(live), start=live.run))
        return True

    def _placed_again(self, live: LiveRun) -> None:
        if live.phase == "delayed":
            self.placement.place(live)

    def conclude(self, live: LiveRun, status: Status, outcome: Outcome) -> None:
        """Put the end on record: row, last events and the one terminal event in one transaction."""
        if live.phase in ("ending", "ended"):
            return
        if live.phase != "running":
            self.pending[live.run.principal] -= 1
            self.placement.leave(live)
        if live.run.status == "held" and status == "interrupted":
            status = "cancelled"
        live.phase = "ending"
        live.disarm()
        live.disarm_expiry()
        live.sink.close()
        redactor = live.sink.redactor
        error = outcome.error
        if status != "succeeded" and error is None:
            error = stop_error(status, live.run.command_id).info
        if error is not None and redactor:
            error = ErrorInfo(error.code, redactor.text(error.message), error.details)
        live.move(
            status,
            finished=self._clock.utc(),
            result=redactor.value(outcome.result) if redactor else outcome.result,
            error=None if status == "succeeded" else error,
            stats=live.context.stats.snapshot() if live.context is not None else {},
            last_seq=live.log.seq + 1 if live.log is not None else 0,
        )
        self.counts[status] += 1
        if live.log is None:
            self._ended(live, None)
            return
        self._say_end(live, error)
        self._committer.change(Change(live.log, lambda error: self._ended(live, error), finish=live.run))

    def _ended(self, live: LiveRun, error: TrunnionError | None) -> None:
        """The end is on record: show it, then let the next one in."""
        live.phase = "ended"
        del self.live[live.id]
        if live.log is not None:
            live.log.close()
            self._log.drop(live.log.name)
        for waiter in live.waiters:
            if not waiter.done():
                waiter.set_result(live.run)
        lost = live in self.abandoned
        self.placement.leave(
            live,
            keep_lane=lost and live.entry is not None and live.entry.command.abandon == "keep",
            keep_slot=lost and len(self.abandoned) > self.limits.max_abandoned,
        )
        parent = live.parent
        if parent is not None:
            parent.children.discard(live)
            if parent.outcome is not None and not parent.children and parent.phase == "running":
                self._settle_alone(parent)

    def _returned_late(self, live: LiveRun) -> None:
        """An abandoned handler came back: its lane is free now."""
        self.abandoned.discard(live)
        self._report("handler.returned", f"{live.run.command_id} (run {live.id}) returned after it had been given up")
        self.placement.leave(live)

    # -- small things -----------------------------------------------------------------------------

    def _park_expired(self, live: LiveRun) -> None:
        error = Unavailable(f"the command {live.run.command_id} did not become available in time")
        self.conclude(live, "failed", Outcome(error=error.info))

    def _background(self, coroutine: Awaitable[None]) -> None:
        async def guard() -> None:
            await coroutine

        task = self._loop.create_task(guard())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say_state(self, live: LiveRun, text: str) -> None:
        facts: dict[str, Json] = {}
        if live.phase == "lane" and live.lane is not None:
            facts = {"lane": live.lane.shown, "blocked_by": [holder.id for holder in live.lane.holders]}
        live.state(text, facts=facts)

    def _say_end(self, live: LiveRun, error: ErrorInfo | None) -> None:
        run = live.run
        facts: dict[str, Json] = {}
        if run.error is not None and error is not None:
            facts["error"] = {"code": error.code, "message": error.message}
        if run.stats:
            facts["stats"] = run.stats
        level = "info" if run.status == "succeeded" else "error" if run.status == "failed" else "warning"
        text = run.status.replace("_", " ") if error is None else f"{run.status.replace('_', ' ')}: {error.message}"
        live.state(text, level=level, facts=facts)

    def run_of(self, run_id: str) -> Run | None:
        """The row of a live run with its counters as they are now."""
        live = self.live.get(run_id)
        if live is None:
            return None
        if live.context is None or live.ephemeral:
            return live.run
        return msgspec.structs.replace(live.run, stats=live.context.stats.snapshot())

    def close(self) -> None:
        """Let idle handler threads end."""
        self._threads.close()
