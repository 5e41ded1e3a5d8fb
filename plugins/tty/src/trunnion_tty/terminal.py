"""The terminal between two prompts: keys are not echoed into output, signals still come, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import Iterator

_LOCAL, _INPUT = 3, 0


@contextlib.contextmanager
def quiet(descriptor: int) -> Iterator[None]:
    """While entered, what is typed is kept for the next prompt instead of being shown amid output.

    Ctrl-C and Ctrl-Z stay signals. Ctrl-S no longer holds output up: whoever waits for the terminal could not be
    interrupted then. At the end the terminal is as it was found.

    Args:
        descriptor: of the terminal; for anything else nothing happens.
    """
    try:
        found = termios.tcgetattr(descriptor)
    except termios.error:
        yield
        return
    try:
        _hush(descriptor)
        yield
    finally:
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, found)


def _hush(descriptor: int) -> None:
    with contextlib.suppress(termios.error):
        changed = termios.tcgetattr(descriptor)
        changed[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
        changed[_LOCAL] |= termios.ISIG
        changed[_INPUT] &= ~termios.IXON
        termios.tcsetattr(descriptor, termios.TCSADRAIN, changed)


def size(descriptor: int) -> tuple[int, int]:
    """Rows and columns; of a terminal that does not say, or says less than one, those of the usual one."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return 24, 80
    return (rows, columns) if rows > 0 and columns > 0 else (24, 80)
