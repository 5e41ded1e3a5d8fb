"""What operators should know: on stream ``host``, on stream ``host/log``, and in the host's log file."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from trunnion.access.redaction import NOTHING, Redactor
from trunnion.kernel.clock import Clock
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.log_file import LogFile
from trunnion.kernel.mailbox import Mailbox
from trunnion.model.events import HOST_STREAM, LEVELS, LOG, TEXT
from trunnion.model.json import Json, JsonObject, encode

LOG_STREAM = "host/log"
MAX_BYTES = 10 << 20
BACKUPS = 5
MAX_WAITING = 4 << 20
"""Bytes of one stream that may wait for the disk."""
_TROUBLE = (".failed", ".error", ".full", ".lost", ".refused", ".damaged")
_NOTICE = (".blocked", ".slow", ".problem", ".stuck", ".doubtful")


class Report(Protocol):
    """Takes what operators should know: a stable code, a sentence, and the traceback behind it."""

    def __call__(
        self, code: str, text: str, error: BaseException | None = None, redactor: Redactor | None = None
    ) -> None:
        """Tell it; the redactor is the run's, where the traceback is a run's."""


class HostLog:
    """Takes reports, log records and stray prints of the whole host, from any thread.

    Args:
        clock: for the time of each line.
        path: the log file, JSON lines, rotated by size; None keeps none.
        level: the least level that is written.
        redactor: cuts what the whole host keeps from sight.
        told: called with the code and text of each report, from any thread; it must not raise.

    Attributes:
        level: the least level that is written, as ``logging`` counts.
    """

    def __init__(
        self,
        clock: Clock,
        path: Path | None,
        level: str = "info",
        redactor: Redactor = NOTHING,
        told: Callable[[str, str], None] | None = None,
    ) -> None:
        self._redactor = redactor
        self._clock = clock
        self.level = LEVELS.get(level, LEVELS["info"])
        self._log: EventLog | None = None
        self._mailbox: Mailbox | None = None
        self._left_out = Counter[str]()
        self._told = told
        self._loop_thread = threading.get_ident()
        self._file = LogFile(path, MAX_BYTES, BACKUPS, _lost) if path is not None else None

    def attach(self, log: EventLog, mailbox: Mailbox) -> None:
        """From now on reports are events too."""
        self._log, self._mailbox = log, mailbox

    def report(
        self,
        code: str,
        text: str,
        error: BaseException | None = None,
        redactor: Redactor | None = None,
        *,
        facts: JsonObject | None = None,
    ) -> None:
        """Tell operators something: a stable code and a sentence; a traceback goes to the log only.

        ``facts`` go with the event; there is nothing secret in them.
        """
        level = "error" if error is not None or code.endswith(_TROUBLE) else "info"
        level = "warning" if code.endswith(_NOTICE) else level
        self._event(HOST_STREAM, LOG, self._redactor.text(text), {"code": code, **(facts or {})}, level)
        if self._told is not None:
            self._told(code, self._redactor.text(text))
        trace = "".join(traceback.format_exception(error)) if error is not None else ""
        self.log(code, level, text, trace if redactor is None else redactor.text(trace))

    def log(self, name: str, level: str, text: str, trace: str = "") -> None:
        """Add a line to the log."""
        if LEVELS.get(level, 0) < self.level:
            return
        text = self._redactor.text(text)
        facts: dict[str, Json] = {"logger": name}
        if trace:
            facts["traceback"] = self._redactor.text(trace)
        self._event(LOG_STREAM, LOG, text, facts, level)
        if self._file is not None:
            line = {"ts": self._clock.utc(), "level": level, "logger": name, "text": text, **facts}
            self._file.write(json.dumps(line, ensure_ascii=True))

    def set_level(self, level: str) -> None:
        """Write what has at least this level from now on."""
        self.level = LEVELS[level]

    def printed(self, text: str) -> None:
        """Take what was printed outside of runs."""
        self._event(HOST_STREAM, TEXT, self._redactor.text(text), None, "info")

    def close(self) -> None:
        """Close the file; the streams are the store's affair."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._log = self._mailbox = None

    def _event(self, stream: str, kind: str, text: str, data: Json, level: str) -> None:
        log, mailbox = self._log, self._mailbox
        if log is None or mailbox is None:
            return
        raw = self._redactor.raw(msgspec.Raw(encode(data)))
        if threading.get_ident() == self._loop_thread:
            self._append(log, stream, kind, text, raw, level)
        else:
            mailbox.post(lambda: self._append(log, stream, kind, text, raw, level))

    def _append(self, log: EventLog, stream: str, kind: str, text: str, raw: msgspec.Raw, level: str) -> None:
        """Add an event; while the disk takes none, what is beyond ``MAX_WAITING`` is only counted."""
        target = log.stream(stream)
        if target.uncommitted > MAX_WAITING:
            self._left_out[stream] += 1
            return
        if left_out := self._left_out.pop(stream, 0):
            facts = msgspec.Raw(encode({"code": "log.left_out", "count": left_out}))
            target.append(LOG, f"{left_out} lines are left out: the disk took no more", facts, level="warning")
        target.append(kind, text, raw, level=level)


def _lost(line: str, error: OSError) -> None:
    """A log that cannot be written ends no run."""
    sys.__stderr__ and sys.__stderr__.write(f"the host's log file cannot be written ({error}); lost: {line}\n")
