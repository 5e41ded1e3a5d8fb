"""The look at a store: damage is named, nothing else is, and mending loses no more than it says."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from backup_kit import events_of
from store_kit import Bench, event, host_event, opened

from trunnion.model.errors import IncompatibleData, TrunnionError, Unavailable
from trunnion.model.events import GAP, TEXT, Event, run_stream
from trunnion.model.runs import ArtifactInfo, Run, RunFilter
from trunnion.store import Batch
from trunnion.store.check import examine
from trunnion.store.factory import database_path
from trunnion.store.repair import repair
from trunnion.store.salvage import salvage
from trunnion.store.trouble import Trouble

Facts = dict[str, Run]


@pytest.fixture
def facts(tmp_path: Path) -> Iterator[tuple[Path, Facts]]:
    """A closed store with ended and live runs, long output, a kept file and a stream of the host's own."""
    with opened("process", tmp_path) as bench:
        yield tmp_path, _filled(bench)


def _filled(bench: Bench) -> Facts:
    for _ in range(300):
        bench.ended()
    plain = bench.ended(args={"secret": "in the record"})
    long = bench.accept(bench.run())
    for seq in range(2, 5):
        bench.commit(Batch(appends={run_stream(long.id): [event(long, seq, TEXT, f"é{seq}" * 400_000)]}))
    long = bench.finish(long, last=5)
    live = bench.accept(bench.run())
    data = b"kept"
    info = ArtifactInfo("a1", plain.id, "a1", len(data), hashlib.sha256(data).hexdigest())
    bench.store.artifact_path(plain.id, "a1").write_bytes(data)
    bench.commit(Batch(artifacts=[info], appends={"host": [host_event(1), host_event(2)]}))
    bench.store.close()
    return {"plain": plain, "long": long, "live": live}


def change(root: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(database_path(root), isolation_level=None)
    assert connection.execute(statement, values).rowcount != 0
    connection.close()


def found(root: Path) -> list[Trouble]:
    return list(examine(root))


def events(root: Path, run: Run) -> list[Event]:
    with opened("process", root) as bench:
        return bench.store.read_events(run_stream(run.id), 0, 1000, 1 << 30)


def test_where_nothing_is_wrong_nothing_is_named(facts: tuple[Path, Facts]) -> None:
    root, _ = facts
    before = database_path(root).read_bytes()
    assert found(root) == []
    assert repair(root, "now") is None
    assert database_path(root).read_bytes() == before
    assert not (root / "lost+found").exists()


@pytest.mark.parametrize("durability", ["process", "power"])
def test_beside_a_store_at_work(tmp_path: Path, durability: str) -> None:
    with opened(durability, tmp_path) as bench:  # type: ignore[arg-type]
        bench.accept(bench.run())
        bench.store.artifact_path("a-run-that-is-about-to-be", "x").write_bytes(b"x")
        assert list(examine(tmp_path, "beside")) == []


# -- T4: a flipped bit is found by its checksum -------------------------------------------------------


def test_t4_a_flip_in_any_payload_is_found(facts: tuple[Path, Facts]) -> None:
    root, runs = facts
    connection = sqlite3.connect(database_path(root), isolation_level=None)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rows = [("chunks", "data", "position", number) for (number,) in connection.execute("SELECT position FROM chunks")]
    rows += [("runs", "doc", "num", number) for (number,) in connection.execute("SELECT num FROM runs")]
    for table, column, key, number in chance.sample(rows, 12):
        (data,) = connection.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (number,)).fetchone()
        damaged = bytearray(data)
        damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        statement = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
        connection.execute(statement, (bytes(damaged), number))
        (trouble,) = found(root)
        assert (trouble.kind, trouble.key) == ("chunk" if table == "chunks" else "run", number)
        assert "checksum" in trouble.text
        connection.execute(statement, (data, number))
    connection.close()
    assert found(root) == []
    assert runs


def test_a_flip_on_the_disk_in_any_page_is_found_or_changes_nothing(facts: tuple[Path, Facts]) -> None:
    """Bytes are flipped in the file itself, in each of its pages: named, or of no account to what can be read."""
    root, _ = facts
    path = database_path(root)
    connection = sqlite3.connect(path)
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = path.read_bytes()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    story, named, pages = _story(root), 0, len(whole) // 4096
    for page in chance.sample(range(pages), min(pages, 40)):
        damaged = bytearray(whole)
        at = page * 4096 + chance.randrange(4096 - 64)
        for place in range(at, at + 64):
            damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            troubles = found(root)
        except TrunnionError:
            named += 1
            continue
        named += bool(troubles)
        assert troubles or _story(root) == story, f"byte {at} (seed {seed})"
    assert named > 20


def _story(root: Path) -> str:
    """What is read of runs and events, as text."""
    connection = sqlite3.connect(f"{database_path(root).as_uri()}?immutable=1", uri=True)
    try:
        rows = connection.execute("SELECT doc FROM runs ORDER BY num").fetchall()
        rows += connection.execute(
            "SELECT stream, first, last, codec, data FROM chunks ORDER BY stream, first"
        ).fetchall()
        rows += connection.execute("SELECT id, doc FROM artifacts ORDER BY rowid").fetchall()
        return hashlib.sha256(repr(rows).encode()).hexdigest()
    finally:
        connection.close()


