"""Opening SQLite: one connection that writes, a pool that reads, and what its errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from trunnion.model.errors import Unavailable
from trunnion.store.base import DiskFull

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT_INDEX})
_READ_FAULTS = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})


def connect_writer(path: Path, synchronous: Literal["NORMAL", "FULL"], *, second: bool = False) -> sqlite3.Connection:
    """Open for writing, creating the file with mode 0600; in WAL, without checkpoints of its own.

    A ``second`` connection to a file writes nothing when it is opened, so that a full disk does not keep
    it from folding the log in. The connection may be handed from thread to thread; who shares it holds a
    lock around it.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        if not second:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "wal_autocheckpoint = 0",
            "journal_size_limit = 67108864",
            "temp_store = MEMORY",
            "cache_size = -16384",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, mode: Literal["ro", "immutable"] = "ro") -> sqlite3.Connection:
    """Open for reading only. ``immutable`` also leaves no helper files, for a file nobody writes to."""
    option = "mode=ro" if mode == "ro" else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{option}", uri=True, isolation_level=None, check_same_thread=False, timeout=10.0
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


class Pool:
    """Reading connections, as many as there are readers at one moment; kept for the next.

    Args:
        connect: opens one more.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection for a few statements.

        Raises:
            Unavailable: the store was closed, or what was read is damaged.
        """
        if self._closed:
            raise Unavailable("the store is closed")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) in _DAMAGED:
                raise unavailable(error, _path_of(connection)) from error
            raise
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self._drop()

    def close(self) -> None:
        """Close every connection, those in use when they come back."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _path_of(connection: sqlite3.Connection) -> Path:
    row: tuple[int, str, str] = connection.execute("PRAGMA database_list").fetchone()
    return Path(row[2])


def failure(error: Exception, path: Path) -> Exception:
    """What a failed write means: ``DiskFull`` when the disk took no more, else the error itself.

    A file-size limit and some file systems say "I/O error" where others say "full", so every failed
    write counts as full; a failed read does not.
    """
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return DiskFull(f"{error.filename or path} could not be written: {os.strerror(error.errno or 0)}")
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.Error) and isinstance(code, int) and _is_full(code):
        return DiskFull(f"{path} could not be written: {error}")
    return error


def _is_full(code: int) -> bool:
    return code == sqlite3.SQLITE_FULL or (code & 0xFF == sqlite3.SQLITE_IOERR and code not in _READ_FAULTS)


def unavailable(error: Exception, path: Path) -> Unavailable:
    """Why a database could not be opened, as something to act on."""
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return Unavailable(
            f"{path} is damaged or no database ({error}); it was left as it is. With no host running,"
            " `trunnion doctor --repair` keeps a copy of it and saves what can be read; or restore a backup",
            {"path": str(path), "reason": "damaged"},
        )
    return Unavailable(f"{path} cannot be opened: {error}", {"path": str(path)})
