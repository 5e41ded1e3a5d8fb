"""What makes print, logging and the module-level functions of this process speak to its run."""

from __future__ import annotations

import io
import logging
import sys

from trunnion.isolation.context import Context


class Stream(io.TextIOBase):
    """Stands in for stdout or stderr."""

    def __init__(self, context: Context, channel: str, descriptor: int) -> None:
        self._context = context
        self._channel = channel
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        """Take text, as ``print`` gives it."""
        self._context.write(text, channel=self._channel)
        return len(text)

    def flush(self) -> None:
        """Hand on half a line."""
        self._context.hand_on()

    def isatty(self) -> bool:
        """Never a terminal: output becomes events."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor; what is written there becomes lines of the run too."""
        return self._descriptor

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here, and always this one
        """Text is kept as UTF-8."""
        return "utf-8"


class Handler(logging.Handler):
    """Sends records to the run."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self._context.log(text, level=record.levelname.lower())


def stand_in(context: Context, level: int) -> None:
    """From now on everything this process says is said by its run.

    ``trunnion.Context`` is the context of this process: a module that names it in an annotation then costs no import
    of the host's kernel.
    """
    sys.stdout, sys.stderr = Stream(context, "stdout", 1), Stream(context, "stderr", 2)
    logging.getLogger().addHandler(Handler(context))
    logging.getLogger().setLevel(level)
    names = {"Context": Context, "echo": context.echo, "log": context.log, "table": context.table}
    vars(sys.modules["trunnion"]).update(names)
