"""What matching the patterns of a schema may cost.

The engine needs no backtracking, so its time grows with the size of a pattern times the length of the text. That
product is bounded here: each pattern is small enough to be matched against a short text at once, and an argument may
hold only so much text as its patterns can be matched against in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import jsonschema_rs

from trunnion.arguments.walk import is_list, is_object, lookup, subschemas
from trunnion.model.json import Json, JsonObject

MAX_REGEX_BYTES = 1 << 20
"""The largest pattern, compiled."""

WORK = 1 << 28
"""Bytes of compiled pattern times characters of text that one argument may cost. The worst of 300,000 generated
patterns took 0.1 ns for each, and a refusal is explained by matching twice more: 80 ms in all."""

SAME_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
"""Keywords whose subschemas apply to the very value the schema itself does."""

_SIZES = tuple(1 << bits for bits in range(8, MAX_REGEX_BYTES.bit_length()))
_DEFINED = frozenset({"$defs", "definitions"})


def options(size: int = MAX_REGEX_BYTES) -> jsonschema_rs.RegexOptions:
    """The linear-time engine, with a ceiling on compiled size in bytes."""
    return jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=MAX_REGEX_BYTES)


def compiles(pattern: str, size: int = MAX_REGEX_BYTES) -> bool:
    """Whether a pattern can be matched in linear time and takes at most ``size`` bytes for it."""
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options(size), offline=True)
    except ValueError:
        return False
    return True


def size_of(pattern: str) -> int:
    """The bytes a pattern that compiles takes, rounded up to a power of two."""
    low, high = 0, len(_SIZES) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if compiles(pattern, _SIZES[middle]) else (middle + 1, high)
    return _SIZES[low]


def text_limits(root: JsonObject) -> dict[str, int]:
    """How many characters the value of an argument may hold, for arguments that meet patterns.

    Args:
        root: the schema of all arguments, judged before.

    Returns:
        Characters by argument; under the name ``""``, of all arguments together.
    """
    sizes: dict[str, int] = {}
    properties = root.get("properties")
    parts = dict(properties) if is_object(properties) else {}
    parts[""] = {keyword: value for keyword, value in root.items() if keyword != "properties"}
    # What is known of a schema inside its own cycle is only part of its cost, so each argument is gone through anew.
    found = {name: _Costs(root, sizes).of(part) for name, part in parts.items()}
    return {name: WORK // cost for name, cost in found.items() if cost}


def text_in(value: Json) -> int:
    """The characters of all texts and member names in a value."""
    if isinstance(value, str):
        return len(value)
    count, level = 0, [value]
    while level:
        count += sum(len(item) for item in level if isinstance(item, str))
        count += sum(len(name) for item in level if is_object(item) for name in item)
        level = list(chain.from_iterable(map(_inside, level)))
    return count


def _inside(value: Json) -> Iterator[Json]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif is_list(value):
        yield from value


class _Costs:
    """Bytes of pattern that a character of a value meets at most."""

    def __init__(self, root: JsonObject, sizes: dict[str, int]) -> None:
        self._root = root
        self._sizes = sizes
        self._known: dict[int, int] = {}
        self._open: set[int] = set()

    def of(self, schema: Json) -> int:
        """The cost of one schema: what applies to one value adds up, of its members each has its own text."""
        if not is_object(schema) or id(schema) in self._open:
            return 0
        if id(schema) not in self._known:
            self._open.add(id(schema))
            self._known[id(schema)] = max(self._alone(schema)) + sum(self._beside(schema))
            self._open.discard(id(schema))
        return self._known[id(schema)]

    def _alone(self, schema: JsonObject) -> Iterator[int]:
        yield self._size(schema.get("pattern"))
        names = schema.get("patternProperties")
        yield sum(map(self._size, names)) if is_object(names) else 0
        for (keyword, *_), part in subschemas(schema):
            if keyword not in SAME_PLACE and keyword not in _DEFINED:
                yield self.of(part)

    def _beside(self, schema: JsonObject) -> Iterator[int]:
        if isinstance(reference := schema.get("$ref"), str):
            yield self.of(lookup(self._root, reference))
        for (keyword, *_), part in subschemas(schema):
            if keyword in SAME_PLACE:
                yield self.of(part)

    def _size(self, pattern: Json) -> int:
        if not isinstance(pattern, str):
            return 0
        if pattern not in self._sizes:
            self._sizes[pattern] = size_of(pattern)
        return self._sizes[pattern]
