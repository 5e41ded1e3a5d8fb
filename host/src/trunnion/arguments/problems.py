"""What is wrong with arguments, in plain words: one place that makes the error every door shows."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from trunnion.arguments.walk import is_list, is_object
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import nearest


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (``ports[2]``, empty for the call as a whole) and what was expected."""

    path: str
    message: str


def invalid(problems: Sequence[Problem]) -> InvalidArguments:
    """Make the one error for arguments that do not fit."""
    text = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems)
    details: list[Json] = [{"path": _clean(p.path), "message": _clean(p.message)} for p in problems]
    return InvalidArguments(_clean(text), {"problems": details})


def _clean(text: str) -> str:
    """A message can always be encoded, even if it quotes a name that cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


def path_text(path: Sequence[str | int]) -> str:
    """``["ports", 2, "name"]`` as ``ports[2].name``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def show(value: object, limit: int = 60) -> str:
    """A value as short JSON, for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def unknown(name: str, known: Sequence[str], what: str = "no such argument") -> str:
    """The sentence about a name nobody declared."""
    if near := nearest(name, known):
        return f"{what}; did you mean {' or '.join(near)}?"
    return f"{what}; there are {', '.join(known)}" if known else f"{what}; there are none"


_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_FORMATS = {
    "date-time": "a date and time with its offset, such as 2026-01-31T12:00:00Z",
    "duration": "a length of time, such as PT1H30M (1h30m on a command line)",
    "decimal": "a decimal number, such as 1.25",
    "date": "a date, such as 2026-01-31",
    "path": "a file path",
    "int64": "a whole number",
}
_LIMITS = {
    "minimum": "{} or more",
    "maximum": "{} or less",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} members",
    "maxProperties": "at most {} members",
    "pattern": "text that matches {}",
}


def type_words(types: Sequence[str]) -> str:
    """``["integer", "null"]`` as ``a whole number or null``."""
    return " or ".join(_TYPES.get(name, name) for name in types)


def keyword_words(keyword: str, limit: Json) -> str | None:
    """What one keyword of a schema expects, None where the keyword has no short wording."""
    if keyword == "type":
        return type_words([limit] if isinstance(limit, str) else [str(name) for name in _list(limit)])
    if keyword == "format":
        return _FORMATS.get(str(limit), f"text in the format {limit}")
    if keyword == "enum":
        return _options(_list(limit))
    if keyword == "const":
        return show(limit)
    template = _LIMITS.get(keyword)
    return template.format(limit) if template else None


def _list(value: Json) -> list[Json]:
    return list(value) if is_list(value) else [value]


def _options(options: list[Json]) -> str:
    shown = ", ".join(show(option) for option in options[:20])
    more = f" and {len(options) - 20} more" if len(options) > 20 else ""
    return f"one of {shown}{more}" if len(options) > 1 else shown


def describe(schema: JsonObject) -> str:
    """What a schema expects, in plain words: ``a whole number, 1 or more``; empty if it accepts anything."""
    for keyword in ("enum", "const"):
        if keyword in schema:
            return keyword_words(keyword, schema[keyword]) or ""
    either = schema.get("anyOf", schema.get("oneOf"))
    if is_list(either) and "type" not in schema:
        parts = [describe(part) for part in either if is_object(part)]
        return " or ".join(dict.fromkeys(part for part in parts if part))
    base = "format" if schema.get("format") in _FORMATS else "type"
    words = [keyword_words(base, schema[base])] if base in schema else []
    if is_object(items := schema.get("items")) and (each := describe(items)):
        words.append(f"each item {each}")
    words += [keyword_words(keyword, schema[keyword]) for keyword in _LIMITS if keyword in schema]
    return ", ".join(word for word in words if word)
