"""Lines of earlier shells: for their owner alone, never in the way, and none lost between several shells."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion_tty.history import HistoryFile, default_path


def kept(path: Path, most: int = 1000) -> list[str]:
    """What the next shell finds, oldest first."""
    return list(reversed(list(HistoryFile(path, most).load_history_strings())))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "trunnion" / "shell_history"


def test_lines_are_there_for_the_next_shell(path: Path) -> None:
    history = HistoryFile(path, 10)
    for line in ("one", "two 'a\nb'", "drei é \u2028 \x0b \udcff", ""):
        history.add(line)
    assert kept(path) == ["one", "two 'a\nb'", "drei é \u2028 \x0b \udcff", ""]


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        HistoryFile(path, 10).add("one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_line_that_begins_with_a_blank_is_not_kept(path: Path) -> None:
    history = HistoryFile(path, 10)
    for line in (" secret", "\tsecret", "\u00a0secret", "shown"):
        history.add(line)
    assert kept(path) == ["shown"]
    assert history.get_strings() == ["shown"]


def test_n4_a_line_is_remembered_only_once_it_is_known_to_hold_no_secret(path: Path) -> None:
    """Defence: ``append_string`` holds it: the prompt hands it over before anybody has read it."""
    history = HistoryFile(path, 100)
    history.append_string("unlock code=hunter2")
    history.append_string("other")
    history.keep()
    history.keep()
    assert kept(path) == history.get_strings() == ["other"]


def test_a_file_that_others_may_read_is_theirs_no_more(path: Path) -> None:
    """Defence: ``fchmod``: it may be older than the promise."""
    path.parent.mkdir(parents=True)
    path.write_text('"old"\n')
    path.chmod(0o644)
    HistoryFile(path, 100).add("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept(path) == ["old", "new"]


def test_nothing_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    for history in (HistoryFile(None, 10), HistoryFile(tmp_path / "none", 0)):
        history.add("one")
        assert list(history.load_history_strings()) == []
        assert history.get_strings() == ["one"]
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.text(max_size=10), max_size=8))
def test_any_line_comes_back(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("history") / "file"
    history = HistoryFile(path, 100)
    for line in lines:
        history.add(line)
    assert kept(path) == [line for line in lines if not line[:1].isspace()]


def test_what_is_damaged_is_passed_over(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'"one"\n\xff\xfe\n{"a": 1}\n[1]\n\n"two"\n' + b"[" * 100_000 + b'\n"three"\n"half')
    HistoryFile(path, 100).add("four")
    assert kept(path) == ["one", "two", "three", "four"], "half a line takes no other one with it"


@pytest.mark.parametrize("kind", ["link", "dead link", "fifo", "folder"])
def test_what_is_no_file_of_its_own_is_left_alone(tmp_path: Path, kind: str) -> None:
    other, path = tmp_path / "other", tmp_path / "history"
    other.write_text('"of somebody else"\n')
    if kind == "fifo":
        os.mkfifo(path)  # whoever opens one waits for the other end
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(other if kind == "link" else tmp_path / "nowhere")
    history = HistoryFile(path, 1)
    assert list(history.load_history_strings()) == []
    history.add("one")
    history.add("two")
    assert other.read_text() == '"of somebody else"\n'
    assert not (tmp_path / "nowhere").exists()
    assert history.get_strings() == ["one", "two"]


def test_history_is_no_reason_to_fail(tmp_path: Path) -> None:
    """A folder that cannot be made; and a full disk, in a process that may write a few bytes only."""
    (tmp_path / "file").touch()
    HistoryFile(tmp_path / "file" / "history", 10).add("one")
    code = (
        "import sys; from pathlib import Path; from trunnion_tty.history import HistoryFile\n"
        "history = HistoryFile(Path(sys.argv[1]), 10)\n"
        "for line in ('one', 'x' * 100, 'three'): history.add(line)\n"
        "print(history.get_strings() == ['one', 'x' * 100, 'three'])"
    )

    def few_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))

    path = tmp_path / "history"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=few_bytes,
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("COV")},
    )
    assert done.stdout == "True\n"
    assert kept(path) == ["one"]


def test_more_than_is_kept_is_cut_now_and_then(path: Path) -> None:
    history = HistoryFile(path, 8)
    for number in range(10):
        history.add(f"{number}")
    before = path.stat().st_ino
    assert kept(path, 8) == [str(n) for n in range(2, 10)]
    assert path.stat().st_ino == before, "a few more are not worth writing all of it anew"
    history.add("10")
    assert kept(path, 8) == [str(n) for n in range(3, 11)]
    assert path.stat().st_ino != before
    assert [json.loads(line) for line in path.read_text().splitlines()] == [str(n) for n in range(3, 11)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    history.add("11")
    assert kept(path, 8)[-2:] == ["10", "11"], "a shell that was there before adds to the new file"


ADDING = """
import sys
from pathlib import Path
from trunnion_tty.history import HistoryFile
history = HistoryFile(Path(sys.argv[1]), 10**6)
for number in range(int(sys.argv[3])):
    history.add(f"{sys.argv[2]} {number} " + "x" * int(sys.argv[4]))
"""


def adding(path: Path, name: str, count: int, size: int) -> subprocess.Popen[bytes]:
    """Another shell, that adds so many lines of its name."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    return subprocess.Popen([sys.executable, "-c", ADDING, str(path), name, str(count), str(size)], env=environ)


def test_several_shells_add_to_it_and_no_line_is_torn_or_lost(path: Path) -> None:
    shells = [adding(path, name, 40, 9000) for name in "abc"]
    assert [shell.wait(60) for shell in shells] == [0, 0, 0]
    found = [line.rsplit(" ", 1)[0] for line in kept(path)]
    for name in "abc":
        assert [line for line in found if line.startswith(name)] == [f"{name} {n}" for n in range(40)]
    assert len(found) == 120


def test_lines_that_come_while_it_is_cut_are_not_lost(path: Path) -> None:
    """One shell adds lines while others begin again and again, each of which cuts the file when it is too long."""
    path.parent.mkdir(parents=True)
    path.write_text('"old 0 x"\n' * 5000)
    shell = adding(path, "new", 5000, 1)
    cuts, inode = 0, path.stat().st_ino
    while shell.poll() is None:
        list(HistoryFile(path, 4000).load_history_strings())
        found = path.stat().st_ino
        cuts, inode = cuts + (found != inode), found
    assert shell.returncode == 0
    assert cuts > 1
    numbers = [int(line.split()[1]) for line in kept(path, 10**6) if line.startswith("new")]
    assert numbers == list(range(numbers[0], 5000)), "what was cut is the oldest, and nothing in between is missing"


def test_a_shell_that_stopped_while_it_cut_holds_nobody_up(path: Path) -> None:
    history = HistoryFile(path, 4)
    for number in range(10):
        history.add(str(number))
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        history.add("10")
        assert kept(path, 4) == ["7", "8", "9", "10"]
        assert len(path.read_text().split()) == 11, "who cannot have the file for itself leaves it as it is"


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "trunnion" / "shell_history"


def test_whoever_has_no_home_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``except RuntimeError``: in a container a user may be a mere number."""
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert default_path() is None
