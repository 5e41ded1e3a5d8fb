"""One run of a script, from its arguments to its result."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping

from trunnion import Context, Json
from trunnion.kernel.programs import run_program
from trunnion_scripts.declaration import Script
from trunnion_scripts.output import channel_for
from trunnion_scripts.request import request


def handler_for(script: Script) -> Callable[[Context, Mapping[str, Json]], Awaitable[Json]]:
    """The handler of a script's command."""

    async def run_script(ctx: Context, args: Mapping[str, Json]) -> Json:
        wanted = request(script, args, os.environ)
        stdout = channel_for(script.said.output, ctx)
        return await run_program(
            ctx, wanted.spawn, stdout=stdout, stdin=wanted.stdin, stop_grace=script.said.stop_grace
        )

    return run_script
