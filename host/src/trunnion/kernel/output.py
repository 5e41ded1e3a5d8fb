"""What handlers print becomes lines of their run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

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
            self._lines(final_lines(whole) if "\r" in whole else whole + newline)
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


def final_lines(text: str) -> str:
    """The same for each of several lines, each with its end."""
    return "".join(final_line(line) + "\n" for line in text.split("\n"))
