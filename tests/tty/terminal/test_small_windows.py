"""A window of a few lines or columns still shows what is typed, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tty_kit.place import Place, Shell

NARROW = (20, 40)


@pytest.fixture
def narrow(hosted: Place) -> Iterator[Shell]:
    others = len(hosted.shells)
    yield hosted.shell(size=NARROW).ready()
    hosted.close_shells(others)


def test_what_is_wrong_is_told_to_its_end(narrow: Shell) -> None:
    """Defence: as many lines as that takes; of one line the names that were meant would be cut off."""
    narrow.type("jobs --status nope")
    narrow.key("enter")
    narrow.until(lambda terminal: '"timed_out"' in " ".join(terminal.screen()))
    rows = [row.strip() for row in narrow.screen()]
    first = next(number for number, row in enumerate(rows) if row.startswith("status: expected"))
    assert '"running", "succeeded", "timed_out"' in " ".join(rows[first : first + 4])


@pytest.mark.parametrize("rows", [3, 5, 8, 10])
def test_in_a_window_of_a_few_lines_the_line_is_seen(narrow: Shell, rows: int) -> None:
    """Defence: the room for the menu is what the window leaves of it. Else "Window too small" was all there was."""
    narrow.resize(rows, NARROW[1])
    narrow.type("odd.nothing such")
    narrow.key("enter")
    narrow.until(lambda terminal: "there is no command" in "".join(terminal.screen()))
    assert narrow.line.endswith("odd.nothing such")
    narrow.key("c-c")
    narrow.ready()
    narrow.type("odd.he")
    narrow.until(lambda terminal: terminal.line.endswith("odd.he"))
    assert "too small" not in "".join(narrow.screen())
