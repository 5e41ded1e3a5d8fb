"""How prompt, bar and menus look, by theme and by what consoles say of themselves. Pure."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.screen import Char
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import BaseStyle, Style

from trunnion import Console
from trunnion.rendering import clipped, visible, width_of
from trunnion_tty.link import Health
from trunnion_tty.oneline import one_line
from trunnion_tty.reading import Place, read
from trunnion_tty.settings import Theme

_COMMON = {
    "auto-suggestion": "#888888",
    "validation-toolbar": "bg:#aa2222 #ffffff",
    "bar.up": "#00aa00",
    "bar.hint": "italic",
    "bar.busy": "#aa6600 bold",
    "bar.gone": "#cc0000 bold",
}

STYLES: Mapping[Theme, Mapping[str, str]] = {
    "dark": {
        **_COMMON,
        "prompt.who": "ansigreen",
        "prompt.console": "ansicyan bold",
        "prompt.jobs": "ansiyellow",
        "prompt.mark": "bold",
        "bar": "bg:#262626 #bcbcbc",
        "completion-menu.completion": "bg:#303030 #d0d0d0",
        "completion-menu.completion.current": "bg:#005f87 #ffffff",
        "completion-menu.meta.completion": "bg:#262626 #9e9e9e",
        "completion-menu.meta.completion.current": "bg:#005f87 #ffffff",
        "bar.up": "#5faf5f",
        "bar.busy": "#ffaf00 bold",
        "bar.gone": "#ff5f5f bold",
    },
    "light": {
        **_COMMON,
        "prompt.who": "#005f00",
        "prompt.console": "#005f87 bold",
        "prompt.jobs": "#875f00",
        "prompt.mark": "bold",
        "bar": "bg:#e4e4e4 #303030",
        "completion-menu.completion": "bg:#e4e4e4 #262626",
        "completion-menu.completion.current": "bg:#0087af #ffffff",
        "completion-menu.meta.completion": "bg:#eeeeee #585858",
        "completion-menu.meta.completion.current": "bg:#0087af #ffffff",
    },
    "mono": {
        "prompt.console": "bold",
        "bar": "reverse",
        "validation-toolbar": "reverse",
        "completion-menu.completion.current": "reverse",
        "bar.busy": "bold",
        "bar.gone": "bold",
    },
}
PARTS = {"prompt": "prompt.own", "banner": "banner", "toolbar": "bar"}
"""What consoles may style -> the class it is."""

CONTINUES = "... "
"""Stands before the lines of a line that goes on."""

_SHOWN = str.maketrans(Char.display_mappings)
"""Control characters -> what is shown of them while they are typed."""

_field = re.compile(r"\{(\w+)\}")


def style_of(theme: Theme, console: Console) -> BaseStyle:
    """All styles in a console. A style of the console's that cannot be read counts as none.

    The same ones are the same object: what prompt_toolkit has found out about them is not found out at each line.
    """
    own = console.style.items() if theme != "mono" else ()
    return _style(theme, tuple((PARTS[part], look) for part, look in own if part in PARTS and _readable(look)))


@lru_cache(maxsize=64)
def _style(theme: Theme, own: tuple[tuple[str, str], ...]) -> BaseStyle:
    return Style.from_dict({**STYLES[theme], **dict(own)})


@lru_cache(maxsize=256)
def _readable(look: str) -> bool:
    try:
        Style.from_dict({"x": look})
    except ValueError:
        return False
    return True


def prompt_of(console: Console, principal: str, host: str, jobs: int, main_title: str) -> StyleAndTextTuples:
    """What stands before the line.

    Args:
        console: where the person is; its own prompt counts, with its fields filled in.
        principal: who that is.
        host: which host.
        jobs: how many runs of this shell are under way.
        main_title: of the main console.
    """
    if console.prompt:
        facts = {
            "console": console.path,
            "title": console.title or console.path or main_title,
            "principal": principal,
            "host": host,
            "jobs": str(jobs) if jobs else "",
        }
        return [("class:prompt.own", one_line(_field.sub(lambda m: facts.get(m[1], m[0]), console.prompt)))]
    name = f"{main_title}:{console.path}" if console.path else main_title
    parts = [("class:prompt.who", one_line(principal)), ("", "@"), ("class:prompt.console", one_line(name))]
    parts += [("class:prompt.jobs", f" [{jobs}]")] if jobs else []
    return [*parts, ("class:prompt.mark", "> ")]


def bar_of(
    host: str, health: Health, jobs: int, lives: Sequence[str], recording: str, hint: str, columns: int
) -> StyleAndTextTuples:
    """The line below: the host and how it fares, runs under way, and what they are about."""
    told = {"up": f"{health.lag * 1000:.0f} ms", "busy": f"no answer for {health.lag:.0f} s", "gone": "gone"}
    parts: StyleAndTextTuples = [
        (f"class:bar.{health.state}", " ● "),
        ("", f"{one_line(host)} "),
        (f"class:bar.{health.state}", told[health.state]),
    ]
    if jobs:
        parts.append(("", f" │ {jobs} running"))
    if recording:
        parts.append(("", f" │ recording to {one_line(recording)}"))
    if hint:
        parts.append(("class:bar.hint", f" │ {one_line(hint)}"))
    parts += [("", f" │ {live}") for live in lives]
    return _within(parts, columns)


def painted(text: str, look: str) -> str:
    """Neutralised text in a style that a console names; one that cannot be read counts as none."""
    return _written(((look, text),), Style([]), ColorDepth.DEPTH_8_BIT) if look and _readable(look) else text


def done_line(text: str, prompt: StyleAndTextTuples, style: BaseStyle, depth: ColorDepth) -> str:
    """A line that was typed, as it stays on the screen: with what stands before it and before its continuations.

    Args:
        text: as it was typed, in one line or several.
        prompt: what stands before it, neutralised.
        style: how that looks.
        depth: the colours there are.
    """
    before = _written(tuple((look, part) for look, part, *_ in prompt), style, depth)
    lines = (visible(line.translate(_SHOWN)) for line in text.split("\n"))
    return before + f"\n{CONTINUES}".join(lines) + "\n"


@lru_cache(maxsize=16)
def _written(parts: tuple[tuple[str, str], ...], style: BaseStyle, depth: ColorDepth) -> str:
    """Neutralised text as a terminal is to be told of it."""
    made = io.StringIO()
    output = Vt100_Output(made, lambda: Size(rows=24, columns=80), default_color_depth=depth)
    print_formatted_text(output, list(parts), style)
    return made.getvalue().replace("\r\n", "\n")


def hint_of(line: str, place: Place) -> str:
    """How what is being typed is called, once its name stands there; ``""`` before that."""
    reading = read(line, place)
    if reading.parameters is None or reading.name is None or (len(line.rstrip()) == len(line) and not reading.words):
        return ""
    return reading.parameters.usage(reading.name.text).partition("\n\n")[0].removeprefix("Usage: ").replace("\n", " ")


def _within(parts: StyleAndTextTuples, columns: int) -> StyleAndTextTuples:
    """As much as fits one line of the terminal."""
    found: StyleAndTextTuples = []
    for style, text, *_ in parts:
        if columns <= 0:
            break
        found.append((style, clipped(text, columns)))
        columns -= width_of(text)
    return found
