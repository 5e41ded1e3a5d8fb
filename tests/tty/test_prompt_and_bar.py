"""Prompt, bar and styles: fields filled in, nothing that acts on the terminal, nothing wider than it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_kit import VERBS, place_of
from prompt_toolkit.formatted_text import fragment_list_to_text
from prompt_toolkit.styles import Attrs

from trunnion import Console
from trunnion.rendering import width_of
from trunnion_tty.link import Health
from trunnion_tty.look import STYLES, bar_of, hint_of, painted, prompt_of, style_of
from trunnion_tty.oneline import one_line
from trunnion_tty.where import host_name

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\r\n\u202eback\x9b1m"
ODD = st.text(st.sampled_from("ab\x1b[31m]0;\x07\x9b\r\n\t\u202e\x00{}consolejb日")) | st.text(max_size=12)


def prompt(console: Console, principal: str = "ann", host: str = "plant", jobs: int = 0) -> str:
    return fragment_list_to_text(prompt_of(console, principal, host, jobs, "trunnion"))


def acting(text: str) -> set[str]:
    """Characters of a text that a terminal would act on."""
    return {c for c in text if ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028\u200f"}


def test_what_stands_before_the_line() -> None:
    assert prompt(Console(path="")) == "ann@trunnion> "
    assert prompt(Console(path="plant.pump"), jobs=2) == "ann@trunnion:plant.pump [2]> "


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{console}> ", "plant.pump> "),
        ("{title} {principal}@{host} [{jobs}] ", "A pump ann@plant [3] "),
        ("{nothing} {} {{console}} {console", "{nothing} {} {plant.pump} {console"),
        ("{console.__class__}{0}%s", "{console.__class__}{0}%s"),
        ("a\nb\tc\x1b[2J", "a b c\\x1b[2J"),
        ("\x1b[31mred\x1b[0m", "red"),
    ],
)
def test_a_console_with_a_prompt_of_its_own(template: str, expected: str) -> None:
    assert prompt(Console(path="plant.pump", title="A pump", prompt=template), jobs=3) == expected


def test_fields_of_a_prompt_where_there_is_nothing_to_say() -> None:
    assert prompt(Console(path="plant", prompt="{title}{jobs}: ")) == "plant: "
    assert prompt(Console(path="", prompt="{title}{console}: ")) == "trunnion: "


@given(ODD, ODD, ODD, ODD)
def test_nothing_in_front_of_a_line_acts_on_the_terminal(template: str, title: str, principal: str, host: str) -> None:
    for console in (Console(path="x", prompt=template, title=title), Console(path="x", title=title)):
        assert not acting(prompt(console, principal, host))


@given(ODD)
def test_text_from_elsewhere_is_one_line_that_acts_on_nothing(text: str) -> None:
    assert not acting(one_line(text))
    assert one_line(EVIL).startswith("\\x1b]0;owned\\x07\\x1b[2Jred")


@given(ODD, ODD, st.lists(ODD, max_size=3), ODD, st.integers(0, 90), st.sampled_from(["up", "busy", "gone"]))
def test_the_bar_fits_the_terminal(
    host: str, hint: str, lives: list[str], recording: str, columns: int, state: str
) -> None:
    bar = bar_of(host, Health(state, 3.2), 2, [one_line(live) for live in lives], recording, hint, columns)  # type: ignore[arg-type]
    text = fragment_list_to_text(bar)
    assert width_of(text) <= columns
    assert not acting(text)


def test_what_the_bar_says() -> None:
    def said(health: Health) -> str:
        return fragment_list_to_text(bar_of("plant", health, 0, [], "", "", 200))

    assert said(Health("up", 0.0042)) == " ● plant 4 ms"
    assert said(Health("busy", 7.4)) == " ● plant no answer for 7 s"
    assert said(Health("gone", 0.0, "refused")) == " ● plant gone"
    bar = bar_of("plant", Health("up"), 2, ["1a2b copying"], "x.trn", "move CAR", 200)
    assert fragment_list_to_text(bar) == " ● plant 0 ms │ 2 running │ recording to x.trn │ move CAR │ 1a2b copying"


@pytest.mark.parametrize("theme", ["dark", "light", "mono"])
def test_every_style_can_be_read(theme: str) -> None:
    style = style_of(theme, Console(path="x", style={"prompt": "bold ansired", "toolbar": "bg:#112233"}))  # type: ignore[arg-type]
    for name in STYLES[theme]:  # type: ignore[index]
        assert isinstance(style.get_attrs_for_style_str(f"class:{name}"), Attrs)
    own = style.get_attrs_for_style_str("class:prompt.own")
    assert (own.bold, own.color) == ((True, "ansired") if theme != "mono" else (False, ""))


LOOKS = ["bold", "bg:", "#12", "fg:ansinone", "noinherit", "class:x", "bold bg:#zzz", "ansired ansiblue", "[Escape]"]
PARTS = st.sampled_from(["prompt", "banner", "toolbar", "nothing"])


@given(st.dictionaries(PARTS, st.text(max_size=12) | st.sampled_from(LOOKS)))
def test_a_style_that_cannot_be_read_counts_as_none(looks: dict[str, str]) -> None:
    for theme in ("dark", "light", "mono"):
        style_of(theme, Console(path="x", style=looks)).get_attrs_for_style_str("class:prompt.own class:bar")  # type: ignore[arg-type]
    for look in looks.values():
        assert "text" in painted("text", look)


def test_a_banner_is_painted_as_the_console_says() -> None:
    assert painted("a\nb", "") == "a\nb"
    assert painted("a\nb", "no such style #") == "a\nb"
    shown = painted("a\nb", "ansired")
    assert "\x1b[0;31m" in shown
    assert re.sub(r"\x1b\[[?0-9;]*[mh]", "", shown) == "a\nb"


def test_what_a_host_is_called() -> None:
    assert host_name(Path("/srv/plant/data")) == "plant"
    assert host_name(Path("/srv/plant")) == "plant"
    assert host_name(Path("/data")) == "data"
    assert host_name(Path("/srv/plant/trunnion")) == "plant"
    assert host_name(Path("/var/lib/trunnion")) == host_name(Path("/srv/ann/share/trunnion")) == "trunnion"


def test_how_what_is_typed_is_called() -> None:
    place = place_of()
    assert hint_of("jobs", place) == hint_of("", place) == hint_of("nothing x", place) == ""
    assert hint_of("theme ", place) == hint_of("theme d", place) == "theme NAME"
    assert VERBS["theme"].parameters.usage("theme").startswith("Usage: theme NAME")
