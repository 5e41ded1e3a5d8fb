"""Taking a backup: the database first, at one moment, then what it needs, then everything else as it is."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from trunnion.model.errors import Conflict, InvalidArguments, TrunnionError, Unavailable
from trunnion.store.backup.consistent import Frozen, is_on_record
from trunnion.store.backup.filling import Filling
from trunnion.store.backup.manifest import (
    ARTIFACTS,
    CONFIG,
    DATABASE,
    FIRST,
    FORMAT,
    HOST_ID,
    KEY,
    LAST,
    NEXT_KEY,
    TREES,
    UPLOADS,
    Manifest,
    first_content,
)  # fmt: skip
from trunnion.store.base import DiskFull
from trunnion.store.connections import failure
from trunnion.store.files import OUTPUT, sync_file
from trunnion.store.schema import check as check_schema

T = TypeVar("T")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is made of.

    Attributes:
        root: the data directory.
        connect: opens a connection that reads its database.
        config: the configuration file, None if there is none.
        with_key: whether the key of sealed secrets is to be in it.
        version: the program's.
        now: UTC µs.
    """

    root: Path
    connect: Callable[[], sqlite3.Connection]
    config: Path | None
    with_key: bool
    version: str
    now: int


def back_up(source: Source, target: Path, *, force: bool = False, check: Callable[[], None] = lambda: None) -> Manifest:
    """Write a backup. Blocks for as long as it takes; whatever ends it early leaves nothing.

    Args:
        source: what it is made of.
        target: the file; it gets its name only when it is whole and on the disk.
        force: whether a file that is there is replaced.
        check: called often; raises what is to end the work.

    Raises:
        InvalidArguments: the target is inside the data directory, or no place for a file.
        Conflict: the target is there, or another backup is writing it.
        Unavailable: the disk is full, the database is damaged, or something cannot be read or written.
    """
    _judge(target, source.root, force=force)
    partial, copy = target.with_name(target.name + ".partial"), target.with_name(target.name + ".partial.db")
    try:
        with _claimed(partial) as file:
            _remove_copy(copy)
            try:
                manifest = _written(source, file, copy, check)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            finally:
                _remove_copy(copy)
            _put_in_place(partial, target, force=force)
            return manifest
    except (OSError, sqlite3.Error) as error:
        raise _explained(error, target) from error


def _judge(target: Path, root: Path, *, force: bool) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise InvalidArguments(f"{folder} is no folder: make it first")
    if folder.resolve().is_relative_to(root.resolve()):
        raise InvalidArguments(f"{target} lies in the data directory itself: name a file on another disk")
    if target.is_dir():
        raise InvalidArguments(f"{target} is a folder: name a file in it")
    if target.is_symlink() or target.exists():
        _refuse_to_replace(target, force=force)


def _refuse_to_replace(target: Path, *, force: bool) -> None:
    if not force:
        raise Conflict(f"{target} is there already: name another file, or replace it with --force")
    if target.is_symlink() or not target.is_file():
        raise InvalidArguments(f"{target} is no ordinary file and is not replaced: name another")


@contextmanager
def _claimed(partial: Path) -> Iterator[BinaryIO]:
    """The file that is being written, new and for the owner alone. One that a killed backup left goes first."""
    while True:
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            _remove_stale(partial)
            continue
        with os.fdopen(descriptor, "wb") as file:
            if _is_ours(descriptor, partial):
                yield file
                return


def _remove_stale(partial: Path) -> None:
    try:
        descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        if not _is_ours(descriptor, partial):
            raise Conflict(f"another backup is writing {partial}: wait for it, or name another file")
        partial.unlink()
    finally:
        os.close(descriptor)


