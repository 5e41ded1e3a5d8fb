"""A plugin in one file: two operations on a greenhouse, declared once, reachable everywhere."""

import time
from typing import Literal

from trunnion import Command, Context, Json, hookimpl


def water(ctx: Context, bed: Literal["tomatoes", "basil"], litres: float = 2.0, *, pause: float = 0.5) -> Json:
    """Water one bed.

    Args:
        bed: which one.
        litres: how much.
        pause: seconds for each litre.
    """
    for done in range(1, int(litres) + 1):
        ctx.check()  # a cancelled run ends here
        time.sleep(pause)
        ctx.progress(done, int(litres), f"{done} l")
    print(f"watered the {bed}")  # what is printed belongs to the run
    return {"bed": bed, "litres": litres}


@hookimpl
def trunnion_commands() -> list[Command]:
    return [Command.of(water, console="greenhouse", lock="bed:{bed}", timeout=60)]
