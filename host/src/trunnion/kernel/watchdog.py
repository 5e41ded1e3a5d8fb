"""Notices when something keeps the loop from turning, and says who while it still does.

A thread asks the loop for a sign of life and looks again half a limit later. As long as there is none and the loop is
inside the same task or callback, the time that this one had for itself is added up; beyond the limit, what is on the
loop's stack is named. A loop that is merely busy is inside another one by the next look, so it is left alone.

Only time of its own counts. The kernel tells how long the loop's thread computed and how long it was kept waiting for
a processor; on a crowded machine the rest of the time is another's, and nobody is blamed for it. The same goes for
time in which it may have waited for the interpreter, and for time in which this thread itself was late.

A call that holds the interpreter, such as a regular expression, stops this thread too. It is told of afterwards: this
thread has waited for the interpreter, and the processor time used meanwhile says whether the loop's thread had it or
another one. The place is where the loop's thread was met then, so it may be a line further on.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Protocol, TypeAlias

import msgspec

from trunnion.kernel.places import ModuleOwners, Spot, loop_code, outermost
from trunnion.kernel.rarely import MOST, PAUSE
from trunnion.kernel.thread_times import ThreadTimes, Times

LEAST = 0.02
"""Seconds that are told apart at all, however low the limit is."""
UNSEEN = 1.0
"""Seconds after which a loop is told of on whose stack nothing is to be seen."""
DOUBTFUL = 0.1
"""How much of a time counts in which a thread may have waited for the interpreter or woken again and again."""
LATE = 1.5
"""Limits after which a look that was due after half of one is late by a limit."""
CLOSING = 1.0
THREADS = ("trunnion-handler", "trunnion-reader")
"""How the threads are called in which the host runs code of plugins."""

Task: TypeAlias = "asyncio.Future[object]"


class RunAt(msgspec.Struct, frozen=True):
    """The run a task works for."""

    owner: str
    run_id: str
    command_id: str


class Block(msgspec.Struct, frozen=True):
    """One time that the loop did not turn.

    Attributes:
        spot: what was on its stack when it was noticed.
        run: for which run, None where it is none's.
        seconds: how long at least, so far.
        cpu: seconds of processor time the loop's thread used of them: a call that waits uses none.
        held: the interpreter was held as well, ``here`` by the loop's thread or ``elsewhere`` by another one.
    """

    spot: Spot
    run: RunAt | None
    seconds: float = 0.0
    cpu: float = 0.0
    held: str = ""

    @property
    def plugin(self) -> str:
        """Who is to blame: whose code it is, else whose run; ``""`` where that is not known."""
        if self.held == "elsewhere":  # one thread among others is suspected, not known
            return ""
        return self.spot.plugin or (self.run.owner if self.run is not None else "")


class Log(Protocol):
    """Takes a line for the host's log, from any thread."""

    def __call__(self, name: str, level: str, text: str, trace: str = "") -> None:
        """Write it at once."""


class _Look(msgspec.Struct, frozen=True):
    """What the thread saw at one moment.

    Attributes:
        at: monotonic, seconds.
        loop: what the loop's thread has had of the processor; ``own`` what this thread has had of it.
        all_cpu: processor time of the whole process so far, seconds.
        at_work: the outermost frame of the task or callback that the loop is in; None where it rests.
        spot: the line it was at.
        suspect: where the only thread that was in a plugin's code was met, if this thread came late; None if there
            were several or none.
    """

    at: float
    loop: Times
    own: Times
    all_cpu: float
    at_work: object = None
    spot: Spot = Spot()
    suspect: Spot | None = None


class _Sign:
    """Asked of the loop, which gives it by calling it."""

    def __init__(self) -> None:
        self.given: float | None = None

    def __call__(self) -> None:
        self.given = time.monotonic()


