"""How much of a run's output is kept: its beginning, its end, and one event that says what is missing between.

The beginning goes to the run's stream as it comes. Once it is full nobody can know what the end will be, so
the last part is held in memory and shown when the run ends: what a follower has seen is never taken back.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from trunnion.kernel.eventlog import EVENT_OVERHEAD
from trunnion.model.events import NULL, TEXT
from trunnion.model.json import encode

if TYPE_CHECKING:
    from trunnion.kernel.limits import Limits

LONGEST_TAIL = 1 << 20
"""Bytes of the last part; it is in memory, and becomes events within one turn of the loop."""


class Amount(msgspec.Struct):
    """Some output: events, lines (one for an event that is no text), bytes of text (as UTF-8) and data."""

    events: int = 0
    lines: int = 0
    bytes: int = 0

    @property
    def size(self) -> int:
        """What it counts against the limit: bytes, and those every event takes beside its content."""
        return self.bytes + EVENT_OVERHEAD * self.events


class Emitted(msgspec.Struct, frozen=True):
    """What a handler has emitted beyond the beginning; ``channel`` is None for what is no block of lines.

    Attributes:
        lines: how many it has; ``first_line`` is the number of the first of them among those of the run.
        cut: bytes that its last line lost.
        ts: UTC µs of its making, where that is not the moment at which it goes to the stream.
    """

    kind: str
    text: str
    raw: msgspec.Raw
    level: str
    by: str
    channel: str | None = None
    cut: int = 0
    lines: int = 1
    first_line: int = 0
    ts: int | None = None

    @property
    def bytes(self) -> int:
        """Of its text and data."""
        return content_bytes(self.text, self.raw)

    @property
    def size(self) -> int:
        """See ``Amount``."""
        return self.bytes + EVENT_OVERHEAD

    @property
    def data(self) -> msgspec.Raw:
        """What goes on the stream beside the text."""
        return self.raw if self.channel is None else line_data(self.first_line, self.lines, self.channel, self.cut)


class LineFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of a block of lines; the attributes are those of ``Emitted``."""

    first_line: int
    lines: int
    channel: str
    cut: int = 0


