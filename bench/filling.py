"""Filling a store with history through its own contract, in large batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from bench import corpus
from trunnion.model.events import Event, run_stream
from trunnion.model.runs import Run
from trunnion.store import Store, open_store
from trunnion.store.base import Accept, Batch
from trunnion.store.connections import connect_reader
from trunnion.store.factory import database_path
from trunnion.store.outputs import unpacked
from trunnion.store.upkeep import SPARE_PAGES

T = TypeVar("T")
BATCH = 1000
UPKEEP_TIMEOUT = 300.0
POLL = 0.05
_RUNNING = msgspec.Raw(b'{"status":"running","attempt":1}')
_ENDED = msgspec.Raw(b'{"status":"succeeded","attempt":1}')


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """The store of a data directory, without a host."""
    folder.mkdir(exist_ok=True)
    store = open_store("process", folder, lambda: time.time_ns() // 1000)
    try:
        yield store
    finally:
        store.close()


def commit(store: Store, batch: Batch) -> None:
    """Commit and be told of failure."""

    def done(error: Exception | None) -> None:
        if error is not None:
            raise error

    store.commit(batch, done)


def add_runs(store: Store, count: int) -> None:
    """Ended runs with two events each."""
    first = store.next_num()
    for block in blocks(corpus.runs(count, first), BATCH):
        appends = {run_stream(run.id): _two_events(run) for run in block}
        commit(store, Batch(accepts=[Accept(run) for run in block], appends=appends, finishes=block))


def add_long_run(folder: Path, store: Store, events: int, kind: str) -> Run:
    """One ended run that wrote a log, a thousand lines to a commit; returns once it is compressed."""
    (run,) = corpus.runs(1, store.next_num())
    commit(store, Batch(accepts=[Accept(run)]))
    for block in blocks(corpus.events(run, events, kind), BATCH):
        commit(store, Batch(appends={run_stream(run.id): block}))
    commit(store, Batch(finishes=[run]))
    _wait_compressed(folder, run)
    return run


def _wait_compressed(folder: Path, run: Run) -> None:
    """Wait until the store has compressed the events of a long run that has ended."""
    query = "SELECT NOT EXISTS (SELECT 1 FROM chunks WHERE stream = ? AND codec & 1 = 0)"
    _wait_until(folder, query, run.num)


def wait_tidied(folder: Path) -> None:
    """Wait until the store has given back the space that compression freed, but for what it keeps spare.

    Raises:
        TimeoutError: it does not come to an end.
    """
    query = "SELECT freelist_count <= max(?, page_count / 8) FROM pragma_freelist_count, pragma_page_count"
    _wait_until(folder, query, SPARE_PAGES)


def wait_packed(folder: Path) -> None:
    """Wait until the store has compressed the output files of ended runs, which it does some time after their end.

    Raises:
        TimeoutError: it does not come to an end.
    """
    deadline = time.monotonic() + UPKEEP_TIMEOUT
    while list(unpacked(folder / "artifacts")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"output was not compressed in {UPKEEP_TIMEOUT:g} s")
        time.sleep(POLL)


def _wait_until(folder: Path, query: str, *values: int) -> None:
    deadline = time.monotonic() + UPKEEP_TIMEOUT
    with closing(connect_reader(database_path(folder))) as connection:
        while not connection.execute(query, values).fetchone()[0]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the store's upkeep has not come to an end in {UPKEEP_TIMEOUT:g} s")
            time.sleep(POLL)


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most ``size`` items."""
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block


def _two_events(run: Run) -> list[Event]:
    stream = run_stream(run.id)
    return [
        Event(stream, 1, run.created, "state", text="started", raw=_RUNNING),
        Event(stream, 2, run.finished or run.created, "state", text=run.status, raw=_ENDED),
    ]
