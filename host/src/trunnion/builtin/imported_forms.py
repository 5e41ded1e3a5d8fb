"""What a line of an import may hold: a run as ``runs.export`` writes it, one of its events, or a job of elsewhere.

Nothing in a line is trusted: it goes through the strict loader, has a type, and names, times and sizes are looked at.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from trunnion.arguments.strict import loads
from trunnion.model.errors import ERROR_TABLE, ErrorInfo, InvalidArguments
from trunnion.model.events import LARGEST_DATA, event_word, run_stream
from trunnion.model.json import Json, encode
from trunnion.model.names import is_dotted, is_stream_name, to_segment
from trunnion.model.runs import Run
from trunnion.model.status import TERMINAL, Status

LONGEST_LINE = 16 << 20
"""Bytes of one line."""

LARGEST_RESULT = 1 << 20
"""Bytes of arguments, and of a result, as JSON."""

MOST_LABELS = 64
LONGEST_LABEL = 1000
BLOCK = 60_000
"""Characters of a job's log that become one event."""

LONGEST_TEXT = 1 << 20
"""Characters of the text of one event."""

MOST_ATTEMPTS = 1_000_000

_DAY = 86_400_000_000
_NEVER = 1e12
"""Seconds since 1970 that no clock of ours will show."""

_STATUS: Mapping[str, Status] = {
    **dict.fromkeys(("success", "successful", "ok", "completed", "complete", "done", "finished"), "succeeded"),
    **dict.fromkeys(("failure", "error", "errored", "crashed"), "failed"),
    **dict.fromkeys(("canceled", "aborted", "killed", "stopped"), "cancelled"),
    **dict.fromkeys(("timeout", "timedout", "timed-out"), "timed_out"),
}
"""Words of other programs for how a job ended."""

_CODES: Mapping[str, str] = {"timed_out": "deadline_exceeded"}


class Ours(msgspec.Struct, frozen=True):
    """A run as it was exported; fields a newer version may add are left out."""

    id: str
    command_id: str
    status: str
    created: int
    command_revision: str = ""
    category: str = ""
    principal: str = ""
    source: str = ""
    args: dict[str, Json] = {}
    labels: dict[str, str] = {}
    attempt: int = 1
    parent_run_id: str | None = None
    started: int | None = None
    finished: int | None = None
    stats: dict[str, float] = {}
    result: Json = None
    error: ErrorInfo | None = None


class Line(msgspec.Struct, frozen=True):
    """An event as it was exported."""

    stream: str
    seq: int
    ts: int
    kind: str
    level: str = "info"
    by: str = "host"
    text: str = ""
    data: Json = None


