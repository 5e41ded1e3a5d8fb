"""Copying a kept file to where somebody wants it, with its digest checked."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from trunnion.model.errors import Conflict, Unavailable

PIECE = 1 << 20


class Source(NamedTuple):
    """A kept file.

    Attributes:
        name: for messages.
        sha256: hex digest it must have.
        pieces: of its content; closed by whoever copies it.
    """

    name: str
    sha256: str
    pieces: Generator[bytes, None, None]


def file_source(path: Path, sha256: str) -> Source:
    """A kept file that lies on this machine."""
    return Source(path.name, sha256, _pieces(path))


def copy_to(source: Source, target: Path, *, force: bool) -> None:
    """Copy a file whole or not at all; what is there is replaced only with ``force``.

    Args:
        source: the file.
        target: where to.
        force: whether a file that is there may go.

    Raises:
        Conflict: there is something already.
        Unavailable: the file cannot be read or written, or is not what it was.
    """
    if not force and target.exists():
        raise Conflict(f"{target} is there already: give another name, or --force")
    try:
        descriptor, name = tempfile.mkstemp(prefix=".trunnion-", dir=target.absolute().parent)
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out:
                _copy(source, out)
            _settle(partial, target, force=force)
        finally:
            partial.unlink(missing_ok=True)
    except FileExistsError:
        raise Conflict(f"{target} is there already: give another name, or --force") from None
    except OSError as error:
        raise Unavailable(f"{source.name} cannot be saved to {target}: {error.strerror}") from error


def copy_out(source: Source) -> None:
    """Copy a file to standard output.

    Raises:
        Unavailable: it cannot be read, or what was written is not what it was.
    """
    try:
        _copy(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise Unavailable(f"{source.name} cannot be copied: {error.strerror}") from error


def _settle(partial: Path, target: Path, *, force: bool) -> None:
    """Give the whole copy its name, with the permissions of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    partial.chmod(0o666 & ~mask)
    if force:
        partial.replace(target)
    else:
        os.link(partial, target)


def _pieces(path: Path) -> Generator[bytes, None, None]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _copy(source: Source, out: BinaryIO) -> None:
    digest = hashlib.sha256()
    for piece in source.pieces:
        digest.update(piece)
        out.write(piece)
    if digest.hexdigest() != source.sha256:
        raise Unavailable(f"{source.name} has another digest than is on record: it was changed on the disk")
