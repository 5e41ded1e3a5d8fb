"""What is wrong with a line, before it is sent: by the host's own schemas and in its own words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from trunnion import InvalidArguments, Json
from trunnion.arguments import split_line
from trunnion.model.names import nearest
from trunnion_tty.catalog import Catalog, Entry, problems_of
from trunnion_tty.lines import Statement, read_statement
from trunnion_tty.reading import Place, Reading, read

PROGRAM = "trunnion"

SYSTEM_SHELL = "shell.run"
"""The host's command behind ``!`` and behind consoles that hand unknown lines to the system."""

OPERATORS = frozenset({"|", "||", "&&", ";", ">", ">>", "<", "2>", "2>&1"})
"""Words that mean something to other shells."""

SOURCES = ("env:", "file:")
"""How a secret may stand in a line: not as itself, but as the place it is in."""


class MayShowSecret(InvalidArguments):
    """A line was refused, of a command that takes a secret: it may be what the line was refused for."""


def check(line: str, place: Place, *, whole: bool) -> str | None:
    """Look at one statement.

    Args:
        line: as it is typed.
        place: where.
        whole: whether it is to be done now. If not, only that is wrong which nothing that follows puts right.

    Returns:
        What is wrong, None if nothing is.
    """
    if not _is_text(line):
        return "the line is not valid Unicode text"
    reading = read(line, place)
    if not whole:
        return None if _at_its_name(line) else _begun(reading, place)
    if reading.kind == "undefined":
        return _undefined(reading, place)
    fault = _unfinished(reading.statement) or _in_front(reading) or _whole(reading)
    odd = next((word.raw for word in reading.words if word.raw in OPERATORS), None)
    return fault if fault is None or odd is None else f"{fault} ({odd} is a word like any other here)"


def _is_text(line: str) -> bool:
    """Whether it can be sent: what was typed in another encoding than the terminal's cannot."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _at_its_name(line: str) -> bool:
    """Whether not even the first word is known to be whole."""
    words = read_statement(line).words
    return not words or (len(words) == 1 and words[0].end == len(line))


def secret_in(line: str, place: Place) -> str | None:
    """What is said of a secret that stands in a line, or may; the line need not be whole."""
    reading = read(line, place)
    parameters, entry = reading.parameters, reading.entry
    if parameters is None or entry is None or not entry.secrets:
        return None
    refused, given = parameters.begun(reading.command_line(reading.words), apart=entry.secrets)
    return _told(entry.secrets, given) if refused is None else refused.message


def unknown(name: str, place: Place) -> str:
    """The sentence about a name that nothing has, with the nearest ones."""
    catalog = place.catalog
    console = catalog.find_console(name, place.console)
    if console:
        return f"{name} is a console: use {name}"
    if name in place.verbs and place.verb(name) is None:
        return f"{name} is for the other consoles: this is the main one, and quit ends the shell"
    if name == PROGRAM:
        return f"this is a shell of {PROGRAM}: what you would write behind '{PROGRAM} run' is a line here"
    own = frozenset([*(verb for verb in place.verbs if place.verb(verb)), *place.meanings]) - {name}
    if close := _close(name, catalog, place.console, own):
        return f"there is no command {name!r}; did you mean {' or '.join(close)}?"
    other = f", !{name} is for the system's shell" if catalog.get(SYSTEM_SHELL) is not None and name.isalnum() else ""
    return f"there is no command {name!r}; help lists them{other}"


@lru_cache(maxsize=1)
def _close(name: str, catalog: Catalog, console: str, own: frozenset[str]) -> list[str]:
    """The nearest names; looked for once, though what is behind a name is typed key by key."""
    known: dict[str, Entry] = {}
    for entry in catalog:
        known.setdefault(catalog.calls(entry, console)[0], entry)
    near = nearest(name, [*own, *known])
    return [n if n in own else catalog.shown(known[n], console, own.__contains__) for n in near]


def _undefined(reading: Reading, place: Place) -> str | None:
    name = reading.name
    if name is None or place.catalog.console(place.console).accept_undefined is not False:
        return None
    return unknown(name.text, place)


def _unfinished(statement: Statement) -> str | None:
    """What is said of a line that breaks off, or that says nothing."""
    if statement.system:
        return None if statement.text.strip() else "there is nothing behind !: say what the system's shell is to do"
    if statement.unfinished:
        try:
            split_line(statement.text)
        except InvalidArguments as error:
            return error.message
    return None


def _in_front(reading: Reading) -> str | None:
    """What is said of a word of the shell's own that is to be done in the background: the shell has none."""
    if reading.verb is None or not reading.statement.background:
        return None
    quoted = ", or quote it if it belongs to the alias" if reading.verb.name == "alias" else ""
    return f"{reading.verb.name} is done by the shell itself, not in the background: leave out the &{quoted}"


# -- while it is typed ----------------------------------------------------------------------------


def _begun(reading: Reading, place: Place) -> str | None:
    """What is wrong with words that are whole, whatever follows."""
    if reading.kind == "undefined":
        return _undefined(reading, place)
    parameters, entry = reading.parameters, reading.entry
    if parameters is None:
        return None
    secrets = entry.secrets if entry is not None else ()
    statement, words = reading.statement, reading.words
    if words and not statement.background and words[-1].end == len(statement.text):
        words = words[:-1]
    refused, given = parameters.begun(reading.command_line(words), apart=secrets)
    return _told(secrets, given) if refused is None else refused.message


# -- to be done -----------------------------------------------------------------------------------


def _whole(reading: Reading) -> str | None:
    parameters, entry = reading.parameters, reading.entry
    if parameters is None:
        return None
    secrets = entry.secrets if entry is not None else ()
    try:
        given = parameters.parse(reading.argv)
    except InvalidArguments as error:
        return error.message
    if told := _told(secrets, given):
        return told
    try:
        parameters.bind({name: value for name, value in given.items() if name not in secrets})
    except InvalidArguments as error:
        return _but_those(error, secrets)
    return None


def _told(secrets: Sequence[str], given: Mapping[str, Json]) -> str | None:
    """What is said of a secret that stands in the line itself."""
    for name in secrets:
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and value.startswith(SOURCES)):
            return f"{name} is secret: leave it out and it is asked for, or say {name}=env:VARIABLE or {name}=file:PATH"
    return None


def _but_those(error: InvalidArguments, secrets: Sequence[str]) -> str | None:
    """The problems worth telling: all but that a secret is missing."""
    told = []
    for path, message in problems_of(error):
        if path not in secrets:
            told.append(f"{path}: {message}" if path else message)
    return "; ".join(told) or None
