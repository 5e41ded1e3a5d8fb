"""Removing ended runs with everything kept with them, in transactions small enough not to be felt.

Files go after the commit that forgot them; ``doomed`` remembers a run from the first transaction that takes
something of it until all of it is gone, so that a crash in between leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from trunnion.store.database import Database
from trunnion.store.state import end_position, last_num, number, stream_number

SMALL = 1 << 20
"""Bytes of events that go together with their run; more go before it, so many at a time."""

CHUNKS = 16
"""Chunks that go in one transaction, of a run with many."""

LONGEST_PAUSE = 0.05

Doomed = tuple[int, str]


class Retention:
    """Removes from one database.

    Args:
        database: open for writing.
        removed: told how many runs went, after each transaction.
    """

    def __init__(self, database: Database, removed: Callable[[int], None]) -> None:
        self._database = database
        self._removed = removed

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove some ended runs; how many there were. They are few, for they go in one transaction."""
        found = self._found(run_ids)
        for run in found:
            self._lighten(run)
        if found:
            with self._step() as connection:
                remove_rows(connection, found)
            self._remove_files([run_id for _, run_id in found])
            self._removed(len(found))
        return len(found)

    def cut(self, stream: str, last: int) -> None:
        """Remove the events of a stream that is no run's, up to a number; its chunks end there."""
        with self._step() as connection:
            num = stream_number(connection, stream)
            _keep_counters(connection)
            connection.execute("UPDATE streams SET last = max(last, ?) WHERE num = ?", (last, num))
            connection.execute("DELETE FROM chunks WHERE stream = ? AND last <= ?", (num, last))

    def finish_removals(self) -> None:
        """Remove what a crash left of runs that were being removed."""
        with self._database.lock:
            rows: list[tuple[str]] = self._database.connection.execute("SELECT run_id FROM doomed").fetchall()
        run_ids = [run_id for (run_id,) in rows]
        self.remove(run_ids)
        self._remove_files(run_ids)

    def _found(self, run_ids: Sequence[str]) -> list[Doomed]:
        query = f"SELECT num, id FROM runs WHERE id IN ({', '.join('?' * len(run_ids))})"  # noqa: S608
        with self._database.lock:
            return self._database.connection.execute(query, run_ids).fetchall()

    def _lighten(self, run: Doomed) -> None:
        """Of a run with much output remove events first, from the beginning; who reads meanwhile is shown a gap."""
        num, run_id = run
        query = "SELECT coalesce(sum(length(data)), 0) FROM chunks WHERE stream = ?"
        with self._database.lock:
            size = number(self._database.connection, query, num)
        first = (
            "DELETE FROM chunks WHERE position IN (SELECT position FROM chunks WHERE stream = ? ORDER BY first LIMIT ?)"
        )
        gone = CHUNKS if size > SMALL else 0
        while gone == CHUNKS:
            with self._step() as connection:
                connection.execute("INSERT OR IGNORE INTO doomed VALUES (?)", (run_id,))
                _keep_counters(connection)
                gone = connection.execute(first, (num, CHUNKS)).rowcount

    def _remove_files(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            self._database.files.remove(run_id)
        if run_ids:
            with self._database.transaction() as connection:
                connection.executemany("DELETE FROM doomed WHERE run_id = ?", [(run_id,) for run_id in run_ids])

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        """One transaction, and as long a pause after it, in which whoever waits to commit has his turn."""
        begun = time.monotonic()
        with self._database.transaction() as connection:
            yield connection
        time.sleep(min(time.monotonic() - begun, LONGEST_PAUSE))


def remove_rows(connection: sqlite3.Connection, found: Sequence[Doomed]) -> None:
    """Forget ended runs, and remember that their files are still to go."""
    nums, ids = [(num,) for num, _ in found], [(run_id,) for _, run_id in found]
    _keep_counters(connection)
    connection.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", ids)
    connection.executemany("DELETE FROM runs WHERE num = ?", nums)
    connection.executemany("DELETE FROM chunks WHERE stream = ?", nums)
    connection.executemany("DELETE FROM artifacts WHERE run_id = ?", ids)
    connection.execute("DELETE FROM marks WHERE last < (SELECT min(num) FROM runs)")


def _keep_counters(connection: sqlite3.Connection) -> None:
    """Remember the highest run number and position, before the rows that show them may go."""
    for key, value in (("num", last_num(connection)), ("position", end_position(connection))):
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
