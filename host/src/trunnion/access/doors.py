"""Names of doors where somebody writes them: a misspelt one opens and closes nothing, so it is told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from trunnion.model.json import Json, JsonObject
from trunnion.model.names import nearest

COMMON = frozenset({"web", "rpc", "schedule", "agent"})
"""Remote doors that a configuration may name before a plugin brings them."""


def doubtful(section: JsonObject, known: Collection[str], local: Collection[str] = ()) -> Iterator[str]:
    """What the section ``[access]`` opens to, or closes for, doors that nobody knows, and opens although nothing can.

    No error: one file serves many hosts, and not all of them have the same plugins.

    Args:
        section: as it is in force.
        known: the doors that there are or may be.
        local: ids of commands that are local.
    """
    exposed = section.get("expose")
    for name in exposed if isinstance(exposed, Mapping) else ():
        if name in local:
            yield f'access.expose."{name}": the command is local, so this opens nothing'
    for table in ("expose", "withhold"):
        patterns = section.get(table)
        for pattern, doors in patterns.items() if isinstance(patterns, Mapping) else ():
            for door in _strings(doors):
                if door not in known:
                    yield f'access.{table}."{pattern}": no door {door!r} is known here{hint(door, known)}'


def hint(door: str, known: Collection[str]) -> str:
    """The end of a message about a door that nobody knows."""
    close = nearest(door, known)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; known are {', '.join(sorted(known))}"


def _strings(value: Json) -> Sequence[str]:
    return [str(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else ()
