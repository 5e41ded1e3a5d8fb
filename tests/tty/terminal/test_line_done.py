"""What stays on the screen of a line that is done."""

from __future__ import annotations

from tty_kit.place import Place, Shell


def rows(shell: Shell) -> list[str]:
    """What is on the screen."""
    return [row for row in shell.look().rows if row.strip()]


def test_the_line_stands_where_it_was_typed_with_nothing_of_menu_and_bar(shell: Shell) -> None:
    shell.do("odd.hello --name Ada")
    seen = rows(shell)
    at = next(number for number, row in enumerate(seen) if row.endswith("> odd.hello --name Ada"))
    assert seen[at + 1] == "greeting Ada"
    assert sum("●" in row for row in seen) == 1


def test_of_a_line_that_goes_on_each_part_stays(shell: Shell) -> None:
    """Defence: ``done_line`` puts the mark before what goes on."""
    shell.type('odd.hello --name "a')
    shell.key("enter")
    shell.until(lambda terminal: terminal.line.startswith("..."))
    shell.type('b"')
    shell.until(lambda terminal: terminal.line.endswith('b"'))
    shell.mark()
    shell.key("enter")
    shell.until("succeeded")
    shell.ready()
    first, second = (row for row in rows(shell) if row.endswith((' "a', ' b"')))
    assert first.endswith('> odd.hello --name "a')
    assert second == '... b"'


def test_a_line_that_is_longer_than_the_screen_is_wide_stays_whole(hosted: Place) -> None:
    """Defence: it is written as text, so that the terminal itself breaks it."""
    shell = hosted.shell(size=(30, 40)).ready()
    name = "x" * 100
    shell.type(f"odd.hello --name {name}")
    shell.until(lambda terminal: terminal.line.endswith("x"))
    shell.mark()
    shell.key("enter")
    shell.until("succeeded")
    shell.ready()
    assert f"> odd.hello --name {name}greeting {name}" in "".join(rows(shell))


def test_of_control_characters_it_is_seen_that_they_are_there(shell: Shell) -> None:
    """Defence: ``_SHOWN`` in ``look``."""
    shell.type("odd.hello --name '")
    shell.key("c-q")
    shell.type("\x07")
    shell.type("'")
    shell.until(lambda terminal: terminal.line.endswith("'^G'"))
    shell.mark()
    shell.key("enter")
    shell.until("succeeded")
    shell.ready()
    assert any(row.endswith("> odd.hello --name '^G'") for row in rows(shell))


def test_who_leaves_by_ctrl_d_leaves_a_prompt_behind(hosted: Place) -> None:
    shell = hosted.shell().ready()
    shell.key("c-d")
    shell.wait()
    assert rows(shell)[-1].endswith(">")
    assert not any("●" in row for row in rows(shell))
