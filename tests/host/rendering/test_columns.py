"""Room on a terminal: text is measured, cut and wrapped by what is seen, with its colours."""

from __future__ import annotations

import re

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.rendering import clipped, padded, tagged, visible, width_of, wrapped
from trunnion.rendering.columns import each_coloured

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
PIECES = [
    "a",
    "bc",
    "word",
    " ",
    "  ",
    "\x1b[31m",
    "\x1b[1;38;5;82m",
    "\x1b[0m",
    "\x1b[m",
    "日",
    "本語",
    "e\u0301",
    "한국어",
]
PIECES += ["👩\u200d💻", "🇩🇪", "❤\ufe0f", "👍🏽", "नमस्ते", "ก็", "\u0301", "\u200d", "½", "ﬁ", "שלום", "─", "x" * 30]
TEXT = st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=40)
COLOURED = st.lists(st.sampled_from([*PIECES[:11], "x" * 30]), max_size=25).map("".join)
COLOURFUL = COLOURED.map(visible)
LINE = TEXT.map(lambda text: visible(text.replace("\n", " ").replace("\t", " ")))


def plain(text: str) -> str:
    return COLOUR.sub("", text)


def seen(lines: list[str]) -> list[tuple[str, str, bool]]:
    """What a terminal shows of lines below one another: each character with its colour, blanks left out."""
    screen = pyte.Screen(300, len(lines) + 1)
    pyte.Stream(screen).feed("\r\n".join(lines))
    cells = [screen.buffer[y][x] for y in range(len(lines)) for x in range(300)]
    return [(cell.data, cell.fg, cell.bold) for cell in cells if cell.data.strip()]


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("", 0),
        ("日本", 4),
        ("e\u0301", 1),
        ("\x1b[1;31mred\x1b[0m", 3),
        ("👩\u200d💻", 2),
        ("🇩🇪", 2),
        ("한국", 4),
    ],
)
def test_width_is_what_a_terminal_takes(text, width):
    assert width_of(text) == width


@given(LINE, st.integers(2, 40))
def test_wrapped_lines_fit_and_lose_nothing_but_blanks(text, width):
    lines = wrapped(text, width)
    assert all(width_of(line) <= width for line in lines)
    assert "".join(map(plain, lines)).replace(" ", "") == plain(text).replace(" ", "")


@given(COLOURFUL, st.integers(2, 40))
def test_wrapped_lines_keep_their_colours_and_each_ends_with_its_own(text, width):
    lines = wrapped(text, width)
    assert seen(lines) == seen([text[:3000]])
    alone = [cell for line in lines for cell in seen([line])]
    assert alone == seen([text]), "each line looks the same without those before it"
    assert seen([*lines, "end"])[-3:] == [(char, "default", False) for char in "end"]


@given(st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=12), st.integers(9, 30))
def test_words_that_fit_are_kept_whole(words, width):
    for text in (" ".join(words), " ".join(words) + "\x1b[m"):
        assert [word for line in wrapped(text, width) for word in plain(line).split()] == words


def test_indents_stay_and_long_words_are_cut_where_the_line_is_full():
    assert wrapped("    " + "x" * 10, 8) == ["    xxxx", "xxxxxx"]
    assert wrapped("\x1b[m    " + "x" * 10, 8) == ["\x1b[m    xxxx", "xxxxxx"]
    assert wrapped("one   two", 4) == ["one", "two"]
    assert wrapped("日本語", 3) == ["日", "本", "語"]
    assert wrapped("日本", 1) == ["日", "本"], "what is wider than there is room stands alone"


@given(LINE, st.integers(0, 40))
def test_what_is_clipped_fits_and_says_so(text, width):
    cut = clipped(text, width)
    assert width_of(cut) <= width
    if width_of(text) <= width:
        assert cut == text
    elif width:
        assert plain(cut).endswith("…")
        assert plain(text).startswith(plain(cut)[:-1])


def test_what_is_clipped_does_not_colour_what_follows():
    assert clipped("\x1b[31mred and more", 5) == "\x1b[31mred …\x1b[0m"


@given(LINE, st.integers(0, 60), st.sampled_from(["left", "right", "center"]))
def test_padded_text_has_the_width(text, width, align):
    made = padded(text, width, align)
    assert width_of(made) == max(width, width_of(text))
    assert plain(made).strip(" ") == plain(text).strip(" ")


def test_padding_is_where_it_is_asked_for():
    assert [padded("ab", 5, align) for align in ("left", "right", "center")] == ["ab   ", "   ab", " ab  "]


@given(st.lists(COLOURED, min_size=1, max_size=5))
def test_a_tag_stands_before_each_line_in_its_own_colour(lines):
    text = visible("\n".join(lines) + "\n")
    made = tagged(text, "T|").split("\n")
    assert made.pop() == ""
    assert len(made) == len(lines)
    for line in made:
        assert seen([line])[:2] == [("T", "default", False), ("|", "default", False)]
    whole = seen(text.split("\n"))
    assert [cell for line in made for cell in seen([line])[2:]] == whole


def test_a_tag_before_text_without_a_line_end():
    assert tagged("a\nb", "1 ") == "1 a\n1 b"
    assert tagged("a\n", "1 ") == "1 a\n"


def test_colours_that_are_over_are_not_begun_again():
    assert each_coloured(["\x1b[31mred\x1b[0m", "plain"]) == ["\x1b[31mred\x1b[0m", "plain"]
    assert each_coloured(["\x1b[31mred", "still"]) == ["\x1b[31mred\x1b[0m", "\x1b[31mstill\x1b[0m"]
