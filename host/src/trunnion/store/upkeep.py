"""What a helper thread does for a database between commits: checkpoints, merging of chunks, old keys."""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from trunnion.model.errors import Unavailable
from trunnion.store import chunks
from trunnion.store.connections import Pool, connect_writer
from trunnion.store.database import Database
from trunnion.store.output_packing import OutputPacker
from trunnion.store.outputs import unpacked
from trunnion.store.rows import Rows
from trunnion.store.state import number

CHECKPOINT_AFTER = 8192
"""Pages written, about, until the write-ahead log is folded into the file.

The first commit after that waits for the disk once (SQLite syncs the log's new header), so it is rare.
"""

LARGE_LOG = 32768
"""Pages in the log from which it is emptied while commits wait."""

READER_WAIT = 25
"""Milliseconds for which emptying the log, and with it commits, waits for readers: a backup reads for long."""

PASSES = 8
FEW_PAGES = 64
"""Folding in is repeated so often, or until so few pages are left; the log then starts over soon."""

MERGE_BYTES = 128 << 10
"""A merged chunk holds about so many bytes of JSON lines."""

MERGE_CHUNKS = 8
"""Fewer chunks than this are not worth merging when a run ends."""

SPARE_PAGES = 256
"""Unused pages that are kept in the file for what comes next."""

VACUUM_STEP = 64
"""Pages given back in one transaction."""

VACUUM_STEPS = 64
"""Transactions until the log is folded in."""

LONGEST_PAUSE = 0.05

IDLE = 5.0
"""Seconds until the thread looks for old keys by itself."""

_SMALL = (
    "SELECT position, first, last, ts, codec, data, crc FROM chunks WHERE stream = ? AND first > ? AND position <= ?"
    " ORDER BY first LIMIT 2000"
)
_Small = tuple[int, int, int, int, int, bytes, int]


class _SupersededError(Exception):
    """Retention removed what was to be merged."""