class Watchdog:
    """Watches one loop.

    Args:
        loop: to be watched.
        owners: which plugin has which module.
        run_of: the run a task works for, asked from this class's thread.
        log: written to as soon as a block is noticed.
        ended: told of each block when it is over, from this class's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        owners: ModuleOwners,
        run_of: Callable[[Task], RunAt | None],
        log: Log,
        ended: Callable[[Block], None],
    ) -> None:
        self._loop = loop
        self._owners = owners
        self._run_of = run_of
        self._log = log
        self._ended = ended
        self._limit = 0.0
        self._news = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._told: dict[str, float] = {}

    # -- on the loop ------------------------------------------------------------------------------

    def set_limit(self, seconds: float) -> None:
        """Go by another limit from now on; 0 ends the watching. In a task of the loop only."""
        self._limit = max(seconds, LEAST) if seconds > 0 else 0.0
        self._news.set()
        if self._limit and self._thread is None and not self._closed:
            self._ident = threading.get_ident()
            self._loop_times = ThreadTimes(self._ident, threading.get_native_id())
            self._below = loop_code()
            self._thread = threading.Thread(target=self._watch, name="trunnion-watchdog", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the watching."""
        self._closed = True
        self._news.set()
        if self._thread is not None:
            self._thread.join(CLOSING)

    # -- in the thread ----------------------------------------------------------------------------

    def _watch(self) -> None:
        self._own_times = ThreadTimes(threading.get_ident(), threading.get_native_id())
        try:
            while not self._closed:
                self._news.clear()
                if not self._limit:
                    self._news.wait()
                elif (block := self._round(self._limit)) is not None:
                    self._ended(block)
        except (OSError, RuntimeError):
            return  # the loop is closed or its thread has ended: there is nothing to watch
        finally:
            self._own_times.close()
            self._loop_times.close()

    def _round(self, limit: float) -> Block | None:
        """Ask for one sign and wait until it is given; the block that kept it back.

        Raises:
            OSError: the loop's thread has ended.
            RuntimeError: the loop is closed.
        """
        sign, block, had = _Sign(), None, 0.0
        since = last = self._look(math.inf)
        self._loop.call_soon_threadsafe(sign)
        while True:
            interrupted = self._news.wait(limit / 2)
            now = self._look(last.at + limit * LATE)
            held = _held(last, now, limit)
            if sign.given is not None:
                return self._over(block, since, now, sign.given, held)
            if block is None and now.at_work is not since.at_work and not held:
                since, had = now, 0.0
            had += _had(last, now, limit / 2, asleep=self._loop_times.asleep())
            block = block or self._judged(now, held, had > (limit if now.at_work is not None else UNSEEN))
            if block is not None:
                block = _lasting(block, since, now, now.at)
                self._say_at_once(block)
            if interrupted:
                return block
            last = now

    def _over(self, block: Block | None, since: _Look, now: _Look, given: float, held: str) -> Block | None:
        """What there was before the sign was given, or after it while this thread could not look."""
        if block is not None:
            return _lasting(block, since, now, given)
        if held == "here" and given - since.at > now.at - given and now.at_work is not since.at_work:
            return _lasting(Block(Spot(), None, held=held), since, now, given)
        found = self._judged(now, held, had_it=False)
        return None if found is None else _lasting(found, since, now, now.at)

    def _look(self, due: float) -> _Look:
        """The stacks come first: reading the times lets go of the interpreter, and the others would go on."""
        at, frames = time.monotonic(), stacks()
        frame = frames.get(self._ident)
        at_work, spot = outermost(frame, self._below), self._owners.spot(frame, self._below)
        suspect = self._suspect(frames) if at > due else None
        loop, own = self._loop_times.read(), self._own_times.read()
        return _Look(at, loop, own, time.process_time(), at_work, spot, suspect)

    def _judged(self, now: _Look, held: str, had_it: bool) -> Block | None:
        """Who it is, None where nobody is known to have had the loop or the interpreter."""
        if held == "elsewhere":
            return Block(now.suspect, None, held=held) if now.suspect is not None else None
        if not held and not had_it:
            return None
        task = asyncio.current_task(self._loop) if now.at_work is not None else None
        run = self._run_of(task) if task is not None else None
        return Block(now.spot, run, held=held)

    def _suspect(self, frames: Mapping[int, FrameType]) -> Spot | None:
        ours = [thread.ident for thread in threading.enumerate() if thread.name.startswith(THREADS)]
        spots = [self._owners.spot(frames[ident], None) for ident in ours if ident is not None and ident in frames]
        of_plugins = [spot for spot in spots if spot.plugin]
        return of_plugins[0] if len(of_plugins) == 1 else None

    def _say_at_once(self, block: Block) -> None:
        """A line in the log while it still lasts; of the same place the next one when it was silent for a while."""
        place, now = str(block.spot), time.monotonic()
        if now - self._told.get(place, -PAUSE) < PAUSE:
            return
        if len(self._told) >= MOST:
            self._told = {known: at for known, at in self._told.items() if now - at < PAUSE}
        if len(self._told) < MOST:
            self._told[place] = now
            text = f"the loop has not turned for {block.seconds:.3g} s: {told(block)}"
            self._log("loop.blocked", "warning", text, "\n".join(block.spot.stack))


