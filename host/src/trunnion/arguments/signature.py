"""From a typed Python signature to a plan: the schema that meta shows and the types a handler gets.

A ``datetime`` needs its offset: a time without one means something else on the client than on the host,
so it is refused. Fields of dataclasses and structs convert as their own annotations say.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import msgspec

from trunnion.arguments.docstring import parameter_descriptions
from trunnion.arguments.hints import (
    Secret,
    description_of,
    extras,
    for_convert,
    for_schema,
    from_json,
    members,
    resolve_hint,
    schema_hook,
    to_json,
)
from trunnion.arguments.plan import Argument, CallShape, Plan
from trunnion.arguments.walk import is_object, mapped, resolve
from trunnion.model.commands import Handler
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject, encode

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_EMPTY = inspect.Parameter.empty


class _Field(msgspec.Struct, frozen=True):
    parameter: inspect.Parameter
    hint: object

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def spread(self) -> bool:
        return self.parameter.kind is inspect.Parameter.VAR_POSITIONAL

    @property
    def required(self) -> bool:
        return self.parameter.default is _EMPTY and not self.spread


def function_name(handler: Handler) -> str:
    """A handler's name, for messages."""
    name = getattr(handler, "__qualname__", None)
    return name if isinstance(name, str) else repr(handler)


def split_context(
    handler: Handler, kinds: tuple[type, ...], names: tuple[str, ...]
) -> tuple[bool, list[inspect.Parameter]]:
    """Whether a handler takes the context first, and its other parameters.

    The first parameter is the context if it is annotated with one of ``kinds``, or if it has one of
    ``names``: a name so reserved is never an argument, whatever its annotation.
    """
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        raise _unusable(handler, None, "it has no signature that can be read; bring a schema") from None
    if parameters and parameters[0].kind in _BY_POSITION and _is_context(handler, parameters[0], kinds, names):
        return True, parameters[1:]
    return False, parameters


def _is_context(
    handler: Handler, parameter: inspect.Parameter, kinds: tuple[type, ...], names: tuple[str, ...]
) -> bool:
    annotation = parameter.annotation
    if parameter.name in names or annotation in kinds:
        return True
    if not isinstance(annotation, str):
        return False
    return annotation.strip("'\"").rpartition(".")[2] in {kind.__name__ for kind in kinds}


def plan_of_signature(
    handler: Handler,
    positional: tuple[str, ...] | None,
    context_types: tuple[type, ...],
    context_names: tuple[str, ...],
) -> Plan:
    """Make the plan of a handler whose arguments are its parameters.

    Raises:
        InvalidArguments: a parameter cannot be an argument; function, parameter and reason are named.
    """
    context, parameters = split_context(handler, context_types, context_names)
    fields = [_field(handler, parameter) for parameter in parameters]
    schemas, definitions = _schemas(handler, fields)
    described = parameter_descriptions(handler)
    arguments = tuple(
        _argument(handler, field, schema, definitions, described) for field, schema in zip(fields, schemas, strict=True)
    )
    words = tuple(f.name for f in fields if f.parameter.kind in _BY_POSITION or f.spread)
    schema = _object_schema(arguments, definitions)
    return Plan(
        where=function_name(handler),
        schema=schema,
        arguments=arguments,
        words=words if positional is None else positional,
        shape=_shape(context, fields),
        convert=_converter(fields, schema),
    )


def _unusable(handler: Handler, parameter: str | None, reason: str) -> InvalidArguments:
    subject = f"{function_name(handler)}(), parameter {parameter!r}" if parameter else f"{function_name(handler)}()"
    message = f"{subject}: {reason}"
    return InvalidArguments(message, {"problems": [{"path": parameter or "", "message": reason}]})


def _field(handler: Handler, parameter: inspect.Parameter) -> _Field:
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise _unusable(handler, parameter.name, "arguments of any name cannot be declared; bring a schema")
    if parameter.annotation is _EMPTY:
        raise _unusable(handler, parameter.name, "it has no type annotation")
    try:
        hint = resolve_hint(handler, parameter.name, parameter.annotation)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise _unusable(handler, parameter.name, f"its annotation cannot be evaluated ({error})") from None
    _refuse_hidden_patterns(handler, parameter.name, hint)
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        hint = list[hint]  # type: ignore[valid-type]
    return _Field(parameter, hint)


def _refuse_hidden_patterns(handler: Handler, name: str, hint: object) -> None:
    """A pattern on a record's field cannot be kept from the converter's engine, so it is not accepted there."""
    for place, field in members(hint):
        for extra in _all_extras(field):
            if isinstance(extra, msgspec.Meta) and extra.pattern is not None:
                advice = 'write msgspec.Meta(extra_json_schema={"pattern": ...}) there'
                raise _unusable(handler, name, f"{place} has a pattern that could run in exponential time; {advice}")