def _is_ours(descriptor: int, path: Path) -> bool:
    """Whether this process has the lock of the file that has the name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False


def _remove_copy(copy: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _written(source: Source, file: BinaryIO, copy: Path, check: Callable[[], None]) -> Manifest:
    with closing(source.connect()) as reader:
        check_schema(reader, source.root / DATABASE)
        with closing(Frozen(reader, copy, check)) as frozen:
            if problems := frozen.problems():
                raise _damaged(problems[0])
            filling = Filling(file, check)
            filling.content(FIRST, first_content())
            _fill_runs(source, filling, frozen)
            _settle_vanished(filling, frozen, reader)
            data_version, runs = frozen.figures()
    _fill_rest(source, filling)
    filling.file(DATABASE, copy)
    manifest = Manifest(
        format=FORMAT,
        host_id=_read(source.root / HOST_ID).decode("ascii", "replace").strip(),
        created=source.now,
        version=source.version,
        data_version=data_version,
        runs=runs,
        has_key=any(entry.name in (KEY, NEXT_KEY) for entry in filling.entries),
        files=tuple(filling.entries[1:]),
        folders=tuple(filling.folders),
        notes=tuple(filling.notes),
    )
    filling.content(LAST, msgspec.json.encode(manifest))
    filling.close()
    file.flush()
    os.fsync(file.fileno())
    return manifest


def _fill_runs(source: Source, filling: Filling, frozen: Frozen) -> None:
    """The files of runs, as far as the copied database refers to them."""
    folder = source.root / ARTIFACTS
    for info in frozen.artifacts():
        name = f"{ARTIFACTS}/{info.run_id}/{info.id}"
        entry = filling.of_run(info.run_id, name, folder / info.run_id / info.id, info.size)
        if entry is not None and entry.sha256 != info.sha256:
            filling.note(name, "is not what was kept: its digest is not the one on record")
    for output in frozen.outputs():
        name = f"{ARTIFACTS}/{output.run_id}/{OUTPUT}"
        filling.of_run(output.run_id, name, folder / output.run_id / OUTPUT, output.size)


def _settle_vanished(filling: Filling, frozen: Frozen, reader: sqlite3.Connection) -> None:
    """A run whose files went was removed meanwhile, so it is not in the backup; else its files were gone before."""
    removed = {run_id for run_id in filling.vanished if not is_on_record(reader, run_id)}
    frozen.drop(removed)
    for run_id, names in filling.vanished.items():
        for name in names if run_id not in removed else ():
            filling.note(name, "is on record and not on the disk")


def _fill_rest(source: Source, filling: Filling) -> None:
    for tree in (UPLOADS, *TREES):
        filling.tree(tree, source.root / tree)
    if source.config is not None:
        filling.file(f"{CONFIG}/trunnion.toml", source.config.resolve())
    singles = (HOST_ID, KEY, NEXT_KEY) if source.with_key else (HOST_ID,)
    for name in singles:
        if (source.root / name).exists():
            filling.file(name, source.root / name)


def _read(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _put_in_place(partial: Path, target: Path, *, force: bool) -> None:
    """Give the file its name; one that came meanwhile is not replaced unasked."""
    if force:
        partial.replace(target)
    else:
        try:
            os.link(partial, target, follow_symlinks=False)
        except FileExistsError:
            partial.unlink()
            raise Conflict(f"{target} came meanwhile: name another file, or replace it with --force") from None
        except PermissionError:
            # A file system without hard links.
            partial.rename(target)
        else:
            partial.unlink()
    sync_file(target.parent)


def _explained(error: OSError | sqlite3.Error, target: Path) -> TrunnionError:
    meaning = failure(error, target)
    if isinstance(meaning, DiskFull):
        return Unavailable(
            f"no backup was made: there is no space left for {target}; nothing of it was left there",
            {"reason": "disk_full", "path": str(target)},
        )
    if isinstance(error, OSError):
        return Unavailable(f"no backup was made: {error.filename or target}: {error.strerror}", {"path": str(target)})
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(str(error))
    return Unavailable(f"no backup was made: the database: {error}", {"path": str(target)})


def _damaged(what: str) -> Unavailable:
    return Unavailable(
        f"the database is damaged ({what}) and a backup of it could not be restored: "
        "stop the host and run trunnion doctor --repair"
    )
