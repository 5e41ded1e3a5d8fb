"""Commands, queries and consoles that try to act on the terminal of whoever looks, by each text they can have."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from trunnion import Command, CommandFailed, Console, Context, Json, Query, hookimpl

NASTY: list[str] = json.loads(Path(os.environ["NASTY"]).read_text()) if "NASTY" in os.environ else []
ALL = "".join(f"<{number}{text}>" for number, text in enumerate(NASTY))


def each(say: Callable[[str], object]) -> None:
    for number, text in enumerate(NASTY):
        say(f"<{number}{text}>")


async def speak(ctx: Context) -> dict[str, Json]:
    """Say it in every way there is."""
    each(ctx.echo)
    each(print)
    each(lambda text: print(text, file=sys.stderr))
    each(ctx.log)
    for text in NASTY:
        ctx.progress(1, 2, text)
        print(text, end="\r")
        await ctx.flush()
    print()
    ctx.table([[text, 1] for text in NASTY], [ALL, "n"], ALL)
    ctx.data({ALL: NASTY})
    await ctx.artifact("a" + "".join(NASTY).replace("/", "_").replace("\0", "_")[:60], b"x", "text/plain")
    return {ALL: NASTY}


async def hold(ctx: Context, until: str) -> None:
    """Say what a run is at, for the bar, until a file is there."""
    for text in NASTY:
        ctx.progress(1, 2, text)
        await ctx.flush()
    while not Path(until).exists():
        import asyncio

        await asyncio.sleep(0.06)
        ctx.progress(1, 2, ALL)


async def fail() -> None:
    """Fail with it."""
    raise CommandFailed(ALL, {"why": ALL, "nearest": [ALL]})


async def forge() -> None:
    """Fail with what looks like lines of the shell's own."""
    raise CommandFailed("oh\n[9] ffff hostile.speak succeeded after 9 s\nsucceeded after 9 s, run ffff")


def described(word: str = "x") -> None:
    """Do nothing."""


def plain(word: str, other: str = "") -> str:
    """Take a word that a query offers."""
    return word


def ask() -> None:
    """Be asked first."""


async def values() -> list[Json]:
    return [{"value": f"v{number}{text}", "title": text} for number, text in enumerate(NASTY)]


async def words(line: str) -> list[Json]:
    return [{"value": f"{line}{text}", "description": text} for text in NASTY]


async def judge(line: str) -> str:
    return ALL


async def told() -> Json:
    return {ALL: NASTY}


async def miss(line: str) -> str:
    return line


@hookimpl
def trunnion_commands() -> list[Command]:
    made = [Command.of(function, console="hostile", lock=None) for function in (speak, hold, fail, forge)]
    return [
        *made,
        Command.of(
            described, console="hostile", title=ALL, description=ALL, examples=(ALL,), deprecated=ALL, lock=None
        ),
        Command.of(ask, console="hostile", confirm=ALL, lock=None),
        Command.of(plain, console="hostile", complete={"word": "hostile.values"}, lock=None),
        Command.of(miss, console="hostile.place", lock=None),
    ]


@hookimpl
def trunnion_queries() -> list[Query]:
    return [Query.of(function, console="hostile") for function in (values, words, judge, told)]


@hookimpl
def trunnion_consoles() -> list[Console]:
    return [
        Console(
            path="hostile.place",
            title=ALL,
            description=ALL,
            prompt=ALL + "$ ",
            banner=ALL,
            style={"prompt": ALL, "banner": ALL},
            completer="hostile.words",
            validator="hostile.judge",
            accept_undefined=True,
            on_miss="hostile.place.miss",
        )
    ]