class Upkeep:
    """The helper thread.

    Args:
        database: what it looks after.
        pool: reading connections.
        oldest_key: keys made before this time (UTC µs) are no longer needed.
    """

    def __init__(self, database: Database, pool: Pool, oldest_key: Callable[[], int]) -> None:
        self._database = database
        self._pool = pool
        self._oldest_key = oldest_key
        self._connection: sqlite3.Connection | None = None
        self._dirty = 0
        self._full = False
        self._young: dict[int, int] = {}
        self._merged: dict[int, int] = {}
        self._due: deque[tuple[int, bool]] = deque()
        self._lagging: list[tuple[int, bool]] = []
        self._swept = ("", "")
        self._wake = threading.Event()
        self._stopping = False
        self._packer = OutputPacker(database.files.root)
        self._looked = False
        self._thread = threading.Thread(target=self._serve, name="trunnion-store-upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for what it is doing."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._packer.stop()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def wrote(self, rows: Rows) -> None:
        """Count what a commit wrote, and wake the thread when there is enough to do."""
        size = 0
        for row in rows.chunks:
            stream, amount = row[1], len(row[7])
            size += amount
            self._young[stream] = young = self._young.get(stream, 0) + max(amount, MERGE_BYTES // 256)
            if young >= MERGE_BYTES:
                self._young[stream] = 0
                self._due.append((stream, False))
        for document in rows.documents:
            size += len(document[4])
        for run in rows.runs:
            if self._young.pop(run[0], 0) >= MERGE_CHUNKS * (MERGE_BYTES // 256) or run[0] in self._merged:
                self._due.append((run[0], True))
        for run_id in rows.over:
            self._packer.add(run_id)
        self._dirty += 4 + len(rows.runs) + (size >> 12)
        if self._dirty >= CHECKPOINT_AFTER or self._due:
            self._wake.set()

    def disk_full(self) -> None:
        """A commit did not fit: give back what the write-ahead log holds."""
        self._full = True
        self._wake.set()

    def pruned(self, runs: int) -> None:
        """Count what retention removed."""
        self._dirty += 4 * runs
        self._wake.set()

    def _serve(self) -> None:
        while not self._stopping:
            idle = not self._wake.wait(IDLE)
            self._wake.clear()
            try:
                self.work(again=idle)
            except (sqlite3.Error, OSError, Unavailable):
                # A full or failing disk; commits report it, and the work is still there next time.
                self._wake.wait(IDLE)

    def work(self, *, again: bool) -> None:
        """Do what is due, once; with ``again`` also what had to wait for an observer."""
        if again:
            self._due.extend(self._lagging)
            self._lagging.clear()
            self._look_for_output()
        while self._due and not self._stopping:
            stream, ended = self._due.popleft()
            self._merge(stream, ended)
        self._sweep_keys()
        if self._dirty >= CHECKPOINT_AFTER or (again and self._dirty):
            self._dirty = 0
            if self._give_back_space():
                # The log is folded in between, or it would grow by all that is moved.
                self._dirty = CHECKPOINT_AFTER
                self._wake.set()
            self._checkpoint()
        if self._full:
            self._full = not self._empty_log()

    def _look_for_output(self) -> None:
        """Once after the start: have compressed what an earlier host left."""
        if self._looked:
            return
        self._looked = True
        for run_id in unpacked(self._database.files.root):
            with self._pool.reader() as connection:
                if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
                    self._packer.add(run_id)

    def _give_back_space(self) -> bool:
        """Shorten the file by some small steps if more than an eighth of it is unused; whether it still may be.

        Who commits has his turn between two steps.
        """
        for _ in range(VACUUM_STEPS):
            if self._stopping:
                break
            begun = time.monotonic()
            with self._database.transaction() as writer:
                unused, pages = number(writer, "PRAGMA freelist_count"), number(writer, "PRAGMA page_count")
                if unused <= max(SPARE_PAGES, pages // 8):
                    return False
                writer.execute(f"PRAGMA incremental_vacuum({VACUUM_STEP})").fetchall()
            time.sleep(min(time.monotonic() - begun, LONGEST_PAUSE))
        return True

    def _checkpoint(self) -> None:
        """Fold the log in beside running commits; each pass leaves what was written during the one before."""
        for _ in range(PASSES):
            _, pages, done = self._checkpointer().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages - done <= FEW_PAGES:
                break
        if pages > LARGE_LOG:
            self._empty_log()

    def _empty_log(self) -> bool:
        """Fold the log in and cut its file, which gives its space back; False if a reader still needs it."""
        connection = self._checkpointer()
        with self._database.lock:
            busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def _checkpointer(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect_writer(self._database.path, "NORMAL", second=True)
            self._connection.execute(f"PRAGMA busy_timeout = {READER_WAIT}")
        return self._connection

    def _sweep_keys(self) -> None:
        """Look at the next 200 keys and remove the old ones among them."""
        query = "SELECT principal, key, created FROM keys WHERE (principal, key) > (?, ?) ORDER BY 1, 2 LIMIT 200"
        with self._pool.reader() as connection:
            seen: list[tuple[str, str, int]] = connection.execute(query, self._swept).fetchall()
        self._swept = seen[-1][:2] if len(seen) == 200 else ("", "")
        limit = self._oldest_key()
        old = [(principal, key, limit) for principal, key, created in seen if created <= limit]
        if old:
            with self._database.transaction() as writer:
                writer.executemany("DELETE FROM keys WHERE principal = ? AND key = ? AND created <= ?", old)

    def _merge(self, stream: int, ended: bool) -> None:
        """Merge young chunks of a stream into large compressed ones, as far as observers have come.

        A damaged one stays as it is: merged, it would get a checksum that calls it whole.
        """
        after = self._merged.get(stream, 0)
        with self._pool.reader() as connection:
            bound = number(connection, "SELECT coalesce(min(position), 1 << 62) FROM observers")
            small: list[_Small] = connection.execute(_SMALL, (stream, after, bound)).fetchall()
            kept = number(connection, "SELECT count(*) FROM chunks WHERE stream = ? AND first > ?", stream, after)
        waiting = kept > len(small)
        group: list[_Small] = []
        for row in small:
            if zlib.crc32(row[5]) != row[6]:
                self._replace(stream, group)
                group = []
                continue
            group.append(row)
            if sum(len(each[5]) for each in group) >= MERGE_BYTES:
                self._replace(stream, group)
                group = []
        if ended and waiting:
            self._lagging.append((stream, True))
        elif ended:
            self._replace(stream, group)
            self._merged.pop(stream, None)

    def _replace(self, stream: int, group: list[_Small]) -> None:
        """Put one chunk in the place of several, unless retention was there first.

        It keeps the last one's position: observers that have come so far need none of it again.
        """
        if not group:
            return
        position, first, last, ts = group[-1][0], group[0][1], group[-1][2], group[-1][3]
        codec, data = chunks.merged([(row[4], row[5]) for row in group])
        with suppress(_SupersededError), self._database.transaction() as writer:
            where = "stream = ? AND first BETWEEN ? AND ?"
            gone = writer.execute(f"DELETE FROM chunks WHERE {where}", (stream, first, last)).rowcount  # noqa: S608
            if gone != len(group):
                raise _SupersededError
            merged = (position, stream, first, last, ts, codec, zlib.crc32(data), data)
            writer.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", merged)
        self._merged[stream] = last
