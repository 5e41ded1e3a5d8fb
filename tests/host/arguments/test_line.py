"""The one splitter and its inverse."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunnion.arguments import join_line, scan_line, split_line
from trunnion.model.errors import InvalidArguments

nasty = st.text(alphabet=st.sampled_from(list("ab \t\n\r'\"\\$`;|&*?#~=-\u00a0é")), max_size=12)


@given(st.lists(st.text() | nasty))
@example(["", " ", "#x", "a'b", 'a"b', "\\", "\u00a0"])
def test_join_then_split_gives_the_same_words(words: list[str]) -> None:
    assert split_line(join_line(words)) == words


@given(nasty)
def test_agrees_with_the_standard_posix_splitter(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(InvalidArguments):
            split_line(line)
        return
    assert split_line(line) == expected


@given(st.text(max_size=12) | nasty)
@example('a "b\\')
@example("'")
def test_the_words_of_a_line_are_where_it_says(line: str) -> None:
    """Between the words there are blanks and nothing else; the words are those of the splitter."""
    scan = scan_line(line)
    end = 0
    for word in scan.words:
        assert line[end : word.start].strip(" \t\r\n") == ""
        assert line[word.start : word.end] == word.raw != ""
        assert word == scan.words[-1] or scan_line(word.raw).words == [word._replace(start=0)]
        end = word.end
    assert line[end:].strip(" \t\r\n") == ""
    if scan.unfinished is None:
        assert split_line(line) == [word.text for word in scan.words]
    else:
        assert line[scan.unfinished] in "'\"\\"
        assert scan.words[-1].start <= scan.unfinished < scan.words[-1].end == len(line)
        with pytest.raises(InvalidArguments):
            split_line(line)


@given(nasty, nasty)
def test_what_is_typed_on_changes_the_last_word_only(line: str, more: str) -> None:
    typed, whole = scan_line(line).words, scan_line(line + more).words
    done = [word for word in typed if word.end < len(line)]
    assert whole[: len(done)] == done
    assert len(typed) - len(done) <= 1


@pytest.mark.parametrize(
    ("line", "text", "unfinished"),
    [("a 'b c", "b c", 2), ('a "b\\" c', 'b" c', 2), ("a x\"b", "xb", 3), ("a b\\", "b", 3), ('"', "", 0),
     ("\\", "", 0), ('a "b\\', "b\\", 2)],
)  # fmt: skip
def test_a_line_half_typed_has_words_too(line: str, text: str, unfinished: int) -> None:
    scan = scan_line(line)
    assert (scan.words[-1].text, scan.unfinished) == (text, unfinished)


@pytest.mark.parametrize(
    ("line", "position"),
    [("abc 'def", 5), ('say "hello', 5), ("a 'b' 'c", 7), ("end \\", 5), ('"a\\"', 1)],
)
def test_an_unfinished_line_is_refused_with_the_position(line: str, position: int) -> None:
    with pytest.raises(InvalidArguments, match=rf"character {position}\b") as caught:
        split_line(line)
    assert caught.value.details["position"] == position


def test_shell_characters_mean_nothing() -> None:
    assert split_line("a; rm -rf $HOME `x` #c > f") == ["a;", "rm", "-rf", "$HOME", "`x`", "#c", ">", "f"]


def test_a_long_hostile_line_takes_linear_time() -> None:
    assert len(split_line("'a'\"b\"\\c" * 100_000)) == 1
    with pytest.raises(InvalidArguments):
        split_line('"' + "\\\\" * 200_000)
