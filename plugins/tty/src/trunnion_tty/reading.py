"""What a line means where it is typed: one reading, used for completing it, checking it and doing it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from trunnion.arguments import Word
from trunnion_tty.catalog import Catalog, Entry
from trunnion_tty.lines import END_OF_OPTIONS, Options, Statement, last_statement, read_statement, to_argv

if TYPE_CHECKING:
    from trunnion.arguments import Parameters

Kind = Literal["empty", "verb", "entry", "system", "undefined"]


class Verb(NamedTuple):
    """A word of the shell's own.

    Attributes:
        name: what is typed.
        compiled: makes its arguments, compiled like those of a command; the same ones at each call.
        title: what it does, in a few words.
        description: the same at length.
        also: other words for the same.
        only_below: whether it is not there in the main console.
        plain_after: words behind so many are taken as they are, whatever they look like; None for an ordinary one.
    """

    name: str
    compiled: Callable[[], Parameters]
    title: str
    description: str = ""
    also: tuple[str, ...] = ()
    only_below: bool = False
    plain_after: int | None = None

    @property
    def parameters(self) -> Parameters:
        """Its arguments."""
        return self.compiled()


class Place(NamedTuple):
    """Where somebody types.

    Attributes:
        catalog: what there is.
        verbs: the shell's own words.
        aliases: word -> what it stands for at the beginning of a line.
        console: the path of the console.
    """

    catalog: Catalog
    verbs: Mapping[str, Verb]
    aliases: Mapping[str, str] = {}
    console: str = ""

    def verb(self, name: str) -> Verb | None:
        """The shell's own word of a name, if it is there in this console."""
        verb = self.verbs.get(name)
        return None if verb is None or (verb.only_below and not self.console) else verb

    def alias(self, name: str) -> str | None:
        """What a word stands for; the shell's own words always stand for themselves."""
        return None if name in self.verbs else self.aliases.get(name)

    @property
    def meanings(self) -> dict[str, str]:
        """All words that stand for others, and for what."""
        return {name: meant for name, meant in self.aliases.items() if name not in self.verbs}

    def is_own(self, name: str) -> bool:
        """Whether a name means something else here than a command or query."""
        return self.verb(name) is not None or self.alias(name) is not None


class Reading(NamedTuple):
    """A line that was understood as far as it goes.

    Attributes:
        kind: what it is.
        statement: the line taken apart, aliases at its beginning replaced.
        shift: by how much places in the statement lie behind those in the line as typed.
        verb, entry: what is called.
    """

    kind: Kind
    statement: Statement
    shift: int = 0
    verb: Verb | None = None
    entry: Entry | None = None

    @property
    def name(self) -> Word | None:
        """The word that says what is called."""
        return self.statement.words[0] if self.statement.words else None

    @property
    def words(self) -> list[Word]:
        """The words behind the name."""
        return self.statement.words[1:]

    @property
    def parameters(self) -> Parameters | None:
        """The arguments of what is called; None where nothing is, or they cannot be judged here."""
        if self.verb is not None:
            return self.verb.parameters
        return self.entry.parameters if self.entry is not None else None

    @property
    def options(self) -> Options:
        """What its words are read by. The shell's own words take no ``name=value``."""
        if self.entry is not None:
            return self.entry.options
        return Options(takes_value=self.verb.parameters.takes_value) if self.verb is not None else Options()

    @property
    def argv(self) -> list[str]:
        """The words behind the name as a command line."""
        return self.command_line(self.words)

    def command_line(self, words: Sequence[Word]) -> list[str]:
        """Some words behind the name, as the command line all doors take."""
        argv, after = to_argv(words, self.options), self.verb.plain_after if self.verb is not None else None
        return argv if after is None or len(argv) <= after else [*argv[:after], END_OF_OPTIONS, *argv[after:]]


def read(line: str, place: Place) -> Reading:
    """Read one statement.

    Args:
        line: as it is typed, whole or not.
        place: where.
    """
    plain = _without_aliases(line, place)
    line, shift = plain, len(plain) - len(line)
    statement = read_statement(line)
    if statement.empty and not statement.system:
        return Reading("empty", statement, shift)
    if statement.system:
        return Reading("system", statement, shift)
    first = statement.words[0]
    if first.raw == first.text and (verb := place.verb(first.text)) is not None:
        return Reading("verb", statement, shift, verb=verb)
    entry = place.catalog.find(first.text, place.console)
    return Reading("undefined" if entry is None else "entry", statement, shift, entry=entry)


def goes_on(text: str, place: Place) -> bool:
    """Whether Enter goes on to another line: the last statement has an open quote or ends in a backslash."""
    piece = last_statement(text)
    return piece.unfinished and not is_taken_as_it_is(piece.line, place)


def is_taken_as_it_is(line: str, place: Place) -> bool:
    """Whether a line is for the console itself; quotes mean nothing there, and "don't" is whole."""
    return place.catalog.console(place.console).accept_undefined is True and read(line, place).kind == "undefined"


def _without_aliases(line: str, place: Place) -> str:
    """The line with what aliases at its beginning stand for, each once: ``ls`` may stand for ``ls --all``."""
    done: set[str] = set()
    while (found := _alias_at(line, place)) is not None and found.raw not in done:
        done.add(found.raw)
        line = (place.alias(found.raw) or "") + line[found.end :]
    return line


def _alias_at(line: str, place: Place) -> Word | None:
    """The alias a line begins with; a whole name is never one, nor is a word that has not ended."""
    statement = read_statement(line)
    if not statement.words or (statement.unfinished and len(statement.words) == 1):
        return None
    first = statement.words[0]
    return None if place.alias(first.raw) is None else first


def may_be_alias(name: str) -> bool:
    """Whether a word can be typed at the beginning of a line and be read as this one word, and as no ``name=value``."""
    statement = read_statement(name)
    return [word.raw for word in statement.words] == [name] == [
        word.text for word in statement.words
    ] and "=" not in name