def stacks() -> Mapping[int, FrameType]:
    """What each thread is at. No garbage is collected meanwhile.

    The interpreter holds the list of its threads while it makes the answer. A finalizer that is run then and lets go of
    the interpreter, as to close a file or to wait for a thread, meets a thread that ends and wants that list: nothing
    goes on in the whole process any more (https://github.com/python/cpython/issues/106883, Python below 3.12).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collecting:
            gc.enable()


def told(block: Block) -> str:
    """Who kept the loop from turning, in one sentence without a beginning."""
    spot, run = block.spot, block.run
    if block.held == "elsewhere":
        return f"code in another thread held the interpreter; plugin {spot.plugin!r} was at {spot} in {spot.function}"
    if not spot.stack:
        return f"what held {'the interpreter' if block.held else 'it'} could not be seen"
    whose = f"plugin {block.plugin!r}" if block.plugin else "no plugin's code"
    what = f"{whose} at {spot} in {spot.function}"
    if run is not None:
        what += f", {run.command_id} (run {run.run_id})"
    return what + (", which held the interpreter too" if block.held else "")


def _had(last: _Look, now: _Look, step: float, *, asleep: bool) -> float:
    """Seconds between two looks that the loop's thread surely had for itself, to compute in or to sleep.

    Time on a processor is. Time without one is where the thread is asleep now, but for what it waited for a processor
    and what may have been waits for the interpreter: those end every ``sys.getswitchinterval()``.

    Args:
        last: the first look.
        now: the second.
        step: seconds after which this thread meant to look again; more than that proves nothing.
        asleep: whether the loop's thread waits for something other than a processor now.
    """
    cpu = now.loop.cpu - last.loop.cpu
    slept = max(0.0, now.at - last.at - cpu - (now.loop.delayed - last.loop.delayed)) if asleep else 0.0
    doubtful = min(slept, (now.loop.turns - last.loop.turns) * sys.getswitchinterval())
    return min(step, cpu + slept - doubtful + doubtful * DOUBTFUL)


def _held(last: _Look, now: _Look, limit: float) -> str:
    """Who held the interpreter between two looks, which shows by this thread's having waited for it.

    Whoever held it computed meanwhile, longer than code does that lets go of it when asked; the loop's thread did
    hardly anything else, while threads that take turns wait for each other.

    Returns:
        ``here`` for the loop's thread, ``elsewhere`` for another one, ``""`` for nobody.
    """
    passed, least = now.at - last.at, limit * LATE
    if passed - (now.own.delayed - last.own.delayed) <= least:
        return ""
    here = now.loop.cpu - last.loop.cpu
    if here > least and here > (passed - (now.loop.delayed - last.loop.delayed)) / 2:
        return "here"
    return "elsewhere" if now.all_cpu - last.all_cpu - here > least else ""


def _lasting(block: Block, since: _Look, now: _Look, over: float) -> Block:
    seconds = over - since.at
    return msgspec.structs.replace(block, seconds=seconds, cpu=min(seconds, now.loop.cpu - since.loop.cpu))
