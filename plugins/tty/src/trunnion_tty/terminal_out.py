"""The writing end of the terminal: one for what is drawn and for what is printed; a terminal that is gone takes all."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import TextIO


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
        data = memoryview(text.encode(self.encoding, "backslashreplace"))
        try:
            while data:
                data = data[os.write(self.fileno(), data) :]
        except OSError:
            self._is_gone = True
            self._gone()


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
