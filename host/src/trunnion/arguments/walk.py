"""Moving about in a JSON Schema: where its subschemas are and what a local reference means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeGuard

from trunnion.model.json import Json, JsonObject

_ONE = frozenset(
    {
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Whether a value is a JSON object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[Json]]:
    """Whether a value is a JSON array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def subschemas(schema: JsonObject) -> Iterator[tuple[tuple[str, ...], Json]]:
    """The direct subschemas of a schema with their place, definitions included."""
    for keyword, value in schema.items():
        if keyword in _ONE:
            yield (keyword,), value
        elif keyword in _LIST and is_list(value):
            yield from (((keyword, str(index)), part) for index, part in enumerate(value))
        elif keyword in _MAP and is_object(value):
            yield from (((keyword, name), part) for name, part in value.items())


def mapped(schema: Json, change: Callable[[dict[str, Json]], dict[str, Json]]) -> Json:
    """A copy in which ``change`` was applied to every object subschema, innermost first.

    Values that merely look like schemas, in ``enum``, ``const`` and ``default``, are left alone.
    """
    if not is_object(schema):
        return schema
    copy: dict[str, Json] = {}
    for keyword, value in schema.items():
        if keyword in _ONE:
            copy[keyword] = mapped(value, change)
        elif keyword in _LIST and is_list(value):
            copy[keyword] = [mapped(part, change) for part in value]
        elif keyword in _MAP and is_object(value):
            copy[keyword] = {name: mapped(part, change) for name, part in value.items()}
        else:
            copy[keyword] = value
    return change(copy)


def resolve(root: JsonObject, schema: Json) -> JsonObject:
    """Follow local references until something else is found; keywords beside a reference are kept.

    Boolean schemas become ``{}`` and ``{"not": {}}``. References were judged at registration: each is
    local, exists, and none leads back to itself without consuming input.
    """
    if not is_object(schema):
        return {"not": {}} if schema is False else {}
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
    return {**resolve(root, lookup(root, reference)), **beside}


def lookup(root: JsonObject, reference: str) -> Json:
    """What a reference such as ``#/$defs/Port`` points at.

    Raises:
        KeyError: nothing is there.
    """
    here: Json = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if is_object(here):
            here = here[name]
        elif is_list(here) and name.isdigit() and int(name) < len(here):
            here = here[int(name)]
        else:
            raise KeyError(reference)
    return here
