"""Looking at a database without opening it for writing: before a start, and while no host runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from trunnion.store.connections import connect_reader
from trunnion.store.schema import MIGRATIONS, judge

_WAL_HEADER = 32
_FRAME_HEADER = 24
_HEADER = 100


class Snapshot:
    """Reads a database that no host has open, and leaves what it holds as it is.

    After a clean end there is only the database itself; after a crash the write-ahead log beside it
    holds the newest commits. SQLite can read that pair only where it may keep its shared index; on a
    read-only disk it is read from a private copy.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copy: str | None = None

    def connect(self) -> sqlite3.Connection:
        """Open one more reading connection.

        Raises:
            sqlite3.Error: it cannot be read.
        """
        if self._copy is not None:
            return connect_reader(Path(self._copy, self.path.name))
        log = _log_of(self.path)
        if not (log.exists() and log.stat().st_size):
            return connect_reader(self.path, "immutable")
        try:
            return _proven(connect_reader(self.path))
        except sqlite3.OperationalError:
            return self._from_copy(log)

    def close(self) -> None:
        """Remove the copy, if one was made."""
        if self._copy is not None:
            shutil.rmtree(self._copy)
            self._copy = None

    def _from_copy(self, log: Path) -> sqlite3.Connection:
        self._copy = tempfile.mkdtemp(prefix="trunnion-read-")
        for source in (self.path, log):
            shutil.copyfile(source, Path(self._copy, source.name))
        return connect_reader(Path(self._copy, self.path.name))


def _proven(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_newer(path: Path, newest: int = len(MIGRATIONS)) -> None:
    """Look at the version of a database without changing a byte of it or beside it.

    Opening it to ask would already fold a write-ahead log into it, so the header is read as it lies on
    the disk: the newest copy of page 1 is in the log, or else in the file (SQLite file format, 1.3 and 4.1).

    Raises:
        IncompatibleData: a newer version wrote it.
        Unavailable: it is a database of something else.
    """
    header = _header_in_log(_log_of(path)) or _header_in_file(path)
    # Without a schema there is nothing of anybody's in it: a start that was killed left it.
    if header.startswith(b"SQLite format 3\0") and len(header) == _HEADER and header[40:44] != bytes(4):
        judge(path, int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big"), newest)


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _header_in_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEADER)
    except FileNotFoundError:
        return b""


def _header_in_log(log: Path) -> bytes:
    """The last committed page 1 in the log's present round, which the frames' salt tells."""
    found = newest = b""
    try:
        with log.open("rb") as file:
            start = file.read(_WAL_HEADER)
            page, salt = int.from_bytes(start[8:12], "big"), start[16:24]
            while len(frame := file.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salt:
                head = file.read(_HEADER)
                file.seek(page - len(head), os.SEEK_CUR)
                if int.from_bytes(frame[:4], "big") == 1:
                    newest = head
                if frame[4:8] != bytes(4):  # the last frame of a transaction
                    found = newest
    except FileNotFoundError:
        return b""
    return found
