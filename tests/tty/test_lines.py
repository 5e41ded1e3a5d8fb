"""Statements out of text: where they end, what continues them, and what kind each is."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunnion.arguments import scan_line
from trunnion_tty.lines import is_unfinished, last_statement, numbered, pieces, read_statement, statements

TYPED = st.text(st.sampled_from("ab \t\r\n\n'\"\\\\#!&=\u00a0"), max_size=24)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a\nb", ["a", "b"]),
        ("\n\n a \n\t\n", [" a "]),
        ("a 'b\nc' d\ne", ["a 'b\nc' d", "e"]),
        ('a "b\nc" d\ne', ['a "b\nc" d', "e"]),
        ("a \\\nb", ["a b"]),
        ("a \\\r\nb\r\nc", ["a b\r", "c"]),
        ("a\\\\\nb", ["a\\\\", "b"]),
        ("a '\\\n'", ["a '\\\n'"]),
        ('a "\\\n"', ['a ""']),
        ('a "\\\\\n"', ['a "\\\\\n"']),
        ('a "\'\n" b\nc', ['a "\'\n" b', "c"]),
        ("a '\"\n' b\nc", ["a '\"\n' b", "c"]),
        ("# a 'b\nc", ["c"]),
        ("# a \\\nc", ["c"]),
        ("  # a\n!b 'c\nd'", ["!b 'c", "d'"]),
        ("!b \\\nc\nd", ["!b c", "d"]),
        ("!b \\\\\nc", ["!b \\\\", "c"]),
        ("!b '\\\n'", ["!b ''"]),
        ("a #b\nc", ["a #b", "c"]),
        ("a 'b", ["a 'b"]),
        ("a \\", ["a \\"]),
    ],
)
def test_where_statements_end(text: str, expected: list[str]) -> None:
    assert statements(text) == expected


@pytest.mark.parametrize(
    "text", ["a 'b", 'a "b', 'a "b\\"', "a \\", "x\na '", "!b \\", "a 'b'\\", "a 'b\nc", "a \\\n'b", '"\\', "'a''"]
)
def test_what_goes_on(text: str) -> None:
    assert is_unfinished(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a 'b'", "a \\\\", "# it's", "# \\", "!it's", "!b \\\\", "a \\\n", "a '\nb'", '"a\'"', "'a\"'", "'\n'"],
)
def test_what_is_whole(text: str) -> None:
    assert not is_unfinished(text)


@given(TYPED)
@example("a \\\n 'b")
def test_pieces_cut_the_text_exactly_and_each_is_one_statement(text: str) -> None:
    found = pieces(text)
    assert [text[piece.begin : piece.end] for piece in found] == cut(text)
    assert found[0].begin == 0
    assert found[-1].end == len(text)
    for one, next_one in itertools.pairwise(found):
        assert next_one.begin == one.end + 1
        assert text[one.end] == "\n"
        assert not one.unfinished
    for piece in found:
        assert statements(piece.line) in ([piece.line], [])
        assert pieces(piece.line)[0].line == piece.line
    assert last_statement(text) == found[-1]
    assert is_unfinished(text) == found[-1].unfinished


def cut(text: str) -> list[str]:
    """The same by the simplest means there are: one character after the other."""
    found, quote, raw, skip = [""], "", "", False
    for character in text:
        if skip:
            skip = False
        elif character == "\\" and quote != "'" and raw != "#":
            skip = True
        elif character == "\n" and not quote:
            found.append("")
            raw = ""
            continue
        elif not found[-1].strip(" \t\r") and not raw and character in "!#":
            raw = character
        elif not raw and character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        found[-1] += character
    return found


@given(TYPED)
def test_a_statement_that_is_one_for_the_words_is_whole_for_them_too(text: str) -> None:
    """Enter and the reading of words agree on what is finished."""
    last = last_statement(text)
    if not last.line.lstrip(" \t\r\n").startswith(("#", "!")):
        assert last.unfinished == (scan_line(last.line).unfinished is not None)


@given(TYPED)
def test_any_statement_can_be_taken_apart(text: str) -> None:
    for line in [*statements(text), text]:
        statement = read_statement(line)
        stands = line[statement.offset : statement.offset + len(statement.text)]
        assert stands == statement.text
        for word in statement.words:
            assert statement.text[word.start : word.end] == word.raw


@pytest.mark.parametrize(
    ("line", "text", "background"),
    [
        ("nap 3 &", "nap 3 ", True),
        ("nap 3 & ", "nap 3 ", True),
        ("nap & 3", "nap & 3", False),
        ("nap 3&", "nap 3&", False),
        ("nap '&'", "nap '&'", False),
        ("nap \\&", "nap \\&", False),
        ("nap '3 &", "nap '3 &", False),
        ("&", "", True),
    ],
)
def test_the_mark_for_the_background(line: str, text: str, background: bool) -> None:
    statement = read_statement(line)
    assert (statement.text, statement.background) == (text, background)


@pytest.mark.parametrize(
    ("line", "text", "system"),
    [("!ls -l", "ls -l", True), ("  ! ls", " ls", True), ("\r!x", "x", True), ("a !b", "a !b", False),
     ("'!a'", "'!a'", False), ("\\!a", "\\!a", False), ("\u00a0!a", "\u00a0!a", False)],
)  # fmt: skip
def test_lines_for_the_system(line: str, text: str, system: bool) -> None:
    statement = read_statement(line)
    assert (statement.text, statement.system) == (text, system)
    assert not (system and statement.words)


def test_a_long_text_takes_linear_time() -> None:
    began = time.process_time()
    assert len(statements("demo.greet 'a b' \\\n --loud\n" * 20_000)) == 20_000
    assert len(statements("'" + "\n" * 500_000)) == 1
    assert is_unfinished('"' + "\\\\" * 500_000)
    assert time.process_time() - began < 5


def test_statements_are_numbered_by_the_line_they_begin_in() -> None:
    text = "# first\n\none 'goes\non'\n two\n\\\nthree\n"
    assert list(numbered(text)) == [(3, "one 'goes\non'"), (5, " two"), (6, "three")]
    assert [line for _, line in numbered(text)] == statements(text)


def test_a_line_may_be_whole_though_its_quote_is_open() -> None:
    text = "use it\ndon't\nsay 'a\nb'\n\nend \\\n# it's\nback"
    asked: list[str] = []

    def is_whole(line: str) -> bool:
        asked.append(line)
        return not line.startswith("say")

    expected = [(1, "use it"), (2, "don't"), (3, "say 'a\nb'"), (6, "end \\"), (8, "back")]
    assert list(numbered(text, is_whole)) == expected
    assert asked == ["don't", "say 'a", "end \\"]
