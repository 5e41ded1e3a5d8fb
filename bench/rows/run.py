"""perf-run: a no-op command from submission to its end, the store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.harness import Effort, Work, duel, in_flight
from bench.hosting import NOOP, Client, noop, open_host, scratch
from bench.result import Line, Result, rate

ROW = "perf-run"
TARGETS = {1: 0.35, 64: 0.15}


def measure(effort: Effort) -> Result:
    """On asyncio's own loop, and on uvloop beside."""
    result = Result(notes=["Ceiling: an asyncio queue, a worker that awaits the handler, one future per job."])
    result.lines += asyncio.run(_measure(effort, ""))
    try:
        import uvloop
    except ImportError:
        result.notes.append("uvloop is not installed.")
        return result
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result.lines += runner.run(_measure(effort, ", uvloop"))
    return result


async def _measure(effort: Effort, loop_name: str) -> list[Line]:
    lines = []
    with scratch() as folder:
        async with open_host(folder, "memory", [NOOP]) as host:
            client = Client(host, "bench.noop")
            for width, target in TARGETS.items():
                async with queue(width) as ceiling:
                    figures = await duel(in_flight(client.run, width), ceiling, effort)
                at_least = None if loop_name else target
                lines.append(rate(ROW, f"{width} in flight{loop_name}", "run", figures, at_least=at_least))
    return lines


@asynccontextmanager
async def queue(width: int) -> AsyncIterator[Work]:
    """The ceiling."""
    jobs: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        while True:
            job = await jobs.get()
            await noop()
            job.set_result(None)

    async def submit() -> None:
        job: asyncio.Future[None] = loop.create_future()
        jobs.put_nowait(job)
        await job

    worker = asyncio.create_task(serve())
    try:
        yield in_flight(submit, width)
    finally:
        worker.cancel()
        await asyncio.wait({worker})
