"""Files into an archive while others may write to them: each is in it with one size, one digest, and no surprise."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from trunnion.store.backup.manifest import Damaged, Entry, Note, judge_name
from trunnion.store.backup.packing import PIECE, Member, Packer
from trunnion.store.outputs import is_packed

GROWING = ".jsonl"
"""Ends the names of files that only grow, line by line."""

SMALL = 1 << 20
"""Up to this size a file is read as a whole before its size is written down."""


class Filling:
    """An archive that is being filled.

    Args:
        file: open for writing.
        check: called between pieces; raises what is to end the work.

    Attributes:
        entries: the files in it.
        folders: the folders in it.
        notes: what is not in it, or not as it should be.
        vanished: runs of which files were not there, each with the names of these.
    """

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self._packer = Packer(file)
        self._check = check
        self.entries: list[Entry] = []
        self.folders: list[str] = []
        self.notes: list[Note] = []
        self.vanished: dict[str, list[str]] = {}

    def close(self) -> None:
        """Write the archive's end."""
        self._packer.close()

    def note(self, name: str, text: str) -> None:
        """Say that something is not as it should be."""
        self.notes.append(Note(name.encode("utf-8", "backslashreplace").decode(), text))

    def content(self, name: str, content: bytes) -> None:
        """Add a file that is not on the disk."""
        self._add(Member(name, len(content), 0o600, 0), iter((content,)))

    def file(self, name: str, path: Path) -> None:
        """Add a file at its present size."""
        try:
            self._open(name, path, None)
        except FileNotFoundError:
            self.note(name, "was removed while the backup was made")

    def of_run(self, run_id: str, name: str, path: Path, size: int | None) -> Entry | None:
        """Add a file of a run, as much of it as the database refers to; None if there is none."""
        try:
            return self._open(name, path, size)
        except FileNotFoundError:
            self.vanished.setdefault(run_id, []).append(name)
            return None

    def tree(self, name: str, folder: Path) -> None:
        """Add a folder with all that is in it; what is neither file nor folder is left out by name."""
        try:
            entries = sorted(os.scandir(folder), key=_turn)
        except FileNotFoundError:
            return
        except PermissionError:
            self.note(name, "may not be read and was left out")
            return
        if not self._fits(name, is_folder=True):
            return
        self.folders.append(name)
        self._packer.add(Member(name, 0, 0o700, 0, is_folder=True))
        for entry in entries:
            path = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                self.tree(path, Path(entry.path))
            elif not entry.is_file(follow_symlinks=False):
                self.note(path, "is neither a file nor a folder and was left out")
            elif self._fits(path, is_folder=False):
                self.file(path, Path(entry.path))

    def _fits(self, name: str, *, is_folder: bool) -> bool:
        try:
            name.encode()
            judge_name(name, is_folder=is_folder)
        except (UnicodeEncodeError, Damaged):
            self.note(name, "has a name that an archive cannot carry and was left out")
            return False
        return True

    def _open(self, name: str, path: Path, wanted: int | None) -> Entry | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError:
            self.note(name, "may not be read and was left out")
            return None
        with io.FileIO(descriptor, "r") as file:
            return self._copy(name, file, wanted)

    def _copy(self, name: str, file: io.FileIO, wanted: int | None) -> Entry:
        status = os.fstat(file.fileno())
        # A compressed output is a whole; what the database refers to counts in what it was before.
        size = status.st_size if wanted is None or is_packed(file.fileno()) else wanted
        if status.st_size < size:
            self.note(name, f"has {status.st_size} bytes where {size} are on record")
            size = status.st_size
        head = Member(name, size, stat.S_IMODE(status.st_mode) & 0o777, int(status.st_mtime))
        if size > SMALL:
            return self._add(head, self._pieces(name, file, size))
        content = _whole(file, size)
        return self._add(head._replace(size=len(content)), iter((content,)))

    def _pieces(self, name: str, file: io.FileIO, size: int) -> Iterator[bytes]:
        """Exactly so many bytes, whatever becomes of the file."""
        left = size
        while left and (piece := file.read(min(left, PIECE))):
            self._check()
            left -= len(piece)
            yield piece
        if left:
            self.note(name, f"was shortened while it was read: its last {left} bytes are zeros")
        while left:
            piece = bytes(min(left, PIECE))
            left -= len(piece)
            yield piece

    def _add(self, head: Member, pieces: Iterator[bytes]) -> Entry:
        self._check()
        sha256 = self._packer.add(head, pieces)
        self.entries.append(Entry(head.name, head.size, sha256, head.mode))
        return self.entries[-1]


def _turn(entry: os.DirEntry[str]) -> tuple[bool, str]:
    """When it is an entry's turn: files that only grow come last, so that none beside them says more than they have."""
    return entry.name.endswith(GROWING), entry.name


def _whole(file: io.FileIO, size: int) -> bytes:
    found = b""
    while len(found) < size and (piece := file.read(size - len(found))):
        found += piece
    return found
