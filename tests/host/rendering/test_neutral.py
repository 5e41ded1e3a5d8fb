"""Text from elsewhere is safe on a terminal: colour passes, everything else that acts is shown."""

from __future__ import annotations

import re
import time

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.rendering import visible

NASTY = [
    "\x1b]0;title\x07", "\x1b]52;c;aGk=\x07", "\x1b]8;;http://x\x1b\\link", "\x1b[2J", "\x1b[6n", "\x1b[?1049h",
    "\x1b[201~", "\x1bP+q\x1b\\", "\x9b2J", "\x9d0;t\x9c", "\x0e", "\x08\x08", "\x1bc", "\x1b[10;10H", "\x07", "\x00",
    "\x7f",
]  # fmt: skip


@pytest.mark.parametrize("sequence", NASTY)
def test_what_acts_on_a_terminal_is_shown_instead(sequence):
    shown = visible(f"a{sequence}b\n")
    assert all(c >= " " or c == "\n" for c in shown), "no control character is left"
    model = pyte.Screen(80, 5)
    pyte.Stream(model).feed(shown.replace("\n", "\r\n"))
    assert model.display[0].startswith("a\\x")
    assert model.display[0].rstrip().endswith("b")
    assert (model.title, model.cursor.y, model.cursor.x) == ("", 1, 0)


@given(st.text(alphabet=st.sampled_from("\x1b[]0;3mJH\x07\x9b\\ab\n\t\r?c"), max_size=60))
def test_no_mixture_gets_anything_but_colour_through(text):
    shown = visible(text)
    rest = re.sub(r"\x1b\[[0-9;:]*m", "", shown)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", rest)


def test_colour_passes_and_ends():
    assert visible("\x1b[31mred\n") == "\x1b[31mred\x1b[0m\n"
    assert visible("plain\r\ntext\t1\n") == "plain\ntext\t1\n"
    assert visible("safe\u202eexe.txt") == "safe\\u202eexe.txt"


def test_text_that_needs_nothing_is_the_same_object():
    for text in ("plain ascii\n\tlines\n", "日本語 é\n", ""):
        assert visible(text) is text


def test_of_all_characters_those_that_act_are_shown_wherever_they_stand():
    """In text of ASCII alone too, which goes another way."""
    invisible = [0x61C, 0xAD, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070)]
    acting = {*range(0x20), *range(0x7F, 0xA0), *invisible, *range(0xFFF9, 0xFFFC)} - {0x09, 0x0A, 0x200C, 0x200D}
    for code in range(0x10000):
        char = chr(code)
        assert (visible(f"a{char}b") == f"a{char}b") == (code not in acting), hex(code)
        if code < 0x80:
            assert (char in visible(f"é{char}b")) == (code not in acting), hex(code)


@pytest.mark.parametrize("word", ["many", "日本語", "\x1b[32mmany\x1b[0m"])
def test_a_million_short_lines_are_looked_through_in_no_time(word):
    block = "".join(f"line {number} of {word}\n" for number in range(3000))
    begun = time.process_time()
    for _ in range(50):
        visible(block)
    assert (time.process_time() - begun) / (50 * 3000) < 2e-6, "ten times and more what it takes"


COLOURED = ["\x1b", "[", "\x1b[31m", "\x1b[0m", "31m", "2J", "a", "\n", "é", "\r\n", "\x07", ";", "m"]


def told(text: str) -> str:
    shown = re.sub(
        r"(\x1b\[[0-9;:]*m)|[\x00-\x08\x0b-\x1f]", lambda m: m[1] or f"\\x{ord(m[0]):02x}", text.replace("\r\n", "\n")
    )
    if "\x1b" not in shown:
        return shown
    return f"{shown[:-1]}\x1b[0m\n" if shown.endswith("\n") else f"{shown}\x1b[0m"


@given(st.lists(st.sampled_from(COLOURED), max_size=12).map("".join))
def test_the_quick_ways_end_where_the_long_one_does(text):
    assert visible(text) == told(text)
