"""From a JSON Schema somebody wrote, for a driver or a script, to a plan."""

from __future__ import annotations

import inspect

import msgspec

from trunnion.arguments.judge import refuse
from trunnion.arguments.plan import Argument, CallShape, Plan
from trunnion.arguments.signature import function_name, split_context
from trunnion.arguments.walk import is_list, is_object, resolve, subschemas
from trunnion.model.commands import Handler
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject


def plan_of_schema(
    handler: Handler,
    schema: JsonObject,
    positional: tuple[str, ...] | None,
    context_types: tuple[type, ...],
    context_names: tuple[str, ...],
) -> Plan:
    """Make the plan of a handler that takes its arguments as one mapping. The schema was judged before.

    Positional arguments are by default the required ones, in the order of the properties.
    """
    where = function_name(handler)
    arguments = tuple(
        _argument(schema, name, part, name in required_of(schema)) for name, part in properties_of(schema).items()
    )
    return Plan(
        where=where,
        schema=schema,
        arguments=arguments,
        words=tuple(a.name for a in arguments if a.required) if positional is None else positional,
        shape=CallShape(context=_takes_context(handler, context_types, context_names), mapping=True),
    )


def closed(schema: JsonObject, where: str) -> dict[str, Json]:
    """The schema as an object schema that admits declared arguments only.

    Raises:
        InvalidArguments: it describes something else than an object, or is open on purpose.
    """
    if schema.get("type", "object") != "object":
        raise refuse(where, ("type",), 'arguments are an object: the type must be "object"')
    if schema.get("additionalProperties", False) is not False:
        reason = "arguments nobody declared are refused; for free-form values declare one argument of type object"
        raise refuse(where, ("additionalProperties",), reason)
    for keyword, expected in (("properties", is_object), ("required", is_list)):
        if keyword in schema and not expected(schema[keyword]):
            raise refuse(where, (keyword,), "it has the wrong type")
    for name in required_of(schema):
        if name not in properties_of(schema):
            raise refuse(where, ("required",), f"it requires {name!r}, which it does not declare")
    return {"properties": {}, "required": [], **schema, "type": "object", "additionalProperties": False}


def properties_of(schema: JsonObject) -> JsonObject:
    """The declared arguments of an object schema."""
    properties = schema.get("properties")
    return properties if is_object(properties) else {}


def required_of(schema: JsonObject) -> list[str]:
    """The names an object schema requires."""
    names = schema.get("required")
    return [str(name) for name in names] if is_list(names) else []


def _argument(root: JsonObject, name: str, schema: Json, required: bool) -> Argument:
    part = schema if is_object(schema) else resolve(root, schema)
    flat = resolve(root, part)
    description = flat.get("description", flat.get("title", ""))
    return Argument(
        name=name,
        schema=part,
        required=required,
        default=flat.get("default", msgspec.UNSET),
        secret=_holds_secret(root, part, set()),
        description=description if isinstance(description, str) else "",
    )


def _holds_secret(root: JsonObject, schema: Json, seen: set[int]) -> bool:
    """Whether any part of a value is secret; then the whole argument is treated so."""
    flat = resolve(root, schema)
    if flat.get("writeOnly") is True:
        return True
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    return any(_holds_secret(root, part, seen) for _, part in subschemas(flat))


def _takes_context(handler: Handler, kinds: tuple[type, ...], names: tuple[str, ...]) -> bool:
    context, parameters = split_context(handler, kinds, names)
    needed = [p for p in parameters if p.default is inspect.Parameter.empty and p.kind in _NEEDED]
    accepts = [p for p in parameters if p.kind in (*_BY_POSITION, inspect.Parameter.VAR_POSITIONAL)]
    if len(needed) > 1 or not accepts or any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in needed):
        reason = "a handler that brings a schema takes its arguments as one mapping"
        raise InvalidArguments(f"{function_name(handler)}(): {reason}", {"problems": [{"path": "", "message": reason}]})
    return context


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NEEDED = (*_BY_POSITION, inspect.Parameter.KEYWORD_ONLY)
