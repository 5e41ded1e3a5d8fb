"""What handlers print and log lands in their run: line buffers, and stand-ins for stdout and logging."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

from trunnion.access.streams import UNCUT, TextRedactor

if TYPE_CHECKING:
    from trunnion.kernel.context import Context

current: ContextVar[Context | None] = ContextVar("trunnion_run", default=None)
"""The context of the run this code works for; copied into tasks and handler threads."""

UPDATE_INTERVAL = 0.1
LONGEST = 64 << 10
"""Characters of an unfinished line that are kept back."""


class LineBuffer:
    """Collects writes and hands on whole lines; a carriage return rewrites the line being made.

    Args:
        lines: takes blocks of whole lines.
        update: takes the present state of a line that is being rewritten, at most ten times a second.
        redactor: cuts secrets, those split over two writes too; it holds back what may begin one.
    """

    def __init__(
        self, lines: Callable[[str], None], update: Callable[[str], None], redactor: TextRedactor = UNCUT
    ) -> None:
        self._lines = lines
        self._update = update
        self._partial = ""
        self._updated = 0.0
        self._redactor = redactor
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Take any piece of text."""
        with self._lock:
            self._take(self._redactor.feed(text))

    def finish(self) -> None:
        """Hand on what is left as a line of its own."""
        with self._lock:
            self._take(self._redactor.finish())
            rest, self._partial = final_line(self._partial), ""
            if rest:
                self._lines(rest + "\n")

    def _take(self, text: str) -> None:
        whole, newline, rest = (self._partial + text).rpartition("\n")
        if newline:
            self._lines("".join(final_line(line) + "\n" for line in whole.split("\n")))
        self._partial = rest
        if "\r" in rest:
            self._rewritten(rest)
        if len(self._partial) > LONGEST:
            rest, self._partial = self._partial, ""
            self._lines(rest)

    def _rewritten(self, rest: str) -> None:
        self._partial = rest[rest.rstrip("\r").rfind("\r") + 1 :]
        now = time.monotonic()
        shown = final_line(self._partial)
        if shown and now - self._updated >= UPDATE_INTERVAL:
            self._updated = now
            self._update(shown)


def final_line(line: str) -> str:
    """What a terminal shows of a line with carriage returns in it: what stands after the last one."""
    return line.rstrip("\r").rpartition("\r")[2]


class RunAwareStream(io.TextIOBase):
    """Stands in for stdout or stderr: text of a run goes to the run, all other text to ``outside``."""

    def __init__(self, channel: str, outside: Callable[[str], None], original: TextIO) -> None:
        self._channel = channel
        self._outside = outside
        self._original = original

    def write(self, text: str) -> int:
        """Take text, as ``print`` gives it."""
        context = current.get()
        if context is None:
            self._outside(text)
        else:
            context.write(text, channel=self._channel)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back here."""

    def isatty(self) -> bool:
        """Never a terminal: output becomes events."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor of what it stands in for, for programs that insist on one."""
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here, and always this one
        """Text is kept as UTF-8."""
        return "utf-8"


class RunAwareHandler(logging.Handler):
    """Sends records of a run to the run, all others to ``outside``."""

    def __init__(self, outside: Callable[[str, str, str], None]) -> None:
        super().__init__()
        self._outside = outside

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        level = record.levelname.lower()
        context = current.get()
        if context is None:
            self._outside(record.name, level, text)
        else:
            context.log(text, level=level)


def set_level(level: str) -> None:
    """Keep what ``logging`` says with at least this level, while it is captured."""
    logging.getLogger().setLevel(level.upper())


@contextmanager
def capture(
    outside_text: Callable[[str], None], outside_log: Callable[[str, str, str], None], level: str = "info"
) -> Iterator[None]:
    """While inside, ``print`` and ``logging`` anywhere in the process are run-aware.

    Args:
        outside_text: takes what is printed outside of runs.
        outside_log: takes logger name, level and text of what is logged outside of runs.
        level: the least level that is kept.
    """
    root, handler = logging.getLogger(), RunAwareHandler(outside_log)
    old_out, old_err, old_level = sys.stdout, sys.stderr, root.level
    sys.stdout = RunAwareStream("stdout", outside_text, old_out)
    sys.stderr = RunAwareStream("stderr", outside_text, old_err)
    root.addHandler(handler)
    set_level(level)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = old_out, old_err
        root.removeHandler(handler)
        root.setLevel(old_level)
