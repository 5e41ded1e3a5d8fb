"""What may be typed next: names first, then arguments, each with what it is. Pure but for the names of files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from trunnion import Json
from trunnion.arguments import Completion, Word, join_line
from trunnion_tty.lines import named_value, read_statement
from trunnion_tty.reading import Place, Reading, read

LOCAL = ":"
"""Where the values of an argument come from begins so where the shell itself knows them."""
MOST = 200
"""Proposals beyond which nobody reads on."""


class Proposal(NamedTuple):
    """One way to go on.

    Attributes:
        text: what is put in place of what stands from ``start`` on.
        start: a place in the line as typed.
        about: what it is, in a few words.
    """

    text: str
    start: int
    about: str = ""


class Question(NamedTuple):
    """Values that somebody else has to say.

    Attributes:
        source: the id of a query, or ``:`` and a word for what the shell knows itself.
        words: the words behind the name, before the one that is typed, as a command line.
        typed: what is typed of the value.
        name: the command or query whose argument it is; ``""`` for a word of the shell's own.
        prefix: what stands before the value within its word, such as ``litres=``.
        start: where the word begins.
    """

    source: str
    words: tuple[str, ...]
    typed: str
    name: str
    prefix: str
    start: int


class Offer(NamedTuple):
    """What is known at once, and what has to be asked."""

    proposals: list[Proposal]
    questions: list[Question]


def offer(line: str, place: Place, folder: Path | None) -> Offer:
    """What may stand at the end of a line.

    Args:
        line: what is typed, up to the cursor.
        place: where.
        folder: to which names of files are relative; None where there is none.
    """
    statement = read_statement(line)
    if statement.system or statement.background:
        return Offer([], [])
    words, typed = _split(line, statement.words)
    if not words:
        return Offer(list(_names(place, typed))[:MOST], [])
    reading = read(line, place)
    if reading.parameters is None:
        return Offer([], [])
    words, typed = _split(reading.statement.text, reading.statement.words)
    return _arguments(reading, words[1:], typed, folder)


def _split(line: str, words: Sequence[Word]) -> tuple[list[Word], Word]:
    """The whole words, and the one that is being typed."""
    if words and not (line[-1:].isspace() and words[-1].raw[-1:] != line[-1:]):
        return list(words[:-1]), words[-1]
    end = words[-1].end + 1 if words else len(line)
    return list(words), Word("", "", max(end, len(line)))


def _names(place: Place, typed: Word) -> Iterator[Proposal]:
    """What a line may begin with."""
    seen = set()
    for name, about in _beginnings(place, typed.text):
        if name.startswith(typed.text) and name not in seen:
            seen.add(name)
            yield Proposal(name, typed.start, about)


def _beginnings(place: Place, typed: str) -> Iterator[tuple[str, str]]:
    catalog, dotted = place.catalog, "." in typed
    for found in sorted(catalog.here(place.console), key=lambda found: found.shown):
        yield found.shown, found.entry.title + ("" if found.entry.available else " (not available)")
    for alias, meant in sorted(place.aliases.items()):
        yield alias, f"= {meant}"
    for console in sorted(catalog.below(place.console), key=lambda c: (c.order, c.path)):
        if not dotted:
            relative = console.path.removeprefix(f"{place.console}." if place.console else "")
            yield f"{relative}.", console.title or "console"
    for name, verb in place.verbs.items():
        if place.verb(name):
            yield name, verb.title
    if dotted:
        leading = "." if typed.startswith(".") else ""
        for found in catalog.names("" if leading else place.console):
            yield leading + (found.entry.id if leading else found.shown), found.entry.title
        for found in catalog.names(""):
            yield found.entry.id, found.entry.title


def _arguments(reading: Reading, words: Sequence[Word], typed: Word, folder: Path | None) -> Offer:
    parameters = reading.parameters
    assert parameters is not None
    before = reading.command_line(words)
    named = None if any(word.raw == "--" for word in words) else named_value(typed, reading.names)
    prefix, part = (f"{named[0]}=", named[1]) if named else ("", typed.text)
    asked = f"--{named[0].replace('_', '-')}={part}" if named else part
    start = typed.start - reading.shift
    proposals: list[Proposal] = []
    questions: list[Question] = []
    for found in parameters.complete(before, asked):
        if found.kind == "query":
            option = "" if named or not part.startswith("--") else part.partition("=")[0] + "="
            value = part[len(option) :]
            name = reading.entry.id if reading.entry is not None else ""
            questions.append(Question(found.value, tuple(before), value, name, prefix or option, start))
        elif found.kind == "path":
            proposals += _files(found, prefix, part, start, folder)
        else:
            value = found.value.partition("=")[2] if named else found.value
            proposals.append(Proposal(_word(prefix, value), start, found.description))
    if not named and part and not part.startswith("-"):
        proposals += _named(reading, before, part, start)
    return Offer(proposals[:MOST], questions)


def _named(reading: Reading, before: Sequence[str], part: str, start: int) -> Iterator[Proposal]:
    """``litres=`` for an argument that is not given yet."""
    parameters = reading.parameters
    for flag in parameters.complete(before, "--") if parameters is not None and reading.names else ():
        name = flag.value.removeprefix("--").replace("-", "_")
        if name in reading.names and name.startswith(part):
            yield Proposal(f"{name}=", start, flag.description)


def _word(prefix: str, value: str) -> str:
    return prefix + (join_line([value]) if value else "")


def values(question: Question, answers: Sequence[tuple[str, str]]) -> list[Proposal]:
    """What was answered, as proposals."""
    return [
        Proposal(_word(question.prefix, value), question.start, about)
        for value, about in answers
        if value.startswith(question.typed)
    ][:MOST]


def answered(offered: Json) -> list[tuple[str, str]]:
    """Values and what each is, of what a host answers; text, or objects with ``value`` or ``id``."""
    items = offered.get("items") if isinstance(offered, Mapping) else offered
    found: list[tuple[str, str]] = []
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping):
            value = item.get("value", item.get("id", item.get("name", "")))
            found.append((str(value), str(item.get("description") or item.get("title") or "")))
        else:
            found.append((str(item), ""))
    return found


def _files(found: Completion, prefix: str, part: str, start: int, folder: Path | None) -> Iterator[Proposal]:
    """Names of files that begin as typed; hidden ones only if that is how it begins."""
    option = part.partition("=")[0] + "=" if part.startswith("--") and not prefix else ""
    typed = part[len(option) :]
    directory, _, beginning = typed.rpartition("/")
    base = _base(directory, typed, folder)
    if base is None:
        return
    for name, is_folder in _listed(base, beginning):
        shown = f"{directory}/{name}" if "/" in typed else name
        yield Proposal(_word(prefix or option, shown) + ("/" if is_folder else ""), start, found.description)


def _base(directory: str, typed: str, folder: Path | None) -> Path | None:
    if typed.startswith("/"):
        return Path(f"/{directory}")
    return None if folder is None else folder / directory


def _listed(base: Path, beginning: str) -> list[tuple[str, bool]]:
    try:
        with os.scandir(base) as entries:
            found = [
                (entry.name, entry.is_dir())
                for entry in entries
                if entry.name.startswith(beginning)
                and (beginning or not entry.name.startswith("."))
                and entry.name.isprintable()
            ]
    except OSError:
        return []
    return sorted(found)[:MOST]
