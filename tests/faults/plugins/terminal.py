"""Commands that try to act on the terminal of whoever looks, by each kind of text a run or a command can have."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from trunnion import Command, CommandFailed, Context, hookimpl

NASTY: list[str] = json.loads(Path(os.environ["NASTY"]).read_text()) if "NASTY" in os.environ else []
ALL = "".join(f"<{number}{text}>" for number, text in enumerate(NASTY))


async def speak(ctx: Context) -> dict[str, str]:
    """Say it in every way there is."""
    ctx.echo(ALL)
    print(ALL)
    print(ALL, file=sys.stderr)
    ctx.log(ALL)
    ctx.table([{ALL: ALL}], title=ALL)
    ctx.progress(1, 2, ALL)
    ctx.data({ALL: ALL})
    for number, text in enumerate(NASTY):
        ctx.progress(2, 2, text)
        await ctx.artifact(f"{number}{text}".replace("/", "_").replace("\0", "_")[:60], b"x", "text/plain")
    await ctx.flush()
    return {ALL: ALL}


async def fail() -> None:
    """Fail with it."""
    raise CommandFailed(ALL, {"why": ALL, "nearest": [ALL]})


def described() -> None:
    """Do nothing."""


@hookimpl
def trunnion_commands() -> list[Command]:
    shown = Command.of(described, console="terminal", title=ALL, description=ALL, examples=(ALL,), lock=None)
    return [shown, *(Command.of(function, console="terminal", lock=None) for function in (speak, fail))]
