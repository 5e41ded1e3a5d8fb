"""What is printed: safe on a terminal, untouched in a pipe, one JSON document when JSON was asked for."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pyte
import pytest

from trunnion.launcher.failures import report, run_status
from trunnion.launcher.render import Renderer, show_table
from trunnion.launcher.screen import Screen
from trunnion.launcher.secrets import words_for
from trunnion.model.errors import Busy, ErrorInfo, InvalidArguments, Unavailable
from trunnion.model.events import Event
from trunnion.model.runs import Run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(terminal: bool = False, **more: object) -> Screen:
    make = Terminal if terminal else io.StringIO
    return Screen(out=make(), err=make(), **more)


def event(kind: str, text: str = "", data: object = None, level: str = "info") -> Event:
    return Event("run/1", 1, 1, kind, level, "handler", text, msgspec.Raw(msgspec.json.encode(data)))


def test_a_pipe_gets_the_bytes_as_they_are():
    quiet = screen()
    quiet.out("\x1b[2Jx\n")
    assert quiet._out.getvalue() == "\x1b[2Jx\n"
    loud = screen(terminal=True)
    loud.out("\x1b[2Jx\n")
    assert loud._out.getvalue() == "\\x1b[2Jx\n"


def test_events_without_a_terminal_are_plain_lines():
    target = screen()
    renderer = Renderer(target)
    renderer.show(event("text", "one\ntwo\n", {"channel": "stdout"}))
    renderer.show(event("text", "oops\n", {"channel": "stderr"}, "warning"))
    renderer.show(event("text", "50%", {"channel": "stdout", "update": True}))
    renderer.show(event("log", "careful", None, "warning"))
    for done in range(0, 101):
        renderer.show(event("progress", "copying", {"done": done, "total": 100}))
    renderer.show(event("table", "T", {"headers": ["name", "n"], "rows": [["a", 1], ["b\tc", None]]}))
    renderer.show(event("data", "", {"x": 1}))
    renderer.show(event("later-invention", "", [1]))
    renderer.show(event("gap", "events 1 to 3 are no longer kept", None, "warning"))
    renderer.show(event("state", "", {"status": "running"}))
    renderer.show(event("state", "attempt 1 failed", {"status": "pending", "failed_attempt": 1}, "warning"))
    renderer.close()
    assert target._out.getvalue() == 'one\ntwo\nname\tn\na\t1\nb c\t\n{"x":1}\n[1]\n'
    steps = [f"progress: copying {percent} %\n" for percent in range(0, 101, 10)]
    expected = ["oops\n", "warning: careful\n", *steps, "warning: events 1 to 3 are no longer kept\n"]
    expected.append("attempt 1 failed\n")
    assert target._err.getvalue() == "".join(expected)


def test_on_a_terminal_nothing_of_a_bar_stays():
    target = screen(terminal=True)
    renderer = Renderer(target)
    renderer.show(event("progress", "copying", {"done": 1, "total": 2}))
    renderer.show(event("text", "50%", {"update": True}))
    renderer.show(event("progress", "copying \x1b[2J", {"done": 2, "total": 2}))
    renderer.show(event("text", "kept\n", {"channel": "stderr"}))
    renderer.close()
    drawn = target._err.getvalue()
    assert "copying" in drawn
    assert "\x1b[2J" not in drawn
    model = pyte.Screen(100, 10)
    pyte.Stream(model).feed(drawn.replace("\n", "\r\n"))
    assert [line.rstrip() for line in model.display if line.strip()] == ["kept"]


def test_tables_are_drawn_on_a_terminal_with_their_cells_neutralised():
    target = screen(terminal=True)
    show_table(target, [["a\x1b[2J", "1"]], ["name", "n"], "T")
    assert "\x1b[2J" not in target._out.getvalue()
    assert "a\\x1b[2J" in target._out.getvalue()


@pytest.mark.parametrize("width", ["20", "60", "110"])
def test_what_names_a_row_can_be_copied_however_narrow_the_terminal(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    target = screen(terminal=True)
    row = ["01a1fc54-b443-76d1-8e29-3224f4500d19", "greenhouse.water", "succeeded", "2026-11-21 04:49:07", "root"]
    show_table(target, [row], list("abcde"))
    assert target._out.getvalue().splitlines()[1].removesuffix("\x1b[0m") == "  ".join(row)


def test_a_long_cell_is_folded_beside_what_names_the_row(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    target = screen(terminal=True)
    show_table(target, [["redaction.keys", "x" * 200, "live"]], ["setting", "value", "change"])
    lines = target._out.getvalue().splitlines()[1:]
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60
    assert sum(line.count("x") for line in lines) == 200


def test_json_mode_says_nothing_but_json():
    target = screen(as_json=True)
    target.note("by the way")
    target.value({"ä": [1]})
    target.error("busy", "full", {"retry_after": 1})
    assert target._out.getvalue() == '{"ä":[1]}\n'
    assert json.loads(target._err.getvalue()) == {"code": "busy", "message": "full", "details": {"retry_after": 1}}


def test_errors_name_what_is_near():
    target = screen()
    target.error("not_found", "there is no command x", {"nearest": ["a.x", "b.x"]})
    assert target._err.getvalue() == "error: there is no command x\ndid you mean: a.x, b.x?\n"


def test_exit_statuses_come_from_the_table():
    def ended(status, code=None):
        error = ErrorInfo(code, "m") if code else None
        return Run(
            id="1", num=1, command_id="a", command_revision="r", status=status, created=1, principal="p", source="cli",
            error=error,
        )  # fmt: skip

    assert run_status(ended("succeeded")) == 0
    assert run_status(ended("failed", "busy")) == 8
    assert run_status(ended("failed", "a-drivers-own-code")) == 1
    assert run_status(ended("cancelled")) == 130
    assert run_status(ended("timed_out")) == 10
    assert run_status(ended("interrupted")) == 11
    assert report(Busy("full"), screen(), debug=False) == 8


def test_a_defect_is_one_line_that_says_where_the_traceback_is():
    target = screen()
    assert report(ZeroDivisionError("oh"), target, debug=False) == 70
    [line] = target._err.getvalue().splitlines()
    path = line.rpartition(" ")[2]
    assert "ZeroDivisionError: oh" in Path(path).read_text()
    target = screen()
    report(ZeroDivisionError("oh"), target, debug=True)
    assert "Traceback" in target._err.getvalue() or "ZeroDivisionError" in target._err.getvalue()


class Full(io.StringIO):
    def fileno(self) -> int:
        return self.nowhere

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_output_that_cannot_be_written_is_an_error_with_a_name(tmp_path):
    with pytest.raises(Unavailable, match="standard output cannot be written: No space left on device"):
        Screen(out=Full(), err=io.StringIO()).out("x")
    err = Full()
    err.nowhere = os.open(tmp_path / "err", os.O_WRONLY | os.O_CREAT)
    Screen(out=io.StringIO(), err=err).err("x")
    assert str(Path(f"/proc/self/fd/{err.nowhere}").readlink()) == os.devnull, "it is tried no more"
    os.close(err.nowhere)


def test_a_traceback_that_cannot_be_kept_is_no_defect_of_its_own(monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    target = screen()
    assert report(ZeroDivisionError("oh"), target, debug=False) == 70
    assert "cannot be kept (No space left on device): --debug shows it" in target._err.getvalue()


def test_a_closed_pipe_is_no_error():
    code = "from trunnion.launcher.screen import Screen\nfor n in range(100000): Screen().out('x' * 100 + '\\n')"
    done = subprocess.run(
        f"{sys.executable} -c {shlex.quote(code)} | head -1",
        check=False,
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("x" * 100 + "\n", "")


def test_a_secret_from_a_file_that_never_ends_is_none(monkeypatch):
    monkeypatch.setattr("trunnion.launcher.secrets.LONGEST", 1000)
    with pytest.raises(InvalidArguments, match="--secret pw: /dev/zero holds more than 1000 characters"):
        words_for(["pw=file:/dev/zero"])
