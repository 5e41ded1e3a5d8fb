"""A log on the disk, written line by line whatever becomes of its file meanwhile.

The file is looked at before each line: one that was deleted or replaced is made anew, and nothing but a regular file is
ever written to. A link there is not followed, and a FIFO or device is not waited for.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class LogFile:
    """Appends lines, from any thread.

    Args:
        path: the file; older ones are ``path.1``, ``path.2`` and so on.
        max_bytes: it is rotated before it would grow beyond this.
        backups: how many older ones are kept.
        lost: told of each line that cannot be written, with the reason; it must not raise.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int, lost: Callable[[str, OSError], None]) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._lost = lost
        self._lock = threading.Lock()
        self._descriptor = -1

    def write(self, line: str) -> None:
        """Add a line, which has no end of its own; one that cannot be written is told to ``lost``."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            try:
                self._append(data)
            except OSError as error:
                self._lost(line, error)

    def close(self) -> None:
        """Let go of the file; the next line would open it again."""
        with self._lock:
            self._let_go()

    def _append(self, data: bytes) -> None:
        size = self._size()
        if size and size + len(data) > self._max_bytes:
            self._rotate()
            self._open()
            size = 0
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            os.ftruncate(self._descriptor, size)  # the next line is not to begin in the middle of this one
            raise

    def _size(self) -> int:
        """The bytes in the file that is open, which is the one under the name."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            self._open()
            return 0
        if self._descriptor < 0 or not os.path.samestat(found, os.fstat(self._descriptor)):
            self._open()
        return os.fstat(self._descriptor).st_size

    def _open(self) -> None:
        self._let_go()
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._path, _FLAGS, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{self._path} is no file")
        os.fchmod(descriptor, 0o600)
        self._descriptor = descriptor

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _rotate(self) -> None:
        for number in range(self._backups, 0, -1):
            newer = self._older(number - 1) if number > 1 else self._path
            if os.path.lexists(newer):
                newer.replace(self._older(number))

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
