"""Q4: much is pasted, control codes and line ends in it, at terminals that mark a paste and at those that do not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from figures import SEED
from tty_kit.place import LAUNCHER, Place, Shell
from tty_kit.terminal import BRACKETS

MEGABYTE = 1 << 20
COMMAND = "odd.noop"
CODES = "".join(map(chr, [*range(1, 3), *range(5, 32), 127])).replace("\x1a", "")
"""All control codes but those that a terminal sends for keys that leave or suspend."""
AT_ONCE = (
    "from trunnion_tty.prompting import Prompt; import trunnion_tty.prompting as prompting; "
    "prompting.BURST = 0; Prompt._follow = lambda self, event: False; prompting._text_of = lambda press: ''; "
)
"""An Enter is an Enter, whatever comes with it."""


@pytest.fixture
def shell(place: Place) -> Shell:
    return place.shell().ready()


def begun(place: Place) -> int:
    return len(place.runs(command="odd.*"))


def lines(size: int, *, longest: int = 200) -> str:
    """So many characters of lines, each a command that could be done."""
    chance, made, length = random.Random(f"{SEED}/paste"), [], 0
    while length < size:
        line = f"{COMMAND} #{'x' * chance.randint(0, longest)}"
        made.append(line)
        length += len(line) + 1
    return "\n".join(made) + "\n"


def still_there(shell: Shell) -> None:
    """It answers keys: the line is cleared and a command is done."""
    shell.key("c-c")
    shell.ready(30)
    time.sleep(0.2)  # as a person does before the next line: an Enter sooner than 50 ms would be part of the paste
    assert "hello you" in shell.do("odd.hello")


def test_q4_a_marked_paste_of_a_megabyte_runs_nothing(shell: Shell, place: Place, figure: Callable[..., None]) -> None:
    shell.paste(lines(MEGABYTE))
    shell.until("characters are no line", 30)
    assert begun(place) == 0
    still_there(shell)
    figure("bytes pasted", MEGABYTE)
    figure("runs", 0)


def test_q4_a_marked_paste_of_some_lines_waits_for_enter(shell: Shell, place: Place) -> None:
    shell.paste(f"{COMMAND}\n{COMMAND}\n{COMMAND}")
    shell.until(lambda terminal: terminal.line == f"... {COMMAND}")
    assert begun(place) == 0
    shell.mark()
    shell.key("enter")
    shell.ready()
    assert begun(place) == 3


def test_q4_a_marked_paste_of_control_codes_runs_nothing(shell: Shell, place: Place) -> None:
    shell.paste(f"{COMMAND} '{CODES}' \x1b[2J \x1b]0;owned\x07 \x9b31m")
    shell.until("^[[2J")
    assert begun(place) == 0
    assert not shell.look().title_set
    still_there(shell)


def test_q4_a_paste_that_pretends_to_end_waits_for_enter_all_the_same(shell: Shell, place: Place) -> None:
    """What stands behind the false end is taken as typed by a machine: it came at once."""
    shell.paste(f"x{BRACKETS[1]}\n{COMMAND}\n{COMMAND}\n")
    shell.until(lambda terminal: COMMAND in terminal.line or COMMAND in "".join(terminal.screen()))
    still_there(shell)
    assert begun(place) == 1  # the one of ``still_there``


def test_q4_an_unmarked_paste_of_a_megabyte_runs_nothing(
    shell: Shell, place: Place, rounds: int, figure: Callable[..., None]
) -> None:
    size = min(MEGABYTE, MEGABYTE * rounds // 100)  # a model of a terminal reads each key
    shell.paste(lines(size), bracketed=False)
    shell.until("characters are no line", 60)
    still_there(shell)
    assert begun(place) == 1
    figure("bytes pasted, unmarked", size)
    figure("runs, unmarked", 0)


def test_q4_an_unmarked_paste_of_lines_waits_for_enter(shell: Shell, place: Place) -> None:
    shell.paste(f"{COMMAND}\n{COMMAND}\n{COMMAND}\n", bracketed=False)
    shell.until(lambda terminal: terminal.screen().count(f"... {COMMAND}") == 2)
    assert begun(place) == 0
    still_there(shell)


def test_q4_an_unmarked_paste_of_control_codes_runs_nothing(shell: Shell, place: Place) -> None:
    shell.paste(f"{COMMAND}{CODES}", bracketed=False)
    still_there(shell)
    assert begun(place) == 1


def test_q4_without_the_fault_a_person_types_line_by_line(shell: Shell, place: Place) -> None:
    for _ in range(3):
        shell.do(COMMAND)
    assert begun(place) == 3


def test_q4_without_the_defence_pasted_lines_are_done(place: Place) -> None:
    shell = place.shell(program=AT_ONCE + LAUNCHER).ready()
    shell.paste(f"{COMMAND}\n{COMMAND}\n{COMMAND}\n", bracketed=False)
    shell.until(lambda terminal: begun(place) == 3)
