"""Runs, events and a way to commit them that is the same for every store."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trunnion.model.events import Event, run_stream
from trunnion.model.retention import Rule
from trunnion.model.runs import Run
from trunnion.store import Accept, Batch, Durability, KeyRow, Store, open_store
from trunnion.store.factory import database_path
from trunnion.store.pruning import Pruned, prune

START = 1_800_000_000_000_000
DURABILITIES: tuple[Durability, ...] = ("memory", "process", "power")
ON_DISK: tuple[Durability, ...] = ("process", "power")


class Clock:
    """UTC µs that stand still until moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Bench:
    """A store with a loop of its own, so that each commit is answered before the next line of a test."""

    def __init__(self, durability: Durability, data_dir: Path) -> None:
        self.durability = durability
        self.data_dir = data_dir
        self.clock = Clock()
        self.loop = asyncio.new_event_loop()
        self.store: Store = open_store(durability, data_dir, self.clock)

    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(self.durability, self.data_dir, self.clock)

    def close(self) -> None:
        self.store.close()
        self.loop.close()

    @property
    def database(self) -> Path:
        return database_path(self.data_dir)

    def try_commit(self, batch: Batch) -> Exception | None:
        return self.try_all([batch])[0]

    def try_all(self, batches: list[Batch]) -> list[Exception | None]:
        """Commit all without waiting in between; the answers in order of arrival."""

        async def run() -> list[Exception | None]:
            answers: list[Exception | None] = []
            last = asyncio.get_running_loop().create_future()

            def done(error: Exception | None) -> None:
                answers.append(error)
                if len(answers) == len(batches):
                    last.set_result(None)

            for batch in batches:
                self.store.commit(batch, done)
            await asyncio.wait_for(last, 30)
            return answers

        return self.loop.run_until_complete(run())

    def commit(self, batch: Batch) -> None:
        error = self.try_commit(batch)
        assert error is None, error

    def prune(self, *rules: Rule, now: int | None = None, dry_run: bool = False) -> list[Pruned]:
        return prune(self.store, rules, self.clock() if now is None else now, dry_run=dry_run)

    def run(self, **fields: object) -> Run:
        return make_run(self.store.next_num(), **fields)

    def accept(self, run: Run, *, sealed: bytes | None = None, key: str | None = None) -> Run:
        row = KeyRow(run.principal, key, run.id, run.command_id, "d", self.clock()) if key else None
        self.commit(Batch(accepts=[Accept(run, row, sealed)], appends={run_stream(run.id): [event(run, 1)]}))
        return run

    def finish(self, run: Run, *, status: str = "succeeded", last: int = 2, at: int | None = None) -> Run:
        ended = end(run, status=status, last=last, at=self.clock() if at is None else at)
        self.commit(Batch(appends={run_stream(run.id): [event(run, last)]}, finishes=[ended]))
        return ended

    def ended(self, **fields: object) -> Run:
        """A run accepted and finished, with two events."""
        return self.finish(self.accept(self.run(**{"created": self.clock(), **fields})))


def make_run(num: int, **fields: object) -> Run:
    values: dict[str, object] = {
        "id": f"{num:08x}-{uuid.uuid4()}",
        "num": num,
        "command_id": "demo.noop",
        "command_revision": "r1",
        "status": "running",
        "created": START + num,
        "principal": "ann",
        "source": "cli",
        "args": {"n": num},
        **fields,
    }
    return msgspec.convert(values, Run)


def end(run: Run, *, status: str = "succeeded", last: int = 2, at: int = START) -> Run:
    return msgspec.structs.replace(run, status=status, finished=at, last_seq=last)


def event(run: Run, seq: int, kind: str = "state", text: str = "") -> Event:
    return Event(run_stream(run.id), seq, run.created + seq, kind, text=text, raw=msgspec.Raw(b'{"seq":%d}' % seq))


def host_event(seq: int, ts: int = START, text: str = "") -> Event:
    return Event("host", seq, ts, "log", text=text, raw=msgspec.Raw(b"null"))


def until(condition: object, seconds: float = 20.0) -> None:
    """Wait for a condition that something else brings about."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.005)


@contextmanager
def opened(durability: Durability, data_dir: Path) -> Iterator[Bench]:
    bench = Bench(durability, data_dir)
    try:
        yield bench
    finally:
        bench.close()
