"""Which plans have nothing left to go wrong when their validator is compiled, so that this can wait for the first call.

Compiling a validator is what registering mostly costs, and of a thousand commands few are ever called. What may wait
is only what cannot fail: a schema of the plainest words, whose defaults are seen to fit without a validator. Every
other plan is compiled as it is registered, so that a mistake in a declaration is found there.
"""

from __future__ import annotations

import msgspec

from trunnion.arguments.integers import EXACT
from trunnion.arguments.plan import Argument, Plan
from trunnion.arguments.walk import is_list, is_object
from trunnion.model.json import Json

_REMARKS: dict[str, type] = {"description": str, "title": str, "writeOnly": bool}
_WORDS = frozenset({"type", "anyOf", "default", *_REMARKS})
_TYPES: dict[Json, type] = {"string": str, "integer": int, "boolean": bool, "number": float, "null": type(None)}


def is_simple(plan: Plan) -> bool:
    """Whether the validator of a plan certainly compiles, and accepts the defaults."""
    return plan.convert is not None and all(map(_is_simple, plan.arguments))


def _is_simple(argument: Argument) -> bool:
    kinds = _kinds(argument.schema)
    if argument.default is msgspec.UNSET:
        return bool(kinds)
    return not argument.secret and _fits(argument.default, kinds)


def _fits(default: Json, kinds: frozenset[type]) -> bool:
    return type(default) in kinds and (not isinstance(default, int) or -EXACT <= default <= EXACT)


def _kinds(schema: Json) -> frozenset[type]:
    """The types of value a schema accepts, all values of each; none where it says more than that."""
    if not is_object(schema) or not schema.keys() <= _WORDS or ("type" in schema) == ("anyOf" in schema):
        return frozenset()
    if any(word in schema and not isinstance(schema[word], kind) for word, kind in _REMARKS.items()):
        return frozenset()
    choice = schema.get("anyOf")
    if is_list(choice):
        parts = [_kinds(part) for part in choice]
        return frozenset().union(*parts) if all(parts) else frozenset()
    kind = schema.get("type")
    return frozenset({_TYPES[kind]}) if isinstance(kind, str) and kind in _TYPES else frozenset()
