"""Files of the log: their names, and writing them so that a crash leaves the old or the new one whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trunnion_audit.records import LARGEST_LINE

_segment = re.compile(r"audit-(\d{8,})\.jsonl")
_packed = re.compile(r"audit-(\d{8,})\.jsonl\.zst")


class SegmentFile(NamedTuple):
    """One segment on the disk."""

    number: int
    path: Path


def segment_path(folder: Path, number: int) -> Path:
    """Where a segment lies while it is not compressed."""
    return folder / f"audit-{number:08}.jsonl"


def segments(folder: Path) -> list[SegmentFile]:
    """The segments in a folder, in their order."""
    matches = ((_segment.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(SegmentFile(int(match[1]), path) for match, path in matches if match is not None)


def packed(folder: Path) -> set[int]:
    """Numbers of the segments that somebody compressed."""
    return {int(match[1]) for path in folder.iterdir() if (match := _packed.fullmatch(path.name))}


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a segment, each with its LF; one that is too long comes in pieces, the last may lack its LF."""
    with path.open("rb") as file:
        while line := file.readline(LARGEST_LINE):
            yield line


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_whole(path: Path, data: bytes) -> None:
    """Put a file (0600) in the place of another, on the disk when this returns.

    Raises:
        OSError: it could not be written; the old one is as it was.
    """
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file for good; one that is gone already is no error."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """See to it that the folder is there, for its owner alone.

    Raises:
        OSError: it cannot be made, is no folder, or others may look into it and that cannot be changed.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.is_symlink() or not folder.is_dir():
            raise NotADirectoryError(f"{folder} is there and is no folder") from None
        folder.chmod(0o700)
        return
    sync_folder(folder.parent)
