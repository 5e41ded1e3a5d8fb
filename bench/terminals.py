"""Programs in terminals: keys in, raw bytes out. Nothing is emulated: that would be slower than what is measured."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

ROWS, COLUMNS = 24, 80
PATIENCE = 20.0
"""Seconds after which a program is said to be stuck."""

QUIET = 0.03
"""Seconds without output after which a program has nothing more to say for now."""

CHUNK = 1 << 16
OVERLAP = 256
"""Bytes that are looked at again with what follows: a mark may come in pieces."""

END_OF_INPUT, KILL_LINE = b"\x04", b"\x15"


class Terminal:
    """A program in a terminal of its own; leave it as a context manager.

    Args:
        command: its name and arguments.
        environ: its environment, without ``TERM``.
        folder: where it works.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            _become(command, {**environ, "TERM": "xterm-256color"}, folder)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self._leave()
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)
        os.waitpid(self.pid, 0)

    def _leave(self) -> None:
        """Have it end as a person would.

        Raises:
            TimeoutError: it does not.
        """
        deadline = time.monotonic() + PATIENCE
        with suppress(OSError):
            self.press(KILL_LINE + END_OF_INPUT)
            while time.monotonic() < deadline:
                self.read(1.0)
            os.kill(self.pid, signal.SIGKILL)
            raise TimeoutError(f"process {self.pid} did not end")

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._fd, keys)

    def type(self, text: bytes) -> None:
        """Type, and return once it is shown and the program has nothing more to say."""
        self.press(text)
        self.until(text.decode()[-1:].encode())
        self.settle()

    def read(self, timeout: float) -> bytes:
        """What has come, ``b""`` if nothing does for so long.

        Raises:
            OSError: the program has ended.
        """
        ready, _, _ = select.select([self._fd], [], [], timeout)
        return os.read(self._fd, CHUNK) if ready else b""

    def until(self, mark: bytes) -> bytes:
        """The end of what comes, up to a mark and a little more.

        Raises:
            TimeoutError: it does not come.
        """
        deadline = time.monotonic() + PATIENCE
        seen = b""
        while mark not in seen:
            data = self.read(max(0.0, deadline - time.monotonic()))
            if not data:
                raise TimeoutError(f"{mark!r} did not come; the last was {seen[-200:]!r}")
            seen = seen[-OVERLAP:] + data
        return seen

    def settle(self, quiet: float = QUIET) -> None:
        """Return once it has said nothing for a while."""
        while self.read(quiet):
            pass

    @property
    def cpu(self) -> float:
        """CPU seconds the program has used."""
        return cpu_of(self.pid)


def cpu_of(pid: int) -> float:
    """CPU seconds a living process has used, its threads included, its children not."""
    return time.clock_gettime((~pid << 3) | 2)  # the number of its clock: see clock_getcpuclockid(3)


def _become(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
    """In the child: never returns."""
    try:
        os.chdir(folder)
        os.execve(command[0], list(command), dict(environ))
    finally:
        os._exit(127)
