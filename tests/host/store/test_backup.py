"""Backups: what is in them, what they do while others write, and that what goes wrong leaves nothing half."""

from __future__ import annotations

import gzip
import os
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest
from backup_kit import Moment, content_of, events_of, flip, keep, limited, source_of, spilled
from store_kit import Bench, event, opened

from trunnion.model.errors import Conflict, InvalidArguments, Unavailable
from trunnion.model.events import TEXT, run_stream
from trunnion.model.runs import Run, RunFilter
from trunnion.store import Batch
from trunnion.store.backup import back_up, restore, verify
from trunnion.store.connections import connect_reader
from trunnion.store.database import Database
from trunnion.store.factory import database_path
from trunnion.store.files import RunFiles
from trunnion.store.upkeep import Upkeep

# -- what is in it ------------------------------------------------------------------------------------


def test_all_of_it_comes_back(kept: Bench, tmp_path: Path) -> None:
    root, file, place = kept.data_dir, tmp_path / "b", tmp_path / "new"
    config = tmp_path / "trunnion.toml"
    config.write_text("[log]\n")
    manifest = back_up(source_of(root, config=config), file)
    assert verify(file) == manifest
    done = restore(file, place)
    assert done.troubles == ()
    assert done.aside is None
    expected = content_of(root)
    del expected["secret.key"], expected["logs/host.jsonl"]
    assert content_of(place) == {**expected, "config-of-backup/trunnion.toml": b"[log]\n"}
    assert (place / "instances/empty").is_dir()
    assert (place / "packages/p/bin/tool").stat().st_mode & 0o777 == 0o755
    assert place.stat().st_mode & 0o777 == 0o700
    kept.store.close()
    assert events_of(place) == events_of(root)
    assert sum(map(len, events_of(place).values())) == 46
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data", "new", "trunnion.toml"]


def test_the_key_comes_only_when_it_is_asked_for(kept: Bench, tmp_path: Path) -> None:
    assert not back_up(source_of(kept.data_dir), tmp_path / "without").has_key
    assert back_up(source_of(kept.data_dir, with_key=True), tmp_path / "with").has_key
    (kept.data_dir / "secret.key.next").write_bytes(b"n" * 72)
    assert back_up(source_of(kept.data_dir, with_key=True), tmp_path / "changing").has_key
    restore(tmp_path / "changing", tmp_path / "three")
    assert (tmp_path / "three/secret.key.next").read_bytes() == b"n" * 72
    restore(tmp_path / "without", tmp_path / "one")
    restore(tmp_path / "with", tmp_path / "two")
    assert not (tmp_path / "one/secret.key").exists()
    assert (tmp_path / "two/secret.key").read_bytes() == b"k" * 72
    assert (tmp_path / "two/secret.key").stat().st_mode & 0o777 == 0o600
    assert b"k" * 72 not in gzip.decompress((tmp_path / "without").read_bytes())


def test_it_stays_the_same_host_unless_told_otherwise(kept: Bench, tmp_path: Path) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "same")
    restore(tmp_path / "b", tmp_path / "other", new_host_id=True)
    assert (tmp_path / "same/host_id").read_text() == "the host\n"
    assert not (tmp_path / "other/host_id").exists()


def test_ordinary_tools_can_look_inside(kept: Bench, tmp_path: Path) -> None:
    long = kept.data_dir / "shared" / ("ä" * 90) / ("b" * 200)
    long.parent.mkdir(parents=True)
    long.write_bytes(b"far down")
    manifest = back_up(source_of(kept.data_dir), tmp_path / "b")
    with tarfile.open(tmp_path / "b", "r:gz") as archive:
        names = [member.name for member in archive if member.isfile()]
    assert names == ["trunnion-backup", *(entry.name for entry in manifest.files), "manifest.json"]
    restore(tmp_path / "b", tmp_path / "new")
    assert (tmp_path / "new" / long.relative_to(kept.data_dir)).read_bytes() == b"far down"


