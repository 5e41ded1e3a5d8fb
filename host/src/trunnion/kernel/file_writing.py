"""Writing a file of ours piece by piece: bounded, digested on the way, nothing left behind when it fails."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import BinaryIO, TypeAlias

from trunnion.model.errors import InvalidArguments, Unavailable

Content: TypeAlias = bytes | Path | BinaryIO | Iterable[bytes] | AsyncIterable[bytes]
"""What a file is made of: bytes, a file to copy, an open binary file, or pieces as they come."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Allowance:
    """Bytes that several files share; from any thread.

    Args:
        limit: how many there may be.
        used: how many there are.
    """

    def __init__(self, limit: int, used: int = 0) -> None:
        self.limit = limit
        self.used = used
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Count bytes in; False, and nothing is counted, if they are too many."""
        with self._lock:
            if self.used + count > self.limit:
                return False
            self.used += count
            return True

    def give_back(self, count: int) -> None:
        """Count bytes out again."""
        with self._lock:
            self.used -= count


class NewFile:
    """A file that comes to be, 0600. From any thread; given up while a piece is written, it waits for that piece.

    Args:
        path: where; nothing may be there yet.
        what: the file, for messages.
        limit: bytes it may have.
        allowance: what it shares with others.

    Raises:
        Unavailable: it cannot be made.
    """

    def __init__(self, path: Path, what: str, limit: int, allowance: Allowance) -> None:
        self.path = path
        self.size = 0
        self._what = what
        self._limit = limit
        self._allowance = allowance
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()
        self._open = True
        try:
            self._descriptor = os.open(path, _NEW, 0o600)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Add bytes at the end.

        Raises:
            InvalidArguments: it would be too large; the message names the limit.
            Unavailable: the disk is full, the file cannot be written, or was given up.
        """
        view = memoryview(piece).cast("B")
        with self._lock:
            if not self._open:
                raise Unavailable(f"{self._what} is no longer written")
            self._reserve(len(view))
            self._digest.update(view)
            try:
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError as error:
                raise self._failed(error) from error

    def _reserve(self, count: int) -> None:
        if self.size + count > self._limit:
            raise self._too_large(self._limit, "bytes.max_artifact")
        if not self._allowance.take(count):
            raise self._too_large(self._allowance.limit, "bytes.max_run_artifacts")
        self.size += count

    def finish(self) -> str:
        """Close it; returns the hex sha256 of what is in it."""
        with self._lock:
            self._close()
            return self._digest.hexdigest()

    def abandon(self) -> None:
        """Remove it, finished or not."""
        with self._lock:
            self._close()
            self.path.unlink(missing_ok=True)
            self._allowance.give_back(self.size)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)

    def _too_large(self, limit: int, setting: str) -> InvalidArguments:
        return InvalidArguments(
            f"{self._what} is not kept: it would take more than the {limit} bytes of {setting}",
            {"limit": limit, "setting": setting},
        )

    def _failed(self, error: OSError) -> Unavailable:
        return Unavailable(f"{self._what} cannot be written to {self.path.parent.name}: {error.strerror}")
