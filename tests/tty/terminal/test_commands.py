"""What commands do shows on the terminal, and nothing a command does ends the shell."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tty_kit.place import Place, Shell
from wcwidth import wcswidth


def test_a_sync_command_shows_its_output_and_its_result(used: Shell) -> None:
    shown = used.do("odd.hello Ada")
    assert re.match(r"greeting Ada\nhello Ada\nsucceeded after .* run [0-9a-f]{4}\n", shown)


def test_an_async_command_shows_its_output_and_its_result(used: Shell) -> None:
    assert used.do("odd.ahello Ada").startswith("greeting Ada from a coroutine\nhello Ada\nsucceeded")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("odd.exits", "going\nerror: the handler called sys.exit(3)"),
        ("odd.aexits", "error: the handler called sys.exit(3)"),
        ("odd.raises", "error: ValueError: a defect"),
        ("odd.fails", "error: no space on the tape"),
    ],
)
def test_a_command_that_goes_wrong_does_not_end_the_shell(used: Shell, line: str, said: str) -> None:
    shown = used.do(line)
    assert shown.startswith(f"{said}\nfailed after ")
    assert "Traceback" not in shown
    assert "hello you" in used.do("odd.hello")


def test_output_comes_while_the_command_goes_on(used: Shell, hosted: Place) -> None:
    until = hosted.root / "talked"
    used.do(f"odd.talk {until}", until=lambda terminal: True)
    for word in ("one", "two", "three"):
        with until.open("a") as file:
            file.write(word + "\n")
        used.until(word)
    with until.open("a") as file:
        file.write("end\n")
    assert "succeeded" in used.ready().text()


def test_a_query_shows_its_answer(used: Shell) -> None:
    assert used.do("odd.count n=3").startswith('{"n": 3}\n')


@pytest.mark.parametrize(
    "line",
    ["odd.hello Ada --loud", "odd.hello name=Ada loud=true", "odd.hello --name=Ada --loud", "odd.hello --loud -- Ada",
     "odd.hello 'Ada' --loud", 'odd.hello "Ada" loud=yes'],
)  # fmt: skip
def test_arguments_are_typed_in_every_way(used: Shell, line: str) -> None:
    assert "HELLO ADA" in used.do(line)


def test_a_table_of_wide_characters_lines_up(used: Shell) -> None:
    shown = used.do("odd.table").split("\n")
    title, header, *rows = shown[:6]
    assert title == "표 Table"
    starts = [wcswidth(row[: re.search(r" {2,}(?=\S+)", row).end()]) for row in (header, *rows[:2])]  # type: ignore[union-attr]
    ends = {wcswidth(row) for row in (header, rows[0], rows[1])}
    assert header.split() == ["城市", "n"]
    assert len(ends) == 1, shown
    assert len(starts) == 3
    assert rows[3].split() == ["Ωμέγα", "17", "more"]  # the surplus cell stands below a blank header


def test_a_long_result_is_folded_and_can_be_asked_for(used: Shell) -> None:
    shown = used.do("odd.large")
    number = re.search(r"jobs result (\d+) shows all of it", shown)
    assert number is not None, shown
    assert len(shown.split("\n")) < 50
    whole = used.do(f"jobs result {number[1]}")
    assert "999" in whole
    assert "more" not in whole


def test_one_that_floods_from_many_threads_loses_no_line(used: Shell) -> None:
    used.do("odd.threads 8 500", patience=30)
    shown = re.findall(r"^thread (\d) line (\d+)$", used.text(), re.MULTILINE)
    for thread in range(8):
        assert [int(line) for number, line in shown if int(number) == thread] == list(range(500))


def test_one_that_floods_from_one_thread_loses_no_line(used: Shell) -> None:
    used.do("odd.flood 3000", patience=30)
    assert re.findall(r"^line (\d+) of the flood$", used.text(), re.MULTILINE) == [str(n) for n in range(3000)]


def test_one_that_floods_from_the_loop_loses_no_line(used: Shell) -> None:
    used.do("odd.aflood 3000", patience=30)
    assert re.findall(r"^line (\d+) of the flood$", used.text(), re.MULTILINE) == [str(n) for n in range(3000)]


def test_a_rewritten_line_is_one_line(used: Shell) -> None:
    used.do("odd.bar", until="succeeded")
    bars = [line for line in used.ready().lines() if "%|" in line]
    assert bars == ["100%|####################| 20/20"]
    assert used.raw.count(b"%|") > 3, "it was drawn live"


def test_progress_is_drawn_and_taken_away(used: Shell, hosted: Place) -> None:
    until = hosted.root / "steps"
    used.do(f"odd.steps {until}", until=re.compile(r"^copying ━+─+ +75 %$", re.MULTILINE))
    until.touch()
    used.ready()
    assert "━" not in used.text()
    assert "succeeded" in used.text()


def test_each_level_has_its_colour(used: Shell) -> None:
    shown = used.do("odd.levels")
    assert "debug: said as debug\ninfo: said as info\nwarning: said as warning\nerror: said as error\n" in shown
    model, colours = used.look(), {}
    for number, row in enumerate(model.rows):
        if match := re.match(r"(\w+): said as", row):
            colours[match[1]] = model.buffer[number][0].fg
    assert colours["warning"] != colours["error"] != colours["info"]


def test_someone_who_is_asked_first_may_say_no(used: Shell) -> None:
    used.do("odd.ask", until="Really do it? [y/N]")
    used.key("enter")
    assert "nothing was done" in used.ready().text()
    used.do("odd.ask", until="Really do it? [y/N]")
    used.enter("y")
    used.until("succeeded")
    used.ready()
    used.do("jobs rerun", until="Really do it? [y/N]")
    used.key("enter")
    assert "nothing was done" in used.ready().text()
    used.do("jobs rerun", until="Really do it? [y/N]")
    used.enter("y")
    used.until("succeeded")


def test_changes_of_state_are_shown_from_the_level_that_is_set(make_place: Callable[..., Place]) -> None:
    shell = make_place(tty='show_states = "debug"').up().shell()
    shell.do("odd.nap", until="started\nasleep")
    shell.key("c-c")
    shell.ready()


def test_changes_of_state_are_not_shown_by_default(used: Shell) -> None:
    assert "started" not in used.do("odd.hello")
