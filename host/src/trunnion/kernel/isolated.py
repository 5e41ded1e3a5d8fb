"""Handlers in processes of their own: started through the keeper, heard, told to end, killed, and buried."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, cast

from trunnion.arguments import Bound
from trunnion.isolation.wire import Start, Stop, pack
from trunnion.kernel.context import Context
from trunnion.kernel.isolated_talk import Talk, Trace
from trunnion.kernel.limits import Limits
from trunnion.kernel.live import LiveRun, Outcome
from trunnion.kernel.reporting import Report
from trunnion.model.errors import Busy, ErrorInfo, InvalidArguments
from trunnion.process import Exit, Keeper, Process, Spawn

LEAVE: Final = 2.0
"""Seconds a process has to leave once its handler has ended: its exit hooks, and threads it waits for."""

_BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; del sys.argv[1:]; from trunnion.isolation.child import main; main()"
)
_OURS: Final = "TRUNNION_"
"""Variables of the host's own configuration, which may hold secrets of it, begin so."""

_CONTEXT: Final = object()
_Call: TypeAlias = tuple[tuple[object, ...], dict[str, object]]


class Isolated:
    """Runs handlers in processes of their own.

    Args:
        report: told of handlers that raised, of processes that died, and of what they said amiss.
        limits: results larger than ``max_result_bytes`` stay encoded.
    """

    def __init__(self, report: Report, limits: Limits) -> None:
        self._report = report
        self._limits = limits

    async def run(self, live: LiveRun, context: Context, bound: Bound) -> Outcome:
        """Run a handler to its end and that of all it started.

        Being cancelled tells the handler to end; being cancelled once more gives its process up. In between,
        ``live.kill`` kills it.

        Raises:
            Unavailable: no process could be started.
            InvalidArguments: an argument cannot be sent to one.
        """
        start = _start(live, context, bound)
        process = await context.require(Keeper).spawn(_spawn(context.run_id))
        try:
            return await _Attempt(live, context, process, self._report, self._limits).run(start)
        finally:
            live.kill = None
            process.close()


