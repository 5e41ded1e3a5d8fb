"""What is wrong with a line, before it is sent: by the host's own schemas and in its own words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trunnion import InvalidArguments, Json
from trunnion.arguments import Word, split_line
from trunnion_tty.catalog import problems_of
from trunnion_tty.reading import Place, Reading, read

SOURCES = ("env:", "file:")
"""How a secret may stand in a line: not as itself, but as the place it is in."""


class Fault(NamedTuple):
    """What is wrong, and where in the line as typed."""

    message: str
    position: int


def check(line: str, place: Place, *, whole: bool) -> Fault | None:
    """Look at one statement.

    Args:
        line: as it is typed.
        place: where.
        whole: whether it is to be done now. If not, the word at its end is half typed and nothing is missing yet.

    Returns:
        The first thing that is wrong, None if there is nothing.
    """
    reading = read(line, place)
    if reading.kind == "undefined":
        return _undefined(line, reading, place, whole=whole)
    if whole and reading.statement.unfinished:
        try:
            split_line(reading.statement.text)
        except InvalidArguments as error:
            return Fault(error.message, len(line))
    if reading.kind == "system" and whole and reading.statement.empty:
        return Fault("there is nothing behind !: say what the system's shell is to do", len(line))
    if reading.parameters is None:
        return None
    message = _arguments(line, reading, whole=whole)
    return None if message is None else Fault(message, len(line))


def unknown(name: str, place: Place) -> str:
    """The sentence about a name that nothing has, with the nearest ones."""
    catalog = place.catalog
    console = catalog.find_console(name, place.console)
    if console:
        return f"{name} is a console: use {name}"
    verbs = [verb for verb in place.verbs if place.verb(verb)]
    known = [found.shown for found in catalog.names(place.console)]
    close = _nearest(name, [*verbs, *place.aliases, *known])
    return f"there is no command {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else "; help lists them")


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    from trunnion.model.names import nearest

    return nearest(name, known)


def _undefined(line: str, reading: Reading, place: Place, *, whole: bool) -> Fault | None:
    name = reading.name
    if name is None or place.catalog.console(place.console).accept_undefined is not False:
        return None
    half_typed = len(reading.statement.words) == 1 and not line[-1:].isspace()
    return None if half_typed and not whole else Fault(unknown(name.text, place), name.end)


def _arguments(line: str, reading: Reading, *, whole: bool) -> str | None:
    parameters = reading.parameters
    assert parameters is not None
    words = reading.words if whole or line[-1:].isspace() else reading.words[:-1]
    try:
        given = parameters.parse(reading.command_line(words))
    except InvalidArguments as error:
        return None if _goes_on(error, words) and not whole else error.message
    entry = reading.entry
    if entry is not None and (told := _told(entry.secrets, given)):
        return told
    secrets = frozenset() if entry is None else frozenset(entry.secrets)
    try:
        parameters.bind({name: value for name, value in given.items() if name not in secrets})
    except InvalidArguments as error:
        return _of_those(error, frozenset(given) - secrets, secrets, whole=whole)
    return None


def _goes_on(error: InvalidArguments, words: Sequence[Word]) -> bool:
    """Whether what is wrong may only be that the value of the last option is still to come."""
    return bool(words) and words[-1].text.startswith("-") and "=" not in words[-1].text


def _told(secrets: Sequence[str], given: Mapping[str, Json]) -> str | None:
    """What is said of a secret that stands in the line itself."""
    for name in secrets:
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and value.startswith(SOURCES)):
            return f"{name} is secret: leave it out and it is asked for, or say {name}=env:VARIABLE or {name}=file:PATH"
    return None


def _of_those(error: InvalidArguments, given: frozenset[str], secrets: frozenset[str], *, whole: bool) -> str | None:
    """The problems worth telling: all but missing secrets in a whole line; in a half one those of what is there."""
    told = []
    for path, message in problems_of(error):
        name = path.partition(".")[0].partition("[")[0]
        if name in secrets or (not whole and name not in given):
            continue
        told.append(f"{path}: {message}" if path else message)
    return "; ".join(told) or None