# -- the corpus ---------------------------------------------------------------------------------------


def damage_chunk(root: Path, runs: Facts) -> None:
    change(root, "UPDATE chunks SET data = substr(data, 2) WHERE stream = ? AND first = 2", runs["plain"].num)


def damage_record(root: Path, runs: Facts) -> None:
    change(root, "UPDATE runs SET crc = crc + 1 WHERE num = ?", runs["plain"].num)


def damage_live(root: Path, runs: Facts) -> None:
    change(root, "UPDATE live SET doc = ? WHERE num = ?", b'{"id":', runs["live"].num)


def end_twice(root: Path, runs: Facts) -> None:
    change(root, "INSERT INTO live SELECT num, doc, NULL FROM runs WHERE num = ?", runs["plain"].num)


def lose_row(root: Path, runs: Facts) -> None:
    change(root, "DELETE FROM runs WHERE num = ?", runs["long"].num)
    change(root, "INSERT INTO doomed VALUES (?)", runs["long"].id)


def shorten_output(root: Path, runs: Facts) -> None:
    output = root / "artifacts" / runs["long"].id / "output"
    os.truncate(output, output.stat().st_size - 5)


def spoil_output(root: Path, runs: Facts) -> None:
    output = root / "artifacts" / runs["long"].id / "output"
    data = bytearray(output.read_bytes())
    data[3] = 0xFF
    output.write_bytes(data)


def stray_files(root: Path, runs: Facts) -> None:
    (root / "artifacts/gone").mkdir()
    (root / "artifacts/gone/x").write_text("of nobody")
    (root / "artifacts" / runs["plain"].id / "half").write_text("never recorded")


def spoil_index(root: Path, runs: Facts) -> None:
    path = database_path(root)
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs_caller'").fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(path.read_bytes())
    at = (page - 1) * 4096
    data[at + 5 : at + 200] = os.urandom(195)
    path.write_bytes(data)


MENDED: list[tuple[Callable[[Path, Facts], None], str, str]] = [
    (damage_chunk, "chunk", "events 2 to 2: are not what was written"),
    (damage_record, "run", "its record is not what was written"),
    (damage_live, "live", "its record cannot be read"),
    (end_twice, "live", "is on record as ended too"),
    (lose_row, "stream", "of a run that is not on record"),
    (shorten_output, "text", "the text of 1 of the events"),
    (spoil_output, "text", "the text of 1 of the events"),
    (stray_files, "orphan", "artifacts/gone: a run that is not on record"),
    (spoil_index, "pages", ""),
]


