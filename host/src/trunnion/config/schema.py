"""Judging values of the configuration by the JSON Schemas of their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trunnion.model.contributions import Setting
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import nearest

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

MASK = "***"


class Violation(msgspec.Struct, frozen=True):
    """One place where a value does not fit its schema; ``path`` is relative to the value judged."""

    path: tuple[str, ...]
    message: str


def is_secret(schema: JsonObject) -> bool:
    """Whether values under this schema must not be shown."""
    return schema.get("writeOnly") is True


def violations(schema: JsonObject, value: Json) -> list[Violation]:
    """Where ``value`` does not fit ``schema``; values that may be secret are masked in the messages.

    References are resolved inside the schema only, never from the network.
    """
    plain = _errors(schema, value)
    if not _has_secret(schema):
        return [found for error in plain for found in _found(error, schema)]
    hidden = _errors(schema, value, MASK)
    chosen = (open_ if _may_be_shown(open_, schema) else cut for open_, cut in zip(plain, hidden, strict=True))
    return [found for error in chosen for found in _found(error, schema)]


def _errors(schema: JsonObject, value: Json, mask: str | None = None) -> list[ValidationError]:
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(_plain_object(schema), mask=mask, offline=True)
    return list(validator.iter_errors(_plain(value)))


def _may_be_shown(error: ValidationError, schema: JsonObject) -> bool:
    """Whether an error speaks of one plain value that no schema on the way to it, or below it, calls secret."""
    part: Json = schema
    for step in error.schema_path[:-1]:
        if isinstance(part, Mapping):
            if is_secret(part) or "$ref" in part:
                return False
            part = part.get(str(step))
        elif isinstance(part, list | tuple) and isinstance(step, int):
            part = part[step]
    return not (_has_secret(part) or _refers(part) or isinstance(error.instance, dict | list))


def _refers(part: Json) -> bool:
    """Whether a schema has references: what lies behind them is not followed."""
    if isinstance(part, Mapping):
        return "$ref" in part or any(map(_refers, part.values()))
    return isinstance(part, list | tuple) and any(map(_refers, part))


def _found(error: ValidationError, schema: JsonObject) -> list[Violation]:
    at = tuple(str(part) for part in error.instance_path)
    unexpected = getattr(error.kind, "unexpected", None)  # only where properties are not allowed
    if not isinstance(unexpected, list):
        return [Violation(at, _worded(error, schema))]
    known = _properties_at(schema, error.schema_path[:-1])
    return [Violation((*at, name), _unknown(name, known)) for name in map(str, unexpected)]


def _unknown(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    if close:
        return f"unknown key; did you mean {' or '.join(map(repr, close))}?"
    return f"unknown key; known here: {', '.join(sorted(known)) or 'none'}"


def _properties_at(schema: Json, path: Sequence[str | int]) -> list[str]:
    """The properties that a part of a schema declares; none where the way to it leads through a reference."""
    for part in path:
        if isinstance(schema, Mapping):
            schema = schema.get(str(part))
        elif isinstance(schema, Sequence) and not isinstance(schema, str) and isinstance(part, int):
            schema = schema[part]
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return list(properties) if isinstance(properties, Mapping) else []


def _worded(error: ValidationError, schema: JsonObject) -> str:
    """The validator's wording, with all choices where it lists only the first few, or none."""
    alternatives = [each for each in _alternatives(error) if getattr(each.kind, "types", None) != ["null"]]
    if len(alternatives) == 1:  # beside null, which no file can say
        return alternatives[0].message
    message = error.message
    choices = schema.get("enum")
    if not isinstance(choices, list | tuple) or " is not one of " not in message:
        return message
    return f"{message.partition(' is not one of ')[0]} is not one of {', '.join(map(str, choices))}"


def _alternatives(error: ValidationError) -> list[ValidationError]:
    """Why a value fits none of several schemas."""
    return [each for errors in getattr(error.kind, "context", None) or () for each in errors]


def problem_of_setting(setting: Setting) -> str | None:
    """Why a declared setting cannot be used: a schema that is none, or a default that does not fit it."""
    import jsonschema_rs

    try:
        jsonschema_rs.Draft202012Validator(_plain_object(setting.schema), offline=True)
        found = violations(setting.schema, setting.schema["default"]) if "default" in setting.schema else []
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        return f"its schema is not a valid JSON Schema 2020-12: {str(error).partition(chr(10))[0]}"
    return f"its default does not fit its own schema: {found[0].message}" if found else None


def with_defaults(schema: JsonObject, value: Json) -> Json:
    """``value`` with the defaults of absent properties filled in, at every depth."""
    if not isinstance(value, Mapping):
        return value
    properties = schema.get("properties")
    declared: Mapping[str, Json] = properties if isinstance(properties, Mapping) else {}
    others = schema.get("additionalProperties")
    filled = {
        key: with_defaults(child, item) if isinstance(child := declared.get(key, others), Mapping) else item
        for key, item in value.items()
    }
    for key, child in declared.items():
        if key not in filled and isinstance(child, Mapping) and "default" in child:
            filled[key] = child["default"]
    return filled


def with_absolute_paths(schema: JsonObject, value: Json, base: Path) -> Json:
    """``value`` with every relative path in it, wherever the schema says ``format: path``, taken from ``base``."""
    if isinstance(value, str):
        return str(base / Path(value).expanduser()) if value and schema.get("format") == "path" else value
    if isinstance(value, Mapping):
        properties = schema.get("properties")
        declared: Mapping[str, Json] = properties if isinstance(properties, Mapping) else {}
        others = schema.get("additionalProperties")
        return {
            key: with_absolute_paths(child, item, base)
            if isinstance(child := declared.get(key, others), Mapping)
            else item
            for key, item in value.items()
        }
    items = schema.get("items")
    if isinstance(value, Sequence) and isinstance(items, Mapping):
        return [with_absolute_paths(items, item, base) for item in value]
    return value


def masked(schema: JsonObject, value: Json) -> Json:
    """``value`` with everything a schema marks as secret replaced by ``***``."""
    if value is None:
        return None
    if is_secret(schema):
        return MASK
    if not isinstance(value, Mapping):
        return value
    properties = schema.get("properties")
    declared: Mapping[str, Json] = properties if isinstance(properties, Mapping) else {}
    others = schema.get("additionalProperties")
    return {
        key: masked(child, item) if isinstance(child := declared.get(key, others), Mapping) else item
        for key, item in value.items()
    }


def _has_secret(schema: Json) -> bool:
    if isinstance(schema, Mapping):
        return is_secret(schema) or any(_has_secret(child) for child in schema.values())
    if isinstance(schema, list | tuple):
        return any(_has_secret(child) for child in schema)
    return False


def _plain_object(value: JsonObject) -> dict[str, object]:
    return {key: _plain(item) for key, item in value.items()}


def _plain(value: Json) -> object:
    """The same data in the plain containers the validator accepts."""
    if isinstance(value, Mapping):
        return _plain_object(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
