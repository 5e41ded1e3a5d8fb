"""From the words of a command line to JSON values, guided by a schema.

A word that cannot be what the schema wants is kept as text: validation then says what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from trunnion.arguments.duration import to_iso
from trunnion.arguments.strict import loads
from trunnion.arguments.walk import is_list, is_object, resolve
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject

_integer = re.compile(r"[+-]?[0-9]{1,128}", re.ASCII)
_number = re.compile(r"[+-]?(?:[0-9]{1,128}(?:\.[0-9]{0,128})?|\.[0-9]{1,128})(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_ALL = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})


def types_of(root: JsonObject, schema: Json) -> frozenset[str]:
    """The JSON types a schema may accept."""
    flat = resolve(root, schema)
    accepted = _ALL
    if "type" in flat:
        types = flat["type"]
        accepted = frozenset(str(name) for name in types) if is_list(types) else frozenset({str(types)})
    options = choices(root, schema)
    if options is not None:
        accepted &= frozenset(_type_name(option) for option in options)
    for keyword in ("anyOf", "oneOf"):
        parts = flat.get(keyword)
        if is_list(parts):
            accepted &= frozenset[str]().union(*(types_of(root, part) for part in parts))
    return accepted


def choices(root: JsonObject, schema: Json) -> list[Json] | None:
    """The values an enumeration offers, through references and unions; None if it is none."""
    flat = resolve(root, schema)
    if "const" in flat:
        return [flat["const"]]
    options = flat.get("enum")
    if is_list(options):
        return list(options)
    parts = flat.get("anyOf", flat.get("oneOf"))
    if not is_list(parts):
        return None
    found: list[Json] = []
    for part in parts:
        inner = [None] if resolve(root, part).get("type") == "null" else choices(root, part)
        if inner is None:
            return None
        found += inner
    return found


def part_with(root: JsonObject, schema: Json, kind: str) -> JsonObject:
    """The part of a schema that is about values of one type: of ``list[int] | None`` the list."""
    flat = resolve(root, schema)
    parts = flat.get("anyOf", flat.get("oneOf"))
    for part in parts if is_list(parts) else ():
        if kind in types_of(root, part):
            return part_with(root, part, kind)
    return flat


def _type_name(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    return "string" if isinstance(value, str) else "object" if is_object(value) else "array"


def value_of(root: JsonObject, schema: Json, text: str) -> Json:
    """The JSON value one word stands for."""
    options = choices(root, schema)
    if options is not None:
        return _choice(options, text)
    types = types_of(root, schema)
    if "string" in types:
        return _perhaps_text(root, schema, types, text)
    scalar = _scalar(types, text)
    return _literal(text, types) if scalar is None else scalar


def _choice(options: list[Json], text: str) -> Json:
    if text in options:
        return text
    literal = _loads(text)
    if literal in options and literal is not True and literal is not False:
        return literal
    flag = _BOOLEANS.get(text)
    return text if flag is None or not any(option is flag for option in options) else flag


def _perhaps_text(root: JsonObject, schema: Json, types: frozenset[str], text: str) -> Json:
    if types - {"string", "null"} and types != _ALL:
        scalar = _scalar(types - {"null"}, text)
        return _literal(text, types - {"null"}) if scalar is None else scalar
    if types == _ALL:
        return _literal(text, _ALL)
    if part_with(root, schema, "string").get("format") == "duration":
        return to_iso(text) or text
    return text


def _scalar(types: frozenset[str], text: str) -> Json:
    if types & {"integer", "number"} and _integer.fullmatch(text):
        return int(text)
    if "number" in types and _number.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if "boolean" in types and (flag := _BOOLEANS.get(text.lower())) is not None:
        return flag
    return None


def _literal(text: str, types: frozenset[str]) -> Json:
    """A JSON literal of one of the types; anything else stays text."""
    value = _loads(text)
    return value if _type_name(value) in types else text


def _loads(text: str) -> Json:
    """The value of a JSON literal; anything else stays text."""
    try:
        return loads(text)
    except InvalidArguments:
        return text


def list_of(root: JsonObject, schema: Json, words: Sequence[str]) -> Json:
    """The list some words stand for: one word that is a JSON array is the whole list.

    Where the items are text, it must be an array of text: a file called ``[1]`` is a file.
    """
    flat = part_with(root, schema, "array")
    of_text = "string" in types_of(root, flat.get("items", True))
    if len(words) == 1:
        whole = _loads(words[0])
        if whole is None and "null" in types_of(root, schema) and not of_text:
            return None
        if is_list(whole) and (not of_text or all(isinstance(item, str) for item in whole)):
            return whole
    first = flat.get("prefixItems")
    fixed = list(first) if is_list(first) else []
    rest = flat.get("items", True)
    return [value_of(root, fixed[i] if i < len(fixed) else rest, word) for i, word in enumerate(words)]


def object_of(root: JsonObject, schema: Json, words: Sequence[str]) -> Json:
    """The object some words stand for: one JSON object, or ``key=value`` each."""
    if len(words) == 1 and (words[0].startswith("{") or words[0] == "null"):
        return _literal(words[0], types_of(root, schema) & {"object", "null"})
    pairs = [word.partition("=") for word in words]
    if not all(equals for _, equals, _ in pairs):
        return words[0] if len(words) == 1 else list(words)
    flat = part_with(root, schema, "object")
    members = flat.get("properties")
    known = members if is_object(members) else {}
    rest = flat.get("additionalProperties", True)
    return {key: value_of(root, known.get(key, rest), text) for key, _, text in pairs}
