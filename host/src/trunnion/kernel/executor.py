"""The executor: from an accepted run to the first step of its handler."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Change, Committer
from trunnion.kernel.context import Context, Nested
from trunnion.kernel.ending import Ending, KeepResult
from trunnion.kernel.entries import CommandEntry
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.handlers import Handlers, Locate
from trunnion.kernel.limits import Limits
from trunnion.kernel.live import LiveRun, Outcome, RunTable
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.placement import Placement
from trunnion.kernel.registry import Registry
from trunnion.kernel.reporting import Report
from trunnion.model.errors import TrunnionError, Unavailable
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Run
from trunnion.store.base import Accept, KeyRow

Lost: TypeAlias = Callable[[CommandEntry, Caller], TrunnionError | None]
"""Why a caller may no longer run a command, None while they may."""

KEEP_NONE_TIMEOUT = 5.0

_ARRIVALS = {
    "running": "started",
    "lane": "waits for its lane",
    "slot": "waits for a free slot",
    "delayed": "waits for its time",
    "held": "held",
    "parked": "waits for its command",
}


class Executor:
    """Owns every live run, on one loop.

    Attributes:
        table: the live runs.
        placement: where they wait.
        ending: how they end.
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
        locate: Locate,
        lost: Lost,
        ended: Callable[[Run, bool], None],
    ) -> None:
        self.limits = limits
        self.table = RunTable()
        self.placement = Placement(registry, clock, limits, self._ready, self._park_expired, self._lined_up)
        self.ending = Ending(
            table=self.table,
            placement=self.placement,
            committer=committer,
            log=log,
            clock=clock,
            limits=limits,
            report=report,
            keep_result=keep_result,
            ended=ended,
        )
        self._handlers = Handlers(mailbox, clock, report, self.ending.settle, limits, locate)
        self._registry = registry
        self._committer = committer
        self._log = log
        self._clock = clock
        self._nested = nested
        self._lost = lost
        self._to_start: deque[LiveRun] = deque()
        self._starting = False
        self._loop = asyncio.get_running_loop()

    # -- accepting --------------------------------------------------------------------------------

    def accept(self, live: LiveRun, key: KeyRow | None, sealed: bytes | None) -> None:
        """Give a new run its place and put it on record; ``live.accepted`` tells when, or why not."""
        self.table.live[live.id] = live
        if live.parent is not None:
            live.parent.adopt(live)
        if live.run.status == "held":
            live.phase = "held"
        else:
            self.placement.place(live)
        live.arriving = False
        if live.phase != "running":
            self.table.pending[live.run.principal] += 1
        if live.log is None:
            self._loop.call_soon(self._accepted, live, None)
            return
        accept = Accept(live.run, key, sealed)
        self._committer.change(Change(live.log, partial(self._accepted, live), accept=accept))
        self._say_state(live, _ARRIVALS.get(live.phase, live.phase))

    def adopt(self, live: LiveRun) -> None:
        """Know a run that an earlier host accepted."""
        live.arriving = False
        live.acknowledged = True
        live.checked = False
        self.table.live[live.id] = live
        self.table.pending[live.run.principal] += 1

    def restore(self, live: LiveRun) -> None:
        """Give an adopted run its place again."""
        if live.expires is not None and live.expires <= self._clock.monotonic():
            self.ending.stop(live, "timed_out")
            return
        self.ending.arm_expiry(live)
        if live.run.status == "held":
            live.phase = "held"
        else:
            self.placement.place(live)

    def _accepted(self, live: LiveRun, error: TrunnionError | None) -> None:
        if error is not None:
            self._never_was(live, error)
            return
        live.acknowledged = True
        self.table.counts["accepted"] += 1
        if not live.accepted.done():
            live.accepted.set_result(None)
        if live.phase == "running":
            self._launch(live)
        elif live.stop_reason is not None:
            self.ending.stop(live, live.stop_reason)
        else:
            self.ending.arm_expiry(live)
            if live.start_when_accepted:
                self._ready(live)

    def _never_was(self, live: LiveRun, error: TrunnionError) -> None:
        """A run that could not be stored is forgotten, and the caller told."""
        del self.table.live[live.id]
        if live.parent is not None:
            live.parent.disown(live)
        if live.phase not in ("running", "ending", "ended"):  # one that was concluded waits no more
            self.table.pending[live.run.principal] -= 1
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
        if self.table.draining and live.parent is None:
            self.placement.leave(live)
            live.phase = "parked"
            return
        if not self._still_valid(live):
            return
        live.phase = "running"
        self.table.pending[live.run.principal] -= 1
        live.move("running", started=self._clock.utc())
        self._say_state(live, "started")
        if live.log is None:
            self._launch(live)
        else:
            self._committer.change(Change(live.log, partial(self._launch, live), start=live.run))

    def _still_valid(self, live: LiveRun) -> bool:
        """Whether the command is there, may still be run, and is the one the arguments were checked against."""
        entry = self._registry.command(live.run.command_id)
        if entry is None or not entry.available:
            self.placement.leave(live)
            live.entry = entry
            self.placement.park(live)
            return False
        refusal = self._lost(entry, live.caller)
        if refusal is not None:
            self.ending.conclude(live, "failed", Outcome(error=refusal.info))
            return False
        if live.checked and entry is live.entry and entry.revision == live.run.command_revision:
            return True
        same_kind = live.entry is not None and entry.is_async == live.entry.is_async
        try:
            live.bound = entry.parameters.bind(live.args)
            entry.validate(live.bound)
        except TrunnionError as error:
            self.ending.conclude(live, "failed", Outcome(error=error.info))
            return False
        live.checked = True
        live.run = msgspec.structs.replace(live.run, command_revision=entry.revision)
        if same_kind and self.placement.in_right_lane(live, entry):
            live.entry = entry
            return True
        self.placement.leave(live)
        live.entry = entry
        self.placement.place(live)
        return False

    def _launch(self, live: LiveRun, error: TrunnionError | None = None) -> None:
        if error is not None or live.phase != "running" or live.entry is None:
            return
        if live.stop_reason is not None:
            self.ending.settle(live, Outcome(stopped=True))
            return
        if live.run.attempt > 1:
            live.sink.reopen()
        self._set_expiry(live)
        live.context = Context(live.run, live.caller, live.sink, self._nested, self._loop, live.expires)
        self._handlers.start(live, live.context)

    def _set_expiry(self, live: LiveRun) -> None:
        """The command's own timeout counts from its start, and never beyond what was asked."""
        timeout = live.entry.command.timeout if live.entry is not None else None
        timeout = (self.limits.default_timeout or None) if timeout is None else timeout
        if live.ephemeral:
            timeout = min(timeout or KEEP_NONE_TIMEOUT, KEEP_NONE_TIMEOUT)
        if timeout is not None:
            own = self._clock.monotonic() + timeout
            live.expires = own if live.expires is None else min(own, live.expires)
        if live.expires is not None or live.expiry is not None:
            self.ending.arm_expiry(live)

    # -- small things -----------------------------------------------------------------------------

    def _park_expired(self, live: LiveRun) -> None:
        error = Unavailable(f"the command {live.run.command_id} did not become available in time")
        self.ending.conclude(live, "failed", Outcome(error=error.info))

    def _lined_up(self, live: LiveRun) -> None:
        self.ending.refuse_cycle(live)

    def _say_state(self, live: LiveRun, text: str) -> None:
        if live.phase == "running":
            live.state(text)
            return
        facts: dict[str, Json] = {"phase": live.phase}
        if live.phase == "lane" and live.lane is not None:
            facts |= {"lane": live.lane.shown, "blocked_by": [holder.id for holder in live.lane.holders]}
        live.state(text, facts=facts)

    def close(self) -> None:
        """Let idle handler threads end."""
        self._handlers.close()
