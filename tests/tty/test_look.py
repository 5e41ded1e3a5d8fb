"""How the shell looks, and that it is not worked out anew at each line."""

from __future__ import annotations

from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from trunnion import Console
from trunnion_tty.look import STYLES, done_line, style_of


def test_the_same_look_is_the_same_style() -> None:
    """Defence: ``_style`` is kept. prompt_toolkit forgets what it knows of one when it is handed another."""
    odd, other = Console(path="odd", style={"prompt": "bold"}), Console(path="other", style={"prompt": "italic"})
    assert style_of("dark", odd) is style_of("dark", Console(path="else", style={"prompt": "bold"}))
    assert style_of("dark", odd) is not style_of("dark", other)
    assert style_of("dark", odd) is not style_of("light", odd)
    assert style_of("mono", odd) is style_of("mono", other)


def test_a_style_that_cannot_be_read_counts_as_none() -> None:
    broken = Console(path="odd", style={"prompt": "no such colour"})
    assert style_of("dark", broken) is style_of("dark", Console(path=""))


def test_a_line_stays_as_it_was_typed_in_the_colours_of_its_prompt() -> None:
    style = Style.from_dict(STYLES["dark"])
    prompt = [("class:prompt.console", "host"), ("class:prompt.mark", "> ")]
    coloured = done_line("one\ntwo", prompt, style, ColorDepth.DEPTH_8_BIT)
    assert coloured.replace("\x1b[0m", "").replace("\x1b[?7h", "") == "\x1b[0;36;1mhost\x1b[0;1m> one\n... two\n"
    plain = done_line("one\ntwo", prompt, Style([]), ColorDepth.DEPTH_1_BIT)
    assert plain.replace("\x1b[0m", "").replace("\x1b[?7h", "") == "host> one\n... two\n"


def test_nothing_in_a_line_acts_on_the_terminal() -> None:
    """Defence: ``visible`` and ``_SHOWN`` in ``done_line``."""
    line = done_line("a\x1b]0;t\x07\x9b2Jb\u202ec\x1b[31md", [], Style([]), ColorDepth.DEPTH_1_BIT)
    shown = line.replace("\x1b[0m", "").replace("\x1b[?7h", "")
    assert shown == "a^[]0;t^G<9b>2Jb\\u202ec^[[31md\n"
