"""What only a store on disk does: reopening, merging, long output, readers beside a writer."""

from __future__ import annotations

import random
import sqlite3
import threading
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from store_kit import START, Bench, event, host_event, make_run, opened, until

from trunnion.model.events import run_stream
from trunnion.model.retention import Rule
from trunnion.model.runs import ArtifactInfo, RunFilter
from trunnion.store import Accept, Batch
from trunnion.store.sqlite import SqliteStore

LINE = "2026-11-21 03:42:30,123 INFO  worker-{n:03d} request {n} done in {n} ms, status 200, 12 rows, cache hit"


def test_everything_is_there_after_reopening(disk: Bench) -> None:
    ended = disk.ended()
    live = disk.accept(disk.run(), sealed=b"s", key="k")
    disk.commit(Batch(appends={"host": [host_event(1), host_event(2)], "unit/a/log": []}))
    position = disk.store.observer_position("o")
    disk.store.set_observer_position("o", position - 1)
    number, end = disk.store.next_num(), disk.store.end_position()
    disk.reopen()
    assert disk.store.list_runs(RunFilter(), 10, None).items == [live, ended]
    assert [(e.run, e.sealed, e.last_seq) for e in disk.store.live()] == [(live, b"s", 1)]
    assert disk.store.find_key("ann", "k") is not None
    assert disk.store.last_seq("host") == 2
    assert disk.store.observer_position("o") == position - 1
    assert disk.store.end_position() == end
    assert number - 1 < disk.store.next_num()
    disk.commit(Batch(appends={"host": [host_event(3)]}))
    disk.finish(live)


def test_numbers_and_positions_survive_retention_of_everything(disk: Bench) -> None:
    run = disk.ended()
    disk.commit(Batch(appends={"host": [host_event(1)]}))
    end = disk.store.end_position()
    disk.clock.now += 10
    disk.prune(Rule("*", age=0))
    assert disk.store.stats()["runs"] == 0
    disk.reopen()
    assert disk.store.next_num() > run.num
    assert disk.store.end_position() == end
    assert disk.store.last_seq("host") == 1
    disk.commit(Batch(appends={"host": [host_event(2, disk.clock.now)]}))
    assert [(e.seq, e.kind) for e in disk.store.read_events("host", 0, 10)] == [(1, "gap"), (2, "log")]
    assert disk.store.end_position() == end + 1


def test_sealed_secrets_are_gone_when_the_run_ends(disk: Bench) -> None:
    secret = b"sealed-" + b"0123456789abcdef" * 4
    disk.finish(disk.accept(disk.run(), sealed=secret))
    disk.store.close()
    assert secret not in disk.database.read_bytes()


def test_a_crash_between_forgetting_and_removing_files_is_mended(disk: Bench) -> None:
    run = disk.ended()
    path = disk.store.artifact_path(run.id, "a")
    path.write_bytes(b"x")
    disk.store.close()
    connection = sqlite3.connect(disk.database)
    connection.execute("INSERT INTO doomed VALUES (?)", (run.id,))
    connection.commit()
    connection.close()
    disk.reopen()
    assert not path.exists()


def chunk_count(bench: Bench, stream: int) -> int:
    connection = sqlite3.connect(f"{bench.database.as_uri()}?mode=ro", uri=True)
    try:
        count: int = connection.execute("SELECT count(*) FROM chunks WHERE stream = ?", (stream,)).fetchone()[0]
        return count
    finally:
        connection.close()


def test_merging_keeps_the_bytes_of_a_stream(disk: Bench) -> None:
    run = disk.accept(disk.run())
    stream = run_stream(run.id)
    for seq in range(2, 2000):
        disk.store.commit(Batch(appends={stream: [event(run, seq, "log", LINE.format(n=seq))]}), lambda error: None)
    disk.finish(run, last=2000)
    until(lambda: chunk_count(disk, run.num) < 20)
    events = disk.store.read_events(stream, 0, 5000)
    expected = [event(run, 1), *[event(run, s, "log", LINE.format(n=s)) for s in range(2, 2000)], event(run, 2000)]
    assert events == expected
    for after in (1, 999, 1998, 1999, 2000):
        assert disk.store.read_events(stream, after, 7) == expected[after : after + 7]
    commits = disk.store.read_commits(0, 5000)
    assert [e for commit in commits for e in commit.events] == expected
    assert commits[-1].position == disk.store.end_position()


