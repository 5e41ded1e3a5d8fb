"""How runs end: stopped, settled, tried again, given up, and always with exactly one terminal event."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial

from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Change, Committer
from trunnion.kernel.eventlog import EventLog, StreamLog
from trunnion.kernel.lanes import find_cycle
from trunnion.kernel.late import late_error
from trunnion.kernel.limits import Limits
from trunnion.kernel.live import LiveRun, Outcome, RunTable, StopReason
from trunnion.kernel.placement import Placement
from trunnion.kernel.reporting import Report
from trunnion.kernel.retry import next_attempt, retry_delay
from trunnion.model.errors import Conflict, ErrorInfo, TrunnionError, stop_error
from trunnion.model.json import Json
from trunnion.model.runs import Run
from trunnion.model.status import Status

STOPS: frozenset[Status] = frozenset({"cancelled", "timed_out", "interrupted"})

KILLING = 6.0
"""Seconds a killed process may take to be gone; the keeper tries for a little less."""

KeepResult = Callable[[LiveRun, Outcome], Awaitable[Outcome]]
"""Keeps a result that is too large for its row; the outcome it returns says where."""


class Ending:
    """Brings live runs to their end."""

    def __init__(
        self,
        *,
        table: RunTable,
        placement: Placement,
        committer: Committer,
        log: EventLog,
        clock: Clock,
        limits: Limits,
        report: Report,
        keep_result: KeepResult,
        ended: Callable[[Run, bool], None],
    ) -> None:
        self._table = table
        self._placement = placement
        self._committer = committer
        self._log = log
        self._clock = clock
        self._limits = limits
        self._report = report
        self._keep_result = keep_result
        self._tell_end = ended
        self._tasks: set[asyncio.Task[None]] = set()

    # -- stopping ---------------------------------------------------------------------------------

    def arm_expiry(self, live: LiveRun) -> None:
        """Have a run stopped when its time is over."""
        live.disarm_expiry()
        if live.expires is not None:
            delay = max(0.0, live.expires - self._clock.monotonic())
            live.expiry = self._clock.call_later(delay, lambda: self.stop(live, "timed_out"))

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
                begun = _has_begun(live.task)
                live.task.cancel()
                if not begun:  # cancelled before its first step, it never comes to its own end
                    self.settle(live, Outcome(stopped=True))
                    return
            live.disarm()
            live.timer = self._clock.call_later(self._limits.cancel_grace, lambda: self.give_up(live))

    def give_up(self, live: LiveRun) -> None:
        """The handler ignored its end: settle the run without it. Its lane stays taken until it returns."""
        if live.phase != "running" or live.outcome is not None:
            return
        live.timer = None
        if live.kill is not None:
            self._kill(live, live.kill)
            return
        live.abandoned = True
        self._table.abandoned.add(live)
        kind = "thread" if live.needs_thread else "task"
        self._report(
            "handler.abandoned",
            f"{live.run.command_id} (run {live.id}) did not end within {self._limits.cancel_grace:g} s of being told; "
            f"its {kind} goes on by itself",
        )
        if live.task is not None:
            live.task.cancel()
        self.settle(live, Outcome(stopped=True))

    def _kill(self, live: LiveRun, kill: Callable[[], None]) -> None:
        """The run is settled when nothing is left of its process, or without that if it cannot be killed."""
        live.kill, live.dying = None, True
        kill()
        live.timer = self._clock.call_later(KILLING, lambda: self.give_up(live))

    # -- ending -----------------------------------------------------------------------------------

    def settle(self, live: LiveRun, outcome: Outcome) -> None:
        """The handler is at its end, or was given up."""
        if live.phase != "running" or live.outcome is not None:
            if live in self._table.abandoned:
                self._returned_late(live)
            return
        live.outcome = outcome
        live.disarm()
        live.disarm_expiry()
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
        if outcome.large and live.stop_reason is None:
            task = asyncio.get_running_loop().create_task(self._keep_large(live, outcome))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        if live.stop_reason is not None:
            if not self._retry_late(live):
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
        """Have a run wait for its next attempt, if there is one; it holds neither lane nor slot meanwhile."""
        delay = retry_delay(live.command_entry.command, error.code, live.run.attempt)
        if delay is None or live.log is None:
            return False
        live.sink.end()
        next_attempt(live, error, delay, self._clock.utc())
        self._table.pending[live.run.principal] += 1
        self._placement.leave(live)
        if live.context is not None:
            live.context.outlive()
        live.outcome, live.context, live.task, live.stop_reason = None, None, None, None
        live.expires, live.due = live.expires_asked, self._clock.monotonic() + delay
        live.phase = "delayed"
        self._table.rested.set()
        self.arm_expiry(live)
        self._committer.change(Change(live.log, lambda _: self._placed_again(live), start=live.run))
        return True

    def _retry_late(self, live: LiveRun) -> bool:
        """The same for an attempt that took longer than the command allows; what was asked for still counts."""
        over = live.expires_asked is not None and live.expires_asked <= self._clock.monotonic()
        ending = live.parent is not None and live.parent.stop_reason is not None
        unwanted = live.run.cancel_requested_at is not None
        if live.stop_reason != "timed_out" or live.abandoned or over or ending or unwanted:
            return False
        return self._retry(live, late_error(live))

    def _placed_again(self, live: LiveRun) -> None:
        if live.phase == "delayed":
            self._placement.place(live)

    def conclude(self, live: LiveRun, status: Status, outcome: Outcome) -> None:
        """Put the end on record: row, last events and the one terminal event in one transaction."""
        if live.phase in ("ending", "ended"):
            return
        if live.phase != "running":
            self._table.pending[live.run.principal] -= 1
            self._placement.leave(live)
        if live.run.status == "held" and status == "interrupted":
            status = "cancelled"
        live.phase, live.before_end = "ending", live.run
        live.disarm()
        live.disarm_expiry()
        live.sink.end()
        live.move(
            status,
            finished=self._clock.utc(),
            result=outcome.result,
            error=_error_of(live, status, outcome),
            stats=(live.context.figures() if live.context is not None else {}) | live.sink.figures(),
            last_seq=live.log.seq + 1 if live.log is not None else 0,
        )
        self._table.counts[status] += 1
        if live.log is None:
            self._ended(live)
            return
        at_leisure = status == "succeeded" and not self._is_awaited(live, live.log)
        self._committer.change(Change(live.log, partial(self._ended, live), finish=live.run), at_leisure=at_leisure)
        _say_end(live)

    def _is_awaited(self, live: LiveRun, log: StreamLog) -> bool:
        """Whether anybody waits for the end of a run, or for its place: who comes now is seen to by ``Waiting``."""
        in_line = self._placement.slots.awaited or (live.lane is not None and bool(live.lane.queue))
        return in_line or bool(live.waiters or log.followers) or live.parent is not None or self._table.draining

    def refuse_cycle(self, live: LiveRun) -> TrunnionError | None:
        """End a run whose wait could never end; returns the error that says who waits for whom."""
        cycle = find_cycle(live) if live.awaited else None
        if cycle is None:
            return None
        holder = next((member for member in cycle if member is not live), live)
        lock = live.lane.shown if live.lane is not None else ""
        other = holder.run.command_id if isinstance(holder, LiveRun) else ""
        error = Conflict(
            f"{live.run.command_id} (run {live.id}) would wait for ever: it needs the lock {lock!r}, held by "
            f"{other} (run {holder.id}), which waits for it in turn",
            {"runs": [live.id, holder.id], "lock": lock},
        )
        self.conclude(live, "failed", Outcome(error=error.info))
        return error

    def _ended(self, live: LiveRun, _: TrunnionError | None = None) -> None:
        """The end is on record: show it, then let the next one in."""
        live.phase, live.before_end = "ended", None
        del self._table.live[live.id]
        self._table.rested.set()
        if live.log is not None:
            live.log.close()
            self._log.drop(live.log.name)
        self._tell_end(live.run, live.log is not None)
        for waiter in live.waiters:
            if not waiter.done():
                waiter.set_result(live.run)
        if live in self._table.abandoned:
            keep_lane = live.entry is not None and live.entry.command.abandon == "keep"
            keep_slot = len(self._table.abandoned) > self._limits.max_abandoned
            self._placement.leave(live, keep_lane=keep_lane, keep_slot=keep_slot)
        else:
            self._placement.leave(live)
        parent = live.parent
        if parent is not None:
            parent.disown(live)
            if parent.outcome is not None and not parent.children and parent.phase == "running":
                self._settle_alone(parent)

    def _returned_late(self, live: LiveRun) -> None:
        """An abandoned handler came back: its lane is free now."""
        self._table.abandoned.discard(live)
        self._report("handler.returned", f"{live.run.command_id} (run {live.id}) returned after it had been given up")
        self._placement.leave(live)


def _has_begun(task: asyncio.Task[None]) -> bool:
    coroutine = task.get_coro()
    return not inspect.iscoroutine(coroutine) or inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED


def _say_end(live: LiveRun) -> None:
    """The terminal event says what the row says."""
    run = live.run
    if run.error is None and not run.stats and run.status == "succeeded":
        live.state("succeeded")
        return
    facts = dict[str, Json]()
    text = run.status.replace("_", " ")
    if run.error is not None:
        facts["error"] = {"code": run.error.code, "message": run.error.message}
        text = f"{text}: {run.error.message}"
    if run.stats:
        facts["stats"] = run.stats
    level = "info" if run.status == "succeeded" else "error" if run.status == "failed" else "warning"
    live.state(text, level=level, facts=facts)


def _error_of(live: LiveRun, status: Status, outcome: Outcome) -> ErrorInfo | None:
    """What stands in the row: for a stopped run why it was stopped, whatever the handler made of that."""
    if status == "succeeded":
        return None
    error = outcome.error
    if status in STOPS:
        plain = stop_error(status, live.run.command_id).info
        stopped = late_error(live) if status == "timed_out" else plain
        if error is None or error.message == plain.message:
            error = stopped
        elif error.code != stopped.code:
            error = ErrorInfo(stopped.code, stopped.message, {"handler": error.message})
    elif error is None:
        error = ErrorInfo("internal", f"{live.run.command_id} ended as {status} without saying why")
    return live.sink.redactor.error(error)
