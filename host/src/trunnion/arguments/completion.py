"""What may come next on a command line, from the same description the parser works by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from trunnion.arguments.argv import Command, Slot, looks_like_option
from trunnion.arguments.text import choices, part_with, types_of
from trunnion.arguments.walk import resolve
from trunnion.model.json import Json


class Completion(msgspec.Struct, frozen=True):
    """One proposal.

    Attributes:
        value: the whole word to put in place; for ``path`` what is typed so far, for ``query`` the id
            of the query that offers the values.
        kind: ``path`` asks the door to complete file names, ``query`` to ask a query.
    """

    value: str
    description: str = ""
    kind: Literal["value", "flag", "path", "query"] = "value"


class FromQuery(Completion, frozen=True, kw_only=True):
    """Values that a query offers, which is for the door to ask.

    Attributes:
        before: what the word begins with, in front of each value: ``--name=``.
    """

    before: str = ""


class _State:
    """Where on the line the incomplete word stands."""

    def __init__(self, command: Command, words: Sequence[str]) -> None:
        self.given: dict[str, Json] = {}
        self.plain = 0
        self.pending: Slot | None = None
        self.only_words = False
        for word in words:
            self._read(command, word)

    def _read(self, command: Command, word: str) -> None:
        if self.pending is not None:
            self.pending = None
        elif self.only_words:
            self.plain += 1
        elif word == "--":
            self.only_words = True
        elif (slot := command.by_spelling.get(word.partition("=")[0])) is not None:
            self.given[slot.argument.name] = True
            self.pending = None if slot.flag or "=" in word else slot
        else:
            self.plain += 1


def complete(command: Command, words: Sequence[str], incomplete: str, queries: Mapping[str, str]) -> list[Completion]:
    """Proposals for ``incomplete``, the word after ``words``."""
    state = _State(command, words)
    if state.pending is not None:
        return _values(command, state.pending, incomplete, queries)
    if not state.only_words and incomplete.startswith("-"):
        return _options(command, state, incomplete, queries)
    open_words = command.open_words(state.given)
    if not _has_room(command, open_words, state.plain + 1):
        return []
    name = open_words[min(state.plain, len(open_words) - 1)]
    found = _values(command, command.slots[name], incomplete, queries)
    return [p for p in found if p.kind != "value" or state.only_words or not looks_like_option(p.value)]


def _has_room(command: Command, names: Sequence[str], count: int) -> bool:
    """Whether so many words by position can be taken by these arguments."""
    return count <= len(names) or (command.shape.variadic and command.words[-1] in names)


def _options(command: Command, state: _State, incomplete: str, queries: Mapping[str, str]) -> list[Completion]:
    name, equals, typed = incomplete.partition("=")
    if equals:
        slot = command.by_spelling.get(name)
        found = _values(command, slot, typed, queries) if slot is not None else []
        return [_prefixed(proposal, f"{name}=") for proposal in found]
    open_words = command.open_words(state.given)
    return [
        Completion(spelling, slot.argument.description, "flag")
        for spelling, slot in command.by_spelling.items()
        if spelling.startswith(incomplete)
        and (slot.repeatable or slot.argument.name not in state.given)
        and _has_room(command, [name for name in open_words if name != slot.argument.name], state.plain)
    ]


def _prefixed(proposal: Completion, prefix: str) -> Completion:
    if isinstance(proposal, FromQuery):
        return msgspec.structs.replace(proposal, before=prefix)
    return msgspec.structs.replace(proposal, value=prefix + proposal.value)


def _values(command: Command, slot: Slot, typed: str, queries: Mapping[str, str]) -> list[Completion]:
    argument, root = slot.argument, command.plan.schema
    if argument.name in queries:
        return [FromQuery(queries[argument.name], argument.description, "query")]
    schema: Json = argument.schema
    if slot.kind == "list":
        schema = part_with(root, schema, "array").get("items", True)
    if part_with(root, schema, "string").get("format") == "path":
        return [Completion(typed, argument.description, "path")]
    offered = choices(root, schema)
    if offered is None:
        offered = [True, False] if types_of(root, schema) - {"null"} == {"boolean"} else []
    texts = [option if isinstance(option, str) else msgspec.json.encode(option).decode() for option in offered]
    return [Completion(text, _described(root, schema)) for text in texts if text.startswith(typed)]


def _described(root: Mapping[str, Json], schema: Json) -> str:
    description = resolve(root, schema).get("description", "")
    return description if isinstance(description, str) else ""
