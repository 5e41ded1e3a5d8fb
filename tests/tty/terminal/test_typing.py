"""What is offered and said while a line is typed, and the ways of typing one."""

from __future__ import annotations

import re

import pytest
from tty_kit.place import Place, Shell


def offered(shell: Shell, *wanted: str) -> None:
    """Wait until the menu shows this and nothing else."""
    shell.until(lambda terminal: [" ".join(row.split()) for row in terminal.menu()] == list(wanted))


def test_names_are_completed_first(used: Shell) -> None:
    used.type("odd.hel")
    offered(used, "odd.hello Greet somebody")
    used.key("tab")
    used.until(lambda terminal: terminal.line.endswith("> odd.hello"))


def test_a_console_is_offered_before_what_is_in_it(used: Shell) -> None:
    used.type("od")
    offered(used, "odd. Odd things")


def test_then_arguments_with_what_they_are(used: Shell) -> None:
    used.type("odd.hello --")
    offered(
        used,
        "--loud shout.",
        "--no-loud shout.",
        "--name whom to greet.",
        "--times how often.",
        "--tone how it is said.",
    )


def test_choices_are_offered(used: Shell) -> None:
    used.type("odd.hello --tone ")
    offered(used, "cool how it is said.", "kind how it is said.")
    used.key("c-c")
    used.ready()
    used.type("odd.hello tone=")
    offered(used, "tone=cool how it is said.", "tone=kind how it is said.")


def test_values_that_a_query_knows_are_offered(used: Shell) -> None:
    used.type("odd.move ")
    offered(used, "beetle A small one", "bus A large one", "'red van'")
    used.type("r")
    offered(used, "'red van'")
    used.key("tab")
    used.mark()
    used.key("enter")
    used.until("red van is in garage")


def test_files_are_offered_where_a_path_is_wanted(used: Shell, hosted: Place) -> None:
    (hosted.root / "offered-file").touch()
    used.type("source offered")
    used.until(lambda terminal: [row.split()[0] for row in terminal.menu()] == ["offered-file"])


def test_nothing_is_offered_past_the_last_argument(used: Shell) -> None:
    used.type("odd.count 1")
    used.until(lambda terminal: terminal.line.endswith("odd.count 1"))
    used.type(" ")
    used.type("--")
    used.until(lambda terminal: terminal.line.endswith("--"))
    assert settled_menu(used) == []


def settled_menu(shell: Shell) -> list[str]:
    """The menu once nothing more comes: whoever asks for values by hand is answered with what there is."""
    before = len(shell.raw)
    shell.key("left", "right")
    shell.until(lambda terminal: len(terminal.raw) > before)
    return shell.menu()


def test_an_argument_that_does_not_fit_is_told_while_typing(used: Shell) -> None:
    used.type("odd.hello --times many ")
    used.until('times: expected a whole number, got "many"')
    used.key("c-c")
    used.ready()
    used.type("odd.hello times=many ")
    used.until('times: expected a whole number, got "many"')


def test_a_line_with_a_mistake_is_kept_for_mending(used: Shell) -> None:
    used.type("odd.hello --bad")
    used.key("enter")
    used.until(re.compile("no such option|unknown|--bad", re.IGNORECASE))
    used.until(lambda terminal: any("bad" in row and "hello" not in row for row in terminal.menu()))
    used.key(*["backspace"] * 5)
    used.key("enter")
    used.until("hello you")


def test_an_empty_line_is_offered_nothing(used: Shell) -> None:
    """Not even where a letter was there for a moment, and values for it are still on their way."""
    found: list[list[str]] = []
    used.checks.append(lambda terminal: found.append(terminal.menu()) if terminal.line.endswith("> ") else None)
    for _ in range(5):
        used.type("o\x03")
        used.ready()
    drawn = len(found)
    used.until(lambda terminal: len(found) > drawn + 3)
    used.checks.clear()
    assert not any(found), found


