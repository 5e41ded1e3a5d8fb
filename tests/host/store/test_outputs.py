"""Long output once its run has ended: compressed, at once or not at all, and read as if it were not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import msgspec
import pytest
from backup_kit import source_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_kit import Bench, end, opened, until

from trunnion.model.events import NULL, TEXT, Event, run_stream
from trunnion.store import Accept, Batch, chunks, outputs
from trunnion.store.backup.create import back_up
from trunnion.store.backup.restore import restore
from trunnion.store.check import examine
from trunnion.store.files import OUTPUT
from trunnion.store.output_packing import OutputPacker
from trunnion.store.outputs import BLOCK, Output, pack, unpacked

RUN = "0190-run"


def plain(root: Path, data: bytes, run_id: str = RUN) -> Path:
    path = root / run_id / OUTPUT
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def never() -> bool:
    return False


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5 * BLOCK), st.lists(st.tuples(st.integers(0, 6 * BLOCK), st.integers(0, 3 * BLOCK)), max_size=9))
def test_a_compressed_output_is_read_like_a_plain_one(tmp_path: Path, size: int, spans: list[tuple[int, int]]) -> None:
    data = bytes(ord("a") + (n * n) % 26 for n in range(997)) * (size // 997 + 1)
    shutil.rmtree(tmp_path / RUN, ignore_errors=True)
    path = plain(tmp_path, data[:size])
    assert pack(tmp_path, RUN, never)
    assert not list(tmp_path.glob(".*"))
    with Output(path) as output:
        for offset, length in spans:
            assert output.read(offset, length) == data[:size][offset : offset + length]


def test_it_is_smaller_and_twice_is_once(tmp_path: Path) -> None:
    path = plain(tmp_path, b"a line of output, and so on\n" * 100_000)
    assert list(unpacked(tmp_path)) == [RUN]
    assert pack(tmp_path, RUN, never)
    size = path.stat().st_size
    assert size < 2_800_000 // 20
    assert pack(tmp_path, RUN, never)
    assert path.stat().st_size == size
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(unpacked(tmp_path))


def test_one_that_is_left_in_the_middle_is_as_it_was(tmp_path: Path) -> None:
    data = b"x" * (4 * BLOCK)
    path = plain(tmp_path, data)
    asked = iter([False, False, True])
    assert not pack(tmp_path, RUN, lambda: next(asked))
    assert path.read_bytes() == data
    assert [entry.name for entry in tmp_path.iterdir()] == [RUN]


def test_a_run_that_is_removed_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    plain(tmp_path, b"x" * (4 * BLOCK))

    def remove() -> bool:
        shutil.rmtree(tmp_path / RUN, ignore_errors=True)
        return False

    assert not pack(tmp_path, RUN, remove)
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys, pathlib
from trunnion.store import outputs
left = int(sys.argv[2])
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def stopping():
    global left
    left -= 1
    return die() if left == 0 else False
if left == 100:
    os.fsync = die
if left == 101:
    outputs.sync_file = die
outputs.pack(pathlib.Path(sys.argv[1]), "0190-run", stopping)
"""


@pytest.mark.parametrize("moment", [1, 3, 100, 101])
def test_killed_at_any_moment_it_is_the_one_or_the_other(moment: int, tmp_path: Path) -> None:
    data = b"".join(b"line %d\n" % n for n in range(40_000))
    path = plain(tmp_path, data)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(moment)], check=False)
    assert ended.returncode == -signal.SIGKILL
    with Output(path) as output:
        assert output.read(0, len(data) + 1) == data
    assert list(unpacked(tmp_path)) == ([] if moment == 101 else [RUN])
    outputs.remove_partial(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [RUN]


def test_a_damaged_one_is_too_short_and_never_wrong(tmp_path: Path) -> None:
    path = plain(tmp_path, b"".join(b"%d\n" % n for n in range(100_000)))
    assert pack(tmp_path, RUN, never)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:40] + b"\0\0\0\0" + whole[44:], whole[:9]):
        path.write_bytes(damaged)
        with Output(path) as output:
            assert output.read(0, 100) == b""


# -- in a store ----------------------------------------------------------------------------------------------


def said_much(bench: Bench, *, blocks: int = 40) -> str:
    run = bench.run()
    bench.commit(Batch(accepts=[Accept(run)]))
    stream = run_stream(run.id)
    for seq in range(1, blocks + 1):
        text = "".join(f"{seq} {n} é\n" for n in range(6000))
        bench.commit(Batch(appends={stream: [Event(stream, seq, run.created, TEXT, "info", "handler", text)]}))
    bench.commit(Batch(finishes=[end(run, last=blocks)]))
    return run.id


