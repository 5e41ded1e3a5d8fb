"""Streams: append, then commit, then visible. A follower is a cursor, not a queue.

A ``StreamLog`` holds the newest events of one stream in memory. Its events up to ``visible`` are
committed; the rest wait for the committer. A follower that is further behind than memory reaches reads
from the store, so it can be as slow as it likes and costs nobody anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.model.errors import InvalidArguments, Unavailable
from trunnion.model.events import NULL, RETENTION, Event, gap_event
from trunnion.model.json import valid_text

if TYPE_CHECKING:
    from trunnion.kernel.wards import Ward

RING_EVENTS = 4096
RING_BYTES = 4 << 20
SLICE_EVENTS = 1024
EVENT_OVERHEAD = 160
"""Bytes an event takes beside its text and data, roughly; for limits, not for accounting."""


def event_size(event: Event) -> int:
    """Roughly what an event takes in memory, in bytes."""
    return EVENT_OVERHEAD + len(event.text) + len(memoryview(event.raw))


class Dirty(Protocol):
    """Told of each append; the committer implements it."""

    def appended(self, log: StreamLog, size: int) -> None:
        """``log`` has one more event of ``size`` bytes to commit."""


class StreamLog:
    """One stream, as far as it is in memory.

    Attributes:
        seq: number of the newest event.
        visible: number of the newest committed event.
        base: number of the newest event that is no longer in memory.
        closed: no event will follow once ``visible`` has reached ``seq``.
        given_up: nothing that waits for its commit will ever be visible.
    """

    __slots__ = ("_dirty", "_now", "_waiting", "base", "bytes", "closed", "followers", "given_up", "name", "ring",
                 "seq", "uncommitted", "visible")  # fmt: skip

    def __init__(self, name: str, last_seq: int, dirty: Dirty, now: Callable[[], int]) -> None:
        self.name = name
        self.seq = self.visible = self.base = last_seq
        self.ring: list[Event] = []
        self.bytes = 0
        self.uncommitted = 0
        self.closed = False
        self.given_up = False
        self.followers = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._dirty = dirty
        self._now = now

    def now(self) -> int:
        """The time put on events, UTC µs."""
        return self._now()

    def append(
        self,
        kind: str,
        text: str = "",
        raw: msgspec.Raw = NULL,
        level: str = "info",
        by: str = "host",
        ts: int | None = None,
    ) -> Event:
        """Add one event, made now or at ``ts``; followers see it once it is committed."""
        if not text.isascii():
            text = valid_text(text)
        self.seq += 1
        event = Event(self.name, self.seq, self._now() if ts is None else ts, kind, level, by, text, raw)
        self.ring.append(event)
        size = EVENT_OVERHEAD + len(text) + (len(memoryview(raw)) if raw is not NULL else 4)
        self.bytes += size
        self.uncommitted += size
        self._dirty.appended(self, size)
        return event

    def pending(self) -> list[Event]:
        """What waits for its commit."""
        return self.ring[self.visible - self.base :]

    def committed(self, upto: int) -> None:
        """Everything up to ``upto`` is on record: show it, wake followers once, let go of what is old."""
        self.visible = upto
        self.uncommitted = 0 if upto == self.seq else sum(map(event_size, self.pending()))
        if self._waiting:
            self.wake()
        if len(self.ring) > RING_EVENTS or self.bytes > RING_BYTES:
            self._trim()

    def rollback(self) -> None:
        """Take back what waits for its commit; nobody has seen it."""
        taken = self.pending()
        if taken:
            del self.ring[-len(taken) :]
            self.bytes -= min(self.bytes, sum(map(event_size, taken)))
            self.seq, self.uncommitted = self.visible, 0

    def close(self) -> None:
        """No event will follow."""
        self.closed = True
        self.wake()

    def give_up(self) -> None:
        """The host ends: nothing more becomes visible."""
        self.given_up = True
        self.wake()

    def wake(self) -> None:
        """Have every waiting follower look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Wait until something may have become visible.

        Raises:
            Unavailable: nothing will.
        """
        if self.given_up:
            raise Unavailable(f"{self.name} is shown no further: the host has stopped")
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future in self._waiting:
                self._waiting.remove(future)
            raise

    def after(self, seq: int) -> list[Event] | None:
        """A slice of the committed events after ``seq``; None when memory does not reach back that far."""
        if seq < self.base:
            return None
        start = seq - self.base
        return self.ring[start : min(self.visible - self.base, start + SLICE_EVENTS)]

    def _trim(self) -> None:
        """Let the older half of what is committed go; what it took is estimated, measuring it costs more."""
        cut = (self.visible - self.base + 1) // 2
        self.bytes -= self.bytes * cut // len(self.ring)
        del self.ring[:cut]
        self.base += cut


class History(Protocol):
    """Reads committed events that are no longer in memory."""

    async def events(self, stream: str, after: int) -> Sequence[Event]:
        """The next events after ``after``, empty at the end."""


class EventLog:
    """All streams of the host."""

    def __init__(self, dirty: Dirty, history: History, last_seq: Callable[[str], int], clock: Clock) -> None:
        self._dirty = dirty
        self._history = history
        self._last_seq = last_seq
        self._now = clock.utc
        self.logs: dict[str, StreamLog] = {}

    def fresh(self, name: str) -> StreamLog:
        """The log of a stream that has no event yet, a new run's."""
        log = self.logs[name] = StreamLog(name, 0, self._dirty, self._now)
        return log

    def resume(self, name: str, last_seq: int) -> StreamLog:
        """The log of a stream known to have ``last_seq`` committed events."""
        log = self.logs[name] = StreamLog(name, last_seq, self._dirty, self._now)
        return log

    def stream(self, name: str) -> StreamLog:
        """The log of a stream that lives as long as the host, such as ``host``."""
        return self.logs.get(name) or self.resume(name, self._last_seq(name))

    def give_up(self) -> None:
        """The host ends: whoever follows a stream is told."""
        for log in self.logs.values():
            log.give_up()

    def drop(self, name: str) -> None:
        """Forget a closed stream; from now on it is read from the store."""
        self.logs.pop(name, None)

    async def follow(
        self,
        name: str,
        after: int = 0,
        *,
        live: bool = True,
        ward: Ward | None = None,
        end: int = 0,
        log: StreamLog | None = None,
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield committed events after ``after`` in batches, in order, without gap or repetition.

        What retention removes meanwhile is one gap event, up to ``end`` or to what is still in memory.

        A stream in memory is followed until it is closed (or, with ``live=False``, to its present end);
        any other is read from the store to its end. ``log`` is that of a run that was just admitted: it is followed
        though the run may have ended, and its stream not be in memory for others any more.

        Raises:
            InvalidArguments: the stream goes on, and has had no event ``after`` yet.
            TrunnionError: the ward was refused; whoever refuses it wakes the stream's log.
            Unavailable: the host stops before the stream ends.
        """
        after = self._place(name, after, end)
        log = log or self.logs.get(name)
        if log is not None:
            log.followers += 1
        try:
            while True:
                batch = None if log is None else log.after(after)
                if batch is None:
                    batch = list(await self._history.events(name, after))
                    last = end if log is None else log.base
                    if not batch and after < last:
                        batch = [gap_event(name, after + 1, last, self._now(), RETENTION)]
                if ward is not None and ward.refusal is not None:
                    raise ward.refusal
                if not batch and log is None:
                    return
                if batch:
                    after = batch[-1].seq
                    yield batch
                elif log is not None:
                    if not live or (log.closed and log.visible == log.seq):
                        return
                    await log.changed()
        finally:
            if log is not None:
                log.followers -= 1
                if not log.followers and not log.seq:  # asked for by name, and nothing was ever said there
                    self.drop(name)

    def _place(self, name: str, after: int, end: int) -> int:
        """Where to go on from ``after``: at the end of a stream that ended before it; one that goes on refuses it."""
        if not after:
            return after
        log = self.logs.get(name)
        newest = log.seq if log is not None else max(end, self._last_seq(name))
        if after > newest and log is not None and not log.closed:
            message = f"{name} cannot be followed from {after}: its newest event is {newest}"
            raise InvalidArguments(message, {"stream": name, "newest": newest})
        return min(after, newest)
