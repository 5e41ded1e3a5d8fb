"""A store at work whose N-th call to the disk fails, for one N after the other; for ``test_disk_calls``.

``io_child.py ROOT STATE DURABILITY ERRNO MODE STRIDE FIRST [WITHOUT]``: MODE is ``once``, where everything that
failed must succeed when it is tried again, or ``onwards``, where every call fails from the N-th on until there is no
fault any more, and the store must then go on without being opened again. Prints the last N, and how many were tried.
WITHOUT ``reload`` a store goes on from what a failed batch would have changed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "host" / "store"))

from disk_kit import FOR_EVER, Failing
from store_kit import Bench, end, event

from trunnion.model.errors import TrunnionError
from trunnion.model.events import run_stream
from trunnion.model.runs import ArtifactInfo, Run
from trunnion.store import Accept, Batch, DiskFull, DocumentWrite
from trunnion.store.check import examine
from trunnion.store.sqlite import SqliteStore

CLEAN = (TrunnionError, DiskFull, sqlite3.Error, OSError)
T = TypeVar("T")


class Work:
    """A little of everything a store does. Each step that was done is a promise.

    Args:
        again: whether what fails is tried a second time, and must then succeed.
    """

    def __init__(self, data: Path, durability: str, *, again: bool) -> None:
        self.data = data
        self.durability = durability
        self.again = again
        self.promised: dict[str, int] = {}
        self.ended: set[str] = set()
        self.bench: Bench | None = None

    def attempt(self, step: Callable[[], T]) -> T | None:
        """One step; whatever goes wrong must be one of the clean errors."""
        try:
            return step()
        except CLEAN:
            return step() if self.again else None

    def commit(self, batch: Batch) -> bool:
        def step() -> bool:
            assert self.bench is not None
            error = self.bench.try_commit(batch)
            if error is not None:
                raise error
            return True

        return self.attempt(step) is not None

    def open(self) -> bool:
        def step() -> Bench:
            return Bench(self.durability, self.data)  # type: ignore[arg-type]

        try:
            self.bench = step()
        except TrunnionError:
            self.bench = step() if self.again else None
        return self.bench is not None

    def everything(self) -> None:
        """All steps, with the store open."""
        assert self.bench is not None
        run, gone, live = (self.accepted() for _ in range(3))
        if run:
            self.output(run)
            self.file(run)
            self.finish(run, self.promised[run.id] + 1)
        self.commit(Batch(documents=[DocumentWrite("demo", "a", 1, 1, b"1" * 9000)]))
        if gone and self.finish(gone, 2):
            # A removal that failed may have been carried out or not.
            del self.promised[gone.id]
            self.attempt(lambda: self.bench.store.remove([gone.id]))  # type: ignore[union-attr]
        if live:
            self.commit(Batch(starts=[live]))

    def accepted(self) -> Run | None:
        assert self.bench is not None
        run = self.bench.run()
        stream = run_stream(run.id)
        if not self.commit(Batch(accepts=[Accept(run, None, b"sealed")], appends={stream: [event(run, 1)]})):
            return None
        self.promised[run.id] = 1
        return run

    def output(self, run: Run) -> None:
        for letter in "abc":
            seq = self.promised[run.id] + 1
            if self.commit(Batch(appends={run_stream(run.id): [event(run, seq, "text", letter * 500_000)]})):
                self.promised[run.id] = seq

    def file(self, run: Run) -> None:
        bench = self.bench
        assert bench is not None
        self.attempt(lambda: bench.store.artifact_path(run.id, "kept").write_bytes(b"content"))
        self.commit(Batch(artifacts=[ArtifactInfo("kept", run.id, "kept", 7, "00")]))

    def finish(self, run: Run, seq: int) -> bool:
        done = Batch(appends={run_stream(run.id): [event(run, seq)]}, finishes=[end(run, last=seq)])
        if not self.commit(done):
            return False
        self.promised[run.id] = seq
        self.ended.add(run.id)
        return True

    def judge(self) -> None:
        """What was promised is there, in order, and nothing is damaged."""
        assert self.bench is not None
        for run_id, seq in self.promised.items():
            run = self.bench.store.get_run(run_id)
            assert run is not None, run_id
            assert run.ended == (run_id in self.ended), run
            events = self.bench.store.read_events(run_stream(run_id), 0, 100, 1 << 40)
            assert [each.seq for each in events][:seq] == list(range(1, seq + 1))
            assert all(each.kind != "gap" for each in events)


def tried(work: Work, failing: Failing, number: int, error: int) -> bool:
    """Do everything with one N; whether its call was reached."""
    failing.arm(number, error, number if work.again else FOR_EVER)
    opened = work.open()
    if opened:
        work.everything()
    reached = failing.disarm() >= number
    if not opened:
        assert work.open()
    heal(work)
    work.judge()
    assert work.bench is not None
    work.bench.close()
    assert work.open(), "no lock is stuck"
    work.judge()
    work.bench.close()
    # A file whose record failed is no record of a run and no damage.
    troubles = [each for each in examine(work.data) if each.kind not in ("orphan", "artifact")]
    assert not troubles, troubles
    return reached


def heal(work: Work) -> None:
    """Without the fault the store goes on, as it is."""
    work.again = True
    run = work.accepted()
    assert run is not None
    assert work.finish(run, 2)


def main(root: Path, state: Path, durability: str, error: int, mode: str, stride: int, first: int) -> None:
    failing = Failing(state)
    number, reached, count = first, True, 0
    while reached:
        data = root / f"{number}"
        work = Work(data, durability, again=mode == "once")
        try:
            reached = tried(work, failing, number, error)
        except BaseException:
            print(f"N = {number}", file=sys.stderr)
            raise
        shutil.rmtree(data)
        number, count = number + stride, count + 1
    print(number - stride, count)


def threads_do_not_die() -> None:
    """A helper thread that ends with an exception is as bad as a wrong answer."""

    def died(what: threading.ExceptHookArgs) -> None:
        traceback.print_exception(what.exc_type, what.exc_value, what.exc_traceback)
        os._exit(3)

    threading.excepthook = died


if __name__ == "__main__":
    threads_do_not_die()
    if sys.argv[8:] == ["reload"]:
        SqliteStore._reload = lambda _: None  # type: ignore[method-assign]
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5], *map(int, sys.argv[6:8]))
