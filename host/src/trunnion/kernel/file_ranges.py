"""Reading a range of a kept file in pieces, away from the loop."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path

from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.errors import InvalidArguments, Unavailable

PIECE = 256 << 10
"""Bytes handed out at a time."""

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def end_of_range(offset: int, length: int | None, size: int, what: str) -> int:
    """Where a range ends; one that reaches beyond the end of the file ends there.

    Raises:
        InvalidArguments: it begins beyond the end, or is no range; ``details["size"]`` is the file's size.
    """
    if not 0 <= offset <= size or (length is not None and length < 0):
        wanted = f"from byte {offset}" if length is None else f"of {length} bytes from byte {offset}"
        raise InvalidArguments(f"there is no range {wanted} in {what}: it has {size} bytes", {"size": size})
    return size if length is None else min(size, offset + length)


async def read_range(
    threads: DaemonThreads, path: Path, offset: int, end: int, what: str, check: Callable[[], None]
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a file from ``offset`` to ``end`` in order, in pieces of at most 256 KiB.

    Args:
        threads: in which it is read.
        path: of the file.
        offset: of the first byte.
        end: after the last byte.
        what: the file, for messages.
        check: called before each piece; what it raises ends the reading.

    Raises:
        Unavailable: the file is gone, shorter than it was, or cannot be read.
    """
    descriptor = await in_thread(threads, lambda: _opened(path, what), os.close)
    try:
        while offset < end:
            check()
            piece = await in_thread(threads, partial(_piece, descriptor, min(PIECE, end - offset), offset, what))
            offset += len(piece)
            yield piece
    finally:
        os.close(descriptor)


def digest_of(path: Path, what: str) -> tuple[int, str]:
    """Size and hex sha256 of a file. Blocks for as long as the file is.

    Raises:
        Unavailable: it is gone or cannot be read.
    """
    digest, at = hashlib.sha256(), 0
    descriptor = _opened(path, what)
    try:
        while piece := os.pread(descriptor, PIECE, at):
            digest.update(piece)
            at += len(piece)
    except OSError as error:
        raise _unreadable(what, error) from error
    finally:
        os.close(descriptor)
    return at, digest.hexdigest()


def _opened(path: Path, what: str) -> int:
    try:
        return os.open(path, _READ)
    except OSError as error:
        raise _unreadable(what, error) from error


def _piece(descriptor: int, length: int, offset: int, what: str) -> bytes:
    try:
        piece = os.pread(descriptor, length, offset)
    except OSError as error:
        raise _unreadable(what, error) from error
    if not piece:
        raise Unavailable(f"{what} ends at byte {offset}: its file was cut short on the disk", {"offset": offset})
    return piece


def _unreadable(what: str, error: OSError) -> Unavailable:
    if isinstance(error, FileNotFoundError):
        return Unavailable(f"{what} is on record, but its file is gone from the disk")
    return Unavailable(f"{what} cannot be read: {error.strerror}")
