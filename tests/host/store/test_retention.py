"""Which ended runs go, and that removing them is not felt and leaves nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import START, Bench, end, event, opened

from trunnion.config.retention_settings import retention_rules
from trunnion.model.events import run_stream
from trunnion.model.retention import ALL, LIMITS, NO_LIMIT, NOT_HELD, Rule, held_by
from trunnion.model.runs import ArtifactInfo, Run, RunFilter
from trunnion.store import Accept, Batch
from trunnion.store.aged import ended_pages
from trunnion.store.base import Ended
from trunnion.store.connections import Pool, connect_reader
from trunnion.store.pruning import AT_ONCE
from trunnion.store.retention import CHUNKS, Retention
from trunnion.store.rows import MARK_EVERY
from trunnion.store.sqlite import SqliteStore

HOUR = 3_600_000_000
NAMES = ("a.x", "a.y", "a.b.z", "c.d")
PATTERNS = (ALL, "a.*", "a.b*", *NAMES)


def ids(bench: Bench) -> list[str]:
    return [run.id for run in bench.store.list_runs(RunFilter(), 1000, None).items]


def filled(bench: Bench, command: str, amount: int, size: int = 0) -> list[str]:
    """Ids of ended runs, an hour between them, with so many bytes of events each."""
    made = []
    for _ in range(amount):
        bench.clock.now += HOUR
        run = bench.accept(bench.run(command_id=command, created=bench.clock()))
        texts = [event(run, 2, "data", os.urandom(size // 2).hex())] if size else []
        bench.commit(Batch(appends={run_stream(run.id): texts}))
        made.append(bench.finish(run, last=2 + len(texts)).id)
    return made


# -- which rule holds ------------------------------------------------------------------------------

rule = st.builds(
    Rule,
    st.sampled_from(PATTERNS),
    *[st.none() | st.integers(0, 5)] * 3,
)


@given(st.lists(rule, unique_by=lambda each: each.on), st.sampled_from(NAMES), st.sampled_from(LIMITS))
def test_the_most_specific_rule_that_names_a_limit_holds(rules: list[Rule], name: str, limit: str) -> None:
    orders = {"a.x": ["a.x", "a.*", ALL], "a.y": ["a.y", "a.*", ALL], "c.d": ["c.d", ALL]}
    order = orders.get(name, ["a.b.z", "a.b*", "a.*", ALL])
    said = {each.on: getattr(each, limit) for each in rules}
    wanted = next(((on, said[on]) for on in order if said.get(on) is not None), NOT_HELD)
    assert held_by(rules, name, limit) == wanted  # type: ignore[arg-type]


def test_a_limit_of_nothing_keeps() -> None:
    section = {"retention_days": 0, "retention_runs": 5, "retention_bytes": 0, "retention": {"a.*": {"runs": 0}}}
    whole, own = retention_rules(section)
    assert whole == Rule(ALL, NO_LIMIT, 5, NO_LIMIT)
    assert own == Rule("a.*", runs=NO_LIMIT)


# -- what goes -------------------------------------------------------------------------------------


def test_commands_have_limits_of_their_own(bench: Bench) -> None:
    young, old, kept = filled(bench, "a.x", 4), filled(bench, "a.y", 4), filled(bench, "c.d", 4)
    rules = [Rule(ALL, age=2 * HOUR, runs=3), Rule("a.*", age=NO_LIMIT, runs=5), Rule("a.y", runs=1)]
    said = bench.prune(*rules, dry_run=True)
    assert bench.prune(*rules) == said
    told = {(gone.command, gone.limit, gone.on): gone.runs for gone in said}
    assert told == {("a.y", "runs", "a.y"): 3, ("c.d", "age", ALL): 1}
    assert ids(bench) == [*reversed(kept[1:]), old[3], *reversed(young)]


def test_runs_of_one_rule_share_its_number(bench: Bench) -> None:
    first, second = filled(bench, "a.x", 3), filled(bench, "a.y", 3)
    (gone, other) = bench.prune(Rule("a.*", runs=2), Rule(ALL, runs=100))
    assert (gone.command, gone.runs, other.command, other.runs) == ("a.x", 3, "a.y", 1)
    assert ids(bench) == second[:0:-1]
    assert len(first) == 3


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_never_more_than_allowed_never_less_than_needed(data: st.DataObject) -> None:
    """Against a plain model: by age first, then the oldest of those that share a number."""
    commands = data.draw(st.lists(st.sampled_from(NAMES), max_size=12))
    rules = data.draw(st.lists(st.builds(Rule, st.sampled_from(PATTERNS), *[st.none() | st.integers(0, 5)] * 2)))
    rules = [Rule(each.on, None if each.age is None else each.age * HOUR, each.runs) for each in rules]
    rules = list({each.on: each for each in rules}.values())
    with opened("memory", Path()) as bench:
        runs = [(filled(bench, command, 1)[0], command, bench.clock()) for command in commands]
        left = [each for each in runs if each[2] >= bench.clock() - held_by(rules, each[1], "age").most]
        shared: dict[str, list[str]] = {}
        for run_id, command, _ in left:
            shared.setdefault(held_by(rules, command, "runs").on, []).append(run_id)
        kept = {
            run_id
            for on, group in shared.items()
            for run_id in group[max(0, len(group) - next((r.runs for r in rules if r.on == on), NO_LIMIT)) :]  # type: ignore[operator]
        }
        said = bench.prune(*rules, dry_run=True)
        assert bench.prune(*rules) == said
        assert set(ids(bench)) == kept


def test_looking_for_old_runs_does_not_look_at_all_young_ones(tmp_path: Path) -> None:
    """Defence: ``aged.ended_pages`` looks only where old runs can be."""
    with opened("process", tmp_path) as bench:
        (old,) = filled(bench, "a.x", 1)
        bench.clock.now += 100 * HOUR
        young = [bench.run(created=bench.clock()) for _ in range(20 * MARK_EVERY)]
        for at in range(0, len(young), MARK_EVERY):
            some = young[at : at + MARK_EVERY]
            finishes = [end(run, last=0, at=bench.clock()) for run in some]
            bench.commit(Batch(accepts=[Accept(run) for run in some], finishes=finishes))
        assert steps(bench, None) > len(young)
        assert steps(bench, bench.clock() - HOUR) < len(young)
        assert [run.id for page in bench.store.ended(bench.clock() - HOUR) for run in page] == [old]
        assert len([run for page in bench.store.ended() for run in page]) == len(young) + 1


def steps(bench: Bench, before: int | None) -> int:
    """Steps of SQLite's machine that it takes to find the runs that ended before a time."""
    taken = count()

    def connect() -> sqlite3.Connection:
        connection = connect_reader(bench.database)
        connection.set_progress_handler(lambda: next(taken) < 0, 1)
        return connection

    pool = Pool(connect)
    try:
        list(ended_pages(pool, before))
    finally:
        pool.close()
    return next(taken)