@pytest.mark.parametrize(("typed", "near"), [("odd.helo", "odd.hello"), ("jbos", "jobs"), ("greeet", "greet")])
def test_what_nothing_has_is_told_with_the_nearest_names(used: Shell, typed: str, near: str) -> None:
    used.enter(typed)
    shown = used.until(f"there is no command '{typed}'; did you mean ")
    assert near in shown.partition("did you mean")[2]


def test_a_name_of_a_console_alone_says_how_it_is_entered(used: Shell) -> None:
    used.enter("odd")
    used.until("odd is a console: use odd")


def test_an_open_quote_goes_on_in_the_next_line(used: Shell) -> None:
    used.type("odd.hello 'Ada")
    used.key("enter")
    used.until(lambda terminal: terminal.line.startswith("... "))
    used.type("Lovelace'")
    used.mark()
    used.key("enter")
    used.until("hello Ada\nLovelace")


def test_a_backslash_goes_on_in_the_next_line(used: Shell) -> None:
    used.type("odd.hello Ada \\")
    used.key("enter")
    used.until(lambda terminal: terminal.line.startswith("... "))
    used.type("--loud")
    used.mark()
    used.key("enter")
    used.until("HELLO ADA")


def test_alt_enter_makes_several_statements(used: Shell) -> None:
    used.type("odd.hello one")
    used.key("alt-enter")
    used.until(lambda terminal: terminal.line.startswith("... "))
    used.type("odd.hello two")
    used.mark()
    used.key("enter")
    shown = used.until("hello two")
    assert shown.index("hello one") < shown.index("hello two")


def test_an_alias_stands_for_its_words(used: Shell) -> None:
    assert "HELLO ADA" in used.do("greet Ada")
    used.do("alias twice odd.hello --times 2")
    assert used.do("twice Ada").count("greeting Ada") == 2
    assert "twice = odd.hello --times 2" in used.do("alias")


def test_earlier_lines_come_back(shell: Shell) -> None:
    shell.do("odd.hello first")
    shell.do("odd.hello second")
    shell.key("up", "up")
    shell.until(lambda terminal: terminal.line.endswith("odd.hello first"))
    shell.mark()
    shell.key("enter")
    shell.until("hello first")


def test_earlier_lines_are_searched(shell: Shell) -> None:
    shell.do("odd.hello first")
    shell.do("odd.hello second")
    shell.key("c-r")
    shell.type("FIR")
    shell.until(re.compile(r"odd\.hello first"))
    shell.key("enter")
    shell.until(lambda terminal: "odd.hello first" in terminal.screen()[terminal.look().cursor.y])
    shell.mark()
    shell.key("enter")
    shell.until("hello first")


def test_earlier_lines_are_suggested(shell: Shell) -> None:
    shell.do("odd.hello suggested")
    shell.type("odd.hello sug")
    shell.until(lambda terminal: terminal.screen()[terminal.look().cursor.y].endswith("odd.hello suggested"))
    shell.key("right")
    shell.until(lambda terminal: terminal.line.endswith("odd.hello suggested"))


def test_lines_of_an_earlier_shell_are_known_to_the_next(hosted: Place, shell: Shell) -> None:
    shell.do("odd.hello kept")
    shell.do(" odd.hello blank")
    other = hosted.shell().ready()
    shown = other.do("history")
    assert "odd.hello kept" in shown
    assert "blank" not in shown
    assert hosted.history.stat().st_mode & 0o777 == 0o600


def test_what_was_typed_ahead_is_the_next_line(used: Shell, hosted: Place) -> None:
    until = hosted.root / "ahead"
    used.do(f"odd.nap {until}", until="asleep")
    used.type("odd.hello ahead\r")
    until.touch()
    used.until("hello ahead")
    assert "odd.hello ahead" not in used.text().partition("awake")[0], "it is shown at the prompt, not amid output"
