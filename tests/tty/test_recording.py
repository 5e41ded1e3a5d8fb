"""What was done, as a file that can be done again; and other files of lines."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion import Conflict, Unavailable
from trunnion_tty.lines import statements
from trunnion_tty.recording import Recorder, read_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.trn"


TYPED = st.text(st.sampled_from("ab \t\r\n'\"\\#!&é"), max_size=12) | st.text(max_size=6)


@given(st.lists(st.tuples(TYPED, st.sampled_from([0, 0, 1, 130])), max_size=6))
def test_a_recording_is_read_as_the_lines_that_went_well(
    tmp_path_factory: pytest.TempPathFactory, typed: list[tuple[str, int]]
) -> None:
    """Whatever was in them; lines that failed are comments, however many lines of the file they take."""
    path, recorder = tmp_path_factory.mktemp("recording") / "file", Recorder()
    recorder.begin(path, "plant.pump")
    well = ["use .plant.pump"]
    for text, status in typed:
        for line in statements(text):
            # What an open quote makes of the lines behind it is nobody's wish: such a line never goes well.
            failed = status or int(line != statements(line + "\nx")[0])
            recorder.done(line, failed)
            well += [] if failed else [line]
    assert recorder.end() == path
    assert statements(read_lines(path)) == well


def test_lines_that_failed_are_comments_whatever_is_in_them(path: Path) -> None:
    recorder = Recorder()
    recorder.begin(path, "")
    for line in ("a 'b\nc'", "a \\", "a 'b", "# x", "\udcff\ud800"):
        recorder.done(line, 2)
    recorder.done("a", 0)
    recorder.end()
    assert statements(read_lines(path)) == ["a"]
    assert path.read_text().startswith("# failed with status 2: a 'b\n# c'\n# failed with status 2: a \\\n")


def test_it_is_a_new_file_for_its_owner_alone(path: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    before = os.umask(0)
    try:
        recorder.begin(path, "")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert recorder.path == path
    with pytest.raises(Conflict, match="end that first with: record off"):
        recorder.begin(tmp_path / "other", "")
    recorder.end()
    assert recorder.end() is None
    path.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (path, tmp_path / "link", tmp_path, Path("/dev/full")):
        with pytest.raises(Conflict, match="is there already"):
            recorder.begin(taken, "")
    assert path.read_text() == "mine"
    with pytest.raises(Unavailable, match="No such file or directory"):
        recorder.begin(tmp_path / "no" / "folder", "")
    assert recorder.path is None
    recorder.done("nobody records this", 0)


def test_a_full_disk_ends_the_recording_and_says_so(path: Path) -> None:
    """In a process that may write a few bytes only."""
    code = (
        "import sys; from pathlib import Path; from trunnion_tty.recording import Recorder\n"
        "recorder = Recorder(); recorder.begin(Path(sys.argv[1]), '')\n"
        "recorder.done('one', 0)\n"
        "try: recorder.done('x' * 100, 0)\n"
        "except Exception as error: print(type(error).__name__, error, recorder.path)\n"
        "recorder.done('three', 0)"
    )

    def few_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))

    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=few_bytes,
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("COV")},
    )
    said = f"{path} cannot be written any more: File too large; recording has ended None"
    assert done.stdout == f"Unavailable {said}\n"
    assert path.read_text().startswith("one\nxxx")


def test_what_stands_within_quotes_stays_what_it_is(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfsay 'a\r\nb\rc'\r\nsay d \\\r\n e\r\n# x\r\n")
    assert statements(read_lines(path)) == ["say 'a\r\nb\rc'\r", "say d  e\r"]


def test_what_is_no_file_of_lines_is_told(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"say \xff")
    for wrong, why in (
        (path, "'utf-8' codec can't decode"),
        (tmp_path, "Is a dir"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(Unavailable, match=f"cannot be read: {why}"):
            read_lines(wrong)


def test_a_file_that_never_ends_is_none_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``LONGEST``."""
    monkeypatch.setattr("trunnion_tty.recording.LONGEST", 1000)
    with pytest.raises(Unavailable, match="/dev/zero is no file of lines"):
        read_lines(Path("/dev/zero"))