def _all_extras(hint: object) -> list[object]:
    inner = [extra for arg in getattr(hint, "__args__", ()) for extra in _all_extras(arg)]
    return [*extras(hint), *inner]


def _is_secret(hint: object) -> bool:
    hints = [hint, *(field for _, field in members(hint))]
    return any(isinstance(extra, Secret) or extra is Secret for each in hints for extra in _all_extras(each))


def _schemas(handler: Handler, fields: list[_Field]) -> tuple[list[dict[str, Json]], dict[str, Json]]:
    try:
        schemas, definitions = _components(fields)
    except (TypeError, ValueError, RecursionError):
        for field in fields:
            _refuse_unusable(handler, field)
        raise
    return [_closed(schema) for schema in schemas], {name: _closed(part) for name, part in definitions.items()}


def _components(fields: list[_Field]) -> tuple[tuple[dict[str, Json], ...], dict[str, Json]]:
    """The schemas of types that can be converted to as well, and what they share.

    Raises:
        TypeError, ValueError, RecursionError: one of them has no schema, or nothing can be converted to it.
    """
    together = tuple.__class_getitem__(tuple(for_convert(field.hint) for field in fields))
    msgspec.convert({}, dict[str, together], dec_hook=from_json)  # type: ignore[valid-type]
    hints = [for_schema(field.hint) for field in fields]
    return msgspec.json.schema_components(hints, schema_hook=schema_hook, ref_template="#/$defs/{name}")


def _refuse_unusable(handler: Handler, field: _Field) -> None:
    try:
        _components([field])
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise _unusable(handler, field.name, f"its type cannot be used as an argument ({reason})") from None


def _closed(schema: Json) -> dict[str, Json]:
    """Records accept their own fields only: a mistyped one is an error, not ignored."""

    def close(part: dict[str, Json]) -> dict[str, Json]:
        return {"additionalProperties": False, **part} if "properties" in part else part

    made = mapped(schema, close)
    return dict(made) if is_object(made) else {}


def _argument(
    handler: Handler,
    field: _Field,
    schema: dict[str, Json],
    definitions: dict[str, Json],
    described: Mapping[str, str],
) -> Argument:
    description = description_of(field.hint) or described.get(field.name, "")
    extra: dict[str, Json] = {"description": description} if description else {}
    default = _default(handler, field)
    if default is not msgspec.UNSET:
        extra["default"] = default
    secret = _is_secret(field.hint) or resolve({"$defs": definitions}, schema).get("writeOnly") is True
    if secret:
        extra["writeOnly"] = True
    return Argument(
        name=field.name,
        schema={**schema, **extra},
        required=field.required,
        default=default,
        secret=secret,
        description=description,
    )


def _default(handler: Handler, field: _Field) -> Json | msgspec.UnsetType:
    if field.required:
        return msgspec.UNSET
    if field.spread:
        return []
    try:
        return _with_lists(msgspec.to_builtins(field.parameter.default, enc_hook=to_json, str_keys=True))
    except (TypeError, ValueError, RecursionError) as error:
        raise _unusable(handler, field.name, f"its default has no JSON form ({error})") from None


def _with_lists(value: Json | tuple[Json, ...]) -> Json:
    """A value as JSON has it: msgspec leaves tuples as they are, and a run would be told of otherwise than recorded."""
    if isinstance(value, list | tuple):
        return [_with_lists(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_lists(item) for name, item in value.items()}
    return value


def _object_schema(arguments: tuple[Argument, ...], definitions: dict[str, Json]) -> JsonObject:
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {argument.name: argument.schema for argument in arguments},
        "required": [argument.name for argument in arguments if argument.required],
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def _shape(context: bool, fields: list[_Field]) -> CallShape:
    by_position = [f.name for f in fields if f.parameter.kind in _BY_POSITION]
    spread = next((f.name for f in fields if f.spread), None)
    keyword_only = [f.name for f in fields if f.parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    return CallShape(context=context, positional=tuple(by_position), spread=spread, keyword=tuple(keyword_only))


def _converter(fields: list[_Field], schema: JsonObject) -> Callable[[dict[str, Json]], dict[str, object]]:
    target = msgspec.defstruct("Arguments", [(field.name, for_convert(field.hint)) for field in fields], kw_only=True)
    convert, as_dict = msgspec.convert, msgspec.structs.asdict
    if b'"path"' in encode(schema):
        return lambda args: as_dict(convert(args, target, dec_hook=from_json))
    return lambda args: as_dict(convert(args, target))
