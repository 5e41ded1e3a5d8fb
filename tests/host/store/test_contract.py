"""What every store promises, whatever is behind it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from store_kit import START, Bench, end, event, host_event

from trunnion.model.errors import InvalidArguments
from trunnion.model.events import run_stream
from trunnion.model.retention import Rule
from trunnion.model.runs import ArtifactInfo, Run, RunFilter
from trunnion.store import Accept, Batch, KeyRow


def test_a_run_is_found_live_then_ended(bench: Bench) -> None:
    run = bench.accept(bench.run(), sealed=b"secret")
    assert [entry.run for entry in bench.store.live()] == [run]
    assert bench.store.live()[0].sealed == b"secret"
    assert bench.store.live()[0].last_seq == 1
    changed = msgspec.structs.replace(run, started=START, cancel_requested_at=START + 1)
    bench.commit(Batch(starts=[changed]))
    assert bench.store.get_run(run.id) == changed
    assert bench.store.live()[0].sealed == b"secret"
    ended = bench.finish(changed)
    assert bench.store.live() == []
    assert bench.store.get_run(run.id) == ended
    assert bench.store.get_runs([run.id, "nobody"]) == [ended]


def test_a_run_may_come_and_go_within_one_batch(bench: Bench) -> None:
    run = bench.run()
    events = [event(run, seq) for seq in (1, 2, 3)]
    ended = end(run, last=3)
    batch = Batch([Accept(run, None, b"x")], [run], {run_stream(run.id): events}, [ended])
    bench.commit(batch)
    assert bench.store.live() == []
    assert bench.store.get_run(run.id) == ended
    assert bench.store.read_events(run_stream(run.id), 0, 10) == events


def test_numbers_ascend(bench: Bench) -> None:
    numbers = [bench.store.next_num() for _ in range(5)]
    assert numbers == sorted(set(numbers))


def test_events_are_read_from_any_number(bench: Bench) -> None:
    run = bench.accept(bench.run())
    stream = run_stream(run.id)
    for first in range(2, 299, 3):
        bench.commit(Batch(appends={stream: [event(run, seq) for seq in range(first, first + 3)]}))
    for after in (0, 1, 2, 7, 150, 297, 298, 299):
        expected = [event(run, seq) for seq in range(after + 1, min(after + 50, 298) + 1)]
        assert bench.store.read_events(stream, after, 50) == expected, after
    assert bench.store.last_seq(stream) == 298
    bench.finish(run, last=299)
    assert bench.store.read_events(stream, 297, 50) == [event(run, 298), event(run, 299)]
    assert bench.store.last_seq(stream) == 299
    assert bench.store.read_events("run/none", 0, 10) == []
    assert bench.store.last_seq("run/none") == 0


def test_a_read_stops_at_max_bytes_but_gives_one(bench: Bench) -> None:
    bench.commit(Batch(appends={"host": [host_event(seq, text="x" * 1000) for seq in range(1, 11)]}))
    assert len(bench.store.read_events("host", 0, 100, 1)) == 1
    assert 2 <= len(bench.store.read_events("host", 0, 100, 4000)) <= 4


def test_events_that_do_not_follow_are_refused_whole(bench: Bench) -> None:
    run = bench.accept(bench.run())
    for seqs in ([1], [3], [2, 4], [2, 2]):
        other = bench.run()
        batch = Batch([Accept(other)], appends={run_stream(run.id): [event(run, seq) for seq in seqs]})
        assert isinstance(bench.try_commit(batch), ValueError)
        assert bench.store.get_run(other.id) is None
    bench.commit(Batch(appends={run_stream(run.id): [event(run, 2)]}))
    assert bench.store.last_seq(run_stream(run.id)) == 2


def test_events_of_a_run_that_is_not_live_are_refused(bench: Bench) -> None:
    run = bench.ended()
    assert isinstance(bench.try_commit(Batch(appends={run_stream(run.id): [event(run, 3)]})), ValueError)


def test_a_key_finds_its_run_for_a_day(bench: Bench) -> None:
    run = bench.accept(bench.run(), key="k")
    assert bench.store.find_key("ann", "k") == KeyRow("ann", "k", run.id, "demo.noop", "d", START)
    assert bench.store.find_key("bob", "k") is None
    bench.clock.now += 24 * 3600 * 1_000_000 - 1
    assert bench.store.find_key("ann", "k") is not None
    bench.clock.now += 1
    assert bench.store.find_key("ann", "k") is None
    again = bench.accept(bench.run(), key="k")
    found = bench.store.find_key("ann", "k")
    assert found is not None
    assert found.run_id == again.id


FILTERS = [
    RunFilter(),
    RunFilter(status=("failed",)),
    RunFilter(status=("failed", "cancelled", "running")),
    RunFilter(status=("succeeded",)),
    RunFilter(command="b.two"),
    RunFilter(command="b.*"),
    RunFilter(command="*"),
    RunFilter(principal="ann"),
    RunFilter(source="web"),
    RunFilter(principal="bob", source="web", status=("failed",)),
    RunFilter(session_id="s1"),
    RunFilter(parent_run_id="p2", command="a.one"),
    RunFilter(created_after=START + 100),
    RunFilter(created_before=START + 100),
    RunFilter(created_after=START + 50, created_before=START + 300, principal="bob"),
    RunFilter(command="nobody"),
]


def test_pages_are_what_a_plain_filter_says(bench: Bench) -> None:
    from trunnion.store.listing import matches

    runs = []
    batch = Batch()
    for i in range(600):
        run = bench.run(
            command_id=("a.one", "b.two", "b.three")[i % 3],
            principal=("ann", "bob")[i % 2],
            source=("cli", "web", "rpc")[i % 5 % 3],
            session_id=f"s{i % 7}" if i % 4 == 0 else None,
            parent_run_id=f"p{i % 5}" if i % 6 == 0 else None,
            # A clock that goes back in between.
            created=START + i - (200 if 250 < i < 400 else 0),
        )
        batch.accepts.append(Accept(run))
        if i % 50:
            run = end(run, status=("succeeded", "failed", "cancelled")[i % 11 % 3], last=0)
            batch.finishes.append(run)
        runs.append(run)
    bench.commit(batch)
    for wanted in FILTERS:
        assert list(all_pages(bench, wanted)) == [run for run in reversed(runs) if matches(run, wanted)], wanted


def test_a_run_accepted_long_after_its_number_was_given_is_found_by_time(bench: Bench) -> None:
    """Times are found by blocks of numbers; a straggler belongs to a block that was closed without it."""
    stragglers = [bench.run(created=START - 10**9), bench.run(created=START + 10**9)]
    others = [bench.run(created=START) for _ in range(700)]
    bench.commit(Batch([Accept(run) for run in others], finishes=[end(run, last=0) for run in others]))
    ended = [end(run, last=0) for run in stragglers]
    bench.commit(Batch([Accept(run) for run in stragglers], finishes=ended))
    assert list(all_pages(bench, RunFilter(created_before=START))) == ended[:1]
    assert list(all_pages(bench, RunFilter(created_after=START))) == ended[1:]


def all_pages(bench: Bench, wanted: RunFilter) -> Iterator[Run]:
    cursor = None
    while True:
        page = bench.store.list_runs(wanted, 37, cursor)
        assert len(page.items) <= 37
        yield from page.items
        if (cursor := page.next) is None:
            return


def test_a_foreign_cursor_is_refused(bench: Bench) -> None:
    for cursor in ("", "x", "-1", "1.5", "9" * 30, "\u0661"):
        with pytest.raises(InvalidArguments, match="cursor"):
            bench.store.list_runs(RunFilter(), 10, cursor)


def test_an_observer_sees_every_commit_from_its_start(bench: Bench) -> None:
    bench.ended()
    position = bench.store.observer_position("o")
    assert position == bench.store.end_position()
    run = bench.ended()
    bench.commit(Batch(appends={"host": [host_event(1)]}))
    commits = bench.store.read_commits(position, 100)
    assert [e for commit in commits for e in commit.events] == [event(run, 1), event(run, 2), host_event(1)]
    positions = [commit.position for commit in commits]
    assert positions == sorted(set(positions))
    assert positions[-1] == bench.store.end_position()
    bench.store.set_observer_position("o", positions[1])
    assert bench.store.observer_position("o") == positions[1]
    assert [c.position for c in bench.store.read_commits(positions[1], 100)] == positions[2:]


def test_files_are_kept_with_a_run_and_go_with_it(bench: Bench) -> None:
    run = bench.accept(bench.run())
    path = bench.store.artifact_path(run.id, "a1")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.write_bytes(b"hello")
    info = ArtifactInfo("a1", run.id, "report.txt", 5, "00")
    bench.commit(Batch(artifacts=[info]))
    assert bench.store.artifact("a1") == (info, path)
    assert bench.store.artifacts_of(run.id) == [info]
    assert not bench.store.forget(run.id), "a live run cannot be forgotten"
    bench.finish(run)
    assert bench.store.forget(run.id)
    assert not bench.store.forget(run.id)
    assert bench.store.artifact("a1") is None
    assert not path.exists()
    assert bench.store.get_run(run.id) is None
    assert bench.store.read_events(run_stream(run.id), 0, 10) == []


def test_a_file_cannot_lie_elsewhere(bench: Bench) -> None:
    for name in ("..", "a/b", "", "output", "a\0b", ".hidden"):
        with pytest.raises(ValueError, match="name"):
            bench.store.artifact_path("run", name)


def test_pruning_removes_what_a_dry_run_said(bench: Bench) -> None:
    live = bench.accept(bench.run())
    runs = []
    for _ in range(12):
        bench.clock.now += 1000
        runs.append(bench.ended())
    bench.store.artifact_path(runs[0].id, "a").write_bytes(b"123")
    bench.commit(Batch(artifacts=[ArtifactInfo("a", runs[0].id, "a", 3, "00")]))
    cut = runs[4].finished
    for older_than, keep, gone in ((cut, None, 4), (None, 6, 2), (cut, 5, 1), (START, None, 0), (None, 100, 0)):
        rule = Rule("*", age=None if older_than is None else 0, runs=keep)
        said = bench.prune(rule, now=older_than, dry_run=True)
        assert bench.prune(rule, now=older_than) == said
        assert sum(each.runs for each in said) == gone
        assert sum(each.events for each in said) == 2 * gone
        runs = runs[gone:]
        assert bench.store.list_runs(RunFilter(), 100, None).items == [*reversed(runs), live]
    assert bench.store.artifact("a") is None
    assert bench.store.next_num() > runs[-1].num


def test_what_retention_took_of_a_stream_is_one_gap(bench: Bench) -> None:
    for seq in range(1, 1001):
        bench.commit(Batch(appends={"host": [host_event(seq, START + seq)]}))
    (said,) = bench.prune(Rule("*", age=600), now=START + 1200, dry_run=True)
    assert bench.prune(Rule("*", age=600), now=START + 1200) == [said]
    first, *others = bench.store.read_events("host", 0, 2000)
    assert first.kind == "gap"
    assert first.data == {"first": 1, "last": first.seq, "reason": "retention"}
    assert 1 <= said.events == first.seq < 600
    assert [e.seq for e in others] == list(range(first.seq + 1, 1001))
    assert bench.store.read_events("host", first.seq - 1, 1)[0].data == {
        "first": first.seq,
        "last": first.seq,
        "reason": "retention",
    }
    assert bench.store.last_seq("host") == 1000


def test_stats_say_what_there_is(bench: Bench) -> None:
    bench.ended()
    bench.accept(bench.run())
    stats = bench.store.stats()
    assert (stats["runs"], stats["live_runs"], stats["durability"]) == (1, 1, bench.durability)


def test_close_twice(bench: Bench) -> None:
    bench.store.close()
    bench.store.close()
