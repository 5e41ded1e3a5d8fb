"""A run while it is alive: its row, its place, its handler and who waits for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Set
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from trunnion.arguments import Bound
from trunnion.kernel.clock import Timer
from trunnion.kernel.context import Context
from trunnion.kernel.entries import CommandEntry
from trunnion.kernel.eventlog import StreamLog
from trunnion.kernel.lanes import Lane, Member
from trunnion.kernel.sink import Sink
from trunnion.model.errors import ErrorInfo
from trunnion.model.json import Json, JsonObject, encode
from trunnion.model.runs import Caller, Run
from trunnion.model.status import Status, may_move

Phase: TypeAlias = Literal["held", "delayed", "parked", "lane", "slot", "running", "ending", "ended"]
StopReason: TypeAlias = Literal["cancelled", "timed_out", "interrupted"]


NO_FACTS: JsonObject = {}


NOBODY: frozenset[LiveRun] = frozenset()


class Outcome(msgspec.Struct, frozen=True):
    """How a handler came to its end.

    Attributes:
        result: plain data; None where it is too large for its row.
        large: the encoded result where it is, for an artifact.
    """

    result: Json = None
    large: bytes = b""
    error: ErrorInfo | None = None
    stopped: bool = False


class LiveRun:
    """One run that has not ended. Touched on the kernel loop only.

    Attributes:
        entry: its command; None while it is parked.
        args: the whole arguments, secrets included; ``run.args`` has them masked.
        parent: the run it ends with, None for runs of their own and detached ones.
        awaiting: children it waits for at the moment; ``awaited``: how many wait for it so.
        has_slot: whether it occupies a slot.
        expires: on the monotonic clock, when it must have ended; ``expires_asked`` is without the
            command's own timeout, which counts anew at each attempt.
        due: on the monotonic clock, when its next attempt may begin.
        timer: of its present phase; ``expiry`` is the one of its deadline.
        accepted: settled when its acceptance is on record.
        checked: its arguments were validated in this host's life.
        arriving: it is being accepted this very moment.
        acknowledged: whether it is.
        abandoned: it was settled although its handler goes on.
        cancel_on_record: done when the wish to cancel it is.
        cwd: the folder its caller was in, where that was said.
        kill: kills the process of an isolated handler, None where there is none, or was killed.
        dying: it was killed, and something is left of it.
        before_end: its row before an end that is not on record yet.
    """

    # Most runs leave most of this as it is, so it is not given to each.
    acknowledged = False
    arriving = True
    checked = True
    phase: Phase = "lane"
    parent: LiveRun | None = None
    children: Set[LiveRun] = NOBODY
    awaiting: Set[LiveRun] = NOBODY
    awaited = 0
    lane: Lane | None = None
    has_slot = False
    lent = 0
    expires: float | None = None
    expires_asked: float | None = None
    due: float | None = None
    timer: Timer | None = None
    expiry: Timer | None = None
    context: Context | None = None
    task: asyncio.Task[None] | None = None
    stop_reason: StopReason | None = None
    outcome: Outcome | None = None
    abandoned = False
    start_when_accepted = False
    cwd: str | None = None
    cancel_on_record: asyncio.Future[None] | None = None
    kill: Callable[[], None] | None = None
    dying: bool = False
    before_end: Run | None = None

    def __init__(
        self,
        run: Run,
        caller: Caller,
        entry: CommandEntry | None,
        bound: Bound,
        log: StreamLog | None,
        sink: Sink,
        accepted: asyncio.Future[None],
    ) -> None:
        self.run = run
        self.caller = caller
        self.entry = entry
        self.args = bound.args
        self.bound = bound
        self.log = log
        self.sink = sink
        self.accepted = accepted
        self.ephemeral = log is None
        self.waiters: list[asyncio.Future[Run]] = []

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def rank(self) -> int:
        """Order of acceptance."""
        return self.run.num

    @property
    def needs_thread(self) -> bool:
        """Whether its handler is a plain function that runs in the host."""
        return self.entry is not None and not self.entry.is_async

    def adopt(self, child: LiveRun) -> None:
        """A child ends with this run. Most runs have none, so the set is made when it is needed."""
        self.children = _with(self.children, child)

    def disown(self, child: LiveRun) -> None:
        """The child has come to its end."""
        if isinstance(self.children, set):
            self.children.discard(child)

    def wait_for(self, child: LiveRun) -> None:
        """The handler does not go on before the child's end."""
        self.awaiting = _with(self.awaiting, child)

    def wait_no_more(self, child: LiveRun) -> None:
        """The handler goes on."""
        if isinstance(self.awaiting, set):
            self.awaiting.discard(child)

    @property
    def awaited_children(self) -> Iterator[Member]:
        """Children it waits for at the moment."""
        return iter(self.awaiting)

    @property
    def at_work(self) -> bool:
        """Whether its handler has been started and not been settled."""
        return self.phase == "running"

    @property
    def told(self) -> Run:
        """The row as somebody may be told of it: an end counts once it is on record."""
        return self.run if self.before_end is None else self.before_end

    def move(self, status: Status, **changes: object) -> Run:
        """Give the row a new status.

        Raises:
            AssertionError: the table of moves does not allow it; a defect of the kernel.
        """
        if not may_move(self.run.status, status):
            raise AssertionError(f"run {self.id}: {self.run.status} to {status} is not an allowed move")
        self.run = msgspec.structs.replace(self.run, status=status, **changes)
        return self.run

    def state(self, text: str, *, level: str = "info", facts: JsonObject = NO_FACTS) -> None:
        """Append a state event that says what the row says."""
        if self.log is not None:
            raw = _plain_state(self.run.status, self.run.attempt)
            if facts:
                raw = msgspec.Raw(encode({"status": self.run.status, "attempt": self.run.attempt, **facts}))
            self.log.append("state", text, raw, level=level)

    def disarm(self) -> None:
        """Call off the timer of its present phase."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def disarm_expiry(self) -> None:
        """Call off the timer of its deadline."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    @property
    def command_entry(self) -> CommandEntry:
        """Its command; a run that works has one."""
        if self.entry is None:
            raise AssertionError(f"run {self.id} was started without its command")
        return self.entry


