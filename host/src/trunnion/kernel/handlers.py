"""Calling handlers: on the loop, in a thread or a process of our own, and bringing back what became of it."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from trunnion.arguments import Bound, Parameters
from trunnion.kernel.clock import Clock
from trunnion.kernel.context import Context
from trunnion.kernel.isolated import Isolated
from trunnion.kernel.limits import Limits
from trunnion.kernel.live import LiveRun, Outcome
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.outcome import raised, returned
from trunnion.kernel.output import current
from trunnion.kernel.reporting import Report
from trunnion.kernel.threads import Breather, DaemonThreads, in_thread
from trunnion.model.handled import is_defect
from trunnion.model.runs import Caller

Locate: TypeAlias = Callable[[Parameters, Bound, Caller], Bound]
"""From the files that arguments name to real paths; blocks."""


class Handlers:
    """Starts handlers.

    What a thread emitted and how it ended come through the same mailbox, in order, so that a run's output
    always stands before its end.

    Args:
        settle: told on the loop how a handler came to its end.
        limits: results larger than ``max_result_bytes`` stay encoded.
        locate: finds the files that arguments name, just before the first step.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        clock: Clock,
        report: Report,
        settle: Callable[[LiveRun, Outcome], None],
        limits: Limits,
        locate: Locate,
    ) -> None:
        self._mailbox = mailbox
        self._report = report
        self._settle = settle
        self._limits = limits
        self._locate = locate
        self._isolated = Isolated(report, limits)
        self._threads = DaemonThreads("trunnion-handler")
        self._breather = Breather(clock)
        self._loop = asyncio.get_running_loop()

    def start(self, live: LiveRun, context: Context) -> None:
        """Start a run's handler; where the system has no thread left for it, the run fails."""
        if live.needs_thread:
            try:
                self._threads.start(partial(self._in_thread, live, context))
            except RuntimeError as error:
                self._settle(live, self._raised(live, error))
            else:
                self._breather.entered()
        else:
            live.task = self._loop.create_task(self._drive(live, context), name=f"run {live.id}")

    def close(self) -> None:
        """Let idle threads end."""
        self._threads.close()

    async def _drive(self, live: LiveRun, context: Context) -> None:
        current.set(context)
        try:
            bound = live.bound
            if live.command_entry.parameters.files:
                bound = await in_thread(self._threads, partial(self._located, live))
            if live.command_entry.place is not None:
                outcome = await self._isolated.run(live, context, bound)
            else:
                value = _call(live, context, bound)
                outcome = self._returned(live, await value if isinstance(value, Awaitable) else value)
        except BaseException as error:
            outcome = self._raised(live, error)
        self._settle(live, outcome)

    def _in_thread(self, live: LiveRun, context: Context) -> None:
        """The whole life of a sync handler, in its thread."""
        outcome: Outcome | Awaitable[object]
        try:
            bound = self._located(live)
            value = contextvars.copy_context().run(_call_as_current, live, context, bound)
            outcome = value if isinstance(value, Awaitable) else self._returned(live, value)
        except BaseException as error:
            outcome = self._raised(live, error)
        self._mailbox.post(lambda: self._thread_returned(live, context, outcome))

    def _thread_returned(self, live: LiveRun, context: Context, outcome: Outcome | Awaitable[object]) -> None:
        self._breather.left()
        if isinstance(outcome, Outcome):
            self._settle(live, outcome)
        elif context.cancelled:
            if inspect.iscoroutine(outcome):
                outcome.close()
            self._settle(live, Outcome(stopped=True))
        else:
            live.task = self._loop.create_task(self._await_value(live, context, outcome), name=f"run {live.id}")

    async def _await_value(self, live: LiveRun, context: Context, value: Awaitable[object]) -> None:
        """A plain function returned something to await."""
        current.set(context)
        try:
            outcome = self._returned(live, await value)
        except BaseException as error:
            outcome = self._raised(live, error)
        self._settle(live, outcome)

    def _located(self, live: LiveRun) -> Bound:
        return self._locate(live.command_entry.parameters, live.bound, live.caller)

    def _returned(self, live: LiveRun, value: object) -> Outcome:
        """A result that is kept nowhere is shown to who asked for it, who may be there to get a secret."""
        redactor = live.sink.redactor
        return returned(value, redactor.values_only if live.ephemeral else redactor, self._limits.max_result_bytes)

    def _raised(self, live: LiveRun, error: BaseException) -> Outcome:
        if is_defect(error):
            text = f"{live.run.command_id} (run {live.id}) raised {type(error).__name__}"
            self._report("handler.raised", text, error, live.sink.redactor)
        return raised(error, live.sink.redactor)


def _call_as_current(live: LiveRun, context: Context, bound: Bound) -> object:
    current.set(context)
    return _call(live, context, bound)


def _call(live: LiveRun, context: Context, bound: Bound) -> object:
    entry = live.command_entry
    return entry.parameters.call(entry.command.handler, context, bound)
