"""Putting a backup back: read to its end first, unpacked beside the place, moved there as a whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trunnion.model.errors import Conflict, IncompatibleData, InvalidArguments, TrunnionError, Unavailable
from trunnion.store.backup.manifest import HOST_ID, Damaged, Manifest
from trunnion.store.backup.packing import Member
from trunnion.store.backup.reading import read, verify
from trunnion.store.check import examine
from trunnion.store.connections import NO_SPACE
from trunnion.store.files import sync_file
from trunnion.store.schema import MIGRATIONS
from trunnion.store.trouble import Trouble

SPARE = 16 << 20
"""Bytes that stay free beside what is unpacked."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a restore.

    Attributes:
        manifest: of the backup.
        aside: where the data directory that was there lies now.
        troubles: what the check of the store found.
    """

    manifest: Manifest
    aside: Path | None
    troubles: tuple[Trouble, ...]


def restore(file: Path, root: Path, *, aside: bool = False, new_host_id: bool = False) -> Restored:
    """Make a data directory of a backup. Killed at any moment, there is the old one, none, or the new one, whole.

    Args:
        file: the backup.
        root: absent or empty; its parent is there.
        aside: whether one that is there is moved to ``<name>.before-<time>`` first. Whoever asks for that holds it.
        new_host_id: whether it becomes another host, rather than the one the backup is of.

    Raises:
        IncompatibleData: a newer version wrote the backup, or the data in it.
        InvalidArguments: it is not what was written, or the place cannot be used.
        Conflict: something is there already.
        Unavailable: the disk is full, or something cannot be read or written.
    """
    root = root.resolve()
    _judge_place(root, aside=aside)
    manifest = verify(file)
    if manifest.data_version > len(MIGRATIONS):
        raise IncompatibleData(
            f"{file} has data of version {manifest.data_version}, this Trunnion knows up to {len(MIGRATIONS)}: "
            "restore it with the newer version",
            {"version": manifest.data_version, "newest": len(MIGRATIONS)},
        )
    _judge_space(root, manifest)
    try:
        with _staging(root) as staging:
            read(file, _Unpacking(staging).put, manifest)
            if new_host_id:
                (staging / HOST_ID).unlink(missing_ok=True)
            troubles = _checked(file, staging)
            # One call for all files, however many; it returns when they are on the disk.
            os.sync()
            moved = _put_in_place(staging, root, aside=aside)
    except OSError as error:
        raise _explained(error, root) from error
    return Restored(manifest=manifest, aside=moved, troubles=troubles)


class _Unpacking:
    """Makes files and folders below a folder that nobody else writes to, and that never has a link in it."""

    def __init__(self, staging: Path) -> None:
        self._staging = staging

    def put(self, member: Member, pieces: Iterator[bytes]) -> None:
        """Make what a member is."""
        path = self._staging / member.name
        try:
            if member.is_folder:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            else:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file(path, member, pieces)
        except (FileExistsError, NotADirectoryError):
            raise Damaged(f"{member.name!a} in it is both a file and a folder") from None

    def _file(self, path: Path, member: Member, pieces: Iterator[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), (member.mode | 0o600) if "/" in member.name else 0o600)
            os.utime(file.fileno(), (member.mtime, member.mtime))


def _judge_place(root: Path, *, aside: bool) -> None:
    if not root.parent.is_dir():
        raise InvalidArguments(f"{root.parent} is no folder: make it first")
    if os.path.ismount(root):
        raise InvalidArguments(f"{root} is the root of a file system and cannot be moved: restore into a folder in it")
    if root.exists() and not root.is_dir():
        raise InvalidArguments(f"{root} is no folder: name another")
    if not aside and root.exists() and any(root.iterdir()):
        raise Conflict(
            f"{root} is not empty: restore into another folder with --data-dir, or move it aside with --force",
            {"path": str(root)},
        )


def _judge_space(root: Path, manifest: Manifest) -> None:
    disk = os.statvfs(root.parent)
    free, block = disk.f_bavail * disk.f_frsize, disk.f_frsize
    needed = manifest.bytes + block * (len(manifest.files) + len(manifest.folders)) + SPARE
    if free < needed:
        raise Unavailable(
            f"{root.parent} has {free >> 20} MiB free and {needed >> 20} are needed; nothing was restored",
            {"reason": "disk_full", "free": free, "needed": needed},
        )


@contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """A new folder beside the place, for this process alone. What is left of it at the end is removed."""
    staging = root.with_name(root.name + ".restoring")
    staging.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _claim(descriptor, staging)
        _empty(staging)
        staging.chmod(0o700)
        try:
            yield staging
        finally:
            if _is_under(descriptor, staging):
                shutil.rmtree(staging)
    finally:
        os.close(descriptor)


def _claim(descriptor: int, staging: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"another restore is at work in {staging}: wait for it") from None
    if not _is_under(descriptor, staging):
        raise Conflict(f"another restore was at work in {staging} until now: look at what it did")


def _is_under(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _empty(folder: Path) -> None:
    """Remove what a restore that was killed left."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()


def _checked(file: Path, staging: Path) -> tuple[Trouble, ...]:
    """Open the store for reading and look at all of it; what cannot be read is not put in place."""
    troubles = tuple(examine(staging))
    for trouble in troubles:
        if trouble.is_fatal:
            raise InvalidArguments(f"{file} cannot be restored: its database is damaged: {trouble.text}")
    return troubles


def _put_in_place(staging: Path, root: Path, *, aside: bool) -> Path | None:
    moved: Path | None = None
    if aside and root.exists():
        moved = _free_name(root)
        root.rename(moved)
    try:
        staging.rename(root)
    except OSError:
        if moved is not None:
            moved.rename(root)
        raise
    sync_file(root.parent)
    return moved


def _free_name(root: Path) -> Path:
    """``<name>.before-<time>``, with a number where two restores came within a second."""
    base = f"{root.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    names = (root.with_name(base if number == 0 else f"{base}-{number}") for number in range(1000))
    return next(path for path in names if not path.exists())


def _explained(error: OSError, root: Path) -> TrunnionError:
    if error.errno in NO_SPACE:
        return Unavailable(f"there is no space left for {root}; nothing was restored", {"reason": "disk_full"})
    return Unavailable(f"nothing was restored: {error.filename or root}: {error.strerror}", {"path": str(root)})