def test_merging_waits_for_the_slowest_observer(tmp_path: Path) -> None:
    with opened("process", tmp_path) as disk:
        assert isinstance(disk.store, SqliteStore)
        upkeep = disk.store._upkeep
        start = disk.store.observer_position("slow")
        run = disk.accept(disk.run())
        for seq in range(2, 200):
            disk.commit(Batch(appends={run_stream(run.id): [event(run, seq)]}))
        disk.finish(run, last=200)
        for position in (start, start + 100):
            disk.store.set_observer_position("slow", position)
            disk.commit(Batch())
            upkeep.work(again=True)
            assert [c.position for c in disk.store.read_commits(position, 500)] == list(range(position + 1, 201))
        disk.store.set_observer_position("slow", 200)
        disk.commit(Batch())

        def merged() -> bool:
            upkeep.work(again=True)
            return chunk_count(disk, run.num) <= 2

        until(merged)
        assert [e.seq for e in disk.store.read_events(run_stream(run.id), 0, 500)] == list(range(1, 201))


@pytest.mark.parametrize("damage", [(b"line", b"lime"), (b"{", b"}")])
def test_a_damaged_chunk_is_not_merged_into_a_whole_one(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    """Defence: ``Upkeep._merge`` looks at checksums; without it damage is given a new one, or ends the helper."""
    with opened("process", tmp_path) as disk:
        assert isinstance(disk.store, SqliteStore)
        disk.store.observer_position("slow")
        run = disk.accept(disk.run())
        expected = [event(run, seq, "log", f"line {seq}") for seq in range(2, 42)]
        for each in expected:
            disk.commit(Batch(appends={run_stream(run.id): [each]}))
        disk.finish(run, last=42)
        with closing(sqlite3.connect(disk.database, isolation_level=None)) as connection:
            (data,) = connection.execute("SELECT data FROM chunks WHERE first = 20").fetchone()
            connection.execute("UPDATE chunks SET data = ? WHERE first = 20", (data.replace(*damage),))
        disk.store.set_observer_position("slow", disk.store.end_position())
        disk.commit(Batch())
        disk.store._upkeep.work(again=True)
        until(lambda: chunk_count(disk, run.num) <= 5)
        seen = disk.store.read_events(run_stream(run.id), 1, 500)
        assert [e for e in seen if e.seq != 20][:-1] == [e for e in expected if e.seq != 20]
        assert [(e.kind, e.data) for e in seen if e.seq == 20] == [
            ("gap", {"first": 20, "last": 20, "reason": "damaged on the disk"})
        ]


def test_long_output_goes_to_a_file_and_comes_back_whole(disk: Bench) -> None:
    run = disk.accept(disk.run())
    stream = run_stream(run.id)
    blocks = [f"{i}: å\n" * 8000 for i in range(60)]
    expected = [event(run, 1)]
    for i, block in enumerate(blocks):
        pair = [event(run, 2 * i + 2, "text", block), event(run, 2 * i + 3, "log", "between")]
        disk.commit(Batch(appends={stream: pair}))
        expected += pair
        if i in {20, 50}:
            disk.reopen()
    output = disk.store.artifact_path(run.id, "x").with_name("output")
    assert output.stat().st_mode & 0o777 == 0o600
    sizes = [len(block.encode()) for block in blocks]
    assert output.stat().st_size in {sum(sizes[-count:]) for count in range(10, 40)}
    last = 2 * len(blocks) + 2
    disk.finish(run, last=last)
    expected.append(event(run, last))
    assert disk.store.read_events(stream, 0, 500, 1 << 40) == expected
    some = disk.store.read_events(stream, 100, 500, 200_000)
    assert some == expected[100 : 100 + len(some)]
    assert 2 <= len(some) < 12
    commits = disk.store.read_commits(0, 500)
    assert [e for commit in commits for e in commit.events] == expected
    until(lambda: chunk_count(disk, run.num) < 20)
    assert disk.store.read_events(stream, 0, 500, 1 << 40) == expected
    output.write_bytes(output.read_bytes()[:-1])
    gaps = [e for e in disk.store.read_events(stream, 0, 500, 1 << 40) if e.kind == "gap"]
    assert [gap.seq for gap in gaps] == [last - 2]
    assert disk.store.forget(run.id)
    assert not output.exists()


def test_readers_never_see_what_was_not_committed(tmp_path: Path) -> None:
    """Half of the batches fail at their very last row; readers look all the time."""
    with opened("process", tmp_path) as disk:
        run = disk.accept(disk.run())
        disk.commit(Batch(artifacts=[ArtifactInfo("taken", run.id, "a", 0, "00")]))
        stream = run_stream(run.id)
        wrong: list[object] = []
        reads = [0] * 4
        stop = threading.Event()

        def read(reader: int) -> None:
            last = 0
            while not stop.is_set():
                events = disk.store.read_events(stream, last, 100)
                wrong.extend(e for e in events if e.text == "never")
                wrong.extend(e for e, seq in zip(events, range(last + 1, 10**6), strict=False) if e.seq != seq)
                last = events[-1].seq if events else last
                wrong.extend(
                    r for r in disk.store.list_runs(RunFilter(), 10, None).items if r.command_id == "never.seen"
                )
                reads[reader] += 1

        threads = [threading.Thread(target=read, args=(i,)) for i in range(len(reads))]
        for thread in threads:
            thread.start()
        seq = 1
        while min(reads) < 30 or seq < 200:
            bad = make_run(disk.store.next_num(), command_id="never.seen")
            failing = Batch(
                [Accept(bad)],
                appends={stream: [event(run, seq + 1, "log", "never")]},
                artifacts=[ArtifactInfo("taken", run.id, "a", 0, "00")],
            )
            assert isinstance(disk.try_commit(failing), sqlite3.IntegrityError)
            disk.commit(Batch(appends={stream: [event(run, seq + 1, "log", "kept")]}))
            seq += 1
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_readers_see_no_gap_while_chunks_are_merged_under_them(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    with opened("process", tmp_path) as disk:
        wrong: list[object] = []
        stop = threading.Event()

        def read(chance: random.Random) -> None:
            while not stop.is_set():
                after = chance.randrange(disk.store.last_seq("host") + 1)
                seqs = [(e.seq, e.kind) for e in disk.store.read_events("host", after, 400)]
                if seqs != [(after + 1 + i, "log") for i in range(len(seqs))]:
                    wrong.append(seqs)

        threads = [threading.Thread(target=read, args=(random.Random(seed + i),)) for i in range(3)]
        for thread in threads:
            thread.start()
        for seq in range(1, 6000):
            batch = Batch(appends={"host": [host_event(seq, text=LINE.format(n=seq))]})
            disk.store.commit(batch, lambda error: wrong.append(error) if error else None)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        until(lambda: chunk_count(disk, -1) < 1000)


def test_old_keys_are_removed_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunnion.store.upkeep.IDLE", 0.01)
    with opened("process", tmp_path) as disk:
        for i in range(450):
            disk.accept(disk.run(), key=f"old{i}")
        disk.clock.now += 24 * 3600 * 1_000_000
        disk.accept(disk.run(), key="young")
        connection = sqlite3.connect(disk.database)
        until(lambda: connection.execute("SELECT count(*) FROM keys").fetchone() == (1,))
        connection.close()
        assert disk.store.find_key("ann", "young") is not None


def test_the_log_is_folded_in_by_the_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunnion.store.upkeep.CHECKPOINT_AFTER", 500)
    with opened("process", tmp_path) as disk:
        size = disk.database.stat().st_size
        for _ in range(400):
            disk.ended()
        until(lambda: disk.database.stat().st_size > size)


def test_a_batch_that_cannot_be_encoded_fails_alone(disk: Bench) -> None:
    run = disk.run(args={"bad": "\ud800"})
    assert isinstance(disk.try_commit(Batch([Accept(run)])), ValueError)
    assert disk.store.get_run(run.id) is None
    disk.ended()


def test_reading_after_close_says_so(disk: Bench) -> None:
    from trunnion.model.errors import Unavailable

    disk.store.close()
    with pytest.raises(Unavailable, match="closed"):
        disk.store.get_run("x")


def test_stored_chunks_carry_their_checksum(tmp_path: Path) -> None:
    with opened("process", tmp_path) as disk:
        assert isinstance(disk.store, SqliteStore)
        disk.commit(Batch(appends={"host": [host_event(1, START)]}))
        connection = sqlite3.connect(disk.database)
        crc, data = connection.execute("SELECT crc, data FROM chunks").fetchone()
        connection.close()
        assert crc == zlib.crc32(data)
