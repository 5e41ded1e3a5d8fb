"""The one splitter and its inverse."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunnion.arguments import join_line, split_line
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
