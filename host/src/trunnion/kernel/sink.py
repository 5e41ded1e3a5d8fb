"""The way of a run's output: from any thread, in order, bounded, onto the run's stream."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from threading import get_ident
from typing import NamedTuple

import msgspec

from trunnion.access.matching import Matcher
from trunnion.access.redaction import NOTHING, Redactor
from trunnion.kernel.eventlog import EVENT_OVERHEAD, NULL, StreamLog
from trunnion.kernel.mailbox import Mailbox
from trunnion.model.errors import Busy
from trunnion.model.events import TEXT

MAX_UNCOMMITTED = 4 << 20
BLOCK = 64 << 10
WAIT = 0.05
SLICE = 512
"""Events taken over from threads at a time; between two slices the loop may turn to others."""
_making = threading.Lock()


class Emitted(NamedTuple):
    """What a thread has emitted, on its way to the loop; lines of a channel are numbered there."""

    kind: str
    text: str
    raw: msgspec.Raw
    level: str
    by: str
    channel: str | None = None


class Sink:
    """Where a run's events go. Closed, it drops and counts what still comes.

    Args:
        log: the stream; None for runs that keep none.
        mailbox: the way from other threads.
        limit: bytes that may wait for their commit.
    """

    def __init__(
        self, log: StreamLog | None, mailbox: Mailbox, redactor: Redactor = NOTHING, limit: int = MAX_UNCOMMITTED
    ) -> None:
        self.log = log
        self.redactor = redactor
        self.dropped = 0
        self.closed = False
        self._mailbox = mailbox
        self._limit = self._allowed = limit
        self._loop_thread = get_ident()
        self._lines = 0
        self._room: threading.Condition | None = None
        self._on_the_way = 0
        self._held_up = 0
        self._emitted: list[Emitted] = []

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
            if log is None or self.closed:
                self._land(kind, text, raw, level, by)
            elif log.uncommitted <= self._limit:
                log.append(kind, text, raw, level=level, by=by)
            else:
                raise self._behind(log)
        else:
            size = EVENT_OVERHEAD + len(text) + len(memoryview(raw))
            self._send(size, Emitted(kind, text, raw, level, by))

    def text(self, block: str, *, channel: str = "stdout", level: str = "info", by: str = "handler") -> None:
        """Add whole lines of output, from any thread; long ones become several events."""
        for part in split_block(self.redactor.text(block)):
            if get_ident() == self._loop_thread:
                if self.log is not None and self.log.uncommitted > self._limit and not self.closed:
                    raise self._behind(self.log)
                self._land(TEXT, part, self._line_numbers(part, channel), level, by)
            else:
                self._send(EVENT_OVERHEAD + len(part), Emitted(TEXT, part, NULL, level, by, channel))

    def own(self) -> Matcher | None:
        """Finds the run's own secrets; None while it has none."""
        return self.redactor.own

    @property
    def full(self) -> bool:
        """Whether as much waits for its commit as may."""
        return self.log is not None and not self.closed and self.log.uncommitted > self._allowed

    def held_by_its_speaker(self) -> None:
        """Refuse nothing: whoever speaks, on the loop, looks at ``full`` and waits by itself."""
        self._limit = sys.maxsize

    def learn(self, values: Iterable[str]) -> None:
        """From now on these are secrets of the run, too; from any thread."""
        with _making:
            self.redactor = self.redactor.with_own(values)

    def last_words(self) -> None:
        """The handler is at its end: what it left half said is little, and is not refused."""
        self._limit = sys.maxsize

    def close(self) -> None:
        """Take nothing more; threads that wait for room go on."""
        self.closed = True
        if self._room is not None:
            with self._room:
                self._room.notify_all()

    def reopen(self) -> None:
        """Take output again: the run is tried once more."""
        self.closed = False
        self._limit = self._allowed

    def _behind(self, log: StreamLog) -> Busy:
        return Busy(
            f"{log.name}: more than {self._limit >> 20} MiB of output wait for the disk; "
            "call `await ctx.flush()` while producing much"
        )

    # -- on the loop ------------------------------------------------------------------------------

    def _land(self, kind: str, text: str, raw: msgspec.Raw, level: str, by: str) -> None:
        if self.closed or self.log is None:
            self.dropped += 1
            return
        self.log.append(kind, text, raw, level=level, by=by)

    def _line_numbers(self, block: str, channel: str) -> msgspec.Raw:
        first, lines = self._lines + 1, block.count("\n") + (not block.endswith("\n"))
        self._lines += lines
        return msgspec.Raw(b'{"first_line":%d,"lines":%d,"channel":"%s"}' % (first, lines, channel.encode()))

    # -- from other threads -----------------------------------------------------------------------

    def _send(self, size: int, event: Emitted) -> None:
        """Add to what waits for the loop; only the first to wait wakes it."""
        room = self._room or self._make_room()
        with room:
            while self._backlog() > self._limit and not self.closed:
                self._held_up += 1
                room.wait(WAIT)
                self._held_up -= 1
            self._on_the_way += size
            self._emitted.append(event)
            first = len(self._emitted) == 1
        if first:
            self._mailbox.post(self._land_all)

    def _land_all(self) -> None:
        """On the loop: take what threads have emitted since the last time, a slice at a time."""
        room = self._room or self._make_room()
        with room:
            waiting, emitted = len(self._emitted), self._emitted[:SLICE]
            del self._emitted[:SLICE]
            self._on_the_way -= self._on_the_way * len(emitted) // max(1, waiting)
            if self._emitted:
                self._mailbox.go_on(self._land_all)
        for event in emitted:
            raw = event.raw if event.channel is None else self._line_numbers(event.text, event.channel)
            self._land(event.kind, event.text, raw, event.level, event.by)
        if self._held_up:
            with room:
                room.notify_all()

    def _make_room(self) -> threading.Condition:
        """Made when the first thread speaks: most runs have none, and a lock costs as much as an event."""
        with _making:
            if self._room is None:
                self._room = threading.Condition()
            return self._room

    def _backlog(self) -> int:
        return self._on_the_way + (self.log.uncommitted if self.log is not None else 0)


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
