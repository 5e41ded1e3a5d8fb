"""Commands with signatures of every kind of type, and words that may stand behind their names: good ones and others."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from trunnion import Command, Query, Secret


class Colour(enum.Enum):
    RED = "red"
    BLUE = "deep blue"


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    label: str | None = None


def numbers(
    whole: int,
    small: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0,
    *,
    real: float = 0.5,
    even: Annotated[int, msgspec.Meta(multiple_of=2)] = 2,
    share: decimal.Decimal = decimal.Decimal(1),
) -> None:
    """Take numbers."""


def texts(
    first: str,
    *rest: str,
    word: Annotated[str, msgspec.Meta(pattern="^[a-z]*$", max_length=4)] = "",
    maybe: str | None = None,
    path: Path = Path("x"),
) -> None:
    """Take text."""


def choices(
    tone: Literal["kind", "very cool", 3],
    colour: Colour = Colour.RED,
    *,
    loud: bool = False,
    perhaps: bool | None = None,
    several: list[Literal["a", "b"]] = [],  # noqa: B006
) -> None:
    """Take one of a few."""


def times(
    at: datetime.datetime,
    wait: datetime.timedelta = datetime.timedelta(0),
    *,
    day: datetime.date | None = None,
    key: uuid.UUID | None = None,
) -> None:
    """Take times."""


def shapes(
    points: list[Point],
    *,
    home: Point | None = None,
    table: dict[str, int] = {},  # noqa: B006
    sizes: tuple[int, ...] = (),
    pair: tuple[int, str] | None = None,
    unique: set[int] = set(),  # noqa: B006
    anything: object = None,
    either: int | str = 0,
) -> None:
    """Take what has parts."""


def unlock(*, code: Annotated[str, Secret()], door: Literal["front", "back"] = "front") -> None:
    """Take a secret that is needed."""


def store(name: str, token: Annotated[str, Secret()] = "", pin: Annotated[int | None, Secret()] = None) -> None:
    """Take secrets that are not."""


def given(args: Mapping[str, object]) -> None:
    """Take what a schema describes."""


SCHEMA = {
    "type": "object",
    "properties": {
        "big": {"type": "integer", "format": "int64"},
        "mode": {"enum": ["fast", "slow", None]},
        "low": {"type": "integer", "default": 1},
        "high": {"type": "integer"},
        "a_b": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "uniqueItems": True},
    },
    "required": ["big"],
    "if": {"properties": {"mode": {"const": "fast"}}, "required": ["mode"]},
    "then": {"required": ["high"], "properties": {"high": {"maximum": 5}}},
}
COMMANDS = [
    Command.of(function, console="s", lock=None, keep="none")
    for function in (numbers, texts, choices, times, shapes, unlock, store)
] + [Command.of(given, console="s", lock=None, keep="none", args=SCHEMA, positional=("big", "mode"))]
QUERIES = [Query.of(choices, console="s", name="ask", args=None)]

_COMMON = ["--", "-5", "5", "x", "''", "--nothing", "null", "&", "#", "'a b'", "[1]", "x=1", "--no"]
WORDS: Mapping[str, list[str]] = {
    "s.numbers": [
        "12", "-3", "10", "9.0", "1e2", "--small=3", "--small", "small=10", "whole=7", "--real=.5", "real=x",
        "--even=4", "even=5", "share=1.25", "share=x", "9007199254740993",
    ],
    "s.texts": [
        "a", "'--x'", "first=a", "--first", "word=abc", "word=ABC", "word=abcdef", "--maybe=null", "maybe=",
        "--path=/etc/x", "rest=a", "rest='[\"a\"]'", "--rest=b", "\\\n", "\"a\\\"b\"", "\u00a0", "first='a b'",
    ],
    "s.choices": [
        "kind", "'very cool'", "3", "tone=kind", "red", "'deep blue'", "colour='deep blue'", "colour=green",
        "--loud", "--no-loud", "loud=true", "--loud=maybe", "perhaps=null", "--no-perhaps", "several=a",
        "several=b", "several=c", "--several=['a']", "--several='[\"a\"]'",
    ],
    "s.times": [
        "2026-01-31T12:00:00Z", "2026-13-31T12:00:00Z", "2026-01-31", "at=2026-01-31T12:00:00Z", "1h30m", "PT1H",
        "wait=5s", "wait=5", "day=2026-02-30", "day=2026-02-28", "key=12345678-1234-5678-1234-567812345678",
        "key=1",
    ],
    "s.shapes": [
        "'[{\"x\": 1}]'", "'{\"x\": 1}'", "'[{\"y\": 1}]'", "[]", "points=[]", "home=x=1", "home=y=2.5",
        "home=label=q", "home='{\"x\": 1, \"z\": 1}'", "home=null", "table=a=1", "table=b=x", "table={", "sizes=1",
        "sizes=2", "sizes=z", "pair=1", "pair=b", "unique=1", "unique=2", "anything='[1, null]'", "anything=x",
        "either=5", "either=five", "sizes=[1,2]",
    ],
    "s.unlock": [
        "code=env:HOME", "code=file:/x", "code=hunter2", "--code", "env:HOME", "door=back", "door=side", "--door",
    ],
    "s.store": [
        "name=x", "a", "token=env:T", "token=t", "--token=env:T", "pin=env:P", "pin=1234", "env:X", "1234",
    ],
    "s.given": [
        "7", "big=9007199254740993", "big='\"7\"'", "fast", "slow", "mode=null", "mode=fast", "high=3", "high=9",
        "low=x", "a_b=1", "a-b=2", "--a-b=1", "a_b=[3,4]", "--mode",
    ],
    "s.ask": [
        "kind", "3", "red", "--loud", "loud=1", "several=a", "tone=x",
    ],
}  # fmt: skip
"""Name -> words as they are typed."""


def pool(name: str) -> list[str]:
    return [*WORDS[name], *_COMMON]
