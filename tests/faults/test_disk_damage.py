"""B6: eight bytes at the beginning of every page of a database are overwritten, one page at a time."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from figures import SEED

sys.path.insert(0, str(Path(__file__).parents[1] / "host" / "store"))

from store_kit import Bench, event, opened

from trunnion.model.errors import TrunnionError
from trunnion.model.events import run_stream
from trunnion.model.runs import RunFilter
from trunnion.store import Batch, DocumentWrite, Store, connections
from trunnion.store.check import examine
from trunnion.store.factory import database_path
from trunnion.store.repair import repair

PAGE = 4096
STRIDE = 7
RUNS = 60
COMMANDS = 4


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with every table in use, and pages that are no leaves."""
    data = tmp_path_factory.mktemp("fixture") / "data"
    with opened("process", data) as bench:
        for number in range(RUNS):
            one_run(bench, number)
            value = f'"{"y" * 500}"'.encode()
            bench.commit(Batch(documents=[DocumentWrite("demo", f"k{number}", number + 1, 1, value)]))
        bench.accept(bench.run())
    return data


def one_run(bench: Bench, number: int) -> None:
    session = "s1" if number % 5 == 0 else None
    principal = "ann" if number % 3 else "bob"
    run = bench.accept(
        bench.run(command_id=f"demo.c{number % COMMANDS}", principal=principal, session_id=session), key=f"key{number}"
    )
    bench.commit(Batch(appends={run_stream(run.id): [event(run, 2, "data", "x" * 3000)]}))
    bench.finish(run, last=3, status="failed" if number % 7 == 0 else "succeeded")


def questions(store: Store, run_ids: list[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Everything that can be asked."""

    def listed(**wanted: object) -> Callable[[], object]:
        return lambda: store.list_runs(RunFilter(**wanted), 1000, None).items  # type: ignore[arg-type]

    yield "live", lambda: [(entry.run, entry.last_seq) for entry in store.live()]
    yield "all", listed()
    yield "bob", listed(principal="bob")
    yield "failed", listed(status=("failed",))
    yield "session", listed(session_id="s1")
    yield from ((f"of c{number}", listed(command=f"demo.c{number}")) for number in range(COMMANDS))
    yield "tally", store.tally
    yield "documents", lambda: store.documents("demo", "", "", 1000)
    yield from ((f"key{number}", lambda number=number: store.find_key("ann", f"key{number}")) for number in range(3))
    for run_id in run_ids:
        yield f"run {run_id}", lambda run_id=run_id: store.get_run(run_id)
        yield f"events {run_id}", lambda run_id=run_id: store.read_events(run_stream(run_id), 0, 100)


def answers(store: Store, run_ids: list[str]) -> dict[str, object]:
    """What is answered; a refusal by name stands for itself."""
    found: dict[str, object] = {}
    for name, ask in questions(store, run_ids):
        try:
            found[name] = ask()
        except TrunnionError as error:
            found[name] = error.code
    return found


class Damage:
    """Copies of the fixture, each with one page that is damaged."""

    def __init__(self, fixture: Path, scratch: Path) -> None:
        self.fixture = fixture
        self.data = scratch / "data"
        self.content = database_path(fixture).read_bytes()
        self.pages = len(self.content) // PAGE
        with opened("process", self.undamaged()) as bench:
            self.run_ids = [run.id for run in bench.store.list_runs(RunFilter(), 1000, None).items]
            self.right = answers(bench.store, self.run_ids)

    def undamaged(self) -> Path:
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(self.fixture, self.data)
        return self.data

    def of(self, page: int) -> None:
        seeded = random.Random(f"{SEED}/{page}")
        content = bytearray(self.content)
        content[page * PAGE : page * PAGE + 8] = seeded.randbytes(8)
        database_path(self.undamaged()).write_bytes(content)

    def asked(self) -> dict[str, object] | None:
        """The answers, or None if the database is refused when it is opened."""
        try:
            with opened("process", self.data) as bench:
                return answers(bench.store, self.run_ids)
        except TrunnionError as error:
            assert error.code == "unavailable", error
            assert "trunnion doctor --repair" in error.message
            return None

    def silently_wrong(self, got: dict[str, object] | None) -> list[str]:
        wrong = []
        for name, value in (got or {}).items():
            shown = value == "unavailable" or "damaged" in str(value)
            if value != self.right[name] and not shown:
                wrong.append(name)
        return wrong


def test_b6_damaged_pages(fixture: Path, tmp_path: Path, rounds: int, figure: Callable[..., None]) -> None:
    damage = Damage(fixture, tmp_path)
    stride = max(1, STRIDE * 20 // rounds)
    tried = sorted({0, 1, *range(random.Random(SEED).randrange(stride), damage.pages, stride)})
    refused = saved = 0
    for page in tried:
        damage.of(page)
        got = damage.asked()
        assert not damage.silently_wrong(got), (page, damage.silently_wrong(got))
        refused += got is None
        saved += rescued(damage, page, database_path(damage.data).read_bytes())
    figure("pages damaged", f"{len(tried)} of {damage.pages}")
    figure("silent wrong answers", 0)
    figure("refused when opened", refused)
    figure("runs saved of those there were, at the least", f"{saved / len(tried):.1f} of {RUNS} on average")


def rescued(damage: Damage, page: int, bad: bytes) -> int:
    """Mend it as ``trunnion doctor --repair`` does; how many runs there are afterwards."""
    done = repair(damage.data, "now")
    if done is not None:
        assert done.copy.read_bytes() == bad, "the bad file is kept"
        assert not [trouble for trouble in done.left if trouble.kind == "pages"], (page, done)
    assert not [trouble for trouble in examine(damage.data) if trouble.kind == "pages"], page
    with opened("process", damage.data) as bench:
        got = answers(bench.store, damage.run_ids)
        for run_id in damage.run_ids:
            run = got[f"run {run_id}"]
            assert run in (None, damage.right[f"run {run_id}"]) or "damaged" in str(run)
        there = sum(got[f"run {run_id}"] is not None for run_id in damage.run_ids)
        lost = "".join(done.done) if done is not None else ""
        assert there == len(damage.run_ids) or " lost" in lost, (page, done)
        assert len(got["all"]) == there  # type: ignore[arg-type]
        bench.ended()
    return there


def test_b6_without_the_fault(fixture: Path, tmp_path: Path) -> None:
    damage = Damage(fixture, tmp_path)
    damage.undamaged()
    assert damage.asked() == damage.right
    assert repair(damage.data, "now") is None


def test_b6_without_the_defence(fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage that reading meets is then no refusal by name, but whatever SQLite says."""
    damage = Damage(fixture, tmp_path)
    monkeypatch.setattr(connections, "_DAMAGED", frozenset())
    unnamed = 0
    for page in range(1, damage.pages):
        damage.of(page)
        try:
            damage.asked()
        except sqlite3.DatabaseError:
            unnamed += 1
            break
    assert unnamed
