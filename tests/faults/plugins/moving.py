"""A plugin whose documents come to a new version: every step doubles every number, so that one done twice shows."""

from __future__ import annotations

import asyncio
import os

from trunnion import Daemon, HostHandle, MigrationView, Ready, hookimpl

NUMBERS = 20


def double(view: MigrationView) -> None:
    for key, value in view.items("number/"):
        assert isinstance(value, int)
        view.put(key, 2 * value)


async def move(host: HostHandle, ready: Ready) -> None:
    """The old version puts its documents, the new one brings them to where ``MOVING_STEPS`` says."""
    steps = int(os.environ["MOVING_STEPS"])
    if steps:
        await host.state.migrate([double] * steps)
    else:
        for number in range(NUMBERS):
            await host.state.put(f"number/{number}", 1)
    ready()
    await asyncio.Event().wait()


@hookimpl
def trunnion_daemons() -> list[Daemon]:
    return [Daemon(name="moving", run=move)] if "MOVING_STEPS" in os.environ else []
