"""Mending what a look at a store has found: after a copy of the database, and never without saying what is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from trunnion.model.errors import Unavailable
from trunnion.model.events import Event, gap_event, run_stream
from trunnion.store import chunks
from trunnion.store.check import examine
from trunnion.store.check_streams import unreadable
from trunnion.store.connections import connect_writer, failure
from trunnion.store.database import claim_writer
from trunnion.store.factory import database_path
from trunnion.store.files import OUTPUT, sync_file
from trunnion.store.history import damaged_run
from trunnion.store.replay import DAMAGED, LOST_TEXT
from trunnion.store.salvage import salvage
from trunnion.store.state import number, stream_name
from trunnion.store.trouble import Trouble

LOST = "lost+found"


class Repaired(msgspec.Struct, frozen=True):
    """What was done.

    Attributes:
        copy: the database as it was before.
        done: one sentence for each thing mended.
        left: what could not be mended.
    """

    copy: Path
    done: tuple[str, ...]
    left: tuple[Trouble, ...]


def repair(data_dir: Path, stamp: str) -> Repaired | None:
    """Mend what can be mended. The caller holds the data directory.

    Args:
        data_dir: the data directory, with a database.
        stamp: the time, as it is to be in the names of copies.

    Returns:
        What was done, or None if there was nothing to mend.

    Raises:
        Unavailable: another process still writes, or the disk takes no more; what was there before is in the copy.
    """
    path = database_path(data_dir)
    claim = claim_writer(path)
    try:
        found = list(examine(data_dir))
        if not any(trouble.mend for trouble in found):
            return None
        copy = _keep_copy(path, stamp)
        done = _Mending(data_dir, stamp).work(found)
        return Repaired(copy, tuple(done), tuple(examine(data_dir)))
    except (OSError, sqlite3.Error) as error:
        text = f"{path} could not be mended: {failure(error, path)}; restore a backup"
        raise Unavailable(text, {"path": str(path)}) from error
    finally:
        os.close(claim)


def _keep_copy(path: Path, stamp: str) -> Path:
    """The database with its log, byte by byte: a copy by way of the database might trip over what is damaged."""
    copy = path.with_name(f"{path.name}.before-repair-{stamp}")
    for suffix in ("", "-wal"):
        source, target = path.with_name(path.name + suffix), copy.with_name(copy.name + suffix)
        if source.exists():
            shutil.copyfile(source, target)
            target.chmod(0o600)
            sync_file(target)
    sync_file(path.parent)
    return copy


class _Mending:
    def __init__(self, data_dir: Path, stamp: str) -> None:
        self._data_dir = data_dir
        self._artifacts = data_dir / "artifacts"
        self._lost = data_dir / LOST / stamp

    def work(self, found: Sequence[Trouble]) -> list[str]:
        """Mend the pages first, since all else is found by them; then everything that is found after that."""
        done, path = [], database_path(self._data_dir)
        if any(trouble.kind == "pages" for trouble in found):
            done.append(_mend_pages(path))
            found = list(examine(self._data_dir))
        if done and any(trouble.kind == "pages" for trouble in found):
            # Pages may be whole, and one row in them be such that it cannot be read.
            done.append(_replaced(path, _salvaged))
            found = list(examine(self._data_dir))
        if any(trouble.kind == "pages" for trouble in found):
            # Rows that are found by way of a damaged page may not be what they seem.
            return done
        with closing(connect_writer(path, "FULL")) as connection:
            for trouble in found:
                if trouble.mend:
                    self._mend(connection, trouble)
                    done.append(f"{trouble.text}: {trouble.mend}")
        return done

    def _mend(self, connection: sqlite3.Connection, trouble: Trouble) -> None:
        if trouble.kind == "orphan":
            self._move(str(trouble.key))
            return
        how: dict[str, Callable[[sqlite3.Connection, int], None]] = {
            "run": _rewrite_run,
            "live": self._drop_live,
            "stream": self._drop_stream,
            "chunk": _cut,
            "text": self._cut_texts,
        }
        connection.execute("BEGIN IMMEDIATE")
        try:
            how[trouble.kind](connection, int(trouble.key))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _place(self, name: str) -> Path:
        target = self._lost / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return target

    def _move(self, name: str) -> None:
        (self._artifacts / name).rename(self._place(f"artifacts/{name}"))

    def _keep(self, name: str, data: bytes) -> None:
        target = self._place(name)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_file(target.parent)

    def _drop_live(self, connection: sqlite3.Connection, num: int) -> None:
        (doc,) = connection.execute("SELECT doc FROM live WHERE num = ?", (num,)).fetchone()
        self._keep(f"live-{num}.json", doc)
        connection.execute("DELETE FROM live WHERE num = ?", (num,))
        if connection.execute("SELECT 1 FROM runs WHERE num = ?", (num,)).fetchone() is None:
            self._drop_stream(connection, num)

    def _drop_stream(self, connection: sqlite3.Connection, number: int) -> None:
        query = "SELECT codec, crc, data FROM chunks WHERE stream = ? ORDER BY first"
        for codec, crc, data in connection.execute(query, (number,)).fetchall():
            readable = zlib.crc32(data) == crc
            self._keep(f"stream-{number}.jsonl", chunks.inflate(codec, data) if readable else data)
        connection.execute("DELETE FROM chunks WHERE stream = ?", (number,))

    def _cut_texts(self, connection: sqlite3.Connection, position: int) -> None:
        codec, crc, data, number = connection.execute(
            "SELECT codec, crc, data, stream FROM chunks WHERE position = ?", (position,)
        ).fetchone()
        events = list(chunks.decode(codec, crc, data) or ())
        run_id = stream_name(connection, number).removeprefix(run_stream(""))
        lost = {event.seq for event in unreadable(self._artifacts / run_id / OUTPUT, events)}
        kept = [_gap(event.stream, event.seq, event.ts, LOST_TEXT) if event.seq in lost else event for event in events]
        _put(connection, position, kept, codec & chunks.SPANS)


def _mend_pages(path: Path) -> str:
    """Make the indexes anew in their place, or, where even that fails, the whole file from its tables."""
    with suppress(sqlite3.DatabaseError), closing(connect_writer(path, "FULL")) as connection:
        with suppress(sqlite3.DatabaseError):
            connection.execute("REINDEX")
            if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok":
                return "the indexes were made anew; nothing is lost"
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return _replaced(path, _written_anew)


def _replaced(path: Path, write: Callable[[Path, Path], str]) -> str:
    """Put a new database in the place of one; what ``write`` says of it."""
    fresh = path.with_name(path.name + ".anew")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        done = write(path, fresh)
        # A log that belonged to the old file must not be folded into the new one.
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        fresh.replace(path)
        sync_file(path.parent)
        return done
    finally:
        fresh.unlink(missing_ok=True)


def _written_anew(path: Path, fresh: Path) -> str:
    try:
        _write_anew(path, fresh)
    except sqlite3.DatabaseError:
        fresh.unlink()
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        return _salvaged(path, fresh)
    return "the database was written anew from its tables; what the check names after this is what was lost"


def _salvaged(path: Path, fresh: Path) -> str:
    lost = salvage(path, fresh)
    sync_file(fresh)
    return "; ".join(["the database was written anew from what can be read of its tables", *lost])


def _write_anew(path: Path, fresh: Path) -> None:
    """Copy every table without looking at an index; ``VACUUM`` would copy the indexes too, damage and all."""
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("ATTACH ? AS damaged", (str(path),))
        query = "SELECT type, name, sql FROM damaged.sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'index', rowid"
        parts: list[tuple[str, str, str]] = connection.execute(query).fetchall()
        connection.execute("BEGIN")
        for kind, name, sql in parts:
            connection.execute(sql)
            if kind == "table":
                connection.execute(f'INSERT INTO main."{name}" SELECT * FROM damaged."{name}" NOT INDEXED WHERE 1')  # noqa: S608
        for pragma in ("user_version", "application_id"):
            value = number(connection, f"PRAGMA damaged.{pragma}")
            connection.execute(f"PRAGMA main.{pragma} = {value}")
        connection.execute("COMMIT")
    sync_file(fresh)


def _rewrite_run(connection: sqlite3.Connection, num: int) -> None:
    doc = msgspec.json.encode(damaged_run(connection, num))
    connection.execute("UPDATE runs SET doc = ?, crc = ? WHERE num = ?", (doc, zlib.crc32(doc), num))


def _cut(connection: sqlite3.Connection, position: int) -> None:
    """Put an explicit gap in the place of each event, so that the numbers go on without one."""
    number, first, last, ts = connection.execute(
        "SELECT stream, first, last, ts FROM chunks WHERE position = ?", (position,)
    ).fetchone()
    stream = stream_name(connection, number)
    _put(connection, position, [_gap(stream, seq, ts, DAMAGED) for seq in range(first, last + 1)], 0)


def _gap(stream: str, seq: int, ts: int, why: str) -> Event:
    return gap_event(stream, seq, seq, ts, why)


def _put(connection: sqlite3.Connection, position: int, events: Sequence[Event], flags: int) -> None:
    data = chunks.deflate(chunks.encode(events))
    connection.execute(
        "UPDATE chunks SET codec = ?, crc = ?, data = ? WHERE position = ?",
        (chunks.COMPRESSED | flags, zlib.crc32(data), data, position),
    )
