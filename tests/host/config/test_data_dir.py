"""The data directory: one host at a time, whatever the last one died of; private parts stay private."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from trunnion.config.data_dir import DataDir, check_private, hold, holder_of, process_start
from trunnion.model.errors import Conflict, InvalidConfig

HOLDER = """
import subprocess, sys
from pathlib import Path
from trunnion.config.data_dir import DataDir, hold
from trunnion.model.errors import Conflict
print("loaded", flush=True)
sys.stdin.readline()
try:
    held = hold(DataDir(Path(sys.argv[1])))
except Conflict as error:
    print("refused", error.details["pid"], flush=True)
    sys.exit()
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "close_fds": False}
child = subprocess.Popen(["sleep", "60"], **quiet) if "orphan" in sys.argv else None
print("held", child.pid if child else 0, flush=True)
sys.stdin.readline()
"""


class Host:
    """A process that takes the data directory when told to, and keeps it until told."""

    def __init__(self, root: Path, *options: str) -> None:
        command = [sys.executable, "-c", HOLDER, str(root), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.answer() == ["loaded"]

    def answer(self) -> list[str]:
        out: IO[str] = self.process.stdout  # type: ignore[assignment]
        return out.readline().split()

    def go(self) -> None:
        line: IO[str] = self.process.stdin  # type: ignore[assignment]
        line.write("\n")
        line.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    started: list[Host] = []
    yield started
    for host in started:
        host.end()


def test_the_layout_is_made_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with hold(DataDir(tmp_path / "deep" / "data")) as held:
            root = held.data.root
            modes = {path.name: path.stat().st_mode & 0o777 for path in [root, *root.iterdir()]}
    finally:
        os.umask(old)
    folders = ("data", "db", "audit", "packages", "instances", "shared", "artifacts", "logs", "run")
    assert modes == {**dict.fromkeys(folders, 0o700), "host.lock": 0o600}
    assert held.data.socket.parent == held.data.run


def test_a_second_host_is_refused_by_the_pid_of_the_first_and_writes_nothing(tmp_path: Path, hosts: list[Host]) -> None:
    hosts.append(first := Host(tmp_path))
    first.go()
    assert first.answer() == ["held", "0"]
    before = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(tmp_path.rglob("*"))}
    with pytest.raises(Conflict, match=f"held by process {first.process.pid}: .*--data-dir") as caught:
        hold(DataDir(tmp_path))
    assert caught.value.details["pid"] == first.process.pid == holder_of(DataDir(tmp_path))
    assert {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(tmp_path.rglob("*"))} == before


def test_of_hosts_that_start_together_exactly_one_wins(tmp_path: Path, hosts: list[Host]) -> None:
    for number in range(8):
        root = tmp_path / str(number)
        pair = [Host(root), Host(root)]
        hosts.extend(pair)
        for host in pair:
            host.go()
        answers = [host.answer() for host in pair]
        assert sorted(answer[0] for answer in answers) == ["held", "refused"]
        winner = next(host for host, answer in zip(pair, answers, strict=True) if answer[0] == "held")
        assert ["refused", str(winner.process.pid)] in answers


def test_a_killed_host_leaves_no_lock_even_while_its_child_lives(tmp_path: Path, hosts: list[Host]) -> None:
    hosts.append(first := Host(tmp_path, "orphan"))
    first.go()
    word, orphan = first.answer()
    assert word == "held"
    try:
        first.end()
        assert process_start(int(orphan)) is not None
        assert holder_of(DataDir(tmp_path)) is None
        with hold(DataDir(tmp_path)):
            assert holder_of(DataDir(tmp_path)) == os.getpid()
    finally:
        os.kill(int(orphan), 9)


def test_a_recorded_pid_of_another_process_is_nobody(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.lock_file.write_text(f'{{"pid": {os.getpid()}, "start": 1}}')
    assert holder_of(data) is None


def test_a_dead_host_that_nobody_has_reaped_holds_nothing(tmp_path: Path, hosts: list[Host]) -> None:
    hosts.append(first := Host(tmp_path))
    first.go()
    assert first.answer() == ["held", "0"]
    first.process.kill()
    os.waitid(os.P_PID, first.process.pid, os.WEXITED | os.WNOWAIT)
    assert holder_of(DataDir(tmp_path)) is None
    hold(DataDir(tmp_path)).release()


def test_a_released_directory_is_free_at_once(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    held = hold(data)
    held.release()
    held.release()
    assert holder_of(data) is None
    hold(data).release()


def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfig, match="not usable as data directory"):
        hold(DataDir(tmp_path / "file"))


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "host.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InvalidConfig):
        hold(DataDir(tmp_path))
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_secret_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "key"
    secret.touch(mode=0o600)
    check_private(secret)
    secret.chmod(mode)
    with pytest.raises(InvalidConfig, match="chmod 600"):
        check_private(secret)


def test_loose_modes_of_the_socket_folder_stop_the_start_and_free_the_lock(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    hold(data).release()
    data.run.chmod(0o755)
    with pytest.raises(InvalidConfig, match="chmod 700"):
        hold(data)
    data.run.chmod(0o700)
    hold(data).release()


def test_what_is_not_there_needs_no_mode(tmp_path: Path) -> None:
    check_private(tmp_path / "nothing")
