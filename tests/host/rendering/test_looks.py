"""How a table wants to look is judged when it is said, and named where it cannot be."""

from __future__ import annotations

import pytest

from trunnion.model.tables import DEFAULT_LOOK, TableLook, checked_look, table_data, table_of
from trunnion.rendering import width_of


@pytest.mark.parametrize(
    ("options", "kind", "name"),
    [
        ({"align": "left"}, TypeError, "align"),
        ({"align": 5}, TypeError, "align"),
        ({"align": ["left", "middle"]}, ValueError, "align"),
        ({"align": [None]}, ValueError, "align"),
        ({"wrap": 1}, TypeError, "wrap"),
        ({"indent": -1}, ValueError, "indent"),
        ({"indent": True}, TypeError, "indent"),
        ({"title_indent": 101}, ValueError, "title_indent"),
        ({"gap": 1.0}, TypeError, "gap"),
        ({"rule": 5}, TypeError, "rule"),
        ({"rule": "-\n"}, ValueError, "rule"),
        ({"rule": "\x1b[31m"}, ValueError, "rule"),
        ({"rule": "\u0301"}, ValueError, "rule"),
        ({"rule": "\u200b"}, ValueError, "rule"),
        ({"rule": "-" * 17}, ValueError, "rule"),
        ({"extra": "hide"}, ValueError, "extra"),
        ({"extra": ["show"]}, ValueError, "extra"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options, kind, name):
    with pytest.raises(kind, match=rf"\b{name}\b") as refused:
        checked_look(options)
    assert len(str(refused.value)) < 200
    with pytest.raises(kind):
        table_data([], [], "", **options)
    if name != "colour":
        assert table_of({name: options[name]}).look == DEFAULT_LOOK, "an event with it looks as if it was not said"


def test_each_character_a_rule_may_have_takes_room():
    refused = 0
    for code in [*range(0x20000), *range(0xE0000, 0xE1000)]:
        try:
            checked_look({"rule": chr(code)})
        except ValueError:
            refused += 1
            continue
        assert width_of(chr(code)) > 0, hex(code)
    assert refused > 1000


def test_a_look_goes_with_the_event_and_comes_back():
    options = {"align": ["right"], "wrap": False, "indent": 1, "title_indent": 2, "rule": "═", "gap": 0, "extra": "cut"}
    look = checked_look(options)
    assert look == TableLook(("right",), False, 1, 2, "═", 0, "cut")
    assert table_of(table_data([[1]], ["n"], "T", **options)).look == look
    assert table_data([[1]], ["n"], "T", gap=2) == {"headers": ["n"], "rows": [[1]], "title": "T"}