Moment: TypeAlias = str | int | float
"""RFC 3339 text with an offset, or seconds since 1970."""


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job of another program."""

    command: str = ""
    name: str = ""
    status: str = ""
    id: str | int | None = None
    principal: str = ""
    source: str = ""
    created: Moment | None = None
    started: Moment | None = None
    finished: Moment | None = None
    args: dict[str, Json] = {}
    labels: dict[str, str] = {}
    result: Json = None
    error: str | dict[str, Json] | None = None
    log: str | list[str] = ""


def read_line(data: bytes) -> Ours | Line | Job:
    """What a line holds.

    Raises:
        InvalidArguments: it is none of the three; the message says why.
    """
    value = loads(data, max_bytes=LONGEST_LINE)
    if not isinstance(value, Mapping):
        raise InvalidArguments("expected an object")
    try:
        if "command_id" in value:
            return msgspec.convert(value, Ours)
        return msgspec.convert(value, Line) if "seq" in value and "stream" in value else msgspec.convert(value, Job)
    except msgspec.ValidationError as error:
        raise InvalidArguments(str(error)) from None


def run_of(line: Ours | Job, now: int) -> Run:
    """The run a line tells of, with the id it has there or one made of what it says; its number is still 0.

    Args:
        line: as read.
        now: UTC µs; no run ended after it.

    Raises:
        InvalidArguments: it does not hang together.
    """
    run = _of_ours(line) if isinstance(line, Ours) else _of_job(line)
    _refuse_odd(run, now)
    return run


def _of_ours(line: Ours) -> Run:
    return Run(
        id=line.id,
        num=0,
        command_id=line.command_id,
        command_revision=line.command_revision[:LONGEST_LABEL],
        category=line.category[:LONGEST_LABEL],
        status=_status(line.status),
        created=line.created,
        started=line.started,
        finished=line.created if line.finished is None else line.finished,
        principal=line.principal,
        source=line.source,
        args=line.args,
        labels=line.labels,
        attempt=line.attempt,
        parent_run_id=line.parent_run_id,
        stats=line.stats,
        result=line.result,
        error=line.error,
    )


def _of_job(line: Job) -> Run:
    status = _status(line.status)
    started, finished, created = _moment(line.started), _moment(line.finished), _moment(line.created)
    known = [time for time in (created, started, finished) if time is not None]
    if not known:
        raise InvalidArguments("it has no time: created, started or finished")
    given = str(line.id) if line.id is not None else ""
    return Run(
        id=given if is_run_id(given) else made_id(encode(line)),
        num=0,
        command_id=_command(line.command or line.name),
        command_revision="",
        status=status,
        created=known[0],
        started=started,
        finished=known[-1],
        principal=line.principal,
        source=line.source,
        args=line.args,
        labels={**line.labels, **({"imported.id": given} if given and not is_run_id(given) else {})},
        result=line.result,
        error=_error(line.error),
    )


def _status(text: str) -> Status:
    plain = text.strip().lower()
    for status in TERMINAL:
        if status == plain:
            return status
    if plain in _STATUS:
        return _STATUS[plain]
    raise InvalidArguments(f"status {text[:40]!r} is no end of a run; there are {', '.join(sorted(TERMINAL))}")


def _moment(value: Moment | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, int | float):
        return int(min(max(value, -1), _NEVER) * 1_000_000)  # what is later still is refused below
    try:
        time = datetime.datetime.fromisoformat(value)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidArguments(f"{value[:40]!r} is no time: RFC 3339 with an offset, or seconds since 1970")
    return int(time.timestamp() * 1_000_000)


def _command(name: str) -> str:
    """A dotted name; other spellings are mapped, segment by segment."""
    if not name.strip():
        raise InvalidArguments("it has no command, or name: what was run")
    if is_dotted(name):
        return name
    try:
        mapped = ".".join(to_segment(part) for part in name[:500].split(".") if part.strip())
    except ValueError:
        mapped = ""
    if not is_dotted(mapped):
        raise InvalidArguments(f"command {name[:40]!r} is no name")
    return mapped


def _error(value: str | Mapping[str, Json] | None) -> ErrorInfo | None:
    if value is None or isinstance(value, str):
        return ErrorInfo("failed", value) if value else None
    return ErrorInfo(str(value.get("code", "failed")), str(value.get("message", "")))


def _refuse_odd(run: Run, now: int) -> None:
    times = [time for time in (run.created, run.started, run.finished) if time is not None]
    if max(times) > now + _DAY:
        raise InvalidArguments("one of its times is not in the past: a number is seconds since 1970, not milliseconds")
    if times != sorted(times) or times[0] < 0:
        raise InvalidArguments("its times are not in order: created, started, finished, from 1970 on")
    if not 1 <= run.attempt <= MOST_ATTEMPTS:
        raise InvalidArguments(f"attempt {str(run.attempt)[:40]} is none: they are counted from 1")
    if not is_run_id(run.id):
        raise InvalidArguments(f"{run.id[:40]!r} cannot be the id of a run")
    if not is_dotted(run.command_id):
        raise InvalidArguments(f"command {run.command_id[:40]!r} is no name")
    for what, value in (("arguments", run.args), ("result", run.result)):
        if len(encode(value)) > LARGEST_RESULT:
            raise InvalidArguments(f"its {what} take more than {LARGEST_RESULT} bytes")
    texts = [*run.labels, *run.labels.values(), *run.stats, run.principal, run.source, run.parent_run_id or ""]
    if len(run.labels) > MOST_LABELS or len(run.stats) > MOST_LABELS or max(map(len, texts)) > LONGEST_LABEL:
        raise InvalidArguments("it has more labels, or longer ones, than a run may have")


def error_of(run: Run) -> ErrorInfo | None:
    """What a run that did not succeed ended with, by a code of ours."""
    if run.status == "succeeded":
        return None
    error = run.error or ErrorInfo("failed", f"it is told to have been {run.status.replace('_', ' ')}, and not why")
    if run.status != "failed":
        return ErrorInfo(_CODES.get(run.status, run.status), error.message, error.details)
    return error if error.code in ERROR_TABLE else ErrorInfo("failed", error.message, error.details)


def check_event(line: Line, run_id: str, after: int, now: int) -> None:
    """Refuse an event that cannot be one of a run.

    Args:
        line: as read.
        run_id: the id of the run, as it is in the file.
        after: the number of the event before it.
        now: UTC µs; no event is later.

    Raises:
        InvalidArguments: it is of another stream, out of order, or none.
    """
    if line.stream != run_stream(run_id):
        raise InvalidArguments(f"it is an event of {line.stream[:60]!r}, after the run {run_id}")
    if line.seq <= after:
        raise InvalidArguments(f"event {str(line.seq)[:40]} comes after event {str(after)[:40]}")
    if not 0 <= line.ts <= now + _DAY:
        raise InvalidArguments("its time is not in the past: a number is microseconds since 1970")
    if len(line.text) > LONGEST_TEXT:
        raise InvalidArguments(f"its text has more than {LONGEST_TEXT} characters")
    try:
        for word in (line.kind, line.level, line.by):
            event_word(word)
    except ValueError as error:
        raise InvalidArguments(str(error)) from None
    if len(encode(line.data)) > LARGEST_DATA:
        raise InvalidArguments(f"its data takes more than {LARGEST_DATA} bytes")


def log_blocks(log: str | list[str]) -> list[str]:
    """A job's log as texts of whole lines, each no longer than an event may be."""
    text = log if isinstance(log, str) else "".join(line.rstrip("\n") + "\n" for line in log)
    blocks: list[str] = []
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), BLOCK):
            piece = line[start : start + BLOCK]
            if blocks and len(blocks[-1]) + len(piece) <= BLOCK:
                blocks[-1] += piece
            else:
                blocks.append(piece)
    return blocks


def is_run_id(text: str) -> bool:
    """Whether a text can be the id of a run, and so the name of its stream and folder."""
    return 8 <= len(text) <= 64 and not text.startswith(".") and "/" not in text and is_stream_name(run_stream(text))


def made_id(content: bytes) -> str:
    """The id of a run that has none that can be used: the same for the same content."""
    return str(uuid.UUID(bytes=hashlib.sha256(b"trunnion import\0" + content).digest()[:16]))
