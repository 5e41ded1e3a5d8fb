"""A full disk: the batch fails as a whole, and the store goes on when there is space."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_kit import ON_DISK, Bench, event, make_run, opened

from trunnion.model.events import run_stream
from trunnion.model.runs import RunFilter
from trunnion.store import Accept, Batch, DiskFull, DocumentWrite, Durability
from trunnion.store.files import MIN_BALLAST, Ballast
from trunnion.store.sqlite import SqliteStore

LARGE = os.urandom(2 << 20).hex().encode()


def fill_and_heal(bench: Bench, make_space: object) -> None:
    """Commit until it is refused; then with space again the same batch is taken."""
    assert callable(make_space)
    run = bench.accept(bench.run())
    stream = run_stream(run.id)
    kept = DocumentWrite("demo", "kept", 1, 1, b'"small"')
    bench.commit(Batch(documents=[kept]))
    seq, error = 1, None
    while error is None:
        seq += 1
        batch = Batch(appends={stream: [event(run, seq, "data", os.urandom(30_000).hex())]})
        error = bench.try_commit(batch)
        assert seq < 2000
    assert isinstance(error, DiskFull), error
    assert str(bench.data_dir) in str(error)
    assert bench.store.last_seq(stream) == seq - 1
    assert bench.store.read_events(stream, seq - 2, 10)[0].seq == seq - 1
    position = bench.store.end_position()
    large = Batch(documents=[DocumentWrite("demo", "kept", 2, 2, b"null"), DocumentWrite("demo", "large", 3, 2, LARGE)])
    assert isinstance(bench.try_commit(large), DiskFull)
    assert bench.store.documents("demo", "", "", 10) == [kept]
    make_space()
    bench.commit(batch)
    assert bench.store.end_position() > position
    ended = bench.finish(run, last=seq + 1)
    bench.reopen()
    assert bench.store.get_run(run.id) == ended
    assert bench.store.documents("demo", "", "", 10) == [kept]
    assert [e.seq for e in bench.store.read_events(stream, 0, 5000, 1 << 40)] == list(range(1, seq + 2))


def test_a_database_that_may_not_grow(tmp_path: Path) -> None:
    with opened("process", tmp_path) as bench:
        assert isinstance(bench.store, SqliteStore)
        connection = bench.store._database.connection
        connection.execute("PRAGMA max_page_count = 500")
        fill_and_heal(bench, lambda: connection.execute("PRAGMA max_page_count = 1000000"))


FILE_LIMIT = """
import sys
sys.path.insert(0, {here!r})
import pathlib, test_full
test_full.with_file_limit({durability!r}, pathlib.Path({target!r}))
"""


SMALL_DISK = """
import os, subprocess, sys
sys.path.insert(0, {here!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", {target!r}], check=True)
import pathlib, test_full
test_full.on_small_disk({durability!r}, pathlib.Path({target!r}))
"""


def on_small_disk(durability: Durability, disk: Path) -> None:
    filler = disk / "filler"
    with opened(durability, disk / "data") as bench:
        assert bench.store.restore_ballast(), "an eighth of a small disk is held"
        filler.write_bytes(bytes(1 << 20))
        fill_and_heal(bench, filler.unlink)


OPENED_FULL = SMALL_DISK.replace("on_small_disk", "reopened_on_full_disk")


OPENED_AS_IF_FULL = FILE_LIMIT.replace("with_file_limit", "reopened_as_if_full")


def reopened_as_if_full(durability: Durability, data_dir: Path) -> None:
    """The same decision without a disk; the power store makes it in its writer with the same code."""
    from trunnion.store import database

    with opened("process", data_dir) as bench:
        run = bench.accept(bench.run())
        bench.store.close()
        really = database.connect_writer

        def connect(path: Path, synchronous: object) -> sqlite3.Connection:
            if path.with_name("ballast").exists():
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return really(path, synchronous)  # type: ignore[arg-type]

        database.connect_writer = connect
        bench.reopen()
        bench.finish(run)


def reopened_on_full_disk(durability: Durability, disk: Path) -> None:
    """Not a block is left: the reserve lets the host start and its runs end."""
    with opened(durability, disk / "data") as bench:
        run = bench.accept(bench.run())
        bench.store.close()
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
        bench.reopen()
        bench.finish(run)


@pytest.mark.parametrize("durability", ON_DISK)
def test_a_host_starts_on_a_disk_that_is_full(durability: Durability, tmp_path: Path) -> None:
    """On a disk of 6 MiB; where no disk can be made, with an SQLite that finds none as long as the reserve is held."""
    own = private_mounts()
    text = OPENED_FULL if own is not None else OPENED_AS_IF_FULL
    code = text.format(here=str(Path(__file__).parent), target=str(tmp_path), durability=durability)
    done = subprocess.run([*(own or []), sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def private_mounts() -> list[str] | None:
    """How to get a mount namespace of one's own here, None if there is no way."""
    for flags in (["-m"], ["-Urm"]):
        command = ["unshare", *flags, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which("unshare") and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return ["unshare", *flags]
    return None


@pytest.mark.parametrize("durability", ON_DISK)
def test_a_disk_that_is_full(durability: Durability, tmp_path: Path) -> None:
    """On a disk of 6 MiB; where no disk can be made, with a limit on the size of files."""
    target = tmp_path / "disk"
    target.mkdir()
    own = private_mounts()
    here = str(Path(__file__).parent)
    if own is not None:
        code = SMALL_DISK.format(here=here, target=str(target), durability=durability)
    else:
        code = FILE_LIMIT.format(here=here, target=str(target), durability=durability)
    done = subprocess.run([*(own or []), sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def with_file_limit(durability: Durability, data_dir: Path) -> None:
    """A file that may not grow: the write at the limit is short, the next is an I/O error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with opened(durability, data_dir) as bench:
        pid = bench.store._link.pid if durability == "power" else 0  # type: ignore[attr-defined]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (2_000_000, hard))
        fill_and_heal(bench, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard)))


@pytest.mark.parametrize("durability", ON_DISK)
def test_a_file_that_may_not_grow(durability: Durability, tmp_path: Path) -> None:
    code = FILE_LIMIT.format(here=str(Path(__file__).parent), target=str(tmp_path), durability=durability)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


OUTPUT_LIMIT = FILE_LIMIT.replace("with_file_limit", "with_output_limit")


def with_output_limit(durability: Durability, data_dir: Path) -> None:
    """The output file of a run may not grow: its batch fails, later output is whole."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with opened(durability, data_dir) as bench:
        pid = bench.store._link.pid if durability == "power" else 0  # type: ignore[attr-defined]
        run = bench.accept(bench.run())
        stream = run_stream(run.id)
        blocks = [bytes([65 + i % 26]).decode() * 400_000 for i in range(24)]
        for seq in range(2, 16):
            bench.commit(Batch(appends={stream: [event(run, seq, "text", blocks[seq])]}))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = bench.store.artifact_path(run.id, "x").with_name("output").stat().st_size + 100_000
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))
        failed = Batch(appends={stream: [event(run, 16, "text", blocks[16])]})
        assert isinstance(bench.try_commit(failed), DiskFull)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        for seq in range(16, 24):
            bench.commit(Batch(appends={stream: [event(run, seq, "text", blocks[seq])]}))
        texts = [e.text for e in bench.store.read_events(stream, 1, 100, 1 << 40)]
        assert texts == blocks[2:24]


@pytest.mark.parametrize("durability", ON_DISK)
def test_output_that_may_not_grow(durability: Durability, tmp_path: Path) -> None:
    code = OUTPUT_LIMIT.format(here=str(Path(__file__).parent), target=str(tmp_path), durability=durability)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_sent_behind_a_failure_fails_with_it(disk: Bench) -> None:
    """Later batches build on earlier ones; none may be kept without them."""
    run = disk.accept(disk.run())
    stream = run_stream(run.id)
    twice = make_run(run.num)
    batches = [
        Batch(appends={stream: [event(run, 2)]}),
        Batch([Accept(twice)], appends={stream: [event(run, 3)]}),
        Batch(appends={stream: [event(run, 4)]}),
    ]
    first, second, third = disk.try_all(batches)
    assert first is None
    assert second is not None
    assert third is not None
    assert [e.seq for e in disk.store.read_events(stream, 0, 10)] == [1, 2]
    assert disk.store.get_run(twice.id) is None
    disk.finish(run, last=3)
    assert disk.store.list_runs(RunFilter(), 10, None).items[0].last_seq == 3


def test_ballast_is_held_and_given_back(disk: Bench) -> None:
    path = disk.database.with_name("ballast")
    assert path.stat().st_blocks * 512 >= MIN_BALLAST
    assert path.stat().st_mode & 0o777 == 0o600
    assert disk.store.release_ballast()
    assert not path.exists()
    assert not disk.store.release_ballast()
    assert disk.store.restore_ballast()
    assert path.exists()


def test_ballast_never_is_what_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    little = os.statvfs_result((*real[:4], (8 * MIN_BALLAST - 1) // real.f_frsize, *real[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda path: little)
    assert not Ballast(tmp_path / "ballast").restore()
    assert not (tmp_path / "ballast").exists()


def test_an_error_of_reading_is_not_a_full_disk() -> None:
    from trunnion.store.connections import failure

    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    assert failure(error, Path("x")) is error
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    assert isinstance(failure(error, Path("x")), DiskFull)
