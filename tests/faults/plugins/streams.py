"""Commands that talk, for the rows about those who listen."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Annotated

import msgspec

from trunnion import Command, Context, hookimpl

Int64 = Annotated[int, msgspec.Meta(extra_json_schema={"format": "int64"})]


async def storm(ctx: Context, events: int, size: int = 10, go: str = "") -> int:
    """Say something ``events`` times, once the file ``go`` is there."""
    while go and not Path(go).exists():
        await asyncio.sleep(0.002)
    for number in range(events):
        ctx.data({"number": number, "pad": "x" * size})
        if number % 200 == 199:
            await ctx.flush()
    return events


async def steady(ctx: Context, events: int = 120) -> int:
    """Say something at every turn of the loop."""
    for number in range(events):
        ctx.data(number)
        await asyncio.sleep(0)
    return events


async def nap(turns: int = 0) -> int:
    """Take some turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return turns


async def said(value: Int64) -> int:
    """Say it again."""
    return value


def note(lines: int) -> None:
    """Put something in the host's own log, from a thread that is no run's."""

    def work() -> None:
        for number in range(lines):
            logging.getLogger("rows").warning("line %d", number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@hookimpl
def trunnion_commands() -> list[Command]:
    return [Command.of(function, console="streams", lock=None) for function in (storm, steady, nap, said, note)]
