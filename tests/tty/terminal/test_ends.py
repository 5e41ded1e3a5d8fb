"""Q2: the terminal closes, is resized beyond all measure, loses its characters, can do nothing, or is none."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from figures import SEED
from tty_kit.place import LAUNCHER, Place, Shell

SIZES = [(1, 1), (1000, 1000), (1, 200), (200, 1), (2, 2), (3, 9), (24, 80), (30, 100)]


def run_of(place: Place, command: str = "odd.nap") -> object:
    return place.runs(command=command, limit=1)[0]["status"]


# -- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["at the prompt", "half a line", "in a menu", "in a run", "asked for a secret"])
def test_q2_a_closed_window_ends_the_shell_and_not_the_run(hosted: Place, phase: str) -> None:
    shell = hosted.shell().ready()
    if phase == "half a line":
        shell.type("odd.hello 'half")
    elif phase == "in a menu":
        shell.type("odd.")
        shell.until("odd.ahello")
    elif phase == "in a run":
        shell.do("odd.nap", until="asleep")
    elif phase == "asked for a secret":
        shell.do("odd.unlock", until="code:")
    seen = len(shell.raw)
    shell.hang_up()
    assert shell.wait() == 128 + signal.SIGHUP
    assert b"Traceback" not in shell.raw[seen:]
    if phase == "in a run":
        assert run_of(hosted) == "running"


def test_q2_a_closed_window_may_take_the_run_with_it(make_place: Callable[..., Place]) -> None:
    place = make_place(tty='on_hangup = "cancel"').up()
    shell = place.shell()
    shell.do("odd.nap", until="asleep")
    shell.hang_up()
    assert shell.wait() == 128 + signal.SIGHUP
    assert run_of(place) in ("running", "cancelled")  # it is asked to end; that is on record
    deadline = time.monotonic() + 5
    while run_of(place) != "cancelled":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_q2_a_background_run_goes_on_whatever_the_setting(make_place: Callable[..., Place]) -> None:
    place = make_place(tty='on_hangup = "cancel"').up()
    shell = place.shell()
    shell.do("odd.nap &", until="asleep")
    shell.ready()
    shell.hang_up()
    assert shell.wait() == 128 + signal.SIGHUP
    assert run_of(place) == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_q2_a_signal_ends_the_shell_in_order(hosted: Place, number: signal.Signals) -> None:
    shell = hosted.shell().ready()
    shell.type("odd.hello half")
    shell.until(lambda terminal: terminal.line.endswith("half"))
    shell.signal(number)
    assert shell.wait() == 128 + number
    assert "Traceback" not in shell.text()
    assert shell.raw.endswith(b"\x1b[?2004l") or b"\x1b[?2004l" in shell.raw[-200:], "pastes are marked no more"


def test_q2_a_signal_during_a_flood_ends_the_shell(hosted: Place) -> None:
    shell = hosted.shell()
    shell.do("odd.flood 1000000", until="line 1000 of")
    shell.signal(signal.SIGTERM)
    assert shell.wait() == 128 + signal.SIGTERM


def test_q2_the_terminal_is_left_as_it_was(hosted: Place) -> None:
    """Whoever started the shell has it back with echo, and with its own keys."""
    program = hosted.command("shell")
    code = "import os, subprocess, sys, termios; before = termios.tcgetattr(0); " \
        "subprocess.run(sys.argv[1:]); print('same' if termios.tcgetattr(0) == before else 'changed')"  # fmt: skip
    shell = Shell([sys.executable, "-c", code, *program], env=hosted.env, cwd=hosted.root)
    hosted.shells.append(shell)
    shell.do("odd.hello")
    shell.ready()
    shell.key("c-d")
    shell.until("same")
    assert shell.wait() == 0


# -- sizes ----------------------------------------------------------------------------------------


def test_q2_a_window_of_any_size(hosted: Place, rounds: int, figure: Callable[..., None]) -> None:
    shell, chance = hosted.shell().ready(), random.Random(f"{SEED}/sizes")
    sizes = SIZES + [(chance.randint(1, 60), chance.randint(1, 200)) for _ in range(rounds)]
    shell.do("odd.flood 100000 --rate 500 &", until="line 1 of the flood")
    for rows, columns in sizes:
        shell.resize(rows, columns)
        shell.type("o")
    shell.resize(30, 100)
    shell.key("c-c")
    shell.ready()
    shell.do("jobs cancel 1")
    shell.key("c-l")
    assert "hello Ada" in shell.do("odd.hello Ada")
    assert b"Traceback" not in shell.raw
    assert b"Press ENTER" not in shell.raw
    figure("sizes", len(sizes))


@pytest.mark.parametrize("size", [(1, 1), (1000, 1000), (2, 40), (40, 12)], ids=str)
def test_q2_a_shell_opened_in_a_window_of_any_size(hosted: Place, size: tuple[int, int]) -> None:
    shell = hosted.shell(size=size)
    shell.until_raw(b"\x1b[?2004h")
    shell.enter("odd.table")
    shell.until_raw("北".encode())
    shell.enter("odd.large")
    shell.until_raw(b"items")
    shell.until(lambda terminal: terminal.raw.count(b"\x1b[?2004h") == 3)  # the prompt after the second line
    shell.key("c-d")
    assert shell.wait() == 0
    assert b"Traceback" not in shell.raw


def test_q2_a_line_is_drawn_anew_in_a_smaller_window(hosted: Place) -> None:
    shell = hosted.shell().ready()
    shell.type("odd.hello 'a line that is rather long for a window'")
    shell.until(lambda terminal: terminal.line.endswith("window'"))
    shell.resize(20, 30)
    shell.until(lambda terminal: "".join(terminal.screen()).count("rather long") == 1)
    shell.resize(30, 100)
    shell.until(lambda terminal: terminal.line.endswith("odd.hello 'a line that is rather long for a window'"))
    shell.mark()
    shell.key("enter")
    shell.until("hello a line that is rather long for a window")


# -- characters, and no terminal --------------------------------------------------------------------


def test_q2_a_terminal_without_utf8(hosted: Place) -> None:
    """What it cannot show is spelled; nothing goes wrong for it."""
    shell = hosted.shell(env={"LANG": "C", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    shown = shell.do("odd.table")
    assert "\\u5317\\u4eac" in shown
    shell.do("odd.nap &", until="asleep")
    assert "succeeded" in shell.do("odd.hello")
    assert all(byte < 0x80 for byte in shell.raw)


def test_q2_bytes_that_are_no_characters_do_no_harm(hosted: Place) -> None:
    shell = hosted.shell().ready()
    shell.send(b"odd.hello \xff\xfe\xc3( \x80")
    shell.until(lambda terminal: "odd.hello" in terminal.line)
    shell.key("c-c")
    assert "hello Ada" in shell.do("odd.hello Ada")


@pytest.mark.parametrize(
    ("env", "args"), [({"TERM": "dumb"}, ()), ({"TERM": "unknown"}, ("--plain",)), ({}, ("--plain",))]
)
def test_q2_a_terminal_that_can_do_nothing_gets_plain_text(
    hosted: Place, env: dict[str, str], args: tuple[str, ...]
) -> None:
    shell = hosted.shell(*args, env=env)
    shell.until(lambda terminal: terminal.line == "> ")
    shell.enter("odd.hello Ada")
    shell.until("hello Ada")
    shell.enter("odd.bar")
    shell.until("20/20")
    shell.until(lambda terminal: terminal.line == "> ")
    shell.enter("odd.steps /dev/null")
    shell.until("progress: copying")
    shell.until(lambda terminal: terminal.line == "> ")
    shell.enter("odd.nosuch")
    shell.until("there is no command 'odd.nosuch'")
    shell.until(lambda terminal: terminal.line == "> ")
    shell.type("odd.hello half")
    shell.until(lambda terminal: terminal.line == "> odd.hello half")
    shell.mark()
    shell.key("c-c")
    shell.until(lambda terminal: terminal.line == "> ")
    shell.enter("odd.nap")
    shell.until("asleep")
    shell.key("c-c")
    shell.until("cancelled after")
    shell.until(lambda terminal: terminal.line == "> ")
    shell.key("c-d")
    assert shell.wait() == 0
    assert shell.raw.endswith(b"\n"), "what comes next stands behind the prompt"
    assert b"\x1b" not in shell.raw
    assert b"Traceback" not in shell.raw


def test_q2_no_colour_where_none_is_wanted(hosted: Place) -> None:
    shell = hosted.shell(env={"NO_COLOR": "1"})
    shell.do("odd.levels")
    shell.do("odd.fails")
    shell.type("odd.h")
    shell.until("odd.hello")
    coloured = re.findall(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m", bytes(shell.raw))
    assert not coloured, coloured[:5]


def test_q2_without_the_fault_colours_are_used(hosted: Place) -> None:
    shell = hosted.shell()
    shell.do("odd.levels")
    assert re.search(rb"\x1b\[[0-9;]*3[0-8]", bytes(shell.raw))


def test_q2_a_pipe_whose_reader_is_gone_is_no_error(hosted: Place) -> None:
    line = f"{subprocess.list2cmdline(hosted.command('shell', '-c', 'odd.flood 20000'))} | head -1"
    done = subprocess.run(
        ["bash", "-c", line], env=hosted.env, cwd=hosted.root, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.stdout == "line 0 of the flood\n"
    assert "Traceback" not in done.stderr


def test_q2_a_terminal_that_takes_nothing_more_can_still_be_left(hosted: Place) -> None:
    """Nobody reads what it writes, as when a line to another machine hangs."""
    shell = hosted.shell().ready()
    before = len(hosted.runs(command="odd.flood"))
    shell.pause()
    shell.type("odd.flood 100000\r")
    deadline = time.monotonic() + 10
    while len(hosted.runs(command="odd.flood")) == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shell.signal(signal.SIGTERM)
    assert shell.wait() == 128 + signal.SIGTERM


def test_q2_a_terminal_that_another_program_made_not_to_wait_is_not_gone(hosted: Place) -> None:
    """Defence: ``except BlockingIOError``: some programs leave the terminal so, and a flood ended the shell."""
    shell = hosted.shell(program=f"import os; os.set_blocking(1, False)\n{LAUNCHER}").ready()
    shell.start("odd.flood 5000")
    shell.until_raw(b"line 4999 of the flood")
    assert "hello you" in shell.do("odd.hello")
