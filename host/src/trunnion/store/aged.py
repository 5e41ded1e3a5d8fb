"""What retention reads: ended runs from the oldest on, what is kept with them, and old events of other streams."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from trunnion.store.base import Ended, OldEvents, Weight
from trunnion.store.connections import Pool
from trunnion.store.files import RunFiles
from trunnion.store.listing import MAX, spans
from trunnion.store.state import number

PAGE = 500

RUN = 200
"""Bytes a run takes in the database beside its record: its columns, and its place in each index."""

CHUNK = 60
"""The same for a chunk of events."""


def ended_pages(pool: Pool, before: int | None) -> Iterator[list[Ended]]:
    """Ended runs in order of number; see ``Store.ended``."""
    with pool.reader() as connection:
        # A run that ended before a time was created before it.
        ranges = spans(connection, None, before)
    for low, high in reversed(ranges):
        yield from _pages(pool, low, high, MAX if before is None else before)


def _pages(pool: Pool, low: int, high: int, before: int) -> Iterator[list[Ended]]:
    query = (
        "SELECT runs.num, runs.id, coalesce(commands.id, ''), finished FROM runs"
        " LEFT JOIN commands ON commands.num = command"
        " WHERE runs.num BETWEEN ? AND ? AND finished < ? ORDER BY runs.num LIMIT ?"
    )
    while True:
        with pool.reader() as connection:
            rows: list[tuple[int, str, str, int]] = connection.execute(query, (low, high, before, PAGE)).fetchall()
        if not rows:
            return
        low = rows[-1][0] + 1
        yield [Ended(*row) for row in rows]


def tally(connection: sqlite3.Connection) -> dict[str, int]:
    """Ended runs by command."""
    query = (
        "SELECT coalesce(commands.id, ''), amount FROM (SELECT command, count(*) AS amount FROM runs GROUP BY command)"
        " LEFT JOIN commands ON commands.num = command"
    )
    return dict(connection.execute(query).fetchall())


def weigh(connection: sqlite3.Connection, files: RunFiles, runs: Sequence[Ended]) -> list[Weight]:
    """What is kept with each run."""
    return [_weigh(connection, files, run) for run in runs]


def _weigh(connection: sqlite3.Connection, files: RunFiles, run: Ended) -> Weight:
    query = "SELECT coalesce(sum(last - first + 1), 0), coalesce(sum(length(data) + ?), 0) FROM chunks WHERE stream = ?"
    events, size = connection.execute(query, (CHUNK, run.num)).fetchone()
    record = number(connection, "SELECT coalesce(max(length(doc)), 0) FROM runs WHERE num = ?", run.num)
    return Weight(events, size + record + RUN, files.size(run.id))


def used(connection: sqlite3.Connection) -> int:
    """Bytes of the database that are in use."""
    pages = number(connection, "PRAGMA page_count") - number(connection, "PRAGMA freelist_count")
    return pages * number(connection, "PRAGMA page_size")


def old_events(pool: Pool, before: int) -> Iterator[OldEvents]:
    """See ``Store.old_events``; a page of chunks at a time."""
    with pool.reader() as connection:
        streams: list[tuple[int, str]] = connection.execute("SELECT num, name FROM streams").fetchall()
    for stream, name in streams:
        last = 0
        while chunks := _old_chunks(pool, stream, last, before):
            last = chunks[-1][1]
            events = sum(chunk[1] - chunk[0] + 1 for chunk in chunks)
            yield OldEvents(name, last, events, sum(chunk[2] for chunk in chunks))


def _old_chunks(pool: Pool, stream: int, after: int, before: int) -> list[tuple[int, int, int]]:
    """The oldest chunks of a stream, up to the first that is young."""
    query = "SELECT first, last, length(data), ts FROM chunks WHERE stream = ? AND first > ? ORDER BY first LIMIT 100"
    with pool.reader() as connection:
        rows: list[tuple[int, int, int, int]] = connection.execute(query, (stream, after)).fetchall()
    young = next((i for i, row in enumerate(rows) if row[3] >= before), len(rows))
    return [row[:3] for row in rows[:young]]
