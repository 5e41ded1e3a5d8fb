"""The writing end of the terminal: one for what is drawn and for what is printed; a terminal that is gone takes all."""

from __future__ import annotations

import contextlib
import io
import os
import select
import time
from collections.abc import Callable, Iterator
from typing import TextIO

STUCK = 0.2
"""Seconds that a terminal is waited for once the shell is to end."""


class _LetGo(BaseException):
    """What is being written is not waited for any longer."""


class TerminalOut(io.TextIOBase):
    """Writes text as the terminal can take it.

    Args:
        stream: the terminal.
        gone: told once that nothing can be written any more.
    """

    def __init__(self, stream: TextIO, gone: Callable[[], None]) -> None:
        self._stream = stream
        self._gone = gone
        self._is_gone = False
        self._is_held = False
        self._is_writing = False
        self._is_let_go = False
        self._text: list[str] = []

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What characters become."""
        return self._stream.encoding or "utf-8"

    def fileno(self) -> int:
        """Of the terminal."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """It is one."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Take text; ``flush`` writes it."""
        self._text.append(text)
        return len(text)

    def say(self, text: str) -> None:
        """Write text at once."""
        self.write(text)
        self.flush()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """What is written meanwhile reaches the terminal in one piece, so that nothing in between is ever seen."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def hold(self) -> None:
        """Write nothing until ``release``."""
        self._is_held = True

    def release(self) -> None:
        """Write what was held, and from now on all else."""
        self._is_held = False
        self.flush()

    def flush(self) -> None:
        """Write all of it."""
        if self._is_held:
            return
        text, self._text = "".join(self._text), []
        if not text or self._is_gone:
            return
        try:
            self._write(memoryview(text.encode(self.encoding, "backslashreplace")))
        except (OSError, TimeoutError):
            self._is_gone = True
            if not self._is_let_go:  # else the shell is ending already, and for another reason
                self._gone()
        except _LetGo:
            pass  # what of it is left is not wanted any more

    def let_go(self) -> None:
        """Wait no longer than a moment for the terminal from now on; for handlers of signals.

        A terminal that takes nothing, as one on another machine whose line hangs, would keep the shell for ever.
        """
        self._is_let_go = True
        if self._is_writing:
            raise _LetGo

    def _write(self, data: memoryview) -> None:
        self._is_writing = not self._is_let_go
        try:
            while data and not self._is_let_go:
                try:
                    data = data[os.write(self.fileno(), data) :]
                except BlockingIOError:  # somebody else who has the terminal has made it so
                    select.select([], [self.fileno()], [])
        finally:
            self._is_writing = False
        if data:
            _offer(os.ttyname(self.fileno()), data)


def _offer(terminal: str, data: memoryview) -> None:
    """Write what a terminal takes without being waited for long.

    It is opened once more: that others wait for it, who have it from the same shell, is not to be changed.

    Raises:
        TimeoutError: it took nothing for a while.
        OSError: it cannot be opened, or is gone.
    """
    descriptor = os.open(terminal, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + STUCK
        while data:
            select.select([], [descriptor], [], STUCK)
            with contextlib.suppress(BlockingIOError):  # there is room, but for less than a line end
                data = data[os.write(descriptor, data) :]
                until = time.monotonic() + STUCK
            if time.monotonic() > until:
                raise TimeoutError
    finally:
        os.close(descriptor)


class Printed(io.TextIOBase):
    """A stream for the shell's own words: whole lines go to the display.

    Args:
        put: shows whole lines.
        terminal: whose size and characters count.
    """

    def __init__(self, put: Callable[[str], None], terminal: TerminalOut) -> None:
        self._put = put
        self._terminal = terminal
        self._rest = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What characters become."""
        return self._terminal.encoding

    def fileno(self) -> int:
        """Of the terminal."""
        return self._terminal.fileno()

    def isatty(self) -> bool:
        """What is printed is seen on one."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Show the lines that are complete."""
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._put(whole + newline)
        return len(text)
