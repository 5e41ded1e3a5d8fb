"""Whole numbers that survive every door.

JavaScript, and JSON libraries modelled on it, keep integers exact only up to 2^53 - 1 (RFC 8259 §6). So
an argument with ``format: int64`` may be given as an integer or as decimal text, and travels as text
where it is larger; any other integer is limited to what is exact everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from trunnion.arguments.walk import is_list, is_object, mapped, resolve, subschemas
from trunnion.model.json import Json, JsonObject

EXACT = 2**53 - 1
_INT64 = (-(2**63), 2**63 - 1)
_decimal = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
DECIMAL_PATTERN = "^-?(0|[1-9][0-9]{0,18})$"


def published(schema: JsonObject) -> dict[str, Json]:
    """The schema for meta: an int64 may be decimal text."""
    made = mapped(schema, _publish)
    return dict(made) if is_object(made) else {}


def declared(schema: JsonObject) -> dict[str, Json]:
    """The inverse of ``published``: what was declared, of a schema that may come from meta."""
    made = mapped(schema, _declare)
    return dict(made) if is_object(made) else {}


def validated(schema: JsonObject) -> dict[str, Json]:
    """The schema to validate with, after ``exact``: integers only, each within its range."""
    made = mapped(schema, _limit)
    return dict(made) if is_object(made) else {}


def _types(schema: JsonObject) -> list[str]:
    types = schema.get("type")
    return [types] if isinstance(types, str) else [str(name) for name in types] if is_list(types) else []


def _publish(schema: dict[str, Json]) -> dict[str, Json]:
    types = _types(schema)
    if schema.get("format") != "int64" or "integer" not in types or "string" in types:
        return schema
    return {**schema, "type": [*types, "string"], "pattern": DECIMAL_PATTERN}


def _declare(schema: dict[str, Json]) -> dict[str, Json]:
    if schema.get("format") != "int64" or schema.get("pattern") != DECIMAL_PATTERN:
        return schema
    types = [name for name in _types(schema) if name != "string"]
    kept = {keyword: value for keyword, value in schema.items() if keyword != "pattern"}
    return {**kept, "type": types[0] if len(types) == 1 else list(types)}


def _limit(schema: dict[str, Json]) -> dict[str, Json]:
    types = _types(schema)
    if "integer" not in types:
        return schema
    low, high = _INT64 if schema.get("format") == "int64" else (-EXACT, EXACT)
    bounded = {**schema, "minimum": max(_number(schema.get("minimum"), low), low)}
    return {**bounded, "maximum": min(_number(schema.get("maximum"), high), high)}


def _number(given: Json, otherwise: int) -> int | float:
    return given if isinstance(given, int | float) else otherwise


def is_int64(schema: JsonObject) -> bool:
    """Whether a (resolved) schema is one of int64."""
    return schema.get("format") == "int64" and "integer" in _types(schema)


def mentions_int64(root: JsonObject, schema: Json, seen: frozenset[int] = frozenset()) -> bool:
    """Whether some part of a value may be an int64."""
    flat = resolve(root, schema)
    if is_int64(flat) or id(schema) in seen:
        return is_int64(flat)
    return any(mentions_int64(root, part, seen | {id(schema)}) for _, part in subschemas(flat))


def exact(root: JsonObject, schema: Json, value: Json) -> Json:
    """A value in which every int64 given as decimal text is an integer."""
    flat = resolve(root, schema)
    if is_int64(flat) and isinstance(value, str) and _decimal.fullmatch(value):
        return int(value)
    return _inside(root, flat, value, exact)


def travelling(root: JsonObject, schema: Json, value: Json) -> Json:
    """The inverse of ``exact``: every int64 beyond 2^53 as decimal text."""
    flat = resolve(root, schema)
    if is_int64(flat) and isinstance(value, int) and abs(value) > EXACT:
        return str(value)
    return _inside(root, flat, value, travelling)


_Change: TypeAlias = Callable[[JsonObject, Json, Json], Json]


def _inside(root: JsonObject, flat: JsonObject, value: Json, change: _Change) -> Json:
    for keyword in ("anyOf", "oneOf", "allOf"):
        parts = flat.get(keyword)
        for part in parts if is_list(parts) else ():
            value = change(root, part, value)
    if is_list(value) and "items" in flat:
        return [change(root, flat["items"], item) for item in value]
    if is_object(value):
        return {name: change(root, _member(flat, name), item) for name, item in value.items()}
    return value


def _member(flat: JsonObject, name: str) -> Json:
    properties = flat.get("properties")
    if is_object(properties) and name in properties:
        return properties[name]
    return flat.get("additionalProperties", True)
