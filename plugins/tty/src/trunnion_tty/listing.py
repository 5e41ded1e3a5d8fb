"""What is printed about what there is: help. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trunnion.launcher.usage import WIDTH, usage
from trunnion.rendering import visible, wrapped
from trunnion_tty.catalog import Entry
from trunnion_tty.oneline import one_line
from trunnion_tty.reading import Place

Row = tuple[str, str]

NARROWEST = 20
"""Columns below which nothing is folded."""


def overview(place: Place, width: int = WIDTH) -> str:
    """What can be done in a console: its commands and queries, consoles below it, and the shell's own words.

    Args:
        place: the console.
        width: columns of the terminal.
    """
    catalog = place.catalog
    here = list(catalog.here(place.console, place.is_own))
    below = sorted(catalog.below(place.console), key=lambda console: (console.order, console.path))
    described = catalog.console(place.console)
    parts = [_titled(place.console, one_line(described.title)), _folded(described.description, width)]
    width = min(width, WIDTH)
    sections = [
        ("Commands", [(f.shown, _about(f.entry)) for f in here if f.entry.kind == "command"]),
        ("Queries", [(f.shown, _about(f.entry)) for f in here if f.entry.kind == "query"]),
        ("Consoles", [(f"use {_below(c.path, place.console)}", one_line(c.title)) for c in below]),
        ("Aliases", [(name, f"= {line}") for name, line in sorted(place.meanings.items())]),
        ("The shell", [*_verbs(place), *MARKS]),
    ]
    parts += [f"{heading}\n{_aligned(rows, width)}" for heading, rows in sections if rows]
    parts.append(_folded(CLOSING, width))
    return "\n\n".join(part for part in parts if part) + "\n"


MARKS: Sequence[Row] = (
    ("COMMAND &", "Run it in the background"),
    ("!LINE", "Have the host's system shell run a line"),
)


CLOSING = "A command of another console is called by its full name. help NAME says how something is called."


def _titled(path: str, title: str) -> str:
    """``lanes: Lanes`` would say the same twice."""
    return title if not path or title.lower() == path else ": ".join(part for part in (path, title) if part)


def _verbs(place: Place) -> list[Row]:
    """The shell's own words, those that mean the same in one row."""
    told: set[str] = set()
    rows: list[Row] = []
    for name, verb in place.verbs.items():
        if name not in told and place.verb(name):
            told |= {name, *verb.also}
            rows.append((", ".join([name, *verb.also]), verb.title))
    return rows


def explained(name: str, place: Place, width: int = WIDTH) -> str | None:
    """How something is called; None if there is nothing of that name.

    Args:
        name: of whatever there is.
        place: where it is asked for.
        width: columns of the terminal.
    """
    width = min(width, WIDTH)
    verb = place.verb(name)
    if verb is not None:
        text = f"{_folded(verb.description, width)}\n\n{verb.parameters.usage(verb.name, width)}\n"
        return text.replace("``", "'")
    if (meant := place.alias(name)) is not None:
        return f"{name} stands for: {meant}\n"
    entry = place.catalog.find(name, place.console)
    if entry is not None:
        return _called(entry, width)
    console = place.catalog.find_console(name, place.console)
    return overview(place._replace(console=console), width) if console is not None else None


def _called(entry: Entry, width: int) -> str:
    text = _folded(usage(entry.described, entry.id, in_shell=True, width=width), width)
    return text if entry.available else text + "\nIt is not available just now.\n"


def _about(entry: Entry) -> str:
    return one_line(entry.title) + ("" if entry.available else " (not available)")


def _below(path: str, console: str) -> str:
    return path.removeprefix(f"{console}.") if console else path


def _aligned(rows: Sequence[Row], width: int) -> str:
    indent = max(len(call) for call, _ in rows) + 4
    return "\n".join(line for call, about in rows for line in _lines(call, about, indent, width))


def _lines(call: str, about: str, indent: int, width: int) -> Iterator[str]:
    """One row, what it is about folded beside the call, or as it is where there is no room for that."""
    first, *more = wrapped(about, width - indent) if width - indent >= NARROWEST else [about]
    yield f"  {call:<{indent - 2}}{first}".rstrip()
    yield from (" " * indent + line for line in more)


def _folded(text: str, width: int) -> str:
    return "\n".join(part for line in text.split("\n") for part in wrapped(visible(line), width))
