"""Runs out of a file of JSON lines, one after the other; what is refused is told by its line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from trunnion.access.redaction import Redactor
from trunnion.builtin.imported_forms import (
    LONGEST_LINE,
    Job,
    Line,
    Ours,
    check_event,
    error_of,
    log_blocks,
    read_line,
    run_of,
)
from trunnion.kernel.outcome import failure
from trunnion.model.errors import InvalidArguments
from trunnion.model.events import STATE, TEXT, Event, run_stream
from trunnion.model.json import Json, encode
from trunnion.model.runs import Run
from trunnion.model.status import TERMINAL

LARGEST_RUN = 32 << 20
"""Bytes of the lines of one run with its events; it goes into the store as one piece."""


LONGEST_REFUSAL = 300


class Refused(msgspec.Struct, frozen=True):
    """A line that was not taken, and with a run all its events."""

    line: int
    message: str


class Found(msgspec.Struct, frozen=True):
    """A run with its events, as it is to be kept, but for its number and the id it is given here.

    Attributes:
        line: where it begins.
        size: bytes of its lines.
    """

    line: int
    size: int
    run: Run
    events: list[Event]

    def as_run(self, run: Run) -> tuple[Run, list[Event]]:
        """With a number and an id of this host."""
        stream = run_stream(run.id)
        events = [
            Event(stream, seq, event.ts, event.kind, event.level, event.by, event.text, event.raw)
            for seq, event in enumerate(self.events, 1)
        ]
        return msgspec.structs.replace(run, last_seq=len(events)), events


class _Begun:
    """A run whose events are still being read."""

    def __init__(self, line: int, size: int, run: Run) -> None:
        self.line = line
        self.size = size
        self.run = run
        self.events: list[Event] = []
        self.seq = 0
        self.end: Event | None = None


class Importing:
    """Reads one file.

    Args:
        file: open for reading bytes.
        redactor: cuts the secrets of this host out of what comes from outside.
        now: UTC µs.
    """

    def __init__(self, file: BinaryIO, redactor: Redactor, now: int) -> None:
        self._file = file
        self._redactor = redactor
        self._now = now
        self._begun: _Begun | None = None
        self._skipping = False

    def read(self) -> Iterator[Found | Refused]:
        """All of it, as it comes."""
        for number, data in self._lines():
            if data is None:
                yield from self._break_off(Refused(number, f"it is longer than {LONGEST_LINE >> 20} MiB"))
            elif data.strip():
                try:
                    yield from self._take(number, data)
                except InvalidArguments as error:
                    yield from self._break_off(Refused(number, _short(error.message)))
        yield from self._finished()

    def _lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Lines with their numbers, None for one that is too long."""
        number = 0
        while data := self._file.readline(LONGEST_LINE + 1):
            number += 1
            is_long = len(data) > LONGEST_LINE
            while is_long and data and not data.endswith(b"\n"):
                data = self._file.readline(LONGEST_LINE)
            yield number, None if is_long else data

    def _break_off(self, refused: Refused) -> Iterator[Refused]:
        """With one of its lines the whole run is refused; the events that follow are passed over."""
        self._begun, self._skipping = None, True
        yield refused

    def _take(self, number: int, data: bytes) -> Iterator[Found | Refused]:
        line = read_line(data)
        if isinstance(line, Line):
            self._take_event(line, len(data))
            return
        yield from self._finished()
        self._skipping = False
        begun = _Begun(number, len(data), self._cleaned(run_of(line, self._now)))
        if isinstance(line, Ours):
            self._begun = begun
        else:
            yield self._job(line, begun)

    def _take_event(self, line: Line, size: int) -> None:
        begun = self._begun
        if begun is None:
            if self._skipping:
                return
            raise InvalidArguments("it is an event, and no run stands before it")
        if begun.end is not None:
            raise InvalidArguments("it comes after the end of its run")
        check_event(line, begun.run.id, begun.seq, self._now)
        begun.seq, begun.size = line.seq, begun.size + size
        if begun.size > LARGEST_RUN:
            raise InvalidArguments(f"the run and its events take more than {LARGEST_RUN >> 20} MiB")
        event = self._event(line.kind, line.text, line.data, line.ts, line.level, line.by)
        if line.kind == STATE and isinstance(line.data, dict) and line.data.get("status") in TERMINAL:
            if line.data["status"] != begun.run.status:
                raise InvalidArguments(f"the run is {begun.run.status}, and this says {line.data['status']}")
            begun.end = event
        else:
            begun.events.append(event)

    def _finished(self) -> Iterator[Found]:
        begun, self._begun = self._begun, None
        if begun is not None:
            end = begun.end or self._end(begun.run)
            yield Found(begun.line, begun.size, begun.run, [*begun.events, end])

    def _job(self, job: Job, begun: _Begun) -> Found:
        run, first, events = begun.run, 1, []
        for text in log_blocks(job.log):
            lines = text.count("\n") or 1
            facts: Json = {"first_line": first, "lines": lines, "channel": "out"}
            events.append(self._event(TEXT, text, facts, run.finished or run.created, "info", "handler"))
            first += lines
        return Found(begun.line, begun.size, run, [*events, self._end(run)])

    def _end(self, run: Run) -> Event:
        """The terminal event of a run that came without one."""
        facts: dict[str, Json] = {"status": run.status, "attempt": run.attempt}
        if run.error is not None:
            facts["error"] = {"code": run.error.code, "message": run.error.message}
        level = "info" if run.error is None else "error"
        text = "" if run.error is None else run.error.message
        return self._event(STATE, text, facts, run.finished or run.created, level, "host")

    def _event(self, kind: str, text: str, data: Json, ts: int, level: str, by: str) -> Event:
        cleaned = self._redactor.text(text) if text else text
        raw = msgspec.Raw(encode(self._redactor.value(data)))
        return Event("", 0, ts, kind, level, by, cleaned, raw)

    def _cleaned(self, run: Run) -> Run:
        """Without secrets of this host, and with an error where one belongs."""
        error, clean = error_of(run), self._redactor
        if error is not None:
            error = failure(error.code, error.message, error.details, clean)
        return msgspec.structs.replace(
            run,
            args=clean.value(run.args),
            result=clean.value(run.result),
            error=error,
            principal=clean.text(run.principal),
            source=clean.text(run.source),
            category=clean.text(run.category),
            command_revision=clean.text(run.command_revision),
            parent_run_id=run.parent_run_id and clean.text(run.parent_run_id),
            labels={clean.text(name): clean.text(value) for name, value in run.labels.items()},
            stats={clean.text(name): figure for name, figure in run.stats.items()},
        )


def _short(message: str) -> str:
    """A refusal quotes what it refuses, and that may be long."""
    return message if len(message) <= LONGEST_REFUSAL else f"{message[:LONGEST_REFUSAL]}…"
