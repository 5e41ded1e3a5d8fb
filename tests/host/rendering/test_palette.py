"""Colour says what is what, where it is wanted."""

from __future__ import annotations

import pytest

from trunnion.rendering import DARK, LIGHT, PLAIN, Palette, is_dumb, palette_of
from trunnion.rendering.palette import ROLES

TERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("theme", "environ", "is_terminal", "expected"),
    [
        ("dark", TERM, True, DARK),
        ("light", TERM, True, LIGHT),
        ("mono", TERM, True, PLAIN),
        ("no theme of ours", TERM, True, PLAIN),
        ("dark", TERM, False, PLAIN),
        ("dark", {**TERM, "NO_COLOR": "1"}, True, PLAIN),
        ("light", {**TERM, "NO_COLOR": "0"}, True, PLAIN),
        ("dark", {**TERM, "NO_COLOR": ""}, True, DARK),
        ("dark", {"TERM": "dumb"}, True, PLAIN),
        ("dark", {"TERM": ""}, True, PLAIN),
        ("dark", {}, True, PLAIN),
    ],
)
def test_which_palette(theme, environ, is_terminal, expected):
    assert palette_of(theme, environ, is_terminal=is_terminal) is expected


def test_dumb_terminals():
    assert [is_dumb({"TERM": term}) for term in ("dumb", "", "xterm", "linux")] == [True, True, False, False]
    assert is_dumb({})


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_each_role_has_a_look_in_each_theme(palette):
    assert all(palette.look(role) for role in ROLES)
    assert palette
    assert not PLAIN


def test_each_line_is_painted_for_itself():
    palette = Palette({"error": "31"})
    assert palette.paint("error", "one\ntwo\n") == "\x1b[31mone\x1b[0m\n\x1b[31mtwo\x1b[0m\n"
    assert palette.paint("error", "one") == "\x1b[31mone\x1b[0m"
    assert [palette.paint(role, "x") for role in ("info", "no role", "")] == ["x"] * 3
    assert palette.paint("error", "") == ""