class Cap:
    """Counts what a run emits, and says what of it goes to the stream at once.

    Every event passes here, so there is one number for each limit that becomes smaller; the rest follows from them.

    Args:
        limits: as they are when the run says its first word.

    Attributes:
        most: what is kept at most, beginning and end; each attempt after the first may add one more end.
        held: the last part, once the beginning is full.
        left_out: what was neither in the beginning nor in the end of an attempt.
    """

    def __init__(self, limits: Limits) -> None:
        self.most = Amount(lines=limits.max_output_lines or sys.maxsize, bytes=limits.max_output_bytes or sys.maxsize)
        self._tail = Amount(lines=self.most.lines // 2, bytes=min(self.most.bytes // 2, LONGEST_TAIL))
        self._room = self._whole_room = self.most.bytes - self._tail.bytes
        self._lines = self._all_lines = self.most.lines - self._tail.lines
        self._events = 0
        self.held: Tail | None = None
        self.left_out = Amount()

    def takes(self, size: int, lines: int = 1) -> bool:
        """Count an event of ``size`` bytes; whether it goes to the stream as a whole. After one no, it stays no."""
        self._events += 1
        self._room -= size + EVENT_OVERHEAD
        self._lines -= lines
        return self._room >= 0 and self._lines >= 0

    @property
    def came(self) -> Amount:
        """All there was so far."""
        return Amount(self._events, self._all_lines - self._lines, self.size - EVENT_OVERHEAD * self._events)

    @property
    def size(self) -> int:
        """``came.size``."""
        return self._whole_room - self._room

    def hold(self, event: Emitted) -> Emitted | None:
        """Hold an event that was not taken; what is returned of it still belongs to the beginning."""
        if self.held is not None:
            self.held.add(event)
            return None
        self.held = Tail(self._tail)
        first, rest = first_lines(event, self._lines + event.lines, self._room + event.size)
        if rest is not None:
            self.held.add(rest)
        return first

    def end(self) -> tuple[Amount, list[Emitted]]:
        """An attempt is at its end: what is left out before its last part, and that part. Another may follow."""
        if self.held is None:
            return Amount(), []
        kept, lost, total = self.held.end(), self.held.left_out, self.left_out
        self.held = Tail(self._tail)
        self.left_out = Amount(total.events + lost.events, total.lines + lost.lines, total.bytes + lost.bytes)
        return lost, kept

    def figures(self) -> dict[str, float]:
        """Figures of a run whose output was more than its beginning; call it at its end."""
        if self.held is None:
            return {}
        came, lost = self.came, self.left_out
        return {
            "output_lines": came.lines,
            "output_bytes": came.bytes,
            "output_lines_left_out": lost.lines,
            "output_bytes_left_out": lost.bytes,
        }


class Tail:
    """The last part of what was added to it.

    Args:
        most: at most so many lines, and so many bytes as ``Amount.size`` counts.

    Attributes:
        left_out: what is no longer there; a piece that lost some of its lines counts as none of its events.
    """

    def __init__(self, most: Amount) -> None:
        self._most = most
        self._events: deque[Emitted] = deque()
        self._has = Amount()
        self.left_out = Amount()

    def add(self, event: Emitted) -> None:
        """Add what comes next. What is held may be too much by one event; cutting that at each would cost too much."""
        self._events.append(event)
        _count(self._has, event, 1)
        while self._events and self._is_enough_without(self._events[0]):
            self._drop(self._events.popleft())

    def end(self) -> list[Emitted]:
        """Nothing more will come: what is kept, cut between lines to what it may be, and forget it."""
        while self._events and self._is_too_much():
            first = self._events.popleft()
            self._drop(first)
            rest = last_lines(first, self._most.lines - self._has.lines, self._most.bytes - self._has.size)
            if rest is not None:
                self._events.appendleft(rest)
                _count(self._has, rest, 1)
                _count(self.left_out, rest, -1)
                break
        kept = list(self._events)
        self._events.clear()
        return kept

    def _is_too_much(self) -> bool:
        return self._has.lines > self._most.lines or self._has.size > self._most.bytes

    def _is_enough_without(self, event: Emitted) -> bool:
        return self._has.lines - event.lines >= self._most.lines or self._has.size - event.size >= self._most.bytes

    def _drop(self, event: Emitted) -> None:
        _count(self._has, event, -1)
        _count(self.left_out, event, 1)


def _count(amount: Amount, event: Emitted, sign: int) -> None:
    amount.events += sign
    amount.lines += sign * event.lines
    amount.bytes += sign * event.bytes


def first_lines(event: Emitted, lines: int, size: int) -> tuple[Emitted | None, Emitted | None]:
    """Divide an event: its first lines, at most so many and of so many bytes, and the rest of it."""
    data = event.text.encode("utf-8", "surrogatepass")
    room = size - EVENT_OVERHEAD
    if event.kind != TEXT or event.channel is None or lines <= 0 or room <= 0:
        return None, event
    by_lines = _after_lines(data, lines) if lines < event.lines else len(data)
    by_bytes = data.rfind(b"\n", 0, room) + 1 if room < len(data) else len(data)
    return _parted(event, data, min(by_lines, by_bytes))


def last_lines(event: Emitted, lines: int, size: int) -> Emitted | None:
    """As many of its last lines as may be kept, None for none."""
    data = event.text.encode("utf-8", "surrogatepass")
    room = size - EVENT_OVERHEAD
    if event.kind != TEXT or event.channel is None or lines <= 0 or room <= 0:
        return None
    start = _after_lines(data, event.lines - lines)
    if len(data) - start > room:
        start = data.find(b"\n", len(data) - room - 1) + 1 or len(data)
    return _parted(event, data, start)[1]


def _after_lines(data: bytes, lines: int) -> int:
    """Where so many lines end."""
    return len(data) - len(data.split(b"\n", lines)[-1]) if lines > 0 else 0


def _parted(event: Emitted, data: bytes, at: int) -> tuple[Emitted | None, Emitted | None]:
    if at <= 0:
        return None, event
    if at >= len(data):
        return event, None
    lines = data.count(b"\n", 0, at)
    head, tail = data[:at].decode("utf-8", "surrogatepass"), data[at:].decode("utf-8", "surrogatepass")
    return (
        replace(event, text=head, lines=lines, cut=0),
        replace(event, text=tail, lines=event.lines - lines, first_line=event.first_line + lines),
    )


def content_bytes(text: str, raw: msgspec.Raw) -> int:
    """Bytes of a text as UTF-8, and of the data beside it."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size if raw is NULL else size + len(memoryview(raw))


def line_data(first_line: int, lines: int, channel: str, cut: int) -> msgspec.Raw:
    """What stands beside a block of lines on the stream; the parameters are attributes of ``Emitted``."""
    return msgspec.Raw(encode(LineFacts(first_line, lines, channel, cut)))


def limit_reached(cap: Cap) -> tuple[str, msgspec.Raw]:
    """What is said where the beginning is full."""
    text = (
        f"the output goes on, but a run keeps at most {cap.most.lines:,} lines and {cap.most.bytes:,} bytes of it "
        "(executor.max_output_lines, executor.max_output_bytes): of what comes now the last part is shown at the end"
    )
    return text, msgspec.Raw(encode({"code": "output.limited", **msgspec.structs.asdict(cap.came)}))


def still_coming(cap: Cap) -> tuple[str, msgspec.Raw]:
    """What is said each time the output has doubled since."""
    came = cap.came
    text = f"the output goes on: {came.lines:,} lines ({came.bytes:,} bytes) so far"
    return text, msgspec.Raw(encode({"code": "output.goes_on", **msgspec.structs.asdict(came)}))


def gap(left_out: Amount) -> tuple[str, msgspec.Raw]:
    """The event in the place of what was left out."""
    text = (
        f"{left_out.lines:,} lines ({left_out.bytes:,} bytes) of output are left out here: "
        "there was more than is kept of a run (executor.max_output_lines, executor.max_output_bytes)"
    )
    return text, msgspec.Raw(encode({"reason": "limit", **msgspec.structs.asdict(left_out)}))
