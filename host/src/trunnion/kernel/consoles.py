"""Descriptions of consoles: which one counts, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from trunnion.kernel.reporting import Report
from trunnion.model.contributions import Console
from trunnion.model.errors import Conflict, InvalidArguments
from trunnion.model.names import console_of

FIRST = ("host", "app")
"""Whose descriptions count before those of plugins: the host's own, then the embedding program's."""

COMMANDS = ("on_miss", "on_enter", "on_leave")
QUERIES = ("completer", "validator")


def upwards(path: str) -> Iterator[str]:
    """A console and those above it, but for the root."""
    while path:
        yield path
        path = console_of(path)


def by_path(owner: str, consoles: Iterable[Console]) -> dict[str, Console]:
    """One owner's descriptions.

    Raises:
        InvalidArguments: a value is not of the type its field has.
        Conflict: it describes a console twice.
    """
    found: dict[str, Console] = {}
    for console in consoles:
        try:
            msgspec.convert(msgspec.to_builtins(console), Console)
        except (msgspec.ValidationError, TypeError) as error:
            raise InvalidArguments(f"{owner}: console {console.path!r}: {error}") from None
        if console.path in found:
            raise Conflict(f"{owner} describes the console {console.path!r} twice", {"console": console.path})
        found[console.path] = console
    return found


def in_force(sets: Mapping[str, Mapping[str, Console]]) -> dict[str, tuple[str, Console]]:
    """The description that counts for each path, with its owner: the host's, else the first in order of name.

    A description is only looks, so a second one takes nothing away from its plugin; and the order does not depend
    on who came first, or the same plugins would look different after another start.
    """
    counts: dict[str, tuple[str, Console]] = {}
    for owner in sorted(sets, key=_rank):
        for path, console in sets[owner].items():
            counts.setdefault(path, (owner, console))
    return counts


def problems(
    sets: Mapping[str, Mapping[str, Console]], is_command: Callable[[str], bool], is_query: Callable[[str], bool]
) -> Iterator[str]:
    """What operators should know: descriptions that do not count, and names that nothing answers to."""
    counts = in_force(sets)
    for owner in sorted(sets, key=_rank):
        for path, console in sets[owner].items():
            winner, used = counts[path]
            if used != console:
                yield f"{winner} and {owner} both describe the console {path!r}: that of {winner} counts"
    for path, (owner, console) in sorted(counts.items()):
        yield from _unknown(owner, path, console, COMMANDS, "command", is_command)
        yield from _unknown(owner, path, console, QUERIES, "query", is_query)


class ConsoleWatch:
    """Reports each problem once, as long as it lasts.

    Args:
        find: the problems as they are now.
        report: told of those that are new.
    """

    def __init__(self, find: Callable[[], Iterable[str]], report: Report) -> None:
        self._find = find
        self._report = report
        self._told: frozenset[str] = frozenset()

    def look(self) -> None:
        """Look once; after every change of the registry, when all plugins have been heard."""
        found = frozenset(self._find())
        for problem in sorted(found - self._told):
            self._report("console.problem", problem)
        self._told = found


def _rank(owner: str) -> tuple[int, str]:
    return (FIRST.index(owner) if owner in FIRST else len(FIRST), owner)


def _unknown(
    owner: str, path: str, console: Console, fields: Iterable[str], kind: str, known: Callable[[str], bool]
) -> Iterator[str]:
    for field in fields:
        name: str = getattr(console, field)
        if name and not known(name):
            yield f"the console {path!r} of {owner} names {name!r} as its {field}, but there is no {kind} of this name"
