"""Staying with a run until its end: output as it comes, Ctrl-C, and what is said at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from trunnion.launcher.failures import exit_status, run_status
from trunnion.launcher.render import Renderer
from trunnion.launcher.screen import Screen, as_text
from trunnion.launcher.signals import Interrupts
from trunnion.model.errors import TrunnionError, Unavailable
from trunnion.model.events import run_stream
from trunnion.model.json import Json, decode, encode
from trunnion.model.programs import says_no_more
from trunnion.model.runs import Run
from trunnion.rendering.folding import fold

if TYPE_CHECKING:
    from trunnion.protocol.clients import HostClient

Abandon: TypeAlias = Callable[[], Coroutine[object, object, None]]
Tell: TypeAlias = Callable[[Screen, Run], int]
"""Says what came of a run; returns the exit status."""
ROOM_BELOW = 4
"""Lines of the terminal that are left for what is said after a result."""


class Attendance:
    """One person at a terminal, looking on while a run goes its way.

    Args:
        client: a connection to the host that runs it.
        screen: the terminal.
        interrupts: the person's Ctrl-C.
        to_reach: the options by which another terminal finds this host.
        abandon: ends the host and its runs, when the host is this very process.
        tell: says what came of the run; by default ``tell_end``.
        artifacts: the folder of files kept with runs, None where it is not on this machine.
    """

    def __init__(
        self,
        client: HostClient,
        screen: Screen,
        interrupts: Interrupts,
        *,
        to_reach: str = "",
        abandon: Abandon | None = None,
        tell: Tell | None = None,
        artifacts: Path | None = None,
    ) -> None:
        self._client = client
        self._screen = screen
        self._interrupts = interrupts
        self._to_reach = to_reach
        self._abandon = abandon
        self._artifacts = artifacts
        self._tell = tell or partial(tell_end, to_reach=to_reach)

    async def stay(self, run: Run) -> int:
        """Show the run until it ends or the person leaves; returns the exit status."""
        showing = asyncio.create_task(self._show(run), name=f"show {run.id}")
        cancelling: asyncio.Task[None] | None = None
        try:
            if not await self._ends_before(showing, 1):
                if not self._interrupts.at_once:
                    self._screen.note(self._first_warning(run))
                    cancelling = asyncio.create_task(self._cancel(run), name=f"cancel {run.id}")
                if not await self._ends_before(showing, 2):
                    return await self._leave(run, showing)
            ended = await showing
        except Unavailable as error:
            raise Unavailable(f"{error.message}; the run is on record, {self._way_back(run)}", error.details) from None
        finally:
            await _drop(showing, cancelling)
        return self._tell(self._screen, ended)

    async def _show(self, run: Run) -> Run:
        if run.ended:
            return run
        # Asked for at once: a host that stops still answers it, but takes no new calls.
        waiting = asyncio.create_task(self._client.wait(run.id), name=f"wait {run.id}")
        try:
            await self._show_events(run)
            with contextlib.suppress(Unavailable):
                return await waiting
            return await self._client.wait(run.id)
        finally:
            await _drop(waiting)

    async def _show_events(self, run: Run) -> None:
        renderer = Renderer(self._screen, artifacts=self._artifacts)
        try:
            async for batch in self._client.follow(run_stream(run.id)):
                for event in batch if not self._screen.as_json else ():
                    renderer.show(event)
        finally:
            renderer.close()

    async def _ends_before(self, showing: asyncio.Task[Run], count: int) -> bool:
        """Whether the run ends before the ``count``-th Ctrl-C."""
        asked = asyncio.create_task(self._interrupts.reached(count))
        try:
            await asyncio.wait([showing, asked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        return showing.done()

    async def _cancel(self, run: Run) -> None:
        try:
            await self._client.cancel(run.id)
        except TrunnionError as error:
            self._screen.note(f"run {run.id} could not be cancelled: {error.message}")

    def _first_warning(self, run: Run) -> str:
        again = "interrupt it at once" if self._abandon else "leave it to itself"
        return f"cancelling run {run.id}; Ctrl-C again to {again}"

    async def _leave(self, run: Run, showing: asyncio.Task[Run]) -> int:
        if self._abandon is not None:
            return await self._interrupt(run, showing, self._abandon())
        self._screen.note(f"run {run.id} was left to itself; {self._way_back(run)}")
        return exit_status("cancelled")

    async def _interrupt(self, run: Run, showing: asyncio.Task[Run], ending: Coroutine[object, object, None]) -> int:
        """The host ends, and the run with it; one more Ctrl-C does not even wait for that."""
        self._screen.note(f"the host was started for run {run.id} and ends now: the run becomes interrupted")
        settling = asyncio.create_task(ending)
        try:
            if not await self._ends_before(showing, self._interrupts.count + 1):
                return exit_status("interrupted")
            return self._tell(self._screen, await showing)
        finally:
            await _drop(settling)

    def _way_back(self, run: Run) -> str:
        return f"come back with: trunnion {self._to_reach}follow {run_stream(run.id)}"


def tell_end(screen: Screen, run: Run, *, to_reach: str = "") -> int:
    """Print what came of a run, and on standard error how it ended; returns the exit status.

    Standard output carries what the command printed; a result beside that is a line on standard error, so
    that ``trunnion run X > file`` holds one or the other. That a program ended well is told by its output.

    Args:
        screen: where to.
        run: it has ended.
        to_reach: the options by which its host is found again.
    """
    if screen.as_json:
        screen.value(plain(run))
    elif run.result is not None and not (screen.has_output and says_no_more(run.result)):
        _tell_value(screen, run, to_reach)
    if run.error is not None and run.status != "succeeded":
        screen.error(run.error.code, run.error.message, run.error.details)
    screen.note(f"run {run.id} {run.status.replace('_', ' ')}{_duration(run)}")
    return run_status(run)


def _tell_value(screen: Screen, run: Run, to_reach: str) -> None:
    """A result: on a terminal no more of it than fits, unless it is on no record, where the rest can be asked for."""
    beside = screen.has_output and not isinstance(run.result, str)
    is_terminal = screen.err_is_terminal if beside else screen.out_is_terminal
    if is_terminal and run.last_seq and not isinstance(run.result, str):
        palette = screen.palette(error=beside)
        folded = fold(run.result, width=screen.width(), lines=screen.height() - ROOM_BELOW, palette=palette)
        label = ("result:\n" if "\n" in folded.text[:-1] else "result: ") if beside else ""
        screen.put(label + folded.text, error=beside)
        if not folded.is_whole:
            screen.note(f"all of the result: trunnion {to_reach}runs result {run.id}")
    elif beside:
        screen.note(f"result: {as_text(run.result)}")
    elif isinstance(run.result, str):
        screen.out(run.result.rstrip("\n") + "\n")
    else:
        screen.value(run.result)


def tell_result(show: Callable[[Screen, Json], None], screen: Screen, run: Run) -> int:
    """Print the result of a run in a form of its own; what did not succeed is told like any other run."""
    if screen.as_json or run.status != "succeeded":
        return tell_end(screen, run)
    show(screen, run.result)
    return run_status(run)


def plain(value: object) -> Json:
    """A struct as plain data."""
    return decode(encode(value))


def _duration(run: Run) -> str:
    if run.finished is None or run.started is None:
        return ""
    from trunnion.rendering.sizes import readable_time

    which = f", at attempt {run.attempt}" if run.attempt > 1 else ""
    return f" after {readable_time((run.finished - run.started) / 1e6)}{which}"


async def _drop(*tasks: asyncio.Task[Run] | asyncio.Task[None] | None) -> None:
    """End what is no longer of interest; what it raised is of none either."""
    begun = [task for task in tasks if task is not None]
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