class _Attempt:
    """One process from its start to its end."""

    def __init__(self, live: LiveRun, context: Context, process: Process, report: Report, limits: Limits) -> None:
        if process.stdin is None or process.stderr is None:
            raise AssertionError("the process of an isolated handler was started without its pipes")
        self._live = live
        self._context = context
        self._process = process
        self._report = report
        self._input = process.stdin
        self._output, self._raw = process.stdout, process.stderr
        self._writing = asyncio.Lock()
        self._room: asyncio.Task[None] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._talk = Talk(live, context, self._send, limits.max_result_bytes)

    async def run(self, start: Start) -> Outcome:
        """Hear the process until nothing is left of it."""
        live = self._live
        live.kill, live.dying = self._process.kill, False
        live.sink.held_by_its_speaker()
        self._input.send(pack(start))
        self._output.start(partial(self._heard, self._talk.hear))
        self._raw.start(partial(self._heard, self._talk.hear_raw))
        gone = asyncio.ensure_future(self._process.wait())
        told = False
        try:
            while not gone.done():
                try:
                    await asyncio.wait([gone])
                except asyncio.CancelledError:
                    if told:
                        raise
                    told = True
                    self._tell_to_end()
            await self._hear_the_rest()
        finally:
            self._let_go(gone)
        return self._outcome(gone)

    # -- hearing ----------------------------------------------------------------------------------

    def _heard(self, hear: Callable[[bytes], None], data: bytes) -> None:
        hear(data)
        self._look()

    def _look(self) -> None:
        """Hold the process while the run has no room, let it leave once its handler has ended."""
        talk = self._talk
        if talk.broken:
            self._process.kill()
        elif talk.outcome is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(LEAVE, self._process.kill)
        if talk.waits and self._room is None:
            self._output.pause()
            self._raw.pause()
            self._room = asyncio.get_running_loop().create_task(self._wait_for_room())

    async def _wait_for_room(self) -> None:
        while self._talk.waits:
            await self._talk.room()
            self._talk.go_on()
        self._room = None
        self._output.resume()
        self._raw.resume()
        self._look()

    async def _hear_the_rest(self) -> None:
        """What it left in its pipes still stands before its end; so little needs no room."""
        self._stop_waiting()
        self._talk.paced = False
        self._talk.go_on()
        for pipe in (self._output, self._raw):
            pipe.resume()
            pipe.drain()
        await self._talk.end()

    def _stop_waiting(self) -> None:
        if self._room is not None:
            self._room.cancel()
            self._room = None

    def _let_go(self, gone: asyncio.Future[Exit]) -> None:
        self._stop_waiting()
        gone.cancel()
        if self._leaving is not None:
            self._leaving.cancel()

    # -- speaking ---------------------------------------------------------------------------------

    async def _send(self, data: bytes) -> None:
        """Answers wait for each other, and for a process that does not read; they end with it."""
        async with self._writing:
            with contextlib.suppress(BrokenPipeError):
                await self._input.write_all(data)

    def _tell_to_end(self) -> None:
        """A process that does not even read this is killed a little later."""
        with contextlib.suppress(BrokenPipeError, Busy):
            self._input.send(pack(Stop(self._live.stop_reason or "cancelled")))

    # -- the end ----------------------------------------------------------------------------------

    def _outcome(self, gone: asyncio.Future[Exit]) -> Outcome:
        live, talk, name = self._live, self._talk, f"{self._live.run.command_id} (run {self._live.id})"
        if talk.refused:
            self._report("isolated.refused", f"{name}: {talk.refused} things its process said were refused")
        if talk.trace is not None:
            trace = Trace(f"in the process of the handler\n{talk.trace}")
            self._report("handler.raised", f"{name} raised", trace, live.sink.redactor)
        if talk.outcome is not None:
            return talk.outcome
        if self._context.cancelled:
            return Outcome(stopped=True)
        error = self._cause(gone)
        self._report("isolated.died", f"{name}: {error.message}")
        return Outcome(error=error)

    def _cause(self, gone: asyncio.Future[Exit]) -> ErrorInfo:
        """Why there is no result; a process that dies has a defect, or meets one of the system's limits."""
        command, lost = self._live.run.command_id, gone.exception()
        if self._talk.broken:
            return ErrorInfo("internal", f"{command} was ended: its process said {self._talk.broken}")
        if lost is not None:
            return ErrorInfo("internal", f"{command} was ended: {lost}")
        exit_ = gone.result()
        if exit_.signal is None:
            text = f"the process of {command} exited with status {exit_.code} before its handler returned"
            return ErrorInfo("internal", text, {"exit": exit_.code})
        text = f"the process of {command} was ended by {exit_.signal_name} before its handler returned"
        return ErrorInfo("internal", text, {"signal": exit_.signal_name})


def _start(live: LiveRun, context: Context, bound: Bound) -> Start:
    entry = live.command_entry
    if entry.place is None:
        raise AssertionError(f"{entry.id} is not isolated")
    args, names = cast(_Call, entry.parameters.call(_collected, _CONTEXT, bound))
    with_context = bool(args) and args[0] is _CONTEXT
    try:
        call = pickle.dumps((args[with_context:], names))
    except Exception as error:
        why = f"an argument cannot be sent to the process of {entry.id}: {type(error).__name__}: {error}"
        raise InvalidArguments(why) from error
    level = logging.getLogger().level
    return Start(entry.place, call, with_context, live.run, live.caller, context.deadline, level)


def _collected(*args: object, **names: object) -> _Call:
    """Called in the handler's place: what the handler would be called with."""
    return args, names


def _spawn(owner: str) -> Spawn:
    """An interpreter like this one. The program's own words are in no process list, nor are arguments."""
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return Spawn(
        argv=(sys.executable, *_options(), "-c", _BOOT, *path),
        env={name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
        cwd=_folder(),
        stdin="pipe",
        drain_grace=0.0,
        owner=owner,
    )


def _options() -> list[str]:
    """The options with which this interpreter was started, as far as they change what code does."""
    flags = sys.flags
    chosen = [("-I", flags.isolated), ("-E", flags.ignore_environment), ("-s", flags.no_user_site)]
    chosen += [("-S", flags.no_site), ("-O", flags.optimize == 1), ("-OO", flags.optimize == 2)]
    return [option for option, wanted in chosen if wanted] + [f"-W{option}" for option in sys.warnoptions]


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return "/"
