"""The files beside the database: what is kept with runs, long output, and the reserve for a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

OUTPUT = "output"
"""Name of the file with a run's long output, in the run's own folder."""

IOV_MAX = 1024
"""Blocks Linux takes in one call."""

BALLAST = 4 << 20
MIN_BALLAST = 64 << 10


def _safe(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} cannot be the name of a file of ours")
    return name


class RunFiles:
    """The folder ``artifacts/``: one folder per run that has files.

    Args:
        root: the folder itself; made when the first file comes.
        sync: whether what ``write`` wrote must be on the disk when it returns.
    """

    def __init__(self, root: Path, *, sync: bool = False) -> None:
        self.root = root
        self._sync = sync
        self._open: dict[str, int] = {}

    def folder(self, run_id: str) -> Path:
        """Where the files of a run lie."""
        return self.root / _safe(run_id)

    def artifact(self, run_id: str, artifact_id: str, *, make: bool = False) -> Path:
        """Where a kept file lies; with ``make`` its folder exists afterwards (0700).

        Raises:
            ValueError: one of the ids cannot be a file name, or is the one long output has.
        """
        if artifact_id == OUTPUT:
            raise ValueError(f"{OUTPUT!r} is the name of a run's own output, not of an artifact")
        folder = self.folder(run_id)
        if make:
            _make(folder)
        return folder / _safe(artifact_id)

    def output_size(self, run_id: str) -> int:
        """Bytes of long output there are of a run."""
        try:
            return (self.folder(run_id) / OUTPUT).stat().st_size
        except FileNotFoundError:
            return 0

    def write(self, spills: Iterable[tuple[str, int, list[bytes]]]) -> None:
        """Write output, each ``(run_id, offset, blocks)``; the same may be written again.

        Raises:
            OSError: a block is not, or not wholly, in its file.
        """
        touched = set()
        for run_id, offset, blocks in spills:
            descriptor = self._descriptor(run_id)
            _write_all(descriptor, blocks, offset)
            touched.add(descriptor)
        if self._sync:
            for descriptor in touched:
                os.fsync(descriptor)

    def settle(self, artifacts: Iterable[tuple[str, str]]) -> None:
        """Have kept files, each ``(run_id, artifact_id)``, on the disk before their records, where that is asked for.

        Raises:
            OSError: the disk did not take one.
        """
        for run_id, artifact_id in artifacts if self._sync else ():
            path = self.folder(run_id) / artifact_id
            if path.exists():
                sync_file(path)
                self._sync_names(path.parent)

    def end(self, run_id: str) -> None:
        """No more output will come of a run."""
        descriptor = self._open.pop(run_id, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Close every open file."""
        while self._open:
            self.end(next(iter(self._open)))

    def size(self, run_id: str) -> int:
        """Bytes of all files of a run."""
        try:
            return sum(entry.stat().st_size for entry in os.scandir(self.folder(run_id)))
        except FileNotFoundError:
            return 0

    def total(self) -> int:
        """Bytes of all files of all runs."""
        try:
            return sum(self.size(entry.name) for entry in os.scandir(self.root) if entry.is_dir())
        except FileNotFoundError:
            return 0

    def remove(self, run_id: str) -> None:
        """Remove the files of a run; none there is fine."""
        folder = self.folder(run_id)
        if folder.exists():
            shutil.rmtree(folder)

    def _descriptor(self, run_id: str) -> int:
        if run_id not in self._open:
            if len(self._open) >= 64:
                self.end(next(iter(self._open)))
            folder = self.folder(run_id)
            _make(folder)
            self._open[run_id] = os.open(folder / OUTPUT, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            if self._sync:
                self._sync_names(folder)
        return self._open[run_id]

    def _sync_names(self, folder: Path) -> None:
        for names in (folder, self.root, self.root.parent):
            sync_file(names)


def sync_file(path: Path) -> None:
    """Have a file's content, or a directory's names, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_whole(path: Path, content: bytes) -> None:
    """Put content into a file (0600), which is there afterwards, and after a loss of power, as before or as a whole.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_file(path.parent)


def _make(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def _write_all(descriptor: int, blocks: list[bytes], offset: int) -> None:
    for start in range(0, len(blocks), IOV_MAX):
        part = blocks[start : start + IOV_MAX]
        written = os.pwritev(descriptor, part, offset)
        # A write that crosses a limit is short; only the next one says why.
        if written < sum(map(len, part)):
            _write_rest(descriptor, b"".join(part), offset, written)
        offset += sum(map(len, part))


def _write_rest(descriptor: int, data: bytes, offset: int, written: int) -> None:
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)


class Ballast:
    """Disk space held back, to be freed when the disk is full so that runs can still end.

    It is 4 MiB, and on a small disk an eighth of what is free, so that the reserve never is what fills
    the disk; below 64 KiB there is none. Once given back it is taken again in its old size only, and when
    half as much again stays free: a disk that is merely not quite full has not healed.

    Args:
        path: the file that holds the space.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0

    def release(self) -> bool:
        """Free the space; False if it was not held."""
        try:
            self._size = self.path.stat().st_size
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def restore(self) -> bool:
        """Hold the space (again); False if the disk has too little."""
        if self.path.exists():
            return True
        disk = os.statvfs(self.path.parent)
        free = disk.f_bavail * disk.f_frsize
        if self._size:
            return free >= self._size * 3 // 2 and self._hold(self._size)
        size = min(BALLAST, free // 8)
        return size >= MIN_BALLAST and self._hold(size)

    def _hold(self, size: int) -> bool:
        descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            self.path.unlink()
            return False
        finally:
            os.close(descriptor)
        return True


def ballast_of(database: Path) -> Ballast:
    """The reserve that lies beside a database."""
    return Ballast(database.with_name("ballast"))
