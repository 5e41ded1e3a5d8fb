"""Answers of queries, which may come from anywhere, for people."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from trunnion import Json
from trunnion.rendering import PLAIN
from trunnion_tty.answers import shown

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\r\x9b1A"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "answer",
    [
        {"items": [{"a": 1}], "next": HOSTILE},
        {"items": [{HOSTILE: 1}]},
        {"items": [{"a": HOSTILE}, {"a": {"b": HOSTILE}}]},
        [{"a": HOSTILE, "b": "x" * 100 + HOSTILE}],
        {HOSTILE: HOSTILE},
        HOSTILE,
    ],
    ids=["cursor", "name of a field", "fields", "long", "object", "text"],
)
def test_n2_nothing_of_an_answer_acts_on_the_terminal(answer: Json) -> None:
    """Defence: ``visible`` about the notes below a table, where the cursor of the next page stands as it came."""
    text = shown(answer, 60, PLAIN)
    assert not set(text) & set("\x1b\x07\r\x9b\u202e"), ascii(text)


def test_times_are_told_as_the_clock_on_the_wall_has_them() -> None:
    assert shown([{"created": 1_700_000_000_000_000}], 60, PLAIN).split("\n")[1] == "2023-11-14 22:13:20"


@pytest.mark.parametrize("number", [0, 3, -1, 10**15 - 1, 10**16, 10**18, 10**30])
def test_a_number_that_is_no_time_is_a_number_whatever_its_field_is_called(number: int) -> None:
    """Defence: ``THESE_TIMES``: files ``created`` may be counted, and no clock knows the year 10**24."""
    assert shown([{"created": number}], 60, PLAIN).split("\n")[1].strip() == str(number)


def test_words_of_json_are_said_as_json_says_them() -> None:
    assert shown([{"on": True, "off": None}], 60, PLAIN).split("\n")[1].split() == ["true"]


def test_what_a_list_is_read_for_is_in_it_however_narrow_the_terminal() -> None:
    """Defence: room for sentences before there is room for other fields; a line of the log without its text is none."""
    line: Json = {"stream": "host/log", "seq": 7, "kind": "log", "level": "error", "text": "the disk is full, " * 5}
    for width in (30, 60, 100):
        table = shown({"items": [line], "next": None}, width, PLAIN)
        drawn = [row for row in table.splitlines() if "no room here" not in row]
        assert "the disk is full," in table and max(map(len, drawn)) <= width, table
    assert "1 more field has no room here" in shown([line], 50, PLAIN)


def test_fields_that_are_no_single_value_stand_in_a_list_as_json() -> None:
    value = shown([{"key": "a", "value": ["x", "y"]}, {"key": "b", "value": 1}], 60, PLAIN)
    assert value.splitlines()[1:] == ['a    ["x","y"]', "b    1"]
    long = shown([{"key": "a", "value": [f"item {number}" for number in range(1000)]}], 60, PLAIN)
    assert long.splitlines()[1].startswith('a    ["item 0","item 1"')
    assert "…" in long and len(long.splitlines()) < 20
    assert "1 more field" in shown([{"id": "a", "digest": "0123456789abcdef" * 4}], 100, PLAIN)  # nobody reads it


def test_of_several_lines_the_first_stands_in_a_list() -> None:
    assert shown([{"text": "Traceback\n  file\n"}], 60, PLAIN).splitlines() == ["text", "Traceback …"]


def test_a_list_of_nothing_says_so() -> None:
    assert shown({"items": [], "next": None}, 60, PLAIN) == "there are none\n"
    assert "items" in shown({"items": [], "next": "7"}, 60, PLAIN)
