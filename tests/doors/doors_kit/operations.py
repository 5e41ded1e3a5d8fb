"""What is asked for at every door: commands and queries that take every kind of argument and end in every way."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from trunnion import (
    Busy,
    Command,
    CommandFailed,
    Conflict,
    Context,
    Forbidden,
    NotFound,
    Query,
    Retry,
    Secret,
    Unavailable,
    hookimpl,
)

REMOTE = frozenset({"web", "rpc"})
Ways = Literal[
    "failed", "busy", "conflict", "forbidden", "not_found", "unavailable", "exception", "exit", "interrupt",
    "base", "recursion", "object", "cycle", "nan", "itself", "long", "odd_details", "cancelled",
]  # fmt: skip


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    label: str | None = None


def say(ctx: Context, text: str, *, times: int = 1, loud: bool = False) -> str:
    """Say something.

    Args:
        text: what.
        times: how often.
        loud: in capitals.
    """
    shown = text.upper() if loud else text
    for number in range(min(max(times, 0), 3)):
        ctx.echo(shown, number)
    return shown


async def typed(
    ctx: Context,
    whole: int,
    *,
    real: float = 0.5,
    flag: bool | None = None,
    tone: Literal["kind", "cool", 3] = "kind",
    small: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0,
    word: Annotated[str, msgspec.Meta(pattern="^[a-z]*$", max_length=8)] = "",
    tags: list[str] | None = None,
    sizes: tuple[int, ...] = (),
    table: dict[str, int] | None = None,
    anything: object = None,
) -> list[object]:
    """Take one argument of each type."""
    ctx.data({"whole": whole, "anything": anything}, "typed")
    return [whole, real, flag, tone, small, word, tags, list(sizes), table, anything]


async def shape(ctx: Context, points: list[Point], *, home: Point | None = None) -> dict[str, object]:
    """Take objects inside lists."""
    ctx.table([[p.x, p.y, p.label] for p in points], ["x", "y", "label"])
    return {"points": points, "home": home}


def given(args: Mapping[str, object]) -> object:
    """Take what a JSON Schema describes."""
    return dict(args)


SCHEMA = {
    "type": "object",
    "properties": {
        "big": {"type": "integer", "format": "int64"},
        "ratio": {"type": "number", "exclusiveMinimum": 0},
        "mode": {"enum": ["fast", "slow", None]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 4}]},
        "nested": {
            "type": "object",
            "properties": {"deep": {"type": "array", "items": {"type": "integer", "format": "int64"}}},
            "additionalProperties": False,
        },
        "pass-word": {"type": "string", "writeOnly": True},
    },
    "required": ["big"],
    "additionalProperties": False,
}


def words(ctx: Context, first: str, *rest: str) -> list[str]:
    """Take words, as many as there are."""
    ctx.echo(*rest)
    return [first, *rest]


def unlock(ctx: Context, *, code: Annotated[str, Secret()], door: str = "front") -> dict[str, object]:
    """Repeat a secret wherever that is possible; it must not come out anywhere."""
    ctx.echo("the code is", code)
    ctx.log(f"tried {code}", "warning", {"code": code})
    if door == code:
        raise CommandFailed(f"wrong code {code}", {"code": code})
    return {"door": door, "length": len(code), "code": code}


async def file(path: Path, *, also: list[Path] = []) -> dict[str, object]:  # noqa: B006 - a default to be copied
    """Take paths."""
    return {"name": path.name, "parts": list(path.parts), "also": also}


def ordered(args: Mapping[str, object]) -> str | None:
    """The validator of ``between``: refuses, fails, exits."""
    low, high = args["low"], args["high"]
    if low == -1:
        raise ValueError("the validator is broken")
    if low == -2:
        raise SystemExit(3)
    return f"low {low} is above high {high}" if low > high else None  # type: ignore[operator]


async def between(low: int, high: int = 5) -> int:
    """Take two numbers in order."""
    return high - low


def end(how: Ways, note: str = "") -> object:
    """End in one of many ways."""
    kinds = {
        "failed": CommandFailed, "busy": Busy, "conflict": Conflict, "forbidden": Forbidden, "not_found": NotFound,
        "unavailable": Unavailable,
    }  # fmt: skip
    if how in kinds:
        raise kinds[how](f"as ordered: {note}", {"note": note, "n": 1})
    if how in ("exception", "base", "recursion", "interrupt", "exit"):
        raise {
            "exception": ValueError(note), "base": BaseException(note), "recursion": RecursionError(note),
            "interrupt": KeyboardInterrupt(), "exit": SystemExit(note or 3),
        }[how]  # fmt: skip
    if how == "odd_details":
        raise CommandFailed("odd", {"of": object, "nan": float("nan"), "text": "\ud800"})  # type: ignore[dict-item]
    if how == "cancelled":
        raise asyncio.CancelledError
    itself: list[object] = []
    itself.append(itself)
    return {"object": object(), "cycle": itself, "nan": float("nan"), "itself": end, "long": note * 5000}[how]


async def end_async(how: Ways, note: str = "") -> object:
    """End in one of many ways, in the loop."""
    return end(how, note)


async def slow(ctx: Context) -> None:
    """Never be done in time."""
    ctx.echo("begun")
    await asyncio.sleep(60)


async def wait(ctx: Context, *, answer: str = "") -> str:
    """Stay until it is cancelled."""
    ctx.echo("waiting")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ctx.echo("told to end")
        raise
    return answer


async def again(ctx: Context) -> int:
    """Succeed at the third attempt."""
    ctx.stats.add("attempts", ctx.attempt)
    if ctx.attempt < 3:
        raise Unavailable("not yet")
    return ctx.attempt


async def parent(ctx: Context, child: str = "d.say", *, text: str = "from above") -> object:
    """Have another command do it."""
    return await ctx.invoke(child, text=text)


def light(text: str = "") -> str:
    """Leave no record."""
    if text == "fail":
        raise CommandFailed("light, and failed")
    return text


def rule(n: int = 1) -> int:
    """For admins."""
    return n


def count(n: int = 1, *, tags: list[str] | None = None, tone: Literal["kind", "cool"] = "kind") -> dict[str, object]:
    """Answer what was asked."""
    return {"n": n, "tags": tags, "tone": tone}


async def look(text: str, *, point: Point | None = None, code: Annotated[str, Secret()] = "") -> dict[str, object]:
    """Answer in the loop."""
    return {"text": text, "point": point, "length": len(code)}


async def late() -> None:
    """Never answer in time."""
    await asyncio.sleep(60)


def _of(function: object, **more: object) -> Command:
    return Command.of(function, **{"console": "d", "lock": None, **more})  # type: ignore[arg-type]


COMMANDS = [
    _of(say, aliases=("d.tell", "speak"), expose=REMOTE, role="viewer"),
    _of(typed, expose=REMOTE),
    _of(shape),
    _of(given, args=SCHEMA, positional=("big", "ratio")),
    _of(words, expose=REMOTE),
    _of(unlock, expose=REMOTE),
    _of(file),
    _of(between, validate=ordered, expose=REMOTE),
    _of(end, expose=REMOTE),
    _of(end_async, name="end-async"),
    _of(end, name="end-apart", isolate="process", expose=REMOTE),
    _of(slow, timeout=0.02, expose=REMOTE),
    _of(wait, expose=REMOTE),
    _of(again, retry=Retry(attempts=3, delay=0.0)),
    _of(parent, expose=REMOTE),
    _of(light, keep="none", expose=REMOTE),
    _of(rule, role="admin", expose=REMOTE),
]
QUERIES = [
    Query.of(count, console="d", aliases=("d.number",), expose=REMOTE),
    Query.of(look, console="d", expose=REMOTE),
    Query.of(end, console="d", name="ask-end", expose=REMOTE),
    Query.of(end_async, console="d", name="ask-end-async", expose=REMOTE),
    Query.of(late, console="d", timeout=0.02, expose=REMOTE),
    Query.of(rule, console="d", name="ask-rule", role="admin", expose=REMOTE),
]


class Operations:
    """The plugin."""

    @hookimpl
    def trunnion_commands(self) -> list[Command]:
        return COMMANDS

    @hookimpl
    def trunnion_queries(self) -> list[Query]:
        return QUERIES
