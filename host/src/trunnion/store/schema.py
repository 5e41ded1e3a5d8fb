"""The tables, and how older data becomes newer: an ordered list of functions, one transaction each.

``PRAGMA user_version`` holds how many of them a file has seen. A file that has seen more than this
version knows is refused before anything is written.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from trunnion.model.errors import IncompatibleData, Unavailable
from trunnion.store.files import sync_file

APPLICATION_ID = 0x54524E4E
"""Marks a database as ours, in the header field SQLite reserves for it."""

Migration: TypeAlias = Callable[[sqlite3.Connection], None]
"""Brings the tables one version further. Runs inside a transaction: ``execute``, never ``executescript``."""

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE commands (num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
    "CREATE TABLE callers (num INTEGER PRIMARY KEY, principal TEXT NOT NULL, source TEXT NOT NULL)",
    "CREATE TABLE live (num INTEGER PRIMARY KEY, doc BLOB NOT NULL, sealed BLOB)",
    "CREATE TABLE runs (num INTEGER PRIMARY KEY, id TEXT NOT NULL, command INTEGER NOT NULL, caller INTEGER NOT NULL,"
    " status TEXT NOT NULL, created INTEGER NOT NULL, finished INTEGER NOT NULL, session TEXT, parent TEXT,"
    " last INTEGER NOT NULL, crc INTEGER NOT NULL, doc BLOB NOT NULL)",
    "CREATE UNIQUE INDEX runs_id ON runs (id)",
    "CREATE INDEX runs_command ON runs (command)",
    "CREATE INDEX runs_caller ON runs (caller)",
    "CREATE INDEX runs_status ON runs (status) WHERE status <> 'succeeded'",
    "CREATE INDEX runs_failures ON runs (command, status) WHERE status <> 'succeeded'",
    "CREATE INDEX runs_session ON runs (session) WHERE session IS NOT NULL",
    "CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL",
    "CREATE TABLE marks (last INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL)",
    "CREATE TABLE keys (principal TEXT NOT NULL, key TEXT NOT NULL, run_id TEXT NOT NULL, command_id TEXT NOT NULL,"
    " args_digest TEXT NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (principal, key)) WITHOUT ROWID",
    "CREATE TABLE streams (num INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE chunks (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, ts INTEGER NOT NULL, codec INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX chunks_stream ON chunks (stream, first)",
    "CREATE TABLE observers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE artifacts (id TEXT PRIMARY KEY, run_id TEXT NOT NULL, size INTEGER NOT NULL, doc BLOB NOT NULL)",
    "CREATE INDEX artifacts_run ON artifacts (run_id)",
    "CREATE TABLE doomed (run_id TEXT PRIMARY KEY) WITHOUT ROWID",
)
"""Version 1.

Ended runs are indexed by small numbers that stand for a command and for a pair of principal and source;
every index ends in the run's number by itself, so each yields runs in order. ``marks`` says for each
block of consecutive runs when the earliest and the latest was created: it finds a time without an index
that every run would have to pay for. ``live`` has no index at all, the host knows its live runs.
``doomed`` lists runs whose files are still to be removed.
"""


def _create(connection: sqlite3.Connection) -> None:
    for statement in TABLES:
        connection.execute(statement)


def _add_documents(connection: sqlite3.Connection) -> None:
    """Version 2: plugins keep documents. Large values lie last, so that counting them reads no overflow page."""
    connection.execute(
        "CREATE TABLE documents (owner TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL,"
        " updated INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (owner, key)) WITHOUT ROWID"
    )


def _allow_smaller_events(connection: sqlite3.Connection) -> None:
    """Version 3: merged events may be lean (``chunks.LEAN``), and output files compressed. Older ones read neither."""


MIGRATIONS: tuple[Migration, ...] = (_create, _add_documents, _allow_smaller_events)

DOCUMENTS_SINCE = 2
"""The first version that has documents."""


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring an open database to the newest version.

    Data that was there before is first copied to ``<name>.v<version>.bak`` beside it. Killed at any
    moment, the file is at one of the versions, whole, and the next call goes on from there.

    Raises:
        IncompatibleData: a newer version wrote it.
        Unavailable: it is a database of something else.
    """
    version = check(connection, path, len(migrations))
    if 0 < version < len(migrations):
        _keep_backup(connection, path.with_name(f"{path.name}.v{version}.bak"))
    for number, step in enumerate(migrations[version:], start=version + 1):
        _step(connection, step, number)


def _step(connection: sqlite3.Connection, step: Migration, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        step(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check(connection: sqlite3.Connection, path: Path, newest: int = len(MIGRATIONS)) -> int:
    """The version of an open database, 0 for an empty one; writes nothing.

    Raises:
        IncompatibleData: a newer version wrote it.
        Unavailable: it is a database of something else.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        judge(path, version, owner, newest)
    return version


def judge(path: Path, version: int, owner: int, newest: int) -> None:
    """Refuse a file that another program or a newer version wrote.

    Raises:
        IncompatibleData: a newer version wrote it.
        Unavailable: it is a database of something else.
    """
    if owner != APPLICATION_ID:
        raise Unavailable(f"{path} is a database of another program; choose another data directory or move the file")
    if version > newest:
        raise IncompatibleData(
            f"{path} has data version {version}, this Trunnion knows up to {newest}; nothing was changed."
            " Start the newer version, or restore a backup made before the upgrade",
            {"path": str(path), "version": version, "newest": newest},
        )


def _keep_backup(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the database; the copy gets its name only when it is whole and on the disk."""
    if target.exists():
        return
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(partial)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    sync_file(partial)
    partial.replace(target)
    sync_file(target.parent)
