"""The writing side: one connection, one transaction per commit, and the upkeep between commits.

The connection is shared by the thread that commits and a helper thread; a lock keeps their transactions
apart. Everything the helper does under the lock is small, so that a commit never waits long.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from trunnion.model.errors import Unavailable
from trunnion.store import rows as prepared
from trunnion.store.base import DiskFull
from trunnion.store.connections import connect_writer, failure, unavailable
from trunnion.store.files import RunFiles, ballast_of, sync_file
from trunnion.store.rows import Rows
from trunnion.store.schema import MIGRATIONS, Migration, migrate
from trunnion.store.snapshot import refuse_newer
from trunnion.store.state import end_position

WRITER_TIMEOUT = 10.0
"""Seconds to wait for the writer of a host that was killed to finish its last commit."""


class Database:
    """A database open for writing.

    Args:
        path: the SQLite file; its directory exists.
        files: where long output and kept files go.
        synchronous: ``NORMAL`` survives the death of the process, ``FULL`` the loss of power.
        migrations: see ``schema``.
    """

    def __init__(
        self,
        path: Path,
        files: RunFiles,
        synchronous: Literal["NORMAL", "FULL"],
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        self.path = path
        self.files = files
        self.ballast = ballast_of(path)
        self.lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._claim = -1
        self._synchronous = synchronous
        self._migrations = migrations

    @property
    def connection(self) -> sqlite3.Connection:
        """The writing connection; hold ``lock`` while using it."""
        if self._connection is None:
            raise sqlite3.ProgrammingError("the store is not open")
        return self._connection

    def open(self) -> None:
        """Open or create, migrate.

        Raises:
            IncompatibleData: a newer version wrote it; nothing was touched.
            Unavailable: it cannot be opened.
        """
        try:
            refuse_newer(self.path, len(self._migrations))
            self._claim = claim_writer(self.path)
            self._connection = self._opened_with_little_space()
            if self._synchronous == "FULL":
                self._keep_name()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise unavailable(error, self.path) from error
        except BaseException:
            self.close()
            raise

    def _opened_with_little_space(self) -> sqlite3.Connection:
        """Even opening takes space; on a full disk it is the reserve's, and what the log holds is given back."""
        try:
            return self._opened()
        except sqlite3.Error as error:
            if not isinstance(failure(error, self.path), DiskFull) or not self.ballast.release():
                raise
        connection = self._opened()
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return connection

    def _keep_name(self) -> None:
        """Have the file's name on the disk, and those of the folders that may be as new: what is in it needs them."""
        for folder in list(self.path.absolute().parents)[:3]:
            with suppress(PermissionError):
                sync_file(folder)

    def _opened(self) -> sqlite3.Connection:
        connection = connect_writer(self.path, self._synchronous)
        try:
            migrate(connection, self.path, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close; the last one to close folds the write-ahead log into the file."""
        self.files.close()
        if self._connection is not None:
            with self.lock:
                self._connection.close()
                self._connection = None
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1

    def write(self, rows: Rows) -> None:
        """Commit the rows of a batch as one transaction, after the output they refer to.

        Raises:
            DiskFull: nothing was kept and a smaller commit may succeed.
            sqlite3.Error: nothing was kept.
        """
        try:
            if rows.spills:
                self.files.write(rows.spills)
            if rows.artifacts:
                self.files.settle((run_id, artifact_id) for artifact_id, run_id, _, _ in rows.artifacts)
            with self.transaction() as connection:
                prepared.apply(connection, rows)
        except (sqlite3.Error, OSError) as error:
            raise failure(error, self.path) from error
        self.end_outputs(rows)

    def end_outputs(self, rows: Rows) -> None:
        """Close the output files of runs that ended."""
        for run_id in rows.over:
            self.files.end(run_id)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction under the lock: committed at the end, rolled back on any exception."""
        with self.lock:
            connection = self.connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def observer_position(self, name: str) -> int:
        """The stored position of an observer; a new one is stored at the present end."""
        with self.transaction() as connection:
            query = "SELECT position FROM observers WHERE name = ?"
            row: tuple[int] | None = connection.execute(query, (name,)).fetchone()
            if row is None:
                row = (end_position(connection),)
                connection.execute("INSERT INTO observers VALUES (?, ?)", (name, *row))
        return row[0]


def claim_writer(database: Path) -> int:
    """Become the one process that writes; waits for the writer of a dead host to end.

    A record lock and not ``flock``: children that inherit the descriptor do not hold it.

    Returns:
        The descriptor that holds the claim; closing it gives it up.

    Raises:
        Unavailable: another process goes on writing.
    """
    path = database.with_name("writer.lock")
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + WRITER_TIMEOUT
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except (BlockingIOError, PermissionError):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Unavailable(f"another process still writes to {path.parent}; end it first") from None
        time.sleep(0.01)
