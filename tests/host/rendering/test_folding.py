"""JSON for people: whole where it fits, and what is left out is counted."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.rendering import DARK, PLAIN, fold, width_of

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=60)
)


def values(keys: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    return st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=12) | st.dictionaries(keys, inner, max_size=9),
        max_leaves=40,
    )


VALUES = values(st.text(max_size=50))


def rows(text: str, width: int) -> int:
    """Lines of a terminal that some text takes."""
    return sum(max(1, -(-width_of(line) // width)) for line in text.split("\n")[:-1])


@given(values(st.text("abé日", max_size=9)).filter(lambda value: not isinstance(value, str)), st.integers(100, 200))
def test_what_is_whole_reads_back(value, width):
    found = fold(value, width=width, lines=10_000)
    assert found.is_whole
    assert json.loads(without_marks(found.text)) == value


def without_marks(text: str) -> str:
    r"""JSON again of text in which what acts on a terminal is shown as ``\x9b`` and ``\U000e0001``."""
    text = re.sub(r"(?<!\\)((?:\\\\)*)\\x([0-9a-f]{2})", r"\1\\u00\2", text)
    return re.sub(r"(?<!\\)((?:\\\\)*)\\U000([0-9a-f]{5})", lambda m: m[1] + chr(int(m[2], 16)), text)


@given(VALUES, st.integers(48, 120), st.integers(3, 30))
def test_it_takes_no_more_lines_than_it_may(value, width, lines):
    found = fold(value, width=width, lines=lines, palette=DARK)
    text = COLOUR.sub("", found.text)
    if isinstance(value, str):
        assert found.is_whole
    elif not isinstance(value, float | int):
        assert rows(text, width) <= lines
        assert found.is_whole == (json.loads(without_marks(text)) == value if "…" not in text else found.is_whole)
        assert found.is_whole or "…" in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


@given(VALUES, st.integers(48, 120), st.integers(3, 30))
def test_colour_changes_nothing_but_colour(value, width, lines):
    coloured, bare = (fold(value, width=width, lines=lines, palette=palette) for palette in (DARK, PLAIN))
    assert COLOUR.sub("", coloured.text) == bare.text
    assert coloured.is_whole == bare.is_whole


@given(st.lists(st.text("abc", min_size=30, max_size=50), min_size=5, max_size=200), st.integers(5, 12))
def test_what_is_left_out_is_counted(value, lines):
    found = fold(value, width=60, lines=lines)
    shown = [json.loads(line.strip(" ,")) for line in found.text.split("\n")[1:-2] if '"' in line]
    assert shown == value[: len(shown)]
    if len(shown) < len(value):
        assert f"  … {len(value) - len(shown)} more\n" in found.text


def test_compact_where_it_fits_else_one_entry_a_line():
    value = {"a": [1, 2], "b": {"c": None, "d": True}, "é": "日本" * 5}
    assert (
        fold(value, width=80, lines=9).text
        == '{"a": [1, 2], "b": {"c": null, "d": true}, "é": "日本日本日本日本日本"}\n'
    )
    assert fold(value, width=50, lines=9).text == (
        '{\n  "a": [1, 2],\n  "b": {"c": null, "d": true},\n  "é": "日本日本日本日本日本"\n}\n'
    )


def test_each_entry_gets_a_line_before_any_gets_more():
    value = {"rows": [{"id": n, "name": f"pump {n}"} for n in range(100)], "ok": True, "note": "x" * 20}
    assert fold(value, width=60, lines=12).text.split("\n") == [
        "{",
        '  "rows": [',
        '    {"id": 0, "name": "pump 0"},',
        '    {"id": 1, "name": "pump 1"},',
        '    {"id": 2, "name": "pump 2"},',
        '    {"id": 3, "name": "pump 3"},',
        '    {"id": 4, "name": "pump 4"},',
        "    … 95 more",
        "  ],",
        '  "ok": true,',
        '  "note": "xxxxxxxxxxxxxxxxxxxx"',
        "}",
        "",
    ]
    assert '  "rows": [{"id": 0, "name": "pump 0"}, … 99 more],\n' in fold(value, width=60, lines=5).text


def test_those_that_need_more_share_what_is_left():
    rows = [{"id": n, "name": f"pump {n}"} for n in range(100)]
    found = fold({"a": rows, "b": {"c": rows}, "d": rows[:3]}, width=50, lines=25).text.split("\n")
    counts = [sum(line.startswith(f'{" " * indent}{{"id"') for line in found) for indent in (4, 6)]
    assert len(found) - 1 <= 25
    assert all(count >= 3 for count in counts)
    assert [line for line in found if line.startswith("  ") and line[2] != " "] == [
        '  "a": [', "  ],", '  "b": {', "  },", '  "d": [', "  ]",
    ]  # fmt: skip


def test_many_numbers_fill_lines():
    assert fold(list(range(1000)), width=50, lines=5).text.split("\n") == [
        "[",
        "  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,",
        "  14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,",
        "  … 974 more",
        "]",
        "",
    ]
    whole = fold([*range(40), None, 1.5], width=60, lines=9)
    assert json.loads(whole.text) == [*range(40), None, 1.5]
    assert whole.text.count("\n") == 5
    assert fold([*range(40), "x"], width=60, lines=99).text.count("\n") == 43


def test_long_text_is_cut_and_says_how_long_it_is():
    assert fold(["x" * 500], width=60, lines=3).text.split("\n")[1] == '  "' + "x" * 35 + '" … of 500 characters'
    whole = fold(["x" * 100], width=60, lines=9)
    assert whole.is_whole
    assert "x" * 100 in whole.text


def test_text_alone_is_as_it_is():
    assert fold("two\nlines\n", width=3, lines=1) == ("two\nlines\n", True)
    assert fold("\x1b[2J", width=80, lines=9).text == "\\x1b[2J\n"


@pytest.mark.parametrize(
    "value",
    [
        {"deep": json.loads("[" * 900 + "]" * 900)},
        ["\x80" * 4_000_000] * 30,
        [list(range(1_000_000))],
        {str(n): n for n in range(1_000_000)},
        [[[1] * 500] * 500] * 500,
    ],
    ids=["deep", "long", "many", "keys", "wide"],
)
@pytest.mark.parametrize("lines", [30, 3000])
def test_what_is_left_out_costs_little(value, lines):
    begun = time.process_time()
    found = fold(value, width=100, lines=lines)
    assert found.text.count("\n") <= lines
    assert time.process_time() - begun < 0.5 * max(1, lines / 100)
