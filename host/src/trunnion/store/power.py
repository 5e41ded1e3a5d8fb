"""The store that survives the loss of power: a writer process waits for the disk, the loop does not."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from trunnion.model.errors import Unavailable
from trunnion.model.events import RUN_STREAM
from trunnion.model.json import Json
from trunnion.model.runs import Run
from trunnion.store import wire
from trunnion.store.base import Batch, Done, KeyRow, LiveRun
from trunnion.store.connections import Pool, connect_reader, unavailable
from trunnion.store.files import RunFiles, ballast_of
from trunnion.store.history import History
from trunnion.store.link import Link
from trunnion.store.rows import Block, State, prepare
from trunnion.store.sqlite import figures, settle
from trunnion.store.state import last_num, last_of, live_runs, load_state, stream_number

MAX_DEATHS = 3
"""A writer that dies more often in a row, without an answer in between, is not started again by itself."""


class _Flight:
    """A batch on its way: what to do when it is answered, and its frame; without one it was never sent."""

    __slots__ = ("batch", "data", "done", "number", "position")

    def __init__(self, number: int, batch: Batch, done: Done) -> None:
        self.number = number
        self.batch = batch
        self.done = done
        self.data = b""
        self.position = 0


class PowerStore(History):
    """Like ``SqliteStore`` with another promise: ``done`` is called when the disk has the batch.

    Batches are sent as they come; the writer makes one transaction of all that waits. Each is prepared
    on top of those before it, so when one fails, those behind it that were already on their way fail too.
    A writer that dies is started again and given what it had not answered; the number of the last batch,
    kept in the database, tells it what it had already written.

    ``commit`` needs a running asyncio loop, always the same one.

    Args:
        path: the database; its directory exists.
        artifacts: the folder for kept files and long output.
        clock: UTC µs.
    """

    def __init__(self, path: Path, *, artifacts: Path, clock: Callable[[], int]) -> None:
        self._running: dict[str, Run] = {}
        super().__init__(Pool(lambda: connect_reader(path)), RunFiles(artifacts), clock, self._running)
        self.path = path
        self._ballast = ballast_of(path)
        self._link = Link(path, artifacts, self._greeted, self._answered, self._lost)
        self._flights: deque[_Flight] = deque()
        self._keys: dict[tuple[str, str], KeyRow] = {}
        self._state = State(0, Block(0))
        self._num = self._position = self._number = self._round = self._deaths = 0
        self._broken: Exception | None = None
        self._observers: dict[str, int] = {}
        self._moved: set[str] = set()
        self._closing = False

    def open(self) -> None:
        """Start the writer, which opens, creates or migrates.

        Raises:
            IncompatibleData: written by a newer version; nothing was touched.
            Unavailable: cannot be opened; the message names the path and the reason.
        """
        self._number = self._link.start_and_wait()
        try:
            self._load()
        except Unavailable:
            self.close()
            raise
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise unavailable(error, self.path) from error

    def _load(self) -> None:
        with self._pool.reader() as connection:
            self._state = load_state(connection, self._files)
            self._num, self._position = last_num(connection), self._state.position
            self._running.update((entry.run.id, entry.run) for entry in live_runs(connection))
            self._observers = dict(connection.execute("SELECT name, position FROM observers").fetchall())
        self._ballast.restore()

    def close(self) -> None:
        """Wait for what is on its way, then end the writer; safe to call twice."""
        self._closing = True
        if self._moved and self._link.pid is not None:
            self.commit(Batch(), lambda error: None)
        self._link.finish(lambda: bool(self._flights))
        if self._flights:
            self._give_up(Unavailable(f"the process that writes {self.path} ended before it had written everything"))
        self._pool.close()

    # -- writing ----------------------------------------------------------------------------------

    def commit(self, batch: Batch, done: Done) -> None:
        """Send a batch; ``done`` is called on the loop, in order, when it is on the disk or has failed."""
        self._number += 1
        flight = _Flight(self._number, batch, done)
        if self._broken is None:
            self._prepare(flight)
        self._flights.append(flight)
        if self._broken is not None:
            self._drain()
            return
        self._keys.update(_keys(batch))
        (self._link.queue if self._closing else self._link.send)(flight.data)

    def _prepare(self, flight: _Flight) -> None:
        try:
            rows = prepare(self._state, flight.batch)
            rows.observers = [(self._observers[name], name) for name in self._moved]
            flight.data = wire.frame(wire.Sent(flight.number, self._round, rows))
        except (ValueError, TypeError, RecursionError) as error:
            self._broken = error
            return
        flight.position = self._state.position
        self._moved.clear()

    def _answered(self, answer: wire.Answer) -> None:
        """Batches up to a number are on the disk, or one failed and with it what was built on it."""
        self._deaths = 0
        error = wire.as_error(answer.failed) if answer.failed is not None else None
        self._broken = self._broken or error
        while self._flights and self._flights[0].number <= answer.number:
            self._land(self._flights.popleft(), error)
        self._drain()

    def _land(self, flight: _Flight, error: Exception | None) -> None:
        for key in _keys(flight.batch):
            self._keys.pop(key, None)
        if error is None:
            self._position = flight.position
            settle(self._running, flight.batch)
        flight.done(error)

    def _drain(self) -> None:
        """Once nothing sent is unanswered, fail what was held back and go on from what is committed."""
        if self._broken is None or (self._flights and self._flights[0].data):
            return
        error, held = self._broken, list(self._flights)
        self._flights.clear()
        try:
            self._reload()
        except (sqlite3.Error, OSError, Unavailable) as unreadable:
            self._broken = unavailable(unreadable, self.path)
        for flight in held:
            self._land(flight, error)

    def _reload(self) -> None:
        with self._pool.reader() as connection:
            self._state = load_state(connection, self._files)
        self._moved = set(self._observers)
        self._broken = None
        self._round += 1

    # -- a writer that dies -----------------------------------------------------------------------

    def _greeted(self, answer: wire.Answer) -> None:
        """A new writer says how far the database is, or why it cannot open it."""
        if answer.failed is not None:
            self._give_up(wire.as_error(answer.failed))
            return
        deaths = self._deaths
        self._answered(answer)
        self._deaths = deaths
        if self._broken is not None:
            self._give_up(self._broken)
        for flight in self._flights:
            self._link.send(flight.data)

    def _lost(self) -> None:
        """The writer died; the next one gets what it had not answered."""
        self._deaths += 1
        if self._deaths > MAX_DEATHS:
            self._deaths = 0
            self._give_up(Unavailable(f"the process that writes {self.path} died {MAX_DEATHS + 1} times in a row"))
        elif self._flights:
            self._link.start()

    def _give_up(self, error: Exception) -> None:
        for flight in self._flights:
            flight.data = b""
        self._broken = self._broken or error
        self._drain()

    # -- the rest of the contract -----------------------------------------------------------------

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

    def find_key(self, principal: str, key: str) -> KeyRow | None:
        """The run an idempotency key belongs to, one on its way included, if it is younger than 24 h."""
        return self._keys.get((principal, key)) or super().find_key(principal, key)

    def last_seq(self, stream: str) -> int:
        """The last committed event number of a stream, 0 for none."""
        run = self._running.get(stream[len(RUN_STREAM) :]) if stream.startswith(RUN_STREAM) else None
        with self._pool.reader() as connection:
            num = run.num if run is not None else stream_number(connection, stream)
            return 0 if num is None else last_of(connection, num)

    def end_position(self) -> int:
        """The newest host-wide commit position."""
        return self._position

    def observer_position(self, name: str) -> int:
        """How far an observer has come; a new one starts at the present end."""
        if name not in self._observers:
            self._observers[name] = self._link.ask(wire.Request("observer", name))[0]
        return self._observers[name]

    def set_observer_position(self, name: str, position: int) -> None:
        """Keep how far an observer has come; stored with the next commit."""
        self.observer_position(name)
        self._observers[name] = position
        self._moved.add(name)

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove some ended runs with everything kept with them; how many there were."""
        return self._link.ask(wire.Request("remove", run_ids=list(run_ids)))[0]

    def forget(self, run_id: str) -> bool:
        """Remove one ended run with everything kept with it; False if there is none."""
        return bool(self.remove([run_id]))

    def cut(self, stream: str, last: int) -> None:
        """Remove the events of a stream up to a number that ``old_events`` said."""
        self._link.ask(wire.Request("cut", stream, last))

    def stats(self) -> dict[str, Json]:
        """Figures for ``host.status``: path, bytes, schema version, runs, durability."""
        with self._pool.reader() as connection:
            return figures(connection, self.path, len(self._running), "power")


def _keys(batch: Batch) -> dict[tuple[str, str], KeyRow]:
    return {(row.principal, row.key): row for accept in batch.accepts if (row := accept.key) is not None}
