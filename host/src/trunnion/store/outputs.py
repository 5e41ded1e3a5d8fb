"""The file with a run's long output: plain while the run is live, compressed in blocks some time after its end.

A plain one is text, as UTF-8. A compressed one begins with bytes that no text has: blocks of ``BLOCK`` bytes of
the plain one, each compressed by itself (zlib), then the sizes of all of them and a ``_Foot``. Either way an
event's span counts in the plain one. One takes the other's place under the same name at once, so that whoever
opens the file has a whole one, and whoever had opened it before goes on with what it opened.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

from trunnion.store.files import OUTPUT, sync_file

MAGIC: Final = b"\xff\xfeTRNOUT1"
BLOCK: Final = 64 << 10
"""Bytes that are read to show one line from the middle; 256 KiB would save one byte in a hundred more."""

LEVEL: Final = 6
PARTIAL: Final = ".partial"
_sizes = struct.Struct("<I")
_foot = struct.Struct("<QIII")
"""Bytes of the plain file, bytes of a block, number of blocks, checksum of their sizes."""


class Output:
    """A file with long output, open for reading.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._blocks: list[tuple[int, int]] | None = None
        self._last = (-1, b"")
        try:
            if is_packed(self._descriptor):
                self._blocks = self._read_index()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the plain file; fewer where it is too short, or is damaged."""
        if self._blocks is None:
            return os.pread(self._descriptor, length, offset)
        first, last = offset // BLOCK, (offset + max(length, 1) - 1) // BLOCK
        data = b"".join([self._block(number) for number in range(first, last + 1)])
        start = offset - first * BLOCK
        return data[start : start + length]

    def _block(self, number: int) -> bytes:
        """One block; events are read in order, so the last one is often the next one, too."""
        if self._blocks is None or number >= len(self._blocks):
            return b""
        if self._last[0] != number:
            offset, size = self._blocks[number]
            self._last = (number, _inflated(os.pread(self._descriptor, size, offset)))
        return self._last[1]

    def _read_index(self) -> list[tuple[int, int]]:
        """Where each block lies; none where the end of the file is not what was written."""
        end = os.fstat(self._descriptor).st_size - _foot.size
        foot = os.pread(self._descriptor, _foot.size, max(0, end))
        if len(foot) < _foot.size:
            return []
        _, _, count, crc = _foot.unpack(foot)
        table = os.pread(self._descriptor, count * _sizes.size, max(0, end - count * _sizes.size))
        if zlib.crc32(table) != crc:
            return []
        blocks, at = [], len(MAGIC)
        for (size,) in _sizes.iter_unpack(table):
            blocks.append((at, size))
            at += size
        return blocks


def is_packed(descriptor: int) -> bool:
    """Whether an open file is a compressed output."""
    return os.pread(descriptor, len(MAGIC), 0) == MAGIC


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return b""


def pack(root: Path, run_id: str, stopping: Callable[[], bool]) -> bool:
    """Compress the output of an ended run.

    Killed at any moment, the file is the one or the other, whole; what lies beside it then, ``remove_partial`` removes.

    Args:
        root: the folder with the folders of runs.
        run_id: whose.
        stopping: asked between two blocks whether to leave it.

    Returns:
        Whether it is compressed by now.

    Raises:
        OSError: the disk refused; nothing has changed.
    """
    path, partial = root / run_id / OUTPUT, root / f".{run_id}{PARTIAL}"
    try:
        with path.open("rb") as plain:
            if is_packed(plain.fileno()):
                return True
            descriptor = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as packed:
                size, sizes = 0, bytearray()
                packed.write(MAGIC)
                while block := plain.read(BLOCK):
                    if stopping():
                        return False
                    data = zlib.compress(block, LEVEL)
                    packed.write(data)
                    size += len(block)
                    sizes += _sizes.pack(len(data))
                packed.write(bytes(sizes) + _foot.pack(size, BLOCK, len(sizes) // _sizes.size, zlib.crc32(sizes)))
                packed.flush()
                os.fsync(packed.fileno())
        partial.replace(path)
        sync_file(path.parent)
    except FileNotFoundError:  # the run was removed meanwhile
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


def remove_partial(root: Path) -> None:
    """Remove what an interrupted compression left; for whoever compresses, before it begins."""
    for left in root.glob(f".*{PARTIAL}"):
        left.unlink(missing_ok=True)


def unpacked(root: Path) -> Iterator[str]:
    """Runs whose output is not compressed."""
    try:
        entries = list(os.scandir(root))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and _is_plain(Path(entry.path) / OUTPUT):
            yield entry.name


def _is_plain(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not is_packed(file.fileno())
    except OSError:
        return False
