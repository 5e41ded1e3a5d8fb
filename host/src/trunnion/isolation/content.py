"""What a file is made of, in pieces."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from trunnion.model.errors import InvalidArguments


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def pieces_of(content: bytes | Path | BinaryIO | Iterable[bytes], size: int) -> Iterator[bytes]:
    """Its bytes, in pieces of at most ``size``; what comes in pieces of its own keeps them.

    Raises:
        InvalidArguments: it is a file that cannot be read.
    """
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, Path):
        with _opened(content) as source:
            yield from _read(source, size)
    else:
        yield from _read(content, size) if isinstance(content, _Readable) else content


def _read(source: _Readable, size: int) -> Iterator[bytes]:
    while piece := source.read(size):
        yield piece


def _opened(path: Path) -> BinaryIO:
    """A regular file, open; anything else could block for ever."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidArguments(f"{path} cannot be kept: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidArguments(f"{path} is not a regular file, so it cannot be kept")
    return os.fdopen(descriptor, "rb")
