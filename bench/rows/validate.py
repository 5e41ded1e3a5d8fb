"""perf-validate: arguments of one call, checked and converted, and what the libraries below take."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Literal

import jsonschema_rs
import msgspec

from bench.harness import Effort, Work, duel
from bench.result import Result, times
from trunnion.arguments import Parameters, compile_parameters
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject

ROW = "perf-validate"
TARGET = 2.5


class Mode(Enum):
    """How it is done."""

    FAST = "fast"
    SAFE = "safe"


class Window(msgspec.Struct):
    """When it is done."""

    start: Annotated[int, msgspec.Meta(ge=0, le=86_400)]
    end: Annotated[int, msgspec.Meta(ge=0, le=86_400)]
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]


def small(host: str, port: int = 502) -> None:
    """Two arguments."""


def middle(
    device: Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
    address: Annotated[int, msgspec.Meta(ge=0, le=65_535)],
    values: Annotated[list[float], msgspec.Meta(max_length=100)],
    *,
    mode: Mode = Mode.SAFE,
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 3,
    tags: dict[str, str] = {},  # noqa: B006  a declaration: nobody changes it
    window: Window | None = None,
    dry_run: bool = False,
    note: str = "",
) -> None:
    """Nine arguments, some of them nested."""


SMALL: JsonObject = {"host": "plc-7.example", "port": 1502}
MIDDLE: JsonObject = {
    "device": "press-3",
    "address": 4096,
    "values": [1.5, 2.25, 3.0, 4.75, 5.5, 6.0, 7.25, 8.5],
    "mode": "fast",
    "retries": 5,
    "tags": {"line": "north", "shift": "late"},
    "window": {"start": 28_800, "end": 61_200, "days": ["mon", "tue", "wed"]},
    "dry_run": True,
    "note": "after the change of tools",
}


_CASES = (("small", small, SMALL), ("middle", middle, MIDDLE))


class SmallArgs(msgspec.Struct):
    """What ``small`` takes."""

    host: str
    port: int = 502


class MiddleArgs(msgspec.Struct):
    """What ``middle`` takes."""

    device: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    address: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    values: Annotated[list[float], msgspec.Meta(max_length=100)]
    mode: Mode = Mode.SAFE
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 3
    tags: dict[str, str] = {}
    window: Window | None = None
    dry_run: bool = False
    note: str = ""


def cases_for_others() -> str:
    """Schemas and valid arguments, for scripts that import nothing of ours."""
    made = {name: (compile_parameters(handler).schema, given) for name, handler, given in _CASES}
    return msgspec.json.encode(made).decode()


def measure(effort: Effort) -> Result:
    """Commands with a schema and commands with a signature, small and middle."""
    result = Result(
        notes=[
            "Ceiling for a schema: jsonschema-rs, a yes or no. Ceiling for a signature: jsonschema-rs, then "
            "msgspec.convert. Beside: an invalid object, where the ceiling is jsonschema-rs listing its errors."
        ]
    )
    asyncio.run(_measure(effort, result))
    return result


async def _measure(effort: Effort, result: Result) -> None:
    for name, handler, given, struct in (("small", small, SMALL, SmallArgs), ("middle", middle, MIDDLE, MiddleArgs)):
        signed = compile_parameters(handler)
        schemed = compile_parameters(_mapping, signed.schema)
        validator = jsonschema_rs.Draft202012Validator(dict(signed.schema))
        figures = await duel(_ours(schemed, given), _bare(validator, given, None), effort)
        result.lines.append(times(ROW, f"{name}, schema", "call", figures, at_most=TARGET))
        figures = await duel(_ours(signed, given), _bare(validator, given, struct), effort)
        result.lines.append(times(ROW, f"{name}, signature", "call", figures, at_most=TARGET))
        bad = {**given, next(iter(given)): 5}
        figures = await duel(_refused(signed, bad), _bare_errors(validator, bad), effort)
        result.lines.append(times(ROW, f"{name}, invalid", "call", figures))


def _mapping(args: Mapping[str, Json]) -> None:
    """Takes its arguments by schema."""


def _ours(parameters: Parameters, given: JsonObject) -> Work:
    async def work(count: int) -> None:
        bind = parameters.bind
        for _ in range(count):
            bind(given)

    return work


def _refused(parameters: Parameters, given: JsonObject) -> Work:
    async def work(count: int) -> None:
        bind = parameters.bind
        for _ in range(count):
            try:
                bind(given)
            except InvalidArguments:
                continue
            raise AssertionError("invalid arguments passed")

    return work


def _bare(validator: jsonschema_rs.Draft202012Validator, given: JsonObject, struct: type | None) -> Work:
    async def work(count: int) -> None:
        is_valid, convert = validator.is_valid, msgspec.convert
        if struct is None:
            for _ in range(count):
                is_valid(given)
        else:
            for _ in range(count):
                is_valid(given)
                convert(given, struct)

    return work


def _bare_errors(validator: jsonschema_rs.Draft202012Validator, given: JsonObject) -> Work:
    async def work(count: int) -> None:
        for _ in range(count):
            list(validator.iter_errors(given))

    return work
