"""What may be typed next: names first, then arguments, each with what it is. Pure but for the names of files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trunnion import Json
from trunnion.arguments import Word, join_line, looks_like_option
from trunnion_tty.lines import Options, Statement, quoted, read_statement
from trunnion_tty.reading import Place, Reading, read

if TYPE_CHECKING:
    from trunnion.arguments import Completion

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


class Spot(NamedTuple):
    """Where a value goes, and how it is written there.

    Attributes:
        start: where the word begins, a place in the line as typed.
        options: what words are read by here.
        prefix: what stands before the value within its word, such as ``litres=``.
        bare: whether the word is read by what it looks like, so that a value in it must not look like an option.
    """

    start: int
    options: Options
    prefix: str = ""
    bare: bool = False

    def holds(self, value: str) -> bool:
        """Whether the value can stand here."""
        return not self.bare or not looks_like_option(value)

    def word(self, value: str) -> str:
        """The value as a word that is read as this value."""
        if self.prefix:
            return self.prefix + (join_line([value]) if value else "")
        return quoted(value, self.options)


class Question(NamedTuple):
    """Values that somebody else has to say.

    Attributes:
        source: the id of a query, or ``:`` and a word for what the shell knows itself.
        words: the words behind the name, before the one that is typed, as a command line.
        typed: what is typed of the value.
        name: the command or query whose argument it is; ``""`` for a word of the shell's own.
        spot: where the value goes.
    """

    source: str
    words: tuple[str, ...]
    typed: str
    name: str
    spot: Spot


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
    if statement.system or statement.comment or statement.background:
        return Offer([], [])
    words, typed = _split(statement)
    if not words:
        return Offer(list(islice(_names(place, typed), MOST)), [])
    reading = read(line, place)
    end_of_name = words[0].end + reading.shift
    words, typed = _split(reading.statement)
    if reading.parameters is None or reading.statement.background or typed.start < end_of_name:
        return Offer([], [])
    return _arguments(reading, words[1:], typed, folder)


def _split(statement: Statement) -> tuple[list[Word], Word]:
    """The whole words, and the one that is being typed."""
    words, end = statement.words, len(statement.text)
    if words and words[-1].end == end:
        return words[:-1], words[-1]
    return words, Word("", "", end)


def _names(place: Place, typed: Word) -> Iterator[Proposal]:
    """What a line may begin with."""
    seen = set()
    for name, about in _beginnings(place, typed.text):
        if name.startswith(typed.text) and name not in seen:
            seen.add(name)
            yield Proposal(name, typed.start, about)


def _beginnings(place: Place, typed: str) -> Iterator[tuple[str, str]]:
    catalog, dotted = place.catalog, "." in typed
    for found in catalog.here(place.console, place.is_own, typed):
        yield found.shown, found.entry.title + ("" if found.entry.available else " (not available)")
    for alias, meant in sorted(place.meanings.items()):
        yield alias, f"= {meant}"
    for console in sorted(catalog.below(place.console), key=lambda c: (c.order, c.path)):
        if not dotted:
            relative = console.path.removeprefix(f"{place.console}." if place.console else "")
            yield f"{relative}.", console.title or "console"
    for name, verb in place.verbs.items():
        if place.verb(name):
            yield name, verb.title
    if dotted:
        for found in catalog.names(place.console, place.is_own, typed):
            yield found.shown, found.entry.title
        for found in catalog.full_names(place.console, typed):
            yield found.shown, found.entry.title


def _arguments(reading: Reading, words: Sequence[Word], typed: Word, folder: Path | None) -> Offer:
    parameters = reading.parameters
    assert parameters is not None
    options = reading.options
    before = reading.command_line(words)
    free = options.free([*words, typed])[-1]
    named = options.named(typed) if free else None
    start = typed.start - reading.shift
    if named is not None:
        asked, part = f"--{options.names[named[0]]}={named[1]}", named[1]
        spot = Spot(start, options, f"{named[0]}=")
    elif free and typed.text.startswith("--") and "=" in typed.text:
        option, _, part = typed.text.partition("=")
        asked, spot = typed.text, Spot(start, options, f"{option}=")
    else:
        asked = part = typed.text
        spot = Spot(start, options, bare=free)
    proposals: list[Proposal] = []
    questions: list[Question] = []
    for found in parameters.complete(before, asked):
        if found.kind == "query":
            name = reading.entry.id if reading.entry is not None else ""
            questions.append(Question(found.value, tuple(before), part, name, spot))
        elif found.kind == "path":
            proposals += _files(found, part, spot, folder)
        elif found.kind == "flag":
            proposals.append(Proposal(found.value, start, found.description))
        else:
            value = found.value.partition("=")[2] if spot.prefix else found.value
            proposals.append(Proposal(spot.word(value), start, found.description))
    if spot.bare and part and not part.startswith("-"):
        proposals += _named(reading, before, part, start)
    return Offer(proposals[:MOST], questions)


def _named(reading: Reading, before: Sequence[str], part: str, start: int) -> Iterator[Proposal]:
    """``litres=`` for an argument that is not given yet."""
    parameters, names = reading.parameters, reading.options.names
    for flag in parameters.complete(before, "--") if parameters is not None and names else ():
        for name, option in names.items():
            if f"--{option}" == flag.value and name.startswith(part):
                yield Proposal(f"{name}=", start, flag.description)
                break


def values(question: Question, answers: Sequence[tuple[str, str]]) -> list[Proposal]:
    """What was answered, as proposals."""
    spot = question.spot
    return [
        Proposal(spot.word(value), spot.start, about)
        for value, about in answers
        if value.startswith(question.typed) and spot.holds(value)
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


def _files(found: Completion, typed: str, spot: Spot, folder: Path | None) -> Iterator[Proposal]:
    """Names of files that begin as typed; hidden ones only if that is how it begins."""
    directory, slash, beginning = typed.rpartition("/")
    base = _base(directory, typed, folder)
    if base is None:
        return
    for name, is_folder in _listed(base, beginning):
        shown = directory + slash + name
        here = "" if spot.holds(shown) else "./"
        yield Proposal(spot.word(here + shown) + ("/" if is_folder else ""), spot.start, found.description)


def _base(directory: str, typed: str, folder: Path | None) -> Path | None:
    if typed.startswith("/"):
        return Path(directory or "/")
    return None if folder is None else folder / directory


def _listed(base: Path, beginning: str) -> list[tuple[str, bool]]:
    try:
        with os.scandir(base) as entries:
            found = [
                (entry.name, _is_folder(entry))
                for entry in entries
                if entry.name.startswith(beginning)
                and (beginning or not entry.name.startswith("."))
                and entry.name.isprintable()
            ]
    except (OSError, ValueError):  # not there, not for us, or no name at all
        return []
    return sorted(found)[:MOST]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere
        return False
