"""Lock templates: from ``"plc:{device}"`` and an invocation to the key a run waits on."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping

import msgspec

from trunnion.model.commands import Lock
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import console_of

CONTEXT_FIELDS = frozenset({"session", "principal"})


class LockScope(msgspec.Struct, frozen=True):
    """What a template may name beside the command's own arguments."""

    principal: str
    session: str
    args: Mapping[str, Json]


class LockKey(msgspec.Struct, frozen=True):
    """A compiled lock: ``key_for`` gives the key of one run."""

    template: str
    limit: int
    key_for: Callable[[LockScope], str]


def compile_lock(lock: Lock, command_id: str, schema: JsonObject) -> LockKey:
    """Check a template once and turn it into a function.

    Raises:
        InvalidArguments: the template is malformed or names something there is not.
    """
    if lock.limit < 1:
        raise InvalidArguments(f"command {command_id}: a lock's limit is at least 1, not {lock.limit}")
    known = {"command_id": command_id, "console": console_of(command_id)}
    properties = schema.get("properties")
    arguments = frozenset(properties) if isinstance(properties, Mapping) else frozenset[str]()
    try:
        parts = [(text, field) for text, field, _, _ in string.Formatter().parse(lock.key)]
    except ValueError as error:
        raise InvalidArguments(f"command {command_id}: lock template {lock.key!r} is malformed: {error}") from error
    for _, field in parts:
        if field is not None and field not in known and field not in CONTEXT_FIELDS and field not in arguments:
            choices = ", ".join(sorted({*known, *CONTEXT_FIELDS, *arguments}))
            raise InvalidArguments(
                f"command {command_id}: lock template {lock.key!r} names {field!r}; it may name {choices}"
            )
    pieces = [(text + known[field], None) if field in known else (text, field) for text, field in parts]
    if all(field is None for _, field in pieces):
        fixed = "".join(text for text, _ in pieces)
        return LockKey(lock.key, lock.limit, lambda scope: fixed)
    return LockKey(lock.key, lock.limit, lambda scope: "".join(text + _value(field, scope) for text, field in pieces))


def _value(field: str | None, scope: LockScope) -> str:
    if field is None:
        return ""
    if field in scope.args:
        return str(scope.args[field])
    return scope.session if field == "session" else scope.principal if field == "principal" else ""
