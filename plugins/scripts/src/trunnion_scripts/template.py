"""Words with placeholders. Pure text; a word becomes one argument of a program, or several, never a line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import msgspec

from trunnion import InvalidArguments, Json

ARGUMENT = r"[A-Za-z_][A-Za-z0-9_-]*"
_tokens = re.compile(
    rf"(?P<brace>\{{\{{|\}}\}})|\{{(?P<spread>\*?)(?P<name>{ARGUMENT})(?:\?(?P<then>[^{{}}]*))?\}}|(?P<stray>[{{}}])"
)


class Slot(msgspec.Struct, frozen=True):
    """A placeholder: ``{name}``, ``{*name}`` for a list, or ``{name?then}`` for a fixed text on a condition."""

    name: str
    spread: bool = False
    then: str | None = None


Word: TypeAlias = tuple[str | Slot, ...]
Values: TypeAlias = Mapping[str, Json]


def parse(text: str) -> Word:
    """Read one word.

    Raises:
        ValueError: a brace that is no placeholder, or two lists in one word.
    """
    parts: list[str | Slot] = []
    position = 0
    for token in _tokens.finditer(text):
        parts += [text[position : token.start()], _part(token, text)]
        position = token.end()
    parts.append(text[position:])
    if sum(isinstance(part, Slot) and part.spread for part in parts) > 1:
        raise ValueError(f"{text!r} has two lists; a word can repeat for one list only")
    return tuple(part for part in parts if part != "")


def _part(token: re.Match[str], text: str) -> str | Slot:
    if token["stray"]:
        raise ValueError(
            f"{text!r} has a brace that is no placeholder such as {{name}}; write {{{{ or }}}} for a brace"
        )
    if token["brace"]:
        return token["brace"][0]
    if token["spread"] and token["then"] is not None:
        raise ValueError(f"{text!r} mixes {{*list}} and {{name?text}}")
    return Slot(token["name"], bool(token["spread"]), token["then"])


def slots(word: Word) -> list[Slot]:
    """The placeholders of a word."""
    return [part for part in word if isinstance(part, Slot)]


def as_text(value: Json) -> str:
    """How a value is written into a word: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def expand(word: Word, values: Values) -> list[list[str]]:
    """The words that come of one, each as the texts of its parts; none when an argument has no value."""
    spread = next((slot for slot in slots(word) if slot.spread), None)
    if any(not _given(slot, values) for slot in slots(word)):
        return []
    items = values[spread.name] if spread else None
    choices: Sequence[Json] = items if isinstance(items, list | tuple) else [items]
    return [[_text(part, values, item) for part in word] for item in choices]


def _given(slot: Slot, values: Values) -> bool:
    value = values.get(slot.name)
    return value is not None and not (slot.then is not None and value is False)


def _text(part: str | Slot, values: Values, item: Json) -> str:
    if isinstance(part, str):
        return part
    if part.then is not None:
        return part.then
    return as_text(item if part.spread else values[part.name])


def words(run: Sequence[Word], values: Values, options: Collection[str]) -> list[str]:
    """All words of a program.

    Args:
        run: parsed words, the first without placeholders.
        values: arguments by name.
        options: arguments whose values may begin with ``-``.

    Raises:
        InvalidArguments: a value would become an option, or holds a NUL character.
    """
    result: list[str] = []
    guarded = True
    for word in run:
        for texts in expand(word, values):
            if guarded:
                _refuse_option(word, texts, options)
            result.append("".join(texts))
        guarded = guarded and word != ("--",)
    return result


def _refuse_option(word: Word, texts: Sequence[str], options: Collection[str]) -> None:
    first = next((part for part, text in zip(word, texts, strict=True) if text), None)
    if isinstance(first, Slot) and first.then is None and first.name not in options and "".join(texts).startswith("-"):
        raise invalid(first.name, "it begins with '-' and would be taken for an option of the program")


def text_of(word: Word, values: Values) -> str:
    """A text with placeholders, such as an input or the value of a variable; lists one item a line."""
    return "\n".join("".join(texts) for texts in expand(word, values))


def invalid(name: str, problem: str) -> InvalidArguments:
    """The error for one argument."""
    return InvalidArguments(f"argument {name!r}: {problem}", {"problems": [{"path": name, "message": problem}]})
