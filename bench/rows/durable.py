"""perf-run-durable and perf-run-power: the same run on disk, and what SQLite alone takes to write its rows."""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec

from bench.harness import Contender, Effort, duel, in_flight
from bench.hosting import NOOP, Client, open_host, scratch
from bench.result import Result, rate
from trunnion.store.connections import connect_writer
from trunnion.store.schema import TABLES

TARGETS = {1: 0.4, 64: 0.5}
POWER_TARGET = 0.5


class Template(msgspec.Struct, frozen=True):
    """The encoded parts of one real run, so that the ceiling writes rows of the same size."""

    live: bytes
    first: bytes
    last: bytes
    doc: bytes


def measure(effort: Effort) -> Result:
    """Durable against the death of the process."""
    notes = [
        "Ceiling: SQLite in WAL with synchronous=NORMAL, the product's tables and indexes, rows of the same size "
        "encoded beforehand; at 1 two transactions per job, at 64 one per turn of the loop with executemany. It is "
        "checkpointed between rounds, outside the measurement; ours checkpoints and compresses meanwhile."
    ]
    result = Result(notes=notes)
    with scratch() as folder:
        asyncio.run(_measure(folder, effort, result))
    return result


def measure_power(effort: Effort) -> Result:
    """Durable against the loss of power."""
    notes = ["Ceiling: as perf-run-durable with synchronous=FULL, one transaction per turn of the loop."]
    result = Result(notes=notes)
    with scratch() as folder:
        asyncio.run(_measure_power(folder, effort, result))
    return result


async def _measure(folder: Path, effort: Effort, result: Result) -> None:
    async with open_host(folder / "host", "process", [NOOP]) as host:
        client = Client(host, "bench.noop")
        with tables(folder / "ceiling.sqlite", "NORMAL") as connection:
            bare = BareRuns(connection, await template(client))
            ours = in_flight(client.run, 1)
            result.lines.append(
                rate("perf-run-durable", "1 in flight", "run", await duel(ours, bare.one_by_one(), effort),
                     at_least=TARGETS[1])
            )  # fmt: skip
            ours = in_flight(client.run, 64)
            result.lines.append(
                rate("perf-run-durable", "64 in flight", "run", await duel(ours, bare.together(64), effort),
                     at_least=TARGETS[64])
            )  # fmt: skip


async def _measure_power(folder: Path, effort: Effort, result: Result) -> None:
    async with open_host(folder / "host", "power", [NOOP]) as host:
        client = Client(host, "bench.noop")
        with tables(folder / "ceiling.sqlite", "FULL") as connection:
            bare = BareRuns(connection, await template(client))
            figures = await duel(in_flight(client.run, 64), bare.together(64), effort)
    result.lines.append(rate("perf-run-power", "64 in flight", "run", figures, at_least=POWER_TARGET))


async def template(client: Client) -> Template:
    """What the product writes for a run of the client's command."""
    encode = msgspec.json.Encoder()
    run = await client.run()
    events = [event async for batch in client.door.follow(client.caller, f"run/{run.id}") for event in batch]
    live = msgspec.structs.replace(run, status="running", finished=None, result=None, last_seq=0)
    half = (len(events) + 1) // 2
    return Template(
        encode.encode(live), encode.encode_lines(events[:half]), encode.encode_lines(events[half:]), encode.encode(run)
    )


@contextmanager
def tables(path: Path, synchronous: Literal["NORMAL", "FULL"]) -> Iterator[sqlite3.Connection]:
    """The product's tables and indexes, empty."""
    connection = connect_writer(path, synchronous)
    try:
        for statement in TABLES:
            connection.execute(statement)
        yield connection
    finally:
        connection.close()


class BareRuns:
    """The ceiling: the rows of runs and nothing else."""

    def __init__(self, connection: sqlite3.Connection, template: Template) -> None:
        self._connection = connection
        self._template = template
        self._crc = zlib.crc32(template.doc)
        self._numbers = count(1)
        self._positions = count(1)

    def one_by_one(self) -> Contender:
        """Two transactions for each run."""

        async def work(amount: int) -> None:
            for _ in range(amount):
                number = next(self._numbers)
                self._commit([self._accepted(number)], [])
                self._commit([], [self._ended(number)])

        return Contender(work, self._checkpoint)

    def together(self, width: int) -> Contender:
        """One transaction for all that came up in one turn of the loop."""
        turn = Turn(self._commit)

        async def run() -> None:
            number = next(self._numbers)
            await turn.accepted(self._accepted(number))
            await turn.ended(self._ended(number))

        return Contender(in_flight(run, width), self._checkpoint)

    def _checkpoint(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _accepted(self, number: int) -> Cells:
        data = self._template.first
        chunk = (next(self._positions), number, 1, 1, number, 0, self._crc, data)
        return Cells([(number, self._template.live, None)], [chunk])

    def _ended(self, number: int) -> Cells:
        data, doc = self._template.last, self._template.doc
        chunk = (next(self._positions), number, 2, 2, number, 0, self._crc, data)
        run_id = f"019b0000-0000-7000-8000-{number:012d}"
        row = (number, run_id, 1, 1, "succeeded", number, number, None, None, 2, self._crc, doc)
        return Cells([(number,)], [chunk], [row])

    def _commit(self, accepted: list[Cells], ended: list[Cells]) -> None:
        execute = self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        if accepted:
            execute("INSERT INTO live VALUES (?, ?, ?)", [row for cells in accepted for row in cells.live])
        execute(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [row for cells in (*accepted, *ended) for row in cells.chunks],
        )
        if ended:
            execute("DELETE FROM live WHERE num = ?", [row for cells in ended for row in cells.live])
            execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [row for cells in ended for row in cells.runs],
            )
        self._connection.execute("COMMIT")


Row = tuple[object, ...]


class Cells(msgspec.Struct):
    """Rows by table."""

    live: list[Row]
    chunks: list[Row]
    runs: list[Row] = []


class Turn:
    """Group commit: gathers what one turn of the loop brings."""

    def __init__(self, commit: Callable[[list[Cells], list[Cells]], None]) -> None:
        self._commit = commit
        self._accepted: list[Cells] = []
        self._ended: list[Cells] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()

    def accepted(self, cells: Cells) -> asyncio.Future[None]:
        """Settled when it is on disk."""
        self._accepted.append(cells)
        return self._join()

    def ended(self, cells: Cells) -> asyncio.Future[None]:
        """Settled when it is on disk."""
        self._ended.append(cells)
        return self._join()

    def _join(self) -> asyncio.Future[None]:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        future = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _flush(self) -> None:
        accepted, ended, waiting = self._accepted, self._ended, self._waiting
        self._accepted, self._ended, self._waiting = [], [], []
        self._commit(accepted, ended)
        for future in waiting:
            future.set_result(None)
