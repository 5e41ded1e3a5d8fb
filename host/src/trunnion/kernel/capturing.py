"""Stand-ins for stdout, stderr and logging, by which what code of a run prints and logs lands in the run.

They are the process's, however many of its hosts capture: the first to capture puts them in, the last takes
them out, in whatever order the hosts end.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from trunnion.kernel.output import current


class Outside(Protocol):
    """Takes what is printed and logged outside of runs; the host's log implements it.

    Attributes:
        level: the least level it wants, as ``logging`` counts.
    """

    level: int

    def printed(self, text: str) -> None:
        """Take a piece of text."""

    def log(self, name: str, level: str, text: str) -> None:
        """Take a record: name of the logger, level, text."""


class RunAwareStream(io.TextIOBase):
    """Stands in for stdout or stderr: text of a run goes to the run, all other to the host that captured last."""

    def __init__(self, channel: str, original: TextIO) -> None:
        self._channel = channel
        self._original = original

    def write(self, text: str) -> int:
        """Take text, as ``print`` gives it."""
        context = current.get()
        outside = _capturing[-1:]
        if context is not None:
            context.write(text, channel=self._channel)
        elif outside:
            outside[0].printed(text)
        else:
            self._original.write(text)
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
    """Sends records of a run to the run, all others to every host that captures."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        level = record.levelname.lower()
        context = current.get()
        if context is not None:
            context.log(text, level=level)
            return
        for outside in list(_capturing):
            outside.log(record.name, level, text)


class _StandIns:
    """What was put in, and what was there before."""

    def __init__(self) -> None:
        self.out, self.err, self.level = sys.stdout, sys.stderr, logging.getLogger().level
        self.handler = RunAwareHandler()
        sys.stdout, sys.stderr = RunAwareStream("stdout", self.out), RunAwareStream("stderr", self.err)
        logging.getLogger().addHandler(self.handler)

    def take_out(self) -> None:
        sys.stdout, sys.stderr = self.out, self.err
        logging.getLogger().removeHandler(self.handler)
        logging.getLogger().setLevel(self.level)


_capturing: list[Outside] = []
_stand_ins: list[_StandIns] = []
_lock = threading.Lock()


def follow_levels() -> None:
    """Have ``logging`` let through what a host that captures wants by now."""
    if _capturing:
        logging.getLogger().setLevel(min(outside.level for outside in _capturing))


@contextmanager
def capture(outside: Outside) -> Iterator[None]:
    """While inside, ``print`` and ``logging`` anywhere in the process are run-aware."""
    with _lock:
        _capturing.append(outside)
        if not _stand_ins:
            _stand_ins.append(_StandIns())
        follow_levels()
    try:
        yield
    finally:
        with _lock:
            _capturing.remove(outside)
            if not _capturing:
                _stand_ins.pop().take_out()
            follow_levels()
