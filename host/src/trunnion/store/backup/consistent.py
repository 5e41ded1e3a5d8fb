"""The database as it was at one moment, copied while commits go on, and what it needs from the files beside it."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from trunnion.model.runs import ArtifactInfo
from trunnion.store import chunks
from trunnion.store.retention import remove_rows
from trunnion.store.state import number

STEP = 256
"""Pages copied at a time."""

_artifact = msgspec.json.Decoder(ArtifactInfo)
_OUTPUTS = """
    SELECT chunks.codec, chunks.crc, chunks.data,
      coalesce((SELECT id FROM runs WHERE num = chunks.stream),
               (SELECT CAST(doc AS TEXT) ->> 'id' FROM live WHERE num = chunks.stream))
    FROM chunks JOIN (SELECT stream, max(first) AS first FROM chunks WHERE codec & ? GROUP BY stream)
      AS newest ON newest.stream = chunks.stream AND newest.first = chunks.first
    ORDER BY chunks.stream
"""
_WHERE_RUN = (
    "SELECT num, id FROM runs WHERE id = ?1 UNION ALL SELECT num, ?1 FROM live WHERE CAST(doc AS TEXT) ->> 'id' = ?1"
)


class Output(NamedTuple):
    """The long output of a run: what the database refers to ends at ``size``, None if that cannot be told."""

    run_id: str
    size: int | None


class Frozen:
    """A private copy of the database as it is now.

    Args:
        reader: a connection of its own to the database.
        copy: where the copy goes; the file is made, for the owner alone.
        check: called between steps; raises what is to end the copying.

    Raises:
        sqlite3.Error: it cannot be read, or the copy cannot be written.
    """

    def __init__(self, reader: sqlite3.Connection, copy: Path, check: Callable[[], None]) -> None:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self._connection = sqlite3.connect(copy, isolation_level=None, check_same_thread=False)
        try:
            _copy(reader, self._connection, check)
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("PRAGMA synchronous = OFF")
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close it; the file stays."""
        self._connection.close()

    def problems(self) -> list[str]:
        """What is wrong with the copy's pages; empty when nothing is."""
        rows: list[tuple[str]] = self._connection.execute("PRAGMA quick_check(3)").fetchall()
        return [text for (text,) in rows if text != "ok"]

    def figures(self) -> tuple[int, int]:
        """The version of its tables, and how many runs it has."""
        query = "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM live)"
        return number(self._connection, "PRAGMA user_version"), number(self._connection, query)

    def artifacts(self) -> Iterator[ArtifactInfo]:
        """Every kept file on record; a record that cannot be read leads to none."""
        with closing(self._connection.execute("SELECT doc FROM artifacts ORDER BY rowid")) as rows:
            for (doc,) in rows:
                with suppress(msgspec.DecodeError):
                    yield _artifact.decode(doc)

    def outputs(self) -> Iterator[Output]:
        """Every run with long output. Text is appended, so the newest chunk says how much is needed."""
        with closing(self._connection.execute(_OUTPUTS, (chunks.SPANS,))) as rows:
            for codec, crc, data, run_id in rows:
                if run_id is not None:
                    yield Output(run_id, _needed(codec, crc, data))

    def drop(self, run_ids: set[str]) -> None:
        """Forget runs that retention removed after the copy was made."""
        found = [row for run_id in run_ids for row in self._connection.execute(_WHERE_RUN, (run_id,)).fetchall()]
        self._connection.execute("BEGIN")
        remove_rows(self._connection, found)
        self._connection.executemany("DELETE FROM live WHERE num = ?", [(num,) for num, _ in found])
        self._connection.execute("COMMIT")


def is_on_record(connection: sqlite3.Connection, run_id: str) -> bool:
    """Whether a database has a run, live or ended."""
    return connection.execute(_WHERE_RUN, (run_id,)).fetchone() is not None


def _copy(reader: sqlite3.Connection, copy: sqlite3.Connection, check: Callable[[], None]) -> None:
    """Copy in steps inside one reading transaction.

    Without it every commit of another connection would make the copying start over, and under load it would never end.
    """
    reader.execute("BEGIN")
    try:
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reader.backup(copy, pages=STEP, progress=lambda *_: check(), sleep=0.01)
    finally:
        with suppress(sqlite3.Error):
            reader.execute("ROLLBACK")


def _needed(codec: int, crc: int, data: bytes) -> int | None:
    try:
        events = chunks.decode(codec, crc, data)
    except (msgspec.DecodeError, UnicodeDecodeError, zlib.error):
        return None
    spans = [event.span for event in events or () if isinstance(event, chunks.SpannedEvent) and event.span is not None]
    return max((offset + length for offset, length in spans), default=None)
