"""One segment while it grows: whole lines or nothing, and somebody looks whether it is still the same file."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

MODE = 0o600


class FileProblem(Exception):
    """The file cannot be relied on; the message says why.

    Attributes:
        reason: a stable word for it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Segment:
    """An open segment.

    Args:
        path: where it lies.
        size: bytes of whole lines in it; what comes after them is cut off. None makes a new file.

    Raises:
        FileProblem: it cannot be opened, or is not what it has to be.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self.size = size or 0
        self._torn = False
        fresh = os.O_CREAT | os.O_EXCL if size is None else 0
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | fresh, MODE)
        except OSError as error:
            raise problem_of(path, error) from error
        try:
            if size is not None:
                os.ftruncate(self._descriptor, size)
            found = os.fstat(self._descriptor)
            self._mark = (found.st_dev, found.st_ino)
            self.look()
        except BaseException as error:
            os.close(self._descriptor)
            if isinstance(error, OSError):
                raise problem_of(path, error) from error
            raise

    def look(self) -> None:
        """See to it that the file in its place is this one, as it was left.

        Raises:
            FileProblem: it was removed, replaced, written to or opened up by somebody else.
        """
        if self._torn:
            self._take_back()
        try:
            found = self.path.stat(follow_symlinks=False)
        except OSError as error:
            raise problem_of(self.path, error) from error
        if (found.st_dev, found.st_ino) != self._mark:
            raise FileProblem("replaced", f"{self.path} is another file than the one that is written to")
        if found.st_size != self.size:
            text = f"{self.path} has {found.st_size} bytes and should have {self.size}: somebody else wrote to it"
            raise FileProblem("changed", text)
        if stat.S_IMODE(found.st_mode) != MODE or found.st_nlink != 1:
            text = (
                f"{self.path} has mode {stat.S_IMODE(found.st_mode):04o} and {found.st_nlink} names, not 0600 and one"
            )
            raise FileProblem("mode", text)

    def append(self, data: bytes) -> None:
        """Write whole lines, all of them or none.

        Raises:
            FileProblem: they could not be written; the file ends where it did before.
        """
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            self._take_back()
            raise problem_of(self.path, error) from error
        self.size += len(data)

    def _take_back(self) -> None:
        """Cut off what a write that failed left. Should that fail too, the next look tries again."""
        self._torn = True
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self.size)
            self._torn = False

    def sync(self) -> None:
        """Have all of it on the disk; from any thread.

        Raises:
            FileProblem: it may not be.
        """
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise problem_of(self.path, error) from error

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


_REASONS = {"ENOSPC": "full", "EDQUOT": "full", "EFBIG": "full", "ENOENT": "gone", "ENOTDIR": "gone"}


def problem_of(path: Path, error: OSError) -> FileProblem:
    """What an error of the system means for the log."""
    name = errno.errorcode.get(error.errno or 0, "")
    return FileProblem(_REASONS.get(name, "unwritable"), f"{path}: {os.strerror(error.errno or 0)}")
