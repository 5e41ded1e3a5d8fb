"""Type annotations, made ready for the two libraries: one makes schemas of them, the other converts."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec

from trunnion.model.json import Json


class Secret:
    """Marks an argument whose value is never shown or stored in the clear: ``Annotated[str, Secret()]``."""

    def __repr__(self) -> str:
        return "Secret()"


def resolve_hint(function: object, name: str, annotation: object) -> object:
    """Evaluate one annotation of a function, so that one that cannot be does not spoil the others.

    Raises:
        NameError, TypeError, SyntaxError: it cannot be evaluated where the function was defined.
    """
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, "__func__", getattr(function, "func", function))
    holder = types.SimpleNamespace(__annotations__={name: annotation})
    namespace: dict[str, object] = getattr(function, "__globals__", {})
    hints: Mapping[str, object] = typing.get_type_hints(holder, globalns=namespace, include_extras=True)
    return hints[name]


def extras(hint: object) -> tuple[object, ...]:
    """What ``Annotated`` adds to a type at the top."""
    return tuple(get_args(hint)[1:]) if get_origin(hint) is Annotated else ()


def description_of(hint: object) -> str:
    """The description an annotation carries: ``msgspec.Meta(description=...)`` or a plain string."""
    for extra in extras(hint):
        text = extra.description if isinstance(extra, msgspec.Meta) else extra
        if isinstance(text, str):
            return text
    return ""


def for_schema(hint: object) -> object:
    """The type as the schema maker wants it."""
    return _rewritten(hint, lambda meta: meta)


def for_convert(hint: object) -> object:
    """The type as the converter gets it: without patterns, which it would run on a backtracking engine."""
    return _rewritten(hint, _without_pattern)


def _without_pattern(meta: msgspec.Meta) -> msgspec.Meta:
    if meta.pattern is None:
        return meta
    return msgspec.Meta(min_length=meta.min_length, max_length=meta.max_length)


def _rewritten(hint: object, meta: Callable[[msgspec.Meta], msgspec.Meta]) -> object:
    if hint is object:
        return typing.Any
    if hint is datetime.datetime:
        return Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kept = [meta(extra) for extra in args[1:] if isinstance(extra, msgspec.Meta)]
        return _annotated(_rewritten(args[0], meta), kept)
    if origin is None or origin is Literal or not args:
        return hint
    inner = tuple(arg if arg is Ellipsis else _rewritten(arg, meta) for arg in args)
    if origin in (Union, types.UnionType):
        return Union[inner]  # noqa: UP007 - the members are only known at run time
    generic: Callable[[object], object] = origin.__class_getitem__
    return generic(inner if len(inner) > 1 else inner[0])


def _annotated(hint: object, metas: list[msgspec.Meta]) -> object:
    for meta in metas:
        hint = Annotated[hint, meta]
    return hint


def members(hint: object, seen: set[object] | None = None) -> Iterator[tuple[str, object]]:
    """The annotated fields of every dataclass and struct an annotation mentions, nested ones included."""
    seen = set() if seen is None else seen
    for arg in get_args(hint):
        yield from members(arg, seen)
    if not _is_record(hint) or hint in seen:
        return
    seen.add(hint)
    for name, field in typing.get_type_hints(hint, include_extras=True).items():
        yield f"{getattr(hint, '__name__', hint)}.{name}", field
        yield from members(field, seen)


def _is_record(hint: object) -> bool:
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, msgspec.Struct))


def schema_hook(kind: type) -> dict[str, Json]:
    """The schema of types the schema maker does not know."""
    if kind in (Path, PurePath):
        return {"type": "string", "format": "path"}
    raise NotImplementedError


def from_json(kind: type, value: object) -> object:
    """Make a value of a type the converter does not know."""
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise TypeError(f"expected a file path, got {type(value).__name__}")


def to_json(value: object) -> object:
    """The JSON form of a value the encoder does not know."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")
