"""A new database of what can still be read of one whose tables are damaged.

Rows are read from both ends of a table up to what cannot be read, and those in between one by one, by the keys that
the indexes know. So what is lost is known too. A damaged page may also give rows that nobody wrote: only those are
taken that fit their checksum, or at least are what such a row can be.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from trunnion.model.runs import ArtifactInfo, Run
from trunnion.store.schema import migrate

MAGIC = b"SQLite format 3\0"
"""The first bytes of a database (sqlite.org/fileformat.html)."""

_SIZES = struct.Struct(">16xH10xI")
"""In the first bytes of a database: the size of a page (1 for 65536), and how many there are."""

LONGEST = 1 << 40
"""Bytes beyond which a first page is not believed; empty pages take no room on the disk."""

Row: TypeAlias = "tuple[Any, ...]"


_run = msgspec.json.Decoder(Run)
_artifact = msgspec.json.Decoder(ArtifactInfo)


def _is_run(row: Row) -> bool:
    run = _run.decode(row[11])
    return zlib.crc32(row[11]) == row[10] and (run.num, run.id, run.status) == (row[0], row[1], row[4])


def _is_artifact(row: Row) -> bool:
    info = _artifact.decode(row[3])
    return (info.id, info.run_id, info.size) == row[:3]


def _has(*kinds: type) -> Callable[[Row], bool]:
    return lambda row: all(type(value) is kind for value, kind in zip(row, kinds, strict=True))


class _Table(NamedTuple):
    """One table: the columns of its key, what a row of it is, and the indexes that know the number of each row."""

    name: str
    key: str
    proves: Callable[[Row], bool]
    indexes: tuple[str, ...] = ()


_TABLES = (
    _Table("meta", "key", _has(str, int)),
    _Table("commands", "num", _has(int, str), ("sqlite_autoindex_commands_1",)),
    _Table("callers", "num", _has(int, str, str)),
    _Table("streams", "num", _has(int, str, int), ("sqlite_autoindex_streams_1",)),
    _Table("live", "num", lambda row: _run.decode(row[1]).num == row[0]),
    _Table("runs", "num", _is_run, ("runs_id", "runs_command", "runs_caller")),
    _Table("marks", "last", _has(int, int, int)),
    _Table("keys", "principal, key", _has(str, str, str, str, str, int)),
    _Table("chunks", "position", lambda row: zlib.crc32(row[7]) == row[6], ("chunks_stream",)),
    _Table("observers", "name", _has(str, int)),
    _Table("artifacts", "rowid", _is_artifact, ("sqlite_autoindex_artifacts_1", "artifacts_run")),
    _Table("doomed", "run_id", _has(str)),
    _Table("documents", "owner, key", lambda row: _has(str, str, int, int, bytes)(row) and _is_json(row[4])),
)


def _is_json(data: bytes) -> bool:
    msgspec.json.decode(data)
    return True


def _is_what_it_says(table: _Table, row: Row) -> bool:
    try:
        return table.proves(row)
    except (TypeError, ValueError):
        return False


def salvage(path: Path, fresh: Path) -> list[str]:
    """Write a new database with everything that can be read of a damaged one, which is left as it is.

    Args:
        path: the damaged one; its log is read with it.
        fresh: where the new one goes; an empty file, or none.

    Returns:
        A sentence for each table that lost something.

    Raises:
        sqlite3.Error, OSError: the new one cannot be written.
    """
    work = path.with_name(path.name + ".salvage")
    try:
        _copy(path, work)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as target:
            target.execute("PRAGMA auto_vacuum = INCREMENTAL")
            migrate(target, fresh)
            with closing(sqlite3.connect(work, isolation_level=None)) as source:
                return _filled(source, target)
    finally:
        for suffix in ("", "-wal", "-shm"):
            work.with_name(work.name + suffix).unlink(missing_ok=True)


def _copy(path: Path, work: Path) -> None:
    """With its log, the beginning that says what it is, and empty pages for those that are cut off.

    Without these nothing at all would be read of a file that is shorter than its first page says.
    """
    for suffix in ("", "-wal"):
        if path.with_name(path.name + suffix).exists():
            shutil.copyfile(path.with_name(path.name + suffix), work.with_name(work.name + suffix))
    with work.open("r+b") as file:
        file.write(MAGIC)
        file.seek(0)
        size, pages = _SIZES.unpack(file.read(_SIZES.size).ljust(_SIZES.size, b"\0"))
        length = (size if size > 1 else 65536) * pages
        if os.fstat(file.fileno()).st_size < length <= LONGEST:
            file.truncate(length)


def _filled(source: sqlite3.Connection, target: sqlite3.Connection) -> list[str]:
    lost = []
    target.execute("BEGIN")
    for table in _TABLES:
        if loss := _copied(source, target, table):
            lost.append(loss)
    _name_again(target)
    target.execute("COMMIT")
    return lost


def _copied(source: sqlite3.Connection, target: sqlite3.Connection, table: _Table) -> str:
    """Copy a table; what was lost of it, in a sentence."""
    columns = 0
    with suppress(sqlite3.DatabaseError):
        columns = len(source.execute(f"PRAGMA table_info({table.name})").fetchall())
    if not columns:
        return f"nothing of the table {table.name} can be read"
    insert = f"INSERT OR IGNORE INTO {table.name} VALUES ({', '.join('?' * columns)})"  # noqa: S608
    seen: set[object] = set()
    is_whole = True
    for order in ("", " DESC"):
        try:
            for key, *row in _rows(source, table, order):
                if _is_what_it_says(table, tuple(row)):
                    seen.add(key)
                    target.execute(insert, row)
                else:
                    is_whole = False
            break
        except sqlite3.DatabaseError:
            is_whole = False
    if is_whole:
        return ""
    known = _known(source, table)
    for key in known - seen:
        with suppress(sqlite3.DatabaseError):
            for row in source.execute(f"SELECT * FROM {table.name} NOT INDEXED WHERE {table.key} = ?", (key,)):  # noqa: S608
                if _is_what_it_says(table, row):
                    target.execute(insert, row)
                    seen.add(key)
    number = len(known - seen)
    return f"of the table {table.name} {f'{number} rows' if number else 'rows'} are lost"


def _rows(source: sqlite3.Connection, table: _Table, order: str) -> Iterator[Row]:
    """The key, then the row. Backwards, every column of a key has to be."""
    by = ", ".join(f"{column}{order}" for column in table.key.split(", "))
    first = table.key.partition(",")[0]
    yield from source.execute(f"SELECT {first}, * FROM {table.name} NOT INDEXED ORDER BY {by}")  # noqa: S608


def _known(source: sqlite3.Connection, table: _Table) -> set[object]:
    """The numbers of rows that the indexes know, as far as they can be read."""
    found: set[object] = set()
    for index in table.indexes:
        with suppress(sqlite3.DatabaseError):
            query = f"SELECT {table.key} FROM {table.name} INDEXED BY {index}"  # noqa: S608
            found.update(key for (key,) in source.execute(query))
    return found


def _name_again(target: sqlite3.Connection) -> None:
    """Names of commands and callers that were lost with their tables are in the records of runs."""
    for command, caller, doc in target.execute("SELECT command, caller, doc FROM runs").fetchall():
        run = _run.decode(doc)
        target.execute("INSERT OR IGNORE INTO commands VALUES (?, ?)", (command, run.command_id))
        target.execute("INSERT OR IGNORE INTO callers VALUES (?, ?, ?)", (caller, run.principal, run.source))
