"""Opening what is there: older, newer, damaged, somebody else's; and migrations killed half-way."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_kit import ON_DISK, Bench, Clock, opened

from trunnion.model.errors import IncompatibleData, Unavailable
from trunnion.store import Batch, DocumentWrite, Durability, open_readonly, open_store
from trunnion.store.factory import database_path
from trunnion.store.schema import MIGRATIONS
from trunnion.store.sqlite import SqliteStore


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }


def filled(data_dir: Path) -> Path:
    with opened("process", data_dir) as bench:
        for _ in range(20):
            bench.ended()
    return database_path(data_dir)


@pytest.mark.parametrize("durability", ON_DISK)
@pytest.mark.parametrize("in_log", [False, True], ids=["in the file", "in the log"])
def test_newer_data_is_refused_untouched(durability: Durability, in_log: bool, tmp_path: Path) -> None:
    path = filled(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.commit()
    if in_log:
        copies = {name: path.with_name(name).read_bytes() for name in (path.name, path.name + "-wal")}
    connection.close()
    if in_log:
        for name, data in copies.items():
            path.with_name(name).write_bytes(data)
    before = contents(tmp_path)
    known = len(MIGRATIONS)
    with pytest.raises(IncompatibleData, match=rf"data version {known + 1}.*knows up to {known}.*nothing was changed"):
        open_store(durability, tmp_path, Clock())
    with pytest.raises(IncompatibleData):
        open_readonly(tmp_path, Clock())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("durability", ON_DISK)
@pytest.mark.parametrize("damage", [b"not a database at all " * 100, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_damaged_file_is_named_and_kept(durability: Durability, damage: bytes, tmp_path: Path) -> None:
    path = database_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(Unavailable, match=str(path)):
        open_store(durability, tmp_path, Clock())
    with pytest.raises(Unavailable, match=str(path)):
        open_readonly(tmp_path, Clock())
    assert path.read_bytes() == damage


def test_a_damaged_header_of_a_real_file(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = bytearray(path.read_bytes())
    data[16:24] = b"\x13\x37" * 4
    path.write_bytes(data)
    with pytest.raises(Unavailable, match="damaged or no database"):
        open_store("process", tmp_path, Clock())


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = database_path(tmp_path)
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="another program"):
        open_store("process", tmp_path, Clock())
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    path = database_path(tmp_path)
    path.mkdir(parents=True)
    with pytest.raises(Unavailable, match=str(path)):
        open_store("process", tmp_path, Clock())


def test_two_writers_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunnion.store.database.WRITER_TIMEOUT", 0.05)
    with opened("power", tmp_path), pytest.raises(Unavailable, match="still writes"):
        open_store("process", tmp_path, Clock())


@pytest.mark.parametrize("durability", ON_DISK)
def test_files_are_private(durability: Durability, tmp_path: Path) -> None:
    with opened(durability, tmp_path) as bench:
        bench.ended()
        modes = {file.name: file.stat().st_mode & 0o777 for file in bench.database.parent.iterdir()}
    assert set(modes) >= {"trunnion.sqlite", "trunnion.sqlite-wal"}
    assert set(modes.values()) == {0o600}


def test_history_is_read_without_a_host_and_left_alone(disk: Bench) -> None:
    ended = disk.ended()
    live = disk.accept(disk.run())
    disk.store.close()
    before = contents(disk.data_dir)
    store = open_readonly(disk.data_dir, disk.clock)
    assert store.get_runs([ended.id, live.id]) == [ended, live]
    assert [e.seq for e in store.read_events(f"run/{ended.id}", 0, 10)] == [1, 2]
    assert [entry.run for entry in store.live()] == [live]
    assert store.stats()["durability"] == "read-only"
    store.close()
    assert contents(disk.data_dir) == before


def test_history_of_a_killed_host_is_read_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest commits are in the log, which SQLite refuses to read on a read-only disk."""
    source, target = tmp_path / "a", tmp_path / "b"
    with opened("process", source) as bench:
        ended = bench.ended()
        path = database_path(target)
        path.parent.mkdir(parents=True)
        for name in (path.name, path.name + "-wal"):
            path.with_name(name).write_bytes(bench.database.with_name(name).read_bytes())
    before = contents(target)

    def refuse(connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.close()
        raise sqlite3.OperationalError("unable to open database file")

    for read_only_disk in (False, True):
        if read_only_disk:
            monkeypatch.setattr("trunnion.store.snapshot._proven", refuse)
        store = open_readonly(target, Clock())
        assert store.get_run(ended.id) == ended
        store.close()
        assert contents(target) == before


def test_no_history_yet(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no history"):
        open_readonly(tmp_path, Clock())


def add_colour(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE artifacts ADD COLUMN colour TEXT")


def rename_colour(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE artifacts RENAME COLUMN colour TO hue")
    connection.execute("INSERT INTO meta VALUES ('coloured', 1)")


NEWER = (*MIGRATIONS, add_colour, rename_colour)


def open_newer(path: Path, migrations: object = NEWER) -> SqliteStore:
    store = SqliteStore(path, artifacts=path.parent / "artifacts", clock=Clock(), migrations=migrations)  # type: ignore[arg-type]
    store.open()
    return store


def contents_of(path: Path) -> dict[str, list[object]]:
    """Every row of every table."""
    connection = sqlite3.connect(path)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables}
    connection.close()
    return rows


@pytest.mark.parametrize("durability", ON_DISK)
def test_data_from_before_documents_is_migrated_with_nothing_lost(durability: Durability, version1: Path) -> None:
    path = database_path(version1)
    before = contents_of(path)
    assert {table for table, rows in before.items() if not rows} == {"marks", "doomed", "meta"}
    with opened(durability, version1) as bench:
        assert bench.store.stats()["schema_version"] == len(MIGRATIONS)
        assert [entry.sealed for entry in bench.store.live()] == [b"sealed"]
        bench.commit(Batch(documents=[DocumentWrite("demo", "a", 1, 1, b"{}")]))
    backup = path.with_name("trunnion.sqlite.v1.bak")
    assert backup.stat().st_mode & 0o777 == 0o600
    assert contents_of(backup) == before
    after = contents_of(path)
    assert after.pop("documents") == [("demo", "a", 1, 1, b"{}")]
    assert [key for key, _ in after.pop("meta")] == (["batch"] if durability == "power" else [])
    assert after == {table: rows for table, rows in before.items() if table != "meta"}


def test_older_data_is_migrated_and_a_copy_kept(version1: Path) -> None:
    path = database_path(version1)
    runs = len(contents_of(path)["runs"])
    store = open_newer(path)
    assert store.stats()["schema_version"] == len(NEWER)
    assert store.stats()["runs"] == runs
    store.close()
    backup = path.with_name("trunnion.sqlite.v1.bak")
    assert backup.stat().st_mode & 0o777 == 0o600
    copy = sqlite3.connect(backup)
    assert copy.execute("PRAGMA user_version").fetchone() == (1,)
    assert copy.execute("SELECT count(*) FROM runs").fetchone() == (runs,)
    copy.close()


def die(connection: sqlite3.Connection) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


MIGRATE = """
import sys
sys.path.insert(0, {here!r})
import pathlib, test_schema
test_schema.die_at({step}, pathlib.Path({path!r}))
"""


def die_at(step: int, path: Path) -> None:
    """Migrate and be killed: before a step, or in its middle, inside the transaction."""
    number, middle = divmod(step, 2)

    def fatal(connection: sqlite3.Connection) -> None:
        if middle:
            NEWER[number](connection)
        die(connection)

    open_newer(path, (*NEWER[:number], fatal, *NEWER[number + 1 :]))


@pytest.mark.parametrize("step", range(2 * len(NEWER)))
def test_a_migration_killed_at_any_step_goes_on(step: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = database_path(tmp_path)
    if step >= 2:
        request.getfixturevalue("version1")
        runs = len(contents_of(path)["runs"])
    else:
        path.parent.mkdir()
        runs = 0
    code = MIGRATE.format(here=str(Path(__file__).parent), step=step, path=str(path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (step // 2,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert path.with_name("trunnion.sqlite.v1.bak").exists() == (step >= 2)
    store = open_newer(path)
    assert store.stats()["schema_version"] == len(NEWER)
    assert store.stats()["runs"] == runs
    store.close()


def test_a_migration_that_fails_leaves_the_old_version(tmp_path: Path) -> None:
    path = filled(tmp_path)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE artifacts ADD COLUMN colour TEXT")
        connection.execute("ALTER TABLE nowhere ADD COLUMN colour TEXT")

    with pytest.raises(Unavailable, match="nowhere"):
        open_newer(path, (*MIGRATIONS, broken))
    store = open_newer(path, MIGRATIONS)
    assert store.stats()["schema_version"] == len(MIGRATIONS)
    store.close()


def test_a_damaged_record_shows_on_that_run_only(tmp_path: Path) -> None:
    with opened("process", tmp_path) as bench:
        good, bad = bench.ended(), bench.ended()
        live = bench.accept(bench.run())
    connection = sqlite3.connect(database_path(tmp_path))
    for table, where in (
        ("runs", "id = ?1"),
        ("chunks", "stream = (SELECT num FROM runs WHERE id = ?1) AND first = 1"),
    ):
        column = "doc" if table == "runs" else "data"
        (data,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}", (bad.id,)).fetchone()
        flipped = bytes([data[0], data[1] ^ 1, *data[2:]])
        connection.execute(f"UPDATE {table} SET {column} = ?2 WHERE {where}", (bad.id, flipped))
    connection.execute("UPDATE chunks SET crc = crc + 1 WHERE stream = ?", (live.num,))
    connection.commit()
    connection.close()
    with opened("process", tmp_path) as bench:
        assert bench.store.get_run(good.id) == good
        shown = bench.store.get_run(bad.id)
        assert shown is not None
        assert (shown.num, shown.command_id, shown.principal, shown.status) == (
            bad.num,
            "demo.noop",
            "ann",
            "succeeded",
        )
        assert shown.error is not None
        assert "damaged" in shown.error.message
        gap, last = bench.store.read_events(f"run/{bad.id}", 0, 10)
        assert gap.data == {"first": 1, "last": 1, "reason": "damaged on the disk"}
        assert last.seq == 2
        commits = bench.store.read_commits(0, 10)
        lost = [(e.stream, e.seq) for commit in commits for e in commit.events if e.kind == "gap"]
        assert lost == [(f"run/{bad.id}", 1), (f"run/{live.id}", 1)]


def test_importing_the_package_loads_no_engine() -> None:
    code = "import sys, trunnion.store; sys.exit('sqlite3' in sys.modules)"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=plain).returncode == 0