def test_what_cannot_be_carried_is_named(kept: Bench, tmp_path: Path) -> None:
    folder = kept.data_dir / "instances/one"
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT | os.O_WRONLY, 0o600))
    manifest = back_up(source_of(kept.data_dir), tmp_path / "b")
    assert sorted(note.name for note in manifest.notes) == [
        "instances/one/\\udcff",
        "instances/one/link",
        "instances/one/pipe",
    ]
    restore(tmp_path / "b", tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new/instances/one").iterdir()) == ["settings.json"]


# -- while others write -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_run_removed_meanwhile_is_whole_or_not_there(kept: Bench, tmp_path: Path, number: int) -> None:
    run = kept.accept(kept.run())
    keep(kept, run, "x1", b"1" * 10)
    keep(kept, run, "x2", b"2" * 10)
    kept.finish(run)
    act = Moment(number + 1, lambda: assert_forgotten(kept, run.id))
    manifest = back_up(source_of(kept.data_dir), tmp_path / "b", check=act)
    assert act.left <= 0
    assert manifest.notes == ()
    done = restore(tmp_path / "b", tmp_path / "new")
    assert done.troubles == ()
    with opened("process", tmp_path / "new") as fresh:
        found = fresh.store.get_run(run.id)
        files = [fresh.store.artifact(name) for name in ("x1", "x2")]
        assert all(file is not None and file[1].exists() for file in files) if found else files == [None, None]
        assert found is not None or not (tmp_path / "new/artifacts" / run.id).exists()


def assert_forgotten(bench: Bench, run_id: str) -> None:
    assert bench.store.forget(run_id)


def test_output_that_grows_is_taken_as_far_as_the_database_knows_it(kept: Bench, tmp_path: Path) -> None:
    run, events = spilled(kept)
    before = (kept.data_dir / "artifacts" / run.id / "output").stat().st_size

    def grow() -> None:
        kept.commit(Batch(appends={run_stream(run.id): [event(run, 6, TEXT, "more" * 1000)]}))

    manifest = back_up(source_of(kept.data_dir), tmp_path / "b", check=Moment(4, grow))
    sizes = {entry.name: entry.size for entry in manifest.files}
    assert sizes[f"artifacts/{run.id}/output"] == before
    restore(tmp_path / "b", tmp_path / "new")
    with opened("process", tmp_path / "new") as fresh:
        assert fresh.store.read_events(run_stream(run.id), 0, 100, 1 << 30) == events
        fresh.commit(Batch(appends={run_stream(run.id): [event(run, 6, TEXT, "other")]}))
        assert fresh.store.read_events(run_stream(run.id), 5, 1)[0].text == "other"


def test_a_file_that_shrinks_meanwhile_is_named_and_the_archive_stays_whole(kept: Bench, tmp_path: Path) -> None:
    large = kept.data_dir / "instances/one/log"
    large.write_bytes(b"x" * (3 << 20))
    armed = [False]

    def shrink() -> None:
        size = (tmp_path / "b.partial").stat().st_size
        if not armed[0] and size and large.stat().st_size:
            names = Path("/proc/self/fd").iterdir()
            opened_now = {os.path.realpath(name) for name in names}
            if str(large.resolve()) in opened_now:
                armed[0] = True
                os.truncate(large, 1 << 20)

    manifest = back_up(source_of(kept.data_dir), tmp_path / "b", check=shrink)
    assert armed[0]
    assert [note.name for note in manifest.notes] == ["instances/one/log"]
    verify(tmp_path / "b")


def test_commits_go_on_while_the_database_is_copied(disk: Bench, tmp_path: Path) -> None:
    """Without the reading transaction around the steps the copy starts over at each commit and does not end."""
    for _ in range(300):
        disk.ended(args={"x": os.urandom(4000).hex()})
    before = {entry.id for entry in _all_runs(disk)}
    commits = [0]

    def commit() -> None:
        if commits[0] < 40:
            commits[0] += 1
            disk.ended()

    target = tmp_path.with_name(tmp_path.name + "-out")
    target.mkdir()
    back_up(source_of(disk.data_dir), target / "b", check=commit)
    assert commits[0] > 5
    restore(target / "b", target / "new")
    with opened("process", target / "new") as fresh:
        after = {entry.id for entry in _all_runs(fresh)}
    assert before == after


def test_a_long_reader_does_not_hold_commits_up_when_the_log_is_emptied(disk: Bench, tmp_path: Path) -> None:
    disk.ended()
    disk.store.close()
    database = Database(disk.database, RunFiles(disk.data_dir / "artifacts"), "NORMAL")
    database.open()
    upkeep = Upkeep(database, None, lambda: 0)  # type: ignore[arg-type]
    with connect_reader(disk.database) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()
        with database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('x', 1)")
        done = threading.Event()

        def empty() -> None:
            upkeep.disk_full()
            assert not upkeep._empty_log()
            upkeep._connection.close()  # type: ignore[union-attr]
            done.set()

        threading.Thread(target=empty).start()
        assert done.wait(3), "commits wait as long as somebody reads"
        reader.execute("ROLLBACK")
    reader.close()
    database.close()


def test_a_file_that_was_missing_before_is_named_and_costs_no_other(kept: Bench, tmp_path: Path) -> None:
    run = kept.accept(kept.run())
    for name in ("x1", "x2", "x3"):
        keep(kept, run, name, name.encode())
    (kept.data_dir / "artifacts" / run.id / "x1").unlink()
    (kept.data_dir / "artifacts" / run.id / "x3").write_bytes(b"3x")
    manifest = back_up(source_of(kept.data_dir), tmp_path / "b")
    assert [(note.name[-2:], note.text[:24]) for note in manifest.notes] == [
        ("x3", "is not what was kept: it"),
        ("x1", "is on record and not on "),
    ]
    done = restore(tmp_path / "b", tmp_path / "new")
    assert [trouble.kind for trouble in done.troubles] == ["artifact"]
    assert (tmp_path / "new/artifacts" / run.id / "x2").read_bytes() == b"x2"
    assert kept.store.get_run(run.id) is not None


# -- its place ----------------------------------------------------------------------------------------


def test_nothing_is_replaced_unasked(kept: Bench, tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.write_text("mine")
    with pytest.raises(Conflict, match="--force"):
        back_up(source_of(kept.data_dir), target)
    assert target.read_text() == "mine"
    back_up(source_of(kept.data_dir), target, force=True)
    verify(target)
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(InvalidArguments, match="no ordinary file"):
        back_up(source_of(kept.data_dir), link, force=True)


def test_a_file_that_comes_meanwhile_is_not_replaced(kept: Bench, tmp_path: Path) -> None:
    target = tmp_path / "b"
    with pytest.raises(Conflict, match="came meanwhile"):
        back_up(source_of(kept.data_dir), target, check=Moment(3, lambda: assert_written(target)))
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def assert_written(path: Path) -> None:
    assert path.write_text("mine")


@pytest.mark.parametrize("place", ["data/b", "data/shared/b", "nowhere/b", "data"])
def test_places_that_cannot_be(kept: Bench, tmp_path: Path, place: str) -> None:
    with pytest.raises(InvalidArguments):
        back_up(source_of(kept.data_dir), tmp_path / place, force=True)


def test_two_backups_do_not_write_one_file(kept: Bench, tmp_path: Path) -> None:
    refused = []

    def second() -> None:
        with pytest.raises(Conflict, match="another backup"):
            back_up(source_of(kept.data_dir), tmp_path / "b")
        refused.append(True)

    back_up(source_of(kept.data_dir), tmp_path / "b", check=Moment(3, second))
    assert refused
    verify(tmp_path / "b")


def test_what_ends_it_early_leaves_nothing(kept: Bench, tmp_path: Path) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    for number in (1, 2, 4):
        with pytest.raises(KeyboardInterrupt):
            back_up(source_of(kept.data_dir), tmp_path / "b", check=Moment(number, end))
        assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_full_disk_is_named_and_leaves_nothing(kept: Bench, tmp_path: Path) -> None:
    (kept.data_dir / "shared/noise").write_bytes(os.urandom(3 << 20))
    for limit in (4096, 2 << 20):
        assert limited(limit, "backup", kept.data_dir, tmp_path / "b").startswith("disk_full no backup was made")
        assert [path.name for path in tmp_path.iterdir()] == ["data"]
    back_up(source_of(kept.data_dir), tmp_path / "b")
    assert limited(2 << 20, "restore", tmp_path / "new", tmp_path / "b").startswith("disk_full there is no space")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def test_a_damaged_database_is_not_backed_up(kept: Bench, tmp_path: Path) -> None:
    kept.store.close()
    flip(kept.database, 4096 * 3 + 3)
    with pytest.raises(Unavailable, match="doctor"):
        back_up(source_of(kept.data_dir), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_data_of_an_older_version_is_backed_up_as_it_is(version1: Path, tmp_path: Path) -> None:
    target = tmp_path.parent / (tmp_path.name + "-out")
    target.mkdir()
    manifest = back_up(source_of(version1), target / "b")
    assert manifest.data_version == 1
    restore(target / "b", target / "new")
    with sqlite3.connect(database_path(target / "new")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def _all_runs(bench: Bench) -> list[Run]:
    return bench.store.list_runs(RunFilter(), 10_000, None).items
