"""What the prompt says of a line, and when."""

from __future__ import annotations

import pytest
from made_kit import VERBS, place_of
from prompt_toolkit.document import Document
from prompt_toolkit.validation import ValidationError

from trunnion_tty.validator import LineValidator

pytestmark = pytest.mark.anyio
VALIDATOR = LineValidator(place_of)


async def told(text: str, cursor: int | None = None) -> str:
    """What is said while a text is typed."""
    try:
        await VALIDATOR.validate_async(Document(text, cursor))
    except ValidationError as error:
        return error.message
    return ""


def refused(text: str) -> str:
    """What is said when it is to be done."""
    try:
        VALIDATOR.validate(Document(text))
    except ValidationError as error:
        return error.message
    return ""


async def test_while_it_is_typed() -> None:
    assert "no command 'nothing'" in await told("nothing ")
    assert await told("nothing") == ""
    assert "name: expected one of" in await told("theme \\\n red ")
    assert await told("theme \\\n dark ") == ""
    assert await told("theme red x", cursor=9) == "", "somebody goes back to mend it"


@pytest.mark.parametrize("before", ["use plant\n", "# x\nuse plant\n\n", "jobs\n"])
async def test_of_a_line_behind_another_one_nothing_is_known(before: str) -> None:
    """The line before may be what makes it a good one."""
    assert await told(f"{before}nothing ") == ""
    assert refused(f"{before}nothing") == ""


async def test_blank_lines_and_comments_change_nothing() -> None:
    assert "no command" in await told("\n# theme\n nothing ")
    assert "no command" in refused("\n# theme\n nothing\nuse x")


def test_when_it_is_to_be_done() -> None:
    assert "it is required" in refused("theme")
    assert refused("") == refused("# x") == refused("theme dark") == ""
    assert "the quote ' is never closed" in refused("alias x 'y")
    assert "nothing behind !" in refused("!")
    assert len(VERBS) > 10


def test_what_is_said_acts_on_nothing() -> None:
    assert not set(refused("\x1b]0;x\x07")) & set("\x1b\x07")
    assert "not valid Unicode" in refused("theme \udcff")
