"""Removing ended runs with everything kept with them, in transactions small enough not to be felt.

Files go after the commit that forgot them; ``doomed`` remembers them until they are gone, so that a
crash in between leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from trunnion.store.base import PruneResult
from trunnion.store.database import Database
from trunnion.store.files import RunFiles
from trunnion.store.listing import MAX, spans
from trunnion.store.state import end_position, last_num, number

STEP = 200
"""Runs removed in one transaction."""

Doomed = tuple[int, str]


class Retention:
    """Prunes one database.

    Args:
        database: open for writing.
        removed: told how many runs went, after each transaction.
    """

    def __init__(self, database: Database, removed: Callable[[int], None]) -> None:
        self._database = database
        self._removed = removed

    def prune(self, older_than: int | None, keep: int | None, *, dry_run: bool) -> PruneResult:
        """Remove ended runs finished before a time (UTC µs) or beyond the newest ``keep``.

        Events of other streams go with their chunk when all of it is older than the time.
        """
        total = PruneResult(0, 0, 0)
        after = 0
        with self._database.lock:
            newest = _bounds(self._database.connection, older_than, keep)
        while found := self._next(after, newest, older_than):
            after = found[-1][0]
            total = _sum(total, self._measured(found) if dry_run else self._remove(found))
        if older_than is not None:
            total = _sum(total, self._prune_streams(older_than, dry_run=dry_run))
        return total

    def forget(self, run_id: str) -> bool:
        """Remove one ended run; False if there is none."""
        with self._database.lock:
            query = "SELECT num, id FROM runs WHERE id = ?"
            found: list[Doomed] = self._database.connection.execute(query, (run_id,)).fetchall()
        if found:
            self._remove(found)
        return bool(found)

    def finish_removals(self) -> None:
        """Remove the files a crash left of runs that were removed."""
        with self._database.lock:
            rows: list[tuple[str]] = self._database.connection.execute("SELECT run_id FROM doomed").fetchall()
        self._remove_files([run_id for (run_id,) in rows])

    def _next(self, after: int, bounds: tuple[int, int], older_than: int | None) -> list[Doomed]:
        """The next runs to remove above a number: up to ``bounds[0]`` all, up to ``bounds[1]`` the old ones."""
        query = (
            "SELECT num, id FROM runs WHERE num > ? AND (num <= ? OR (num <= ? AND finished < ?)) ORDER BY num LIMIT ?"
        )
        values = (after, *bounds, -1 if older_than is None else older_than, STEP)
        with self._database.lock:
            return self._database.connection.execute(query, values).fetchall()

    def _measured(self, found: Sequence[Doomed]) -> PruneResult:
        with self._database.lock:
            return _measure(self._database.connection, self._database.files, found)

    def _remove(self, found: Sequence[Doomed]) -> PruneResult:
        with self._database.transaction() as connection:
            result = _measure(connection, self._database.files, found)
            remove_rows(connection, found)
        self._remove_files([run_id for _, run_id in found])
        self._removed(len(found))
        return result

    def _remove_files(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            self._database.files.remove(run_id)
        if run_ids:
            with self._database.transaction() as connection:
                connection.executemany("DELETE FROM doomed WHERE run_id = ?", [(run_id,) for run_id in run_ids])

    def _prune_streams(self, older_than: int, *, dry_run: bool) -> PruneResult:
        with self._database.lock:
            rows: list[tuple[int]] = self._database.connection.execute("SELECT num FROM streams").fetchall()
        total = PruneResult(0, 0, 0)
        for (stream,) in rows:
            last = 0
            while found := self._old_chunks(stream, last, older_than):
                last = found[-1][1]
                events = sum(chunk[1] - chunk[0] + 1 for chunk in found)
                total = _sum(total, PruneResult(0, events, sum(chunk[2] for chunk in found)))
                if not dry_run:
                    self._cut(stream, last)
        return total

    def _old_chunks(self, stream: int, after: int, older_than: int) -> list[tuple[int, int, int]]:
        """The oldest chunks of a stream, up to the first that is young."""
        query = "SELECT first, last, length(data), ts FROM chunks WHERE stream = ? AND first > ? ORDER BY first LIMIT ?"
        with self._database.lock:
            rows: list[tuple[int, int, int, int]] = self._database.connection.execute(
                query, (stream, after, STEP)
            ).fetchall()
        young = next((i for i, row in enumerate(rows) if row[3] >= older_than), len(rows))
        return [row[:3] for row in rows[:young]]

    def _cut(self, stream: int, last: int) -> None:
        with self._database.transaction() as connection:
            _keep_counters(connection)
            connection.execute("UPDATE streams SET last = max(last, ?) WHERE num = ?", (last, stream))
            connection.execute("DELETE FROM chunks WHERE stream = ? AND last <= ?", (stream, last))


def _bounds(connection: sqlite3.Connection, older_than: int | None, keep: int | None) -> tuple[int, int]:
    """Run numbers up to which all ended runs go, and up to which some may be old enough."""
    beyond = 0
    if keep is not None:
        query = "SELECT coalesce((SELECT num FROM runs ORDER BY num DESC LIMIT 1 OFFSET ?), 0)"
        beyond = number(connection, query, max(0, keep))
    old = 0
    if older_than is not None:
        # A run that finished before a time was created before it.
        old = max((high for _, high in spans(connection, None, older_than + 1)), default=MAX)
    return beyond, old


def _measure(connection: sqlite3.Connection, files: RunFiles, found: Sequence[Doomed]) -> PruneResult:
    events = size = 0
    for num, run_id in found:
        row: tuple[int, int] = connection.execute(
            "SELECT coalesce(sum(last - first + 1), 0), coalesce(sum(length(data)), 0) FROM chunks WHERE stream = ?",
            (num,),
        ).fetchone()
        events += row[0]
        size += row[1] + files.size(run_id)
        size += number(connection, "SELECT length(doc) FROM runs WHERE num = ?", num)
    return PruneResult(len(found), events, size)


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


def _sum(one: PruneResult, other: PruneResult) -> PruneResult:
    return PruneResult(one.runs + other.runs, one.events + other.events, one.bytes + other.bytes)
