"""What is printed about what there is: help. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trunnion.launcher.usage import usage
from trunnion_tty.catalog import Catalog, Entry
from trunnion_tty.oneline import one_line
from trunnion_tty.reading import Place, Verb

Row = tuple[str, str]


def overview(place: Place) -> str:
    """What can be done in a console: its commands and queries, consoles below it, and the shell's own words."""
    catalog = place.catalog
    here = sorted(catalog.here(place.console, place.is_own), key=lambda found: found.shown)
    below = sorted(catalog.below(place.console), key=lambda console: (console.order, console.path))
    described = catalog.console(place.console)
    title = " ".join(part for part in (place.console, one_line(described.title)) if part)
    parts = [title, described.description] if title else []
    sections = [
        ("Commands", [(f.shown, _about(f.entry)) for f in here if f.entry.kind == "command"]),
        ("Queries", [(f.shown, _about(f.entry)) for f in here if f.entry.kind == "query"]),
        ("Consoles", [(f"use {_below(c.path, place.console)}", one_line(c.title)) for c in below]),
        ("Aliases", [(name, f"= {line}") for name, line in sorted(place.meanings.items())]),
        ("The shell", [*_verbs(place), *MARKS]),
    ]
    parts += [f"{heading}\n{_aligned(rows)}" for heading, rows in sections if rows]
    parts.append("A command of another console is called by its full name. help NAME says how something is called.")
    return "\n\n".join(part for part in parts if part) + "\n"


MARKS: Sequence[Row] = (
    ("COMMAND &", "Run it in the background"),
    ("!LINE", "Have the host's system shell run a line"),
)


def _verbs(place: Place) -> list[Row]:
    """The shell's own words, those that mean the same in one row."""
    told: set[str] = set()
    rows: list[Row] = []
    for name, verb in place.verbs.items():
        if name not in told and place.verb(name):
            told |= {name, *verb.also}
            rows.append((", ".join([name, *verb.also]), verb.title))
    return rows


def explained(name: str, place: Place) -> str | None:
    """How something is called; None if there is nothing of that name."""
    verb = place.verb(name)
    if verb is not None:
        return _verb(verb)
    if (meant := place.alias(name)) is not None:
        return f"{name} stands for: {meant}\n"
    entry = place.catalog.find(name, place.console)
    if entry is not None:
        return called(entry)
    console = place.catalog.find_console(name, place.console)
    return overview(place._replace(console=console)) if console is not None else None


def called(entry: Entry) -> str:
    """How a command or query is called here."""
    text = usage(entry.described, entry.id, in_shell=True)
    return text if entry.available else text + "\nIt is not available just now.\n"


def _about(entry: Entry) -> str:
    return one_line(entry.title) + ("" if entry.available else " (not available)")


def _below(path: str, console: str) -> str:
    return path.removeprefix(f"{console}.") if console else path


def _verb(verb: Verb) -> str:
    return f"{verb.description}\n\n{verb.parameters.usage(verb.name)}\n"


def _aligned(rows: Sequence[Row]) -> str:
    width = max(len(call) for call, _ in rows)
    return "\n".join(_lines(rows, width))


def _lines(rows: Sequence[Row], width: int) -> Iterator[str]:
    for call, about in rows:
        yield f"  {call:<{width}}  {about}".rstrip()


def meta_of(catalog: Catalog) -> str:
    """The version and place of the host, for the bar."""
    return str(catalog.host.get("version") or "")
