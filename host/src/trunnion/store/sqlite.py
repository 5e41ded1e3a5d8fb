"""The store on SQLite: commits on the caller's thread, everything slow in a helper thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from trunnion.model.errors import Unavailable
from trunnion.model.events import RUN_STREAM
from trunnion.model.json import Json
from trunnion.model.runs import Run
from trunnion.store.base import Batch, DiskFull, Done, LiveRun
from trunnion.store.connections import Pool, connect_reader, failure, unavailable
from trunnion.store.database import Database
from trunnion.store.files import RunFiles
from trunnion.store.history import History
from trunnion.store.retention import Retention
from trunnion.store.rows import Block, State, prepare
from trunnion.store.schema import MIGRATIONS, Migration
from trunnion.store.state import KEY_LIFE, last_num, last_of, live_runs, load_state, number, stream_number
from trunnion.store.upkeep import Upkeep


class SqliteStore(History):
    """Runs, events and what is kept with them in one SQLite database and a folder of files.

    ``commit`` writes on the calling thread and calls ``done`` before it returns. ``prune`` and
    ``forget`` take a while and belong in a thread.

    Args:
        path: the database; its directory exists.
        artifacts: the folder for kept files and long output.
        clock: UTC µs.
        durability: ``process`` survives the death of the process, ``power`` also the loss of power
            (each commit then waits for the disk).
        migrations: see ``schema``.
    """

    def __init__(
        self,
        path: Path,
        *,
        artifacts: Path,
        clock: Callable[[], int],
        durability: Literal["process", "power"] = "process",
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        files = RunFiles(artifacts, sync=durability == "power")
        self._running: dict[str, Run] = {}
        super().__init__(Pool(lambda: connect_reader(path)), files, clock, self._running)
        self.path = path
        self.durability = durability
        self._database = Database(path, files, "FULL" if durability == "power" else "NORMAL", migrations)
        self._upkeep = Upkeep(self._database, self._pool, lambda: clock() - KEY_LIFE)
        self._retention = Retention(self._database, self._upkeep.pruned)
        self._ballast = self._database.ballast
        self._state = State(0, Block(0))
        self._position = self._num = 0
        self._observers: dict[str, int] = {}
        self._moved: set[str] = set()

    def open(self) -> None:
        """Open or create; migrate older data.

        Raises:
            IncompatibleData: written by a newer version; nothing was touched.
            Unavailable: cannot be opened; the message names the path and the reason.
        """
        self._database.open()
        try:
            self._load()
        except (sqlite3.Error, OSError) as error:
            self._database.close()
            raise unavailable(error, self.path) from error
        self._upkeep.start()

    def _load(self) -> None:
        connection = self._database.connection
        self._state = load_state(connection, self._files)
        self._num, self._position = last_num(connection), self._state.position
        self._running.update((entry.run.id, entry.run) for entry in live_runs(connection))
        self._observers = dict(connection.execute("SELECT name, position FROM observers").fetchall())
        self._retention.finish_removals()
        self._ballast.restore()

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        self._upkeep.stop()
        if self._moved:
            self.commit(Batch(), lambda error: None)
        self._pool.close()
        self._database.close()

    def commit(self, batch: Batch, done: Done) -> None:
        """Commit atomically, then call ``done`` before returning.

        ``done(DiskFull)`` means that nothing of the batch was kept and a smaller one may succeed.
        """
        try:
            rows = prepare(self._state, batch)
            if self._moved:
                rows.observers = [(self._observers[name], name) for name in self._moved]
            self._database.write(rows)
        except Exception as error:
            if isinstance(error, DiskFull):
                self._upkeep.disk_full()
            self._reload()
            done(error)
            return
        self._moved.clear()
        self._position = self._state.position
        settle(self._running, batch)
        self._upkeep.wrote(rows)
        done(None)

    def _reload(self) -> None:
        """Forget what the failed batch would have changed."""
        with self._database.lock:
            self._state = load_state(self._database.connection, self._files)

    def release_ballast(self) -> bool:
        """Give back the reserve kept for a full disk; False if it was given back already."""
        return self._ballast.release()

    def restore_ballast(self) -> bool:
        """Take the reserve again when there is space; True if it is in place."""
        return self._ballast.restore()

    def next_num(self) -> int:
        """The number for the next run; ascending, never used twice."""
        self._num += 1
        return self._num

    def live(self) -> list[LiveRun]:
        """All runs that have not ended, in order of acceptance."""
        with self._pool.reader() as connection:
            return live_runs(connection)

    def last_seq(self, stream: str) -> int:
        """The last committed event number of a stream, 0 for none."""
        last = self._state.last.get(stream)
        if last is not None or not stream.startswith(RUN_STREAM):
            return last or 0
        with self._pool.reader() as connection:
            num = stream_number(connection, stream)
            return 0 if num is None else last_of(connection, num)

    def end_position(self) -> int:
        """The newest host-wide commit position."""
        return self._position

    def observer_position(self, name: str) -> int:
        """How far an observer has come; a new one starts at the present end."""
        if name not in self._observers:
            self._observers[name] = self._database.observer_position(name)
        return self._observers[name]

    def set_observer_position(self, name: str, position: int) -> None:
        """Keep how far an observer has come; stored with the next commit."""
        self.observer_position(name)
        self._observers[name] = position
        self._moved.add(name)

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove some ended runs with everything kept with them; how many there were."""
        try:
            return self._retention.remove(run_ids)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"runs could not be removed: {failure(error, self.path)}") from error

    def forget(self, run_id: str) -> bool:
        """Remove one ended run with everything kept with it; False if there is none."""
        return bool(self.remove([run_id]))

    def cut(self, stream: str, last: int) -> None:
        """Remove the events of a stream up to a number that ``old_events`` said."""
        try:
            self._retention.cut(stream, last)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"old events could not be removed: {failure(error, self.path)}") from error

    def stats(self) -> dict[str, Json]:
        """Figures for ``host.status``: path, bytes, schema version, runs, durability."""
        with self._pool.reader() as connection:
            return figures(connection, self.path, len(self._running), self.durability)


def figures(connection: sqlite3.Connection, path: Path, live: int, durability: str) -> dict[str, Json]:
    """What ``stats`` says of a database."""
    return {
        "path": str(path),
        "bytes": sum(file.stat().st_size for file in path.parent.glob(path.name + "*")),
        "schema_version": number(connection, "PRAGMA user_version"),
        "runs": number(connection, "SELECT count(*) FROM runs"),
        "live_runs": live,
        "durability": durability,
    }


def settle(running: dict[str, Run], batch: Batch) -> None:
    """Move the host's view of live runs on, once a batch is committed."""
    for accept in batch.accepts:
        running[accept.run.id] = accept.run
    for run in batch.starts:
        running[run.id] = run
    for run in batch.finishes:
        running.pop(run.id, None)