@pytest.mark.parametrize(("spoil", "kind", "text"), MENDED, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_named_and_mended_once(
    facts: tuple[Path, Facts], spoil: Callable[[Path, Facts], None], kind: str, text: str
) -> None:
    root, runs = facts
    spoil(root, runs)
    troubles = found(root)
    assert kind in {trouble.kind for trouble in troubles}
    assert any(text in trouble.text for trouble in troubles), troubles
    before = database_path(root).read_bytes()
    done = repair(root, "now")
    assert done is not None
    assert done.left == ()
    assert done.done
    assert done.copy.read_bytes() == before
    assert done.copy.stat().st_mode & 0o777 == 0o600
    assert found(root) == []
    # A host works with it, and every other run is as it was.
    with opened("process", root) as bench:
        assert len(bench.store.list_runs(RunFilter(), 1000, None).items) >= 301
        bench.ended()


def test_a_cut_chunk_is_an_explicit_gap(facts: tuple[Path, Facts]) -> None:
    root, runs = facts
    whole = events(root, runs["plain"])
    damage_chunk(root, runs)
    repair(root, "now")
    after = events(root, runs["plain"])
    assert after[0] == whole[0]
    assert [(e.seq, e.kind, e.data) for e in after[1:]] == [
        (2, GAP, {"first": 2, "last": 2, "reason": "damaged on the disk"})
    ]


def test_lost_text_is_an_explicit_gap_and_the_rest_stays(facts: tuple[Path, Facts]) -> None:
    root, runs = facts
    whole = events(root, runs["long"])
    shorten_output(root, runs)
    repair(root, "now")
    after = events(root, runs["long"])
    assert [e.kind for e in after] == ["state", TEXT, TEXT, GAP, "state"]
    assert [e for e in after if e.kind != GAP] == [e for e in whole if e.seq != 4]


def test_text_that_is_no_text_any_more_is_a_gap_before_it_is_mended_too(facts: tuple[Path, Facts]) -> None:
    root, runs = facts
    spoil_output(root, runs)
    assert [e.kind for e in events(root, runs["long"])].count(GAP) == 1


def test_what_the_columns_say_of_a_run_becomes_its_record(facts: tuple[Path, Facts]) -> None:
    root, runs = facts
    damage_record(root, runs)
    repair(root, "now")
    with opened("process", root) as bench:
        run = bench.store.get_run(runs["plain"].id)
    assert run is not None
    assert (run.status, run.command_id, run.last_seq, run.finished) == (
        "succeeded", "demo.noop", 2, runs["plain"].finished,
    )  # fmt: skip
    assert run.error is not None
    assert "damaged" in run.error.message


def test_what_is_dropped_goes_to_lost_and_found(facts: tuple[Path, Facts]) -> None:
    root, runs = facts
    stray_files(root, runs)
    damage_live(root, runs)
    repair(root, "then")
    lost = root / "lost+found/then"
    assert (lost / "artifacts/gone/x").read_text() == "of nobody"
    assert (lost / f"artifacts/{runs['plain'].id}/half").read_text() == "never recorded"
    assert (lost / f"live-{runs['live'].num}.json").read_bytes() == b'{"id":'
    assert b'"seq":1' in (lost / f"stream-{runs['live'].num}.jsonl").read_bytes()


def test_what_cannot_be_mended_stays_named(facts: tuple[Path, Facts]) -> None:
    root, runs = facts
    (root / "artifacts" / runs["plain"].id / "a1").unlink()
    change(root, "DELETE FROM chunks WHERE stream = ? AND first = 2", runs["plain"].num)
    assert sorted((t.kind, t.mend) for t in found(root)) == [("artifact", ""), ("stream", "")]
    assert repair(root, "now") is None
    assert len(found(root)) == 2


def test_of_a_damaged_table_only_what_proves_itself_is_saved(facts: tuple[Path, Facts]) -> None:
    """Defence: ``_is_what_it_says``: rows found by way of a damaged page may not be what they seem."""
    root, _ = facts
    before = events_of(root)
    connection = sqlite3.connect(database_path(root))
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunks'").fetchone()
    connection.close()
    data = bytearray(database_path(root).read_bytes())
    data[(page - 1) * 4096 + 8 : (page - 1) * 4096 + 200] = os.urandom(192)
    database_path(root).write_bytes(data)
    assert any(trouble.is_fatal for trouble in found(root))
    done = repair(root, "now")
    assert done is not None
    assert "of the table chunks" in done.done[0]
    assert not any(trouble.kind == "pages" for trouble in done.left)
    for run_id, events in events_of(root).items():
        assert [event for event in events if event.kind != "gap"] == [
            event for event in before[run_id] if event.seq in {each.seq for each in events if each.kind != "gap"}
        ]


def test_it_waits_for_no_writer_that_is_at_work(facts: tuple[Path, Facts], monkeypatch: pytest.MonkeyPatch) -> None:
    root, runs = facts
    damage_record(root, runs)
    monkeypatch.setattr("trunnion.store.database.WRITER_TIMEOUT", 0.05)
    holder = (
        "import fcntl, os, sys; f = os.open(sys.argv[1], 66); fcntl.lockf(f, 2); print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", holder, str(database_path(root).with_name("writer.lock"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Unavailable, match="another process still writes"):
            repair(root, "now")
        child.communicate("\n")
    assert not list(root.glob("db/*.before-repair*"))


def test_chunks_that_say_what_they_are_not(facts: tuple[Path, Facts]) -> None:
    """Their checksum holds, but their row, their numbers or their stream are others."""
    root, runs = facts
    data = b'{"stream":"run/other","seq":2,"ts":1,"kind":"state"}\n'
    values = (zlib.crc32(data), data, runs["plain"].num)
    change(root, "UPDATE chunks SET crc = ?, data = ? WHERE stream = ? AND first = 2", *values)
    (trouble,) = found(root)
    assert "others than the row says" in trouble.text
    change(root, "UPDATE chunks SET last = 1 << 60 WHERE stream = ? AND first = 2", runs["plain"].num)
    troubles = found(root)
    assert [trouble.mend for trouble in troubles] == ["", ""]
    repair(root, "now")


def test_older_data_is_looked_at_as_it_is_and_newer_data_refused(version1: Path) -> None:
    before = database_path(version1).read_bytes()
    assert [trouble.text[-19:] for trouble in found(version1)] == ["its file is missing"]
    assert database_path(version1).read_bytes() == before
    connection = sqlite3.connect(database_path(version1))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(IncompatibleData, match="99"):
        found(version1)


def test_what_nobody_wrote_is_not_saved(facts: tuple[Path, Facts], tmp_path: Path) -> None:
    """Defence: ``_is_what_it_says``."""
    root, runs = facts
    plain = runs["plain"]
    change(root, "UPDATE runs SET id = 'another' WHERE num = ?", plain.num)
    change(root, "UPDATE chunks SET data = x'5b5d' WHERE stream = ? AND first = 1", plain.num)
    fresh = tmp_path / "fresh.sqlite"
    lost = salvage(database_path(root), fresh)
    assert [sentence.split()[3] for sentence in lost] == ["runs", "chunks"]
    with closing(sqlite3.connect(fresh)) as connection:
        for query in ("runs WHERE id = 'another'", "chunks WHERE data = x'5b5d'"):
            assert connection.execute(f"SELECT count(*) FROM {query}").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
