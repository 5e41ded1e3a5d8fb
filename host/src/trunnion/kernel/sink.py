"""The way of a run's output: from any thread, in order, bounded, onto the run's stream."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from threading import get_ident
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from msgspec.structs import replace

from trunnion.access.matching import Matcher
from trunnion.access.redaction import Redactor
from trunnion.kernel.capping import Cap, Emitted, content_bytes, gap, limit_reached, line_data, still_coming
from trunnion.kernel.eventlog import EVENT_OVERHEAD, StreamLog
from trunnion.kernel.mailbox import Mailbox
from trunnion.model.errors import Busy
from trunnion.model.events import GAP, LOG, NULL, TEXT

if TYPE_CHECKING:
    from trunnion.kernel.limits import Limits

BLOCK = 64 << 10
WAIT = 0.05
SLICE = 512
"""Events taken over from threads at a time; between two slices the loop may turn to others."""
FLOOD = 64
"""Waiting at once, so many are a flood: lines of it become blocks, which cost as much as one line each."""

Said: TypeAlias = tuple[str, str, msgspec.Raw, str, str, str | None, int]
"""On its way from a thread: kind, text, data, level and speaker; the channel of a block of lines, and what it lost."""

_making = threading.Lock()


class Sink:
    """Where a run's events go. Closed, it drops and counts what still comes.

    Args:
        log: the stream; None for runs that keep none.
        mailbox: the way from other threads.
        redactor: cuts what is not to be shown.
        limits: how much may wait for its commit, and how much is kept.
    """

    def __init__(self, log: StreamLog | None, mailbox: Mailbox, redactor: Redactor, limits: Limits) -> None:
        self.log = log
        self.redactor = redactor
        self.dropped = 0
        self.closed = False
        self._mailbox = mailbox
        self._limits = limits
        self._limit = self._allowed = limits.max_uncommitted_bytes
        self._cap: Cap | None = None
        self._loop_thread = get_ident()
        self._lines = 0
        self._said = 0
        self._lock: threading.Lock | None = None
        self._room: threading.Condition | None = None
        self._on_the_way = 0
        self._held_up = 0
        self._emitted: list[Said] = []

    def emit(
        self, kind: str, text: str = "", raw: msgspec.Raw = NULL, level: str = "info", by: str = "handler"
    ) -> None:
        """Add an event, from any thread.

        A thread that is too far ahead of the disk waits; on the loop, where waiting would stop everybody,
        it is refused.

        Raises:
            Busy: too much waits for its commit; ``await ctx.flush()`` now and then.
        """
        text = self.redactor.text(text)
        if raw is not NULL:
            raw = self.redactor.raw(raw)
        if get_ident() == self._loop_thread:
            log = self.log
            if log is not None and log.uncommitted > self._limit and not self.closed:
                raise self._behind(log)
            self._land(kind, text, raw, level, by)
        else:
            size = len(text) if raw is NULL else len(text) + len(memoryview(raw))
            self._send(size, (kind, text, raw, level, by, None, 0))

    def text(
        self, block: str, *, channel: str = "stdout", level: str = "info", by: str = "handler", cut: int = 0
    ) -> None:
        """Add whole lines of output, from any thread; long ones become several events; ``cut``: see ``Context``."""
        parts = split_block(self.redactor.text(block))
        for number, part in enumerate(parts, 1):
            lost = cut if number == len(parts) else 0
            if get_ident() == self._loop_thread:
                if self.log is not None and self.log.uncommitted > self._limit and not self.closed:
                    raise self._behind(self.log)
                self._land_lines(part, level, by, channel, lost)
            else:
                self._send(len(part), (TEXT, part, NULL, level, by, channel, lost))

    def own(self) -> Matcher | None:
        """Finds the run's own secrets; None while it has none."""
        return self.redactor.own

    def learn(self, values: Iterable[str]) -> None:
        """From now on these are secrets of the run, too; from any thread."""
        with _making:
            self.redactor = self.redactor.with_own(values)

    @property
    def full(self) -> bool:
        """Whether as much waits for its commit as may."""
        return self.log is not None and not self.closed and self.log.uncommitted > self._allowed

    def held_by_its_speaker(self) -> None:
        """Refuse nothing: whoever speaks, on the loop, looks at ``full`` and waits by itself."""
        self._limit = sys.maxsize

    def last_words(self) -> None:
        """The handler is at its end: what it left half said is little, and is not refused."""
        self._limit = sys.maxsize

    def close(self) -> None:
        """Take nothing more; threads that wait for room go on."""
        self.closed = True
        self._look_again()

    def end(self) -> None:
        """The attempt is at its end: take nothing more, and show the last part of what went beyond the limit."""
        self.close()
        if self._cap is None or self.log is None:
            return
        left_out, kept = self._cap.end()
        if left_out.lines:
            text, raw = gap(left_out)
            self.log.append(GAP, text, raw, level="warning")
        for event in kept:
            _put(self.log, event)

    def figures(self) -> dict[str, float]:
        """Figures of a run that went beyond its limit."""
        return self._cap.figures() if self._cap is not None else {}

    def reopen(self) -> None:
        """Take output again: the run is tried once more."""
        self.closed = False
        self._limit = self._allowed

    def closed_twin(self) -> Sink:
        """One for an attempt that is over while the run goes on: it drops what comes."""
        twin = Sink(None, self._mailbox, self.redactor, self._limits)
        twin.close()
        return twin

    def _behind(self, log: StreamLog) -> Busy:
        return Busy(
            f"{log.name}: more than {self._limit >> 20} MiB of output wait for the disk; "
            "call `await ctx.flush()` while producing much"
        )

    # -- on the loop ------------------------------------------------------------------------------

    def _land(self, kind: str, text: str, raw: msgspec.Raw, level: str, by: str) -> None:
        log = self.log
        if self.closed or log is None:
            self.dropped += 1
            return
        size = len(text) if raw is NULL and text.isascii() else content_bytes(text, raw)
        if (self._cap or self._make_cap()).takes(size):
            log.append(kind, text, raw, level, by)
        else:
            self._land_beyond(log, Emitted(kind, text, raw, level, by))

    def _land_lines(self, text: str, level: str, by: str, channel: str, cut: int) -> None:
        log = self.log
        if self.closed or log is None:
            self.dropped += 1
            return
        lines = text.count("\n") + (not text.endswith("\n"))
        first = self._lines + 1
        self._lines += lines
        if (self._cap or self._make_cap()).takes(content_bytes(text, NULL), lines):
            log.append(TEXT, text, line_data(first, lines, channel, cut), level, by)
        else:
            self._land_beyond(log, Emitted(TEXT, text, NULL, level, by, channel, cut, lines, first))

    def _land_beyond(self, log: StreamLog, event: Emitted) -> None:
        """The beginning is full: what fits into it still goes there, and the rest is held."""
        cap = self._cap or self._make_cap()
        before, first = cap.held, cap.hold(replace(event, ts=log.now()))
        if first is not None:
            _put(log, first)
        if before is None:
            text, raw = limit_reached(cap)
        elif cap.size >= 2 * self._said:
            text, raw = still_coming(cap)
        else:
            return
        self._said = cap.size
        log.append(LOG, text, raw, level="warning")

    def _make_cap(self) -> Cap:
        """Made when the run first says something: many never do."""
        self._cap = Cap(self._limits)
        return self._cap

    # -- from other threads -----------------------------------------------------------------------

    def _send(self, size: int, said: Said) -> None:
        """Add to what waits for the loop; only the first to wait wakes it."""
        lock, log = self._lock or self._make_lock(), self.log
        with lock:
            while self._on_the_way + (log.uncommitted if log is not None else 0) > self._limit and not self.closed:
                self._wait(lock)
            self._on_the_way += EVENT_OVERHEAD + size
            first = not self._emitted
            self._emitted.append(said)
        if first:
            self._mailbox.post(self._land_all)

    def _land_all(self) -> None:
        """On the loop: take what threads have emitted since the last time, a slice at a time."""
        with self._lock or self._make_lock():
            waiting, emitted = len(self._emitted), self._emitted[:SLICE]
            del self._emitted[:SLICE]
            self._on_the_way -= self._on_the_way * len(emitted) // max(1, waiting)
            if self._emitted:
                self._mailbox.go_on(self._land_all)
        flood = waiting >= FLOOD and not self.closed
        for kind, text, raw, level, by, channel, cut in joined(emitted) if flood else emitted:
            if channel is None:
                self._land(kind, text, raw, level, by)
            else:
                self._land_lines(text, level, by, channel, cut)
        if self._held_up:
            self._look_again()

    def _make_lock(self) -> threading.Lock:
        """Made when the first thread speaks: most runs have none, and a lock costs as much as an event."""
        with _making:
            if self._lock is None:
                self._lock = threading.Lock()
            return self._lock

    def _wait(self, lock: threading.Lock) -> None:
        """Wait for room, a while at most; with the lock held."""
        if self._room is None:
            self._room = threading.Condition(lock)
        self._held_up += 1
        self._room.wait(WAIT)
        self._held_up -= 1

    def _look_again(self) -> None:
        """Have threads that wait for room see whether there is some."""
        if self._lock is not None:
            with self._lock:
                if self._room is not None:
                    self._room.notify_all()


def _put(log: StreamLog, event: Emitted) -> None:
    log.append(event.kind, event.text, event.data, level=event.level, by=event.by, ts=event.ts)


def joined(emitted: Iterable[Said]) -> Iterator[Said]:
    """The same, but lines that follow one another and differ in nothing else come in blocks."""
    for _, alike in groupby(emitted, _likeness):
        first, *others = alike
        if not others:
            yield first
        else:
            for block in split_block("".join(text for _, text, *_ in (first, *others))):
                yield (first[0], block, *first[2:])


def _likeness(said: Said) -> object:
    """Equal for lines that may stand in one block; all else is like nothing."""
    _, text, _, level, by, channel, cut = said
    return (level, by, channel) if channel is not None and not cut and text.endswith("\n") else object()


def split_block(block: str) -> list[str]:
    """Cut text into parts of at most ``BLOCK`` bytes, at line ends where there are any."""
    most = BLOCK if block.isascii() else BLOCK // 4
    if len(block) <= most:
        return [block] if block else []
    parts = []
    while len(block) > most:
        cut = block.rfind("\n", 0, most) + 1 or most
        parts.append(block[:cut])
        block = block[cut:]
    return [*parts, block] if block else parts