class Begun(NamedTuple):
    """A run that was just admitted.

    Attributes:
        run: as it is on record.
        live: for the host alone; a short run has ended, and is in no table any more.
    """

    run: Run
    live: LiveRun | None = None

    @property
    def log(self) -> StreamLog | None:
        """Its stream, whether it has ended or not."""
        return self.live.log if self.live is not None else None


@lru_cache(maxsize=64)
def _plain_state(status: Status, attempt: int) -> msgspec.Raw:
    return msgspec.Raw(encode({"status": status, "attempt": attempt}))


def _with(runs: Set[LiveRun], run: LiveRun) -> set[LiveRun]:
    more = runs if isinstance(runs, set) else set(runs)
    more.add(run)
    return more


class RunTable:
    """All runs that have not ended, and what is counted over them.

    Attributes:
        live: by id, in order of acceptance.
        pending: accepted and not yet at work, by principal.
        abandoned: settled although their handlers go on.
        counts: what happened since the start, by name.
        draining: nothing queued is started any more.
        rested: set whenever a run is at work no longer, because it ended or waits for its next attempt.
    """

    def __init__(self) -> None:
        self.live: dict[str, LiveRun] = {}
        self.pending: Counter[str] = Counter()
        self.abandoned: set[LiveRun] = set()
        self.counts: Counter[str] = Counter()
        self.draining = False
        self.rested = asyncio.Event()

    def working(self) -> bool:
        """Whether any run is at work or about to be, queued ones included, parked and held ones not."""
        return any(live.phase in ("running", "ending", "lane", "slot") for live in self.live.values())

    def run_of(self, run_id: str) -> Run | None:
        """The row of a live run with its counters as they are now."""
        live = self.live.get(run_id)
        if live is None:
            return None
        run = live.told
        if live.context is None or live.ephemeral:
            return run
        figures = live.context.figures()
        return msgspec.structs.replace(run, stats=figures) if figures else run
