"""perf-history: pages and streams out of much history, and what it takes on disk."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from bench import corpus
from bench.filling import add_long_run, add_runs, opened, wait_packed, wait_tidied
from bench.harness import Contender, Effort, Work, duel, race
from bench.hosting import scratch
from bench.result import Result, amount, times
from trunnion.model.events import run_stream
from trunnion.model.runs import Run, RunFilter
from trunnion.store import Store
from trunnion.store.connections import connect_reader
from trunnion.store.factory import database_path

ROW = "perf-history"
PAGE = 100
PAGE_TARGET, FIRST_BATCH_TARGET, BYTES_TARGET = 2.0, 5.0, 40.0
SLICE = 1024


def measure(effort: Effort) -> Result:
    """Through the store's contract."""
    result = Result(
        notes=[
            f"{effort.stored_runs:,} stored runs and a run of {effort.stored_events:,} events (`--full`: a million "
            "each). Ceiling of a page: SQLite fetching the same rows by their numbers, without decoding. Bytes on "
            "disk: database and files once the store has tidied up, one event per line of a generated service log of "
            f"{_average_line():.0f} bytes a line; output (`text`) is kept in a file after the first MiB of a run, and "
            "that is compressed after the run's end."
        ]
    )
    with scratch() as folder:
        asyncio.run(_pages(folder / "runs", effort, result))
        asyncio.run(_first_batch(folder / "events", effort, result))
        for kind in ("log", "text"):
            used = _bytes_per_event(folder / kind, effort.stored_events, kind)
            result.lines.append(amount(ROW, f"disk per event, {kind}", used, "bytes", at_most=BYTES_TARGET))
    return result


# -- pages ----------------------------------------------------------------------------------------


def _filters(store: Store) -> dict[str, RunFilter]:
    """One of each kind, narrow ones with something to find."""
    newest = store.list_runs(RunFilter(), PAGE * 5, None).items
    parent = next((run.parent_run_id for run in newest if run.parent_run_id), None)
    session = next((run.session_id for run in newest if run.session_id), None)
    middle = corpus.START + newest[0].num // 2 * 1_000_000
    return {
        "no filter": RunFilter(),
        "command": RunFilter(command="db.sync"),
        "command prefix": RunFilter(command="device.*"),
        "principal": RunFilter(principal="ana"),
        "principal and source": RunFilter(principal="ana", source="rpc"),
        "failed": RunFilter(status=("failed",)),
        "failed of a command": RunFilter(status=("failed",), command="db.sync"),
        "session": RunFilter(session_id=session),
        "parent": RunFilter(parent_run_id=parent),
        "before a time": RunFilter(created_before=middle),
    }


async def _pages(folder: Path, effort: Effort, result: Result) -> None:
    with opened(folder) as store, closing(connect_reader(database_path(folder))) as connection:
        add_runs(store, effort.stored_runs)
        for name, wanted in _filters(store).items():
            figures = await duel(paging(store, wanted), _select(connection, store, wanted), effort)
            result.lines.append(times(ROW, f"page, {name}", "page", figures, at_most=PAGE_TARGET))
        bare = _select(connection, store, RunFilter(), msgspec.json.Decoder(Run))
        figures = await duel(paging(store, RunFilter()), bare, effort)
        result.lines.append(times(ROW, "page, beside select and decode", "page", figures))


def paging(store: Store, wanted: RunFilter) -> Work:
    """Read the newest page that a filter selects."""

    async def work(count: int) -> None:
        for _ in range(count):
            store.list_runs(wanted, PAGE, None)

    return work


def _select(
    connection: sqlite3.Connection, store: Store, wanted: RunFilter, decoder: msgspec.json.Decoder[Run] | None = None
) -> Work:
    nums = [run.num for run in store.list_runs(wanted, PAGE, None).items]
    marks = ", ".join("?" * len(nums))
    query = f"SELECT num, crc, doc FROM runs WHERE num IN ({marks}) ORDER BY num DESC"

    async def work(count: int) -> None:
        for _ in range(count):
            rows = connection.execute(query, nums).fetchall()
            if decoder is not None:
                [decoder.decode(doc) for _, _, doc in rows]

    return work


# -- streams --------------------------------------------------------------------------------------


async def _first_batch(folder: Path, effort: Effort, result: Result) -> None:
    with opened(folder) as store:
        run = add_long_run(folder, store, effort.stored_events, "log")
        work = reading(store, run_stream(run.id), effort.stored_events // 2, SLICE)
        (figure,) = await race([Contender(work)], effort)
    case = f"first batch, middle of {effort.stored_events:,} events"
    result.lines.append(amount(ROW, case, figure.median * 1e3, "ms", at_most=FIRST_BATCH_TARGET))


def reading(store: Store, stream: str, after: int, limit: int) -> Work:
    """Read a batch from a place in a stream."""

    async def work(count: int) -> None:
        for _ in range(count):
            store.read_events(stream, after, limit)

    return work


def _bytes_per_event(folder: Path, events: int, kind: str) -> float:
    with opened(folder):
        pass
    before = _size(folder)
    with opened(folder) as store:
        add_long_run(folder, store, events, kind)
        wait_tidied(folder)
        wait_packed(folder)
    return (_size(folder) - before) / events


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _average_line() -> float:
    sample = list(corpus.lines(SLICE))
    return sum(len(line) + 1 for line in sample) / len(sample)