def test_two_removals_at_once_remove_no_more_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: they take turns; without it both count first, and the later one removes as many again."""
    with opened("process", tmp_path) as bench:
        filled(bench, "a.x", 6)
        store, met, over = bench.store, threading.Barrier(2), threading.Event()
        tally, ended, readers = store.tally, store.ended, list[threading.Thread]()

        def counted() -> dict[str, int]:
            counts = tally()
            with suppress(threading.BrokenBarrierError):
                met.wait(1)
            return counts

        def read(before: int | None = None) -> Iterator[list[Ended]]:
            readers.append(threading.current_thread())
            if readers[0] is not readers[-1]:
                over.wait(30)
            return ended(before)

        def remove() -> None:
            bench.prune(Rule(ALL, runs=4))
            over.set()

        monkeypatch.setattr(store, "tally", counted)
        monkeypatch.setattr(store, "ended", read)
        both = [threading.Thread(target=remove) for _ in range(2)]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert len(ids(bench)) == 4


def test_the_parent_of_a_live_run_stays(bench: Bench) -> None:
    parent, other = filled(bench, "a.x", 2)
    child = bench.accept(bench.run(parent_run_id=parent))
    bench.prune(Rule(ALL, age=0, runs=0), now=bench.clock() + 1)
    assert set(ids(bench)) == {parent, child.id}
    bench.finish(child)
    bench.prune(Rule(ALL, runs=1))
    assert ids(bench) == [child.id]
    assert other not in ids(bench)


# -- by bytes --------------------------------------------------------------------------------------


def test_the_whole_is_no_larger_than_allowed(disk: Bench) -> None:
    made = filled(disk, "a.x", 150, 40_000)
    path = disk.store.artifact_path(made[-1], "a")
    path.write_bytes(bytes(1_000_000))
    disk.commit(Batch(artifacts=[ArtifactInfo("a", made[-1], "a", 1_000_000, "00")]))
    disk.reopen()  # no upkeep is left over that would make chunks smaller meanwhile

    def size() -> int:
        return disk.store.used_database() + disk.store.used_files()

    most = size() // 2
    (said,) = disk.prune(Rule(ALL, bytes=most), dry_run=True)
    (gone,) = disk.prune(Rule(ALL, bytes=most))
    left = ids(disk)
    assert size() <= most
    assert size() > most * 0.8, "no more than needed"
    assert left == [*reversed(made[gone.runs :])]
    assert abs(said.runs - gone.runs) < gone.runs // 4, "a dry run estimates"


def test_some_commands_have_bytes_of_their_own(bench: Bench) -> None:
    """What is kept under a rule of its own does not go for the sake of the whole."""
    mine, others = filled(bench, "a.x", 8, 20_000), filled(bench, "c.d", 8, 20_000)
    if bench.durability != "memory":
        bench.reopen()  # no upkeep is left over that would make chunks smaller meanwhile
    weights = [each.bytes for page in bench.store.ended() for each in bench.store.weigh(page)]
    assert len(weights) == 16
    bench.prune(Rule("a.x", bytes=sum(weights[4:8])), Rule(ALL, bytes=1))
    assert ids(bench) == [*reversed(mine[4:])]
    assert len(others) == 8


# -- how it goes -----------------------------------------------------------------------------------


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """How many runs and chunks each transaction of retention removes."""
    really, seen = Retention._step, []

    @contextmanager
    def step(self: Retention) -> Iterator[object]:
        with really(self) as connection:
            before = counts(connection)
            yield connection
            seen.append(tuple(x - y for x, y in zip(before, counts(connection), strict=True)))

    with monkeypatch.context() as patch:
        patch.setattr(Retention, "_step", step)
        yield seen


def counts(connection: object) -> tuple[int, ...]:
    query = "SELECT count(*) FROM {}"
    return tuple(connection.execute(query.format(table)).fetchone()[0] for table in ("runs", "chunks"))  # type: ignore[attr-defined]


def large_run(bench: Bench, chunks: int = 60) -> Run:
    run = bench.accept(bench.run())
    for seq in range(2, chunks + 2):
        bench.commit(Batch(appends={run_stream(run.id): [event(run, seq, "data", os.urandom(30_000).hex())]}))
    return bench.finish(run, last=chunks + 2)


def test_every_step_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened("process", tmp_path) as bench:
        filled(bench, "a.x", 3 * AT_ONCE)
        large_run(bench)
        with watched(monkeypatch) as seen:
            bench.prune(Rule(ALL, runs=0))
        assert sum(runs for runs, _ in seen) == 3 * AT_ONCE + 1
        assert max(runs for runs, _ in seen) <= AT_ONCE
        assert max(chunks for _, chunks in seen) <= 2 * AT_ONCE
        assert any(runs == 0 and chunks == CHUNKS for runs, chunks in seen), (
            "of a run with much output, events go first"
        )


def test_a_removal_that_was_broken_off_is_finished_at_the_next_start(tmp_path: Path) -> None:
    """Defence: ``doomed`` has the run before its first event goes; until then readers are shown one gap."""
    with opened("process", tmp_path) as bench:
        run = large_run(bench)
        assert isinstance(bench.store, SqliteStore)
        retention, left = bench.store._retention, iter([True])
        really = retention._step

        def step() -> object:
            next(left)
            return really()

        retention._step = step  # type: ignore[method-assign, assignment]
        with pytest.raises(StopIteration):
            bench.store.remove([run.id])
        first, *others = bench.store.read_events(run_stream(run.id), 0, 100, 1 << 30)
        assert first.data == {"first": 1, "last": first.seq, "reason": "retention"}
        assert [each.seq for each in others] == list(range(first.seq + 1, 63))
        assert others
        bench.reopen()
        assert bench.store.get_run(run.id) is None
        assert bench.store.tally() == {}


def test_nothing_of_what_was_removed_is_left_in_the_file(disk: Bench) -> None:
    """Defence: ``secure_delete``; without it freed pages keep what was in them until they are used again."""
    mark = "canary-5b1f"
    run = disk.accept(disk.run())
    for seq in range(2, 40):
        disk.commit(Batch(appends={run_stream(run.id): [event(run, seq, "data", mark * 500)]}))
    disk.commit(Batch(finishes=[end(run, last=39)]))
    filled(disk, "c.d", 3)
    disk.store.remove([run.id])
    disk.reopen()
    disk.store.close()
    assert mark.encode() not in disk.database.read_bytes()


def test_what_ended_is_counted_by_command(bench: Bench) -> None:
    filled(bench, "a.x", 2)
    filled(bench, "c.d", 1)
    assert bench.store.tally() == {"a.x": 2, "c.d": 1}
    assert bench.clock() > START
