"""Where the arguments of a call name files: wherever their schema says ``format: path``, at any depth."""

from __future__ import annotations

from collections.abc import Callable

from trunnion.arguments.walk import is_list, is_object, resolve, subschemas
from trunnion.model.json import Json, JsonObject

_SAME_VALUE = ("anyOf", "oneOf", "allOf", "then", "else", "dependentSchemas")
_MEMBERS = ("patternProperties", "additionalProperties", "unevaluatedProperties")
_ITEMS = ("items", "contains", "unevaluatedItems")
_WHEREVER = frozenset((*_SAME_VALUE, *_MEMBERS, *_ITEMS, "properties", "prefixItems"))


def speaks_of_files(root: JsonObject, schema: Json, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a value of a schema may name files."""
    if not is_object(schema):
        return False
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in seen:
            return False
        seen |= {reference}
    flat = resolve(root, schema)
    if flat.get("format") == "path":
        return True
    return any(speaks_of_files(root, part, seen) for place, part in subschemas(flat) if place[0] in _WHEREVER)


def replaced(root: JsonObject, schema: Json, value: Json, change: Callable[[str], str]) -> Json:
    """The value with every name of a file in it changed.

    Args:
        root: where references point into.
        schema: of the value, which fits it.
        value: JSON.
        change: called once for each file that is named.
    """
    parts = _parts(root, schema)
    if isinstance(value, str):
        return change(value) if any(part.get("format") == "path" for part in parts) else value
    if is_object(value):
        return {
            name: _each(root, [found for part in parts for found in _members(part, name)], item, change)
            for name, item in value.items()
        }
    if is_list(value):
        return [
            _each(root, [found for part in parts for found in _items(part, i)], item, change)
            for i, item in enumerate(value)
        ]
    return value


def _each(root: JsonObject, schemas: list[Json], value: Json, change: Callable[[str], str]) -> Json:
    """A part of a value that several schemas speak of: the first that sees files in it decides."""
    for schema in schemas:
        if speaks_of_files(root, schema):
            return replaced(root, schema, value, change)
    return value


def _parts(root: JsonObject, schema: Json) -> list[JsonObject]:
    """A schema and everything it chooses between or combines."""
    flat = resolve(root, schema)
    inner = [part for place, part in subschemas(flat) if place[0] in _SAME_VALUE]
    return [flat, *(found for part in inner for found in _parts(root, part))]


def _members(schema: JsonObject, name: str) -> list[Json]:
    """What a schema may say of one member; a pattern is taken to match, so that no name is overlooked."""
    members = schema.get("properties")
    if is_object(members) and name in members:
        return [members[name]]
    return [part for place, part in subschemas(schema) if place[0] in _MEMBERS]


def _items(schema: JsonObject, index: int) -> list[Json]:
    first = schema.get("prefixItems")
    if is_list(first) and index < len(first):
        return [first[index]]
    return [part for place, part in subschemas(schema) if place[0] in _ITEMS]
