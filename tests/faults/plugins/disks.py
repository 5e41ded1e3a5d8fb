"""A handler that goes on while the disk runs full, and says what it was told."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trunnion import Command, Context, TrunnionError, hookimpl


async def hoard(ctx: Context, path: str, size: int) -> dict[str, str]:
    """Waits until a file is there, then keeps one that is too large for the disk."""
    ctx.echo("waiting")
    while not Path(path).exists():
        await asyncio.sleep(0.01)
    try:
        await ctx.artifact("large", bytes(size))
    except TrunnionError as error:
        return {"code": error.info.code, "message": error.message}
    return {"code": "", "message": "kept"}


@hookimpl
def trunnion_commands(settings: object) -> list[Command]:
    return [Command.of(hoard, console="disks", lock=None)]
