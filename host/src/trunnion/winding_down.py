"""The end of a host, step by step."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine

from trunnion.kernel.core import Kernel

FLUSH_TIMEOUT = 5.0
SETTLE_TIMEOUT = 1.0
IMPATIENCE = 0.1
"""Seconds handlers have to end even when there is a hurry."""


async def wind_down(kernel: Kernel, hurry: asyncio.Event, reason: str) -> None:
    """Let what runs go on for the grace, then interrupt it, then settle without it what does not end."""
    hurried = asyncio.create_task(hurry.wait())
    await _unless(hurried, kernel.drain(kernel.limits.shutdown_grace))
    kernel.interrupt()
    await kernel.settled(IMPATIENCE)
    await _unless(hurried, kernel.settled(kernel.limits.cancel_grace))
    hurried.cancel()
    kernel.give_up()
    await kernel.settled(SETTLE_TIMEOUT)
    kernel.give_up(dying=True)
    await kernel.settled(SETTLE_TIMEOUT)
    kernel.host_log.report("host.stopped", f"the host stops: {reason}" if reason else "the host stops")


async def flushed(kernel: Kernel) -> None:
    """Have everything on record before the store closes."""
    quiet = asyncio.Event()
    kernel.committer.when_quiet(quiet.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_TIMEOUT):
            await quiet.wait()


async def _unless(hurry: asyncio.Task[bool], step: Coroutine[None, None, None]) -> None:
    """Await a step, unless or until there is a hurry."""
    task = asyncio.create_task(step)
    await asyncio.wait({hurry, task}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.wait({task})
