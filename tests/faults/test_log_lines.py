"""N1, N8: a record is one line of the log whatever was said, and the log is written whatever becomes of its file."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from canaries_kit import Planted, ask
from faults_kit import Ground
from streams_kit import launched

from trunnion.kernel import log_file, reporting
from trunnion.kernel.clock import SystemClock
from trunnion.kernel.log_file import LogFile

ODD = "a\nb\rc\0d\x85e\u2028f\u2029g\x0bh\x0ci"


def test_n1_one_record_stays_one_line(ground: Ground, figure: Callable[..., None]) -> None:
    planted = Planted(ground, 5)
    planted.up()
    ask(ground, "canaries.noted", text=ODD)
    lines = (ground.data / "logs" / "host.jsonl").read_bytes()
    records = [json.loads(line) for line in lines.decode("ascii").splitlines()]
    assert lines.count(b"\n") == len(records)
    assert [record["text"] for record in records].count(ODD) == 1
    figure("records", len(records))
    figure("lines", lines.count(b"\n"))


def test_n1_without_the_fault(ground: Ground) -> None:
    planted = Planted(ground, 5)
    planted.up()
    ask(ground, "canaries.noted", text="an ordinary line")
    records = [json.loads(line) for line in (ground.data / "logs" / "host.jsonl").read_text().splitlines()]
    assert [record["text"] for record in records].count("an ordinary line") == 1


def test_n1_without_the_defence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were texts written as they are, one record would be many lines."""
    monkeypatch.setattr(reporting, "json", SimpleNamespace(dumps=lambda line, **_: line["text"]))
    log = reporting.HostLog(SystemClock(), tmp_path / "log")
    log.log("odd", "info", ODD)
    log.close()
    assert len((tmp_path / "log").read_text().splitlines()) > 5


# -- N8 ---------------------------------------------------------------------------------------------


class Log:
    """A log with what it said was lost."""

    def __init__(self, path: Path, max_bytes: int = 1 << 20, backups: int = 5) -> None:
        self.path = path
        self.lost: list[str] = []
        self.file = LogFile(path, max_bytes, backups, lambda line, error: self.lost.append(line))

    def write(self, *lines: str) -> None:
        for line in lines:
            self.file.write(line)

    def lines(self) -> list[str]:
        """What is in all its files, the oldest first."""
        files = sorted(self.path.parent.glob("log*"), key=lambda path: -int(path.suffix[1:] or 0))
        return [line for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    (tmp_path / "logs").mkdir()
    made = Log(tmp_path / "logs" / "log")
    yield made
    made.file.close()


def test_n8_no_line_is_lost_while_files_are_rotated(tmp_path: Path, rounds: int, figure: Callable[..., None]) -> None:
    """From several threads at once, the file rotated hundreds of times."""
    each = 50 * rounds
    log = Log(tmp_path / "log", max_bytes=4_000, backups=10_000)

    def work(name: str) -> None:
        log.write(*(f"{name} {number:08d}" for number in range(each)))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.file.close()
    found = log.lines()
    assert sorted(found) == [f"{name} {number:08d}" for name in "abcd" for number in range(each)]
    for name in "abcd":
        assert [line for line in found if line.startswith(name)] == sorted(
            line for line in found if line.startswith(name)
        )
    figure("lines", len(found))
    figure("lines lost", 4 * each - len(found))
    figure("rotations", len(list(tmp_path.glob("log.*"))))


def test_n8_at_most_so_many_older_ones_are_kept(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", max_bytes=100, backups=3)
    log.write(*(f"{number:030d}" for number in range(100)))
    log.file.close()
    assert {path.name for path in tmp_path.iterdir()} == {"log", "log.1", "log.2", "log.3"}
    assert [int(line) for line in log.lines()] == list(range(100 - len(log.lines()), 100))


def test_n8_deleted_with_its_folder_it_is_made_anew(log: Log) -> None:
    log.write("one")
    shutil.rmtree(log.path.parent)
    log.write("two")
    assert log.path.read_text() == "two\n"
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.lost == []


def test_n8_moved_away_by_somebody_it_is_made_anew(log: Log) -> None:
    log.write("one")
    log.path.rename(log.path.with_name("kept"))
    log.write("two")
    assert (log.path.with_name("kept").read_text(), log.path.read_text()) == ("one\n", "two\n")


@pytest.mark.parametrize("before", [True, False], ids=["while it is written", "before the first line"])
@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "dangling"])
def test_n8_replaced_by_something_else_nothing_is_written_there(
    log: Log, tmp_path: Path, kind: str, before: bool
) -> None:
    """No link is followed, no FIFO waited for; put right, it is written again."""
    if before:
        log.write("one")
        log.path.unlink()
    target = tmp_path / "precious"
    target.write_text("mine")
    replace(log.path, kind, target)
    log.write("two")
    assert log.lost == ["two"]
    assert target.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    log.path.rmdir() if kind == "folder" else log.path.unlink()
    log.write("three")
    assert log.path.read_text() == "three\n"


def test_n8_without_the_defence_a_link_is_followed(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "_FLAGS", log_file._FLAGS & ~os.O_NOFOLLOW)
    target = tmp_path / "precious"
    target.write_text("mine\n")
    replace(log.path, "link", target)
    log.write("two")
    assert target.read_text() == "mine\ntwo\n"


def replace(path: Path, kind: str, target: Path) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target if kind == "link" else target.with_name("nowhere"))


@contextmanager
def full(size: int) -> Iterator[None]:
    """No file may grow beyond a size: the line that crosses it is written in part, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_n8_a_full_disk_leaves_no_half_a_line(log: Log) -> None:
    log.write("x" * 80)
    with full(100):
        log.write("y" * 80)
    log.write("z")
    assert log.lost == ["y" * 80]
    assert log.lines() == ["x" * 80, "z"]


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_n8_a_host_starts_whatever_is_in_the_place_of_its_log(ground: Ground, kind: str) -> None:
    ground.only = "streams"
    (ground.data / "logs").mkdir(parents=True, mode=0o700)
    ground.data.chmod(0o700)
    target = ground.root / "precious"
    target.write_text("mine")
    replace(ground.data / "logs" / "host.jsonl", kind, target)
    host = ground.up()
    assert launched(ground, "run", "streams.nap").returncode == 0
    assert target.read_text() == "mine"
    assert "log file cannot be written" in host.said()
    assert host.stop() == 0