def test_the_output_of_an_ended_run_is_compressed_and_reads_the_same(disk: Bench) -> None:
    run_id = said_much(disk)
    stream = run_stream(run_id)
    before = disk.store.read_events(stream, 0, 1000, 1 << 40)
    path = disk.data_dir / "artifacts" / run_id / OUTPUT
    left = disk.data_dir / "artifacts" / ".left.partial"
    left.write_bytes(b"half")
    packer = OutputPacker(disk.data_dir / "artifacts", 0.0)
    packer.add(run_id)
    until(lambda: path.read_bytes().startswith(outputs.MAGIC))
    packer.stop()
    assert not left.exists()
    assert disk.store.read_events(stream, 0, 1000, 1 << 40) == before
    assert disk.store.read_events(stream, 30, 2, 1 << 40) == before[30:32]
    disk.reopen()
    assert disk.store.read_events(stream, 0, 1000, 1 << 40) == before


def test_what_an_earlier_host_left_is_compressed_after_the_start(tmp_path: Path) -> None:
    with opened("process", tmp_path) as bench:
        run_id = said_much(bench)
        path = tmp_path / "artifacts" / run_id / OUTPUT
        added: list[str] = []
        upkeep = bench.store._upkeep
        upkeep._packer.add = added.append
        upkeep.work(again=True)
        assert added == [run_id]
        assert path.exists()


def test_check_and_backup_know_both_kinds(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with opened("process", data) as bench:
        first, second = said_much(bench), said_much(bench)
        assert pack(data / "artifacts", first, never)
        before = {run_id: bench.store.read_events(run_stream(run_id), 0, 1000, 1 << 40) for run_id in (first, second)}
    assert not list(examine(data))
    assert not back_up(source_of(data), tmp_path / "b").notes
    restore(tmp_path / "b", tmp_path / "again")
    with opened("process", tmp_path / "again") as bench:
        for run_id, events in before.items():
            assert bench.store.read_events(run_stream(run_id), 0, 1000, 1 << 40) == events


# -- merged events -------------------------------------------------------------------------------------------

events_of = st.lists(
    st.tuples(
        st.integers(-5, 1 << 50),
        st.sampled_from(["text", "log", "gap"]),
        st.sampled_from([("info", "host"), ("warning", "h"), ("".join(["in", "fo"]), "".join(["ho", "st"]))]),
        st.text(max_size=9),
        st.sampled_from([None, b"null", b'{"a":1}', b"[1.50]", b'"\\u00e9"']),
        st.none() | st.tuples(st.integers(0, 1 << 40), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=20,
)


@given(events_of, st.integers(1, 1 << 40), st.integers(0, 20))
def test_merged_chunks_hold_the_same_events(drawn, first: int, cut: int) -> None:
    events = [
        chunks.SpannedEvent("run/x", first + n, ts, kind, *who, text, NULL if raw is None else msgspec.Raw(raw), span)
        for n, (ts, kind, who, text, raw, span) in enumerate(drawn)
    ]
    parts = [(chunks.SPANS, chunks.encode(part)) for part in (events[:cut], events[cut:]) if part]
    codec, data = chunks.merged(parts)
    assert codec == chunks.COMPRESSED | chunks.SPANS | chunks.LEAN
    again = chunks.decode(codec, zlib.crc32(data), data)
    assert chunks.encode(again) == chunks.encode(events) == chunks.inflate(codec, data)
    codec, data = chunks.merged([(codec, data)])
    assert chunks.inflate(codec, data) == chunks.encode(events)


def test_chunks_with_a_hole_between_them_are_merged_as_they_are() -> None:
    events = [Event("run/x", seq, 1, "log") for seq in (1, 3)]
    codec, data = chunks.merged([(chunks.PLAIN, chunks.encode(events))])
    assert codec == chunks.COMPRESSED
    assert chunks.inflate(codec, data) == chunks.encode(events)


def test_the_thread_ends_when_it_is_told(tmp_path: Path) -> None:
    packer = OutputPacker(tmp_path, 60.0)
    packer.stop()
    packer = OutputPacker(tmp_path, 60.0)
    packer.add(RUN)
    packer.stop()
    assert "trunnion-store-outputs" not in [thread.name for thread in threading.enumerate()]
    assert os.getpriority(os.PRIO_PROCESS, 0) < 19
