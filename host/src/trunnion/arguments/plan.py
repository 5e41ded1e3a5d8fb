"""The plain data that a signature or a schema is turned into; all the rest works from it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trunnion.model.json import Json, JsonObject


class Argument(msgspec.Struct, frozen=True):
    """One argument.

    Attributes:
        schema: its schema; references point into ``Plan.schema``.
        default: JSON form; UNSET for none.
        secret: whether its value, or part of it, must not be shown.
    """

    name: str
    schema: JsonObject
    required: bool
    default: Json | msgspec.UnsetType = msgspec.UNSET
    secret: bool = False
    description: str = ""


class CallShape(msgspec.Struct, frozen=True):
    """How a handler is called.

    Attributes:
        mapping: it takes one mapping instead of its arguments by name.
        positional: arguments handed over by position, in order.
        spread: the ``*args`` parameter, if there is one.
        keyword: arguments handed over by name.
    """

    context: bool
    mapping: bool = False
    positional: tuple[str, ...] = ()
    spread: str | None = None
    keyword: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """All arguments of one handler.

    Attributes:
        schema: the object schema that meta shows.
        arguments: in the order of declaration.
        words: names of positional arguments, in order.
        convert: makes Python values of valid JSON arguments; None hands the JSON over.
    """

    where: str
    schema: JsonObject
    arguments: tuple[Argument, ...]
    words: tuple[str, ...]
    shape: CallShape
    convert: Callable[[dict[str, Json]], dict[str, object]] | None = None
