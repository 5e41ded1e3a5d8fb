"""What is drawn for a while takes one line, and where nothing can be drawn a line for every tenth."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.rendering import DARK, Live, Steps, bar, visible, width_of

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
NUMBERS = st.none() | st.integers(-5, 10**9) | st.floats()
LIVES = st.builds(
    Live, st.text(max_size=60).map(lambda text: visible(text).replace("\n", " ").replace("\t", " ")), NUMBERS, NUMBERS
)


@given(LIVES, st.integers(1, 150), st.booleans())
def test_it_never_takes_more_than_its_line(live, width, only_ascii):
    drawn = bar(live, width, DARK, only_ascii=only_ascii)
    assert width_of(drawn) <= width
    assert "\n" not in drawn


@pytest.mark.parametrize(
    ("live", "drawn"),
    [
        (Live("copying", 40, 100), "copying ━━━────── 40 %"),
        (Live("copying", 0, 100), "copying ───────── 0 %"),
        (Live("copying", 100.0, 100), "copying ━━━━━━━━━ 100 %"),
        (Live("copying", 250, 100), "copying ━━━━━━━━━ 100 %"),
        (Live("copying", -1, 100), "copying ───────── 0 %"),
        (Live("copying", 1234567), "copying 1234567"),
        (Live("copying", 2.5, None), "copying 2.5"),
        (Live("copying the whole house", 1234567), "copying the wh… 1234567"),
        (Live("copying", 3, 0), "copying 3"),
        (Live("copying", float("nan"), 100), "copying nan"),
        (Live("copying", 3, float("nan")), "copying 3"),
        (Live("copying", 1e308, 1e-308), "copying ━━━━━━━━━ 100 %"),
        (Live("copying the whole house", 1, 2), "copying… ━━━━──── 50 %"),
        (Live("", 1, 2), "━━━━━━━━───────── 50 %"),
        (Live(" 40%|████      |"), " 40%|████      |"),
        (Live("a line that is far too long for it"), "a line that is far too…"),
    ],
)
def test_how_it_looks(live, drawn):
    assert bar(live, 23) == drawn


def test_where_only_ascii_is_known_and_where_there_is_no_room():
    assert bar(Live("copying", 40, 100), 23, only_ascii=True) == "copying ###------ 40 %"
    assert [bar(Live("copying", 40, 100), width) for width in (4, 3, 2)] == ["40 %", "40…", "4…"]


def test_steps_say_each_tenth_once_and_nothing_of_a_line_that_is_rewritten():
    steps = Steps()
    said = [steps.line(Live("copying", done, 100)) for done in range(101)]
    assert [line for line in said if line] == [f"progress: copying {percent} %" for percent in range(0, 101, 10)]
    assert steps.line(Live("50%")) == ""
    assert steps.line(Live("", 3)) == ""
    assert [steps.line(Live("phase 1", 3)), steps.line(Live("phase 1", 4)), steps.line(Live("phase 2", 5))] == [
        "progress: phase 1", "", "progress: phase 2",
    ]  # fmt: skip
