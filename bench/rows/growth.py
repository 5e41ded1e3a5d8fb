"""How cost grows with stored runs, with events of one run, with registered commands, and whether it flattens."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.filling import add_long_run, add_runs, opened
from bench.harness import Contender, Effort, Work, in_flight, race
from bench.hosting import NOOP, Client, noop, open_host, scratch
from bench.result import Curve, Result, amount
from bench.rows.history import PAGE, paging, reading
from trunnion.kernel.context import Context
from trunnion.kernel.registry import Contributed, Registry
from trunnion.model.commands import Command
from trunnion.model.events import run_stream
from trunnion.model.runs import RunFilter

SMALLEST = {"runs": 1000, "events": 100}
STEP_TARGET = 1.5
SAMPLE = 2000
BURST = 256
Points = list[tuple[float, float]]


def measure(effort: Effort) -> Result:
    """Shorter rounds than elsewhere: a curve needs its shape, not its third digit."""
    short = msgspec.structs.replace(effort, rounds=min(3, effort.rounds), seconds=effort.seconds / 10)
    result = Result(
        notes=[
            "CPU time, since sizes cannot be measured in turn. Runs stored are measured on copies of the history, "
            "which grow by the few thousand runs it takes; a page is the newest hundred runs of one command. "
            "Reading is the first hundred events after the middle. "
            f"Emitting is the time of {SAMPLE} events on top of those a run already has, up to their commit. "
            "The value is what the last tenfold step multiplies the cost of one operation by: 1 is flat, a logarithm "
            "stays below 1.5, linear is 10."
        ]
    )
    with scratch() as folder:
        result.curves.append(asyncio.run(_stored_runs(folder / "runs", effort.stored_runs, short)))
        result.curves.append(asyncio.run(_events_of_a_run(folder / "events", effort.stored_events, short)))
        result.curves.append(asyncio.run(_commands(folder / "commands", effort.commands, short)))
    for curve in result.curves:
        for name in curve.series:
            case = f"{curve.x}, {name}"
            result.lines.append(amount("growth", case, curve.last_step(name), "x", at_most=STEP_TARGET))
    return result


def decades(first: int, last: int) -> Iterator[int]:
    """Powers of ten from ``first`` on, and ``last``."""
    while first < last:
        yield first
        first *= 10
    yield last


# -- runs stored ----------------------------------------------------------------------------------


async def _stored_runs(folder: Path, most: int, effort: Effort) -> Curve:
    durable: Points = []
    pages: Points = []
    stored = 0
    for size in decades(SMALLEST["runs"], most):
        with opened(folder) as store:
            add_runs(store, size - stored)
            pages.append((size, await _cost(paging(store, RunFilter(command="db.sync")), effort)))
        stored = size
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy)
        async with open_host(copy, "process", [NOOP]) as host:
            durable.append((size, await _cost(in_flight(Client(host, "bench.noop").run, 64), effort)))
        shutil.rmtree(copy)
    return Curve(title="Runs stored", x="runs", series={"durable run, 64 at once": durable, "page of 100": pages})


async def _cost(work: Work, effort: Effort) -> float:
    (figure,) = await race([Contender(work)], effort)
    return figure.cpu_median * 1e6


# -- events of one run ----------------------------------------------------------------------------


async def _events_of_a_run(folder: Path, most: int, effort: Effort) -> Curve:
    sizes = list(decades(SMALLEST["events"], most))
    reads: Points = []
    with opened(folder) as store:
        for size in sizes:
            run = add_long_run(folder, store, size, "log")
            reads.append((size, await _cost(reading(store, run_stream(run.id), size // 2, PAGE), effort)))
    emits = await _emitting(folder.with_name("host"), sizes)
    return Curve(title="Events of one run", x="events", series={"emit one": emits, "read 100": reads})


async def _emitting(folder: Path, sizes: Sequence[int]) -> Points:
    points: Points = []

    async def emit(ctx: Context) -> None:
        done = 0
        for size in sizes:
            await _emit(ctx, size - done)
            started = time.process_time()
            await _emit(ctx, SAMPLE)
            points.append((size, (time.process_time() - started) / SAMPLE * 1e6))
            done = size + SAMPLE

    async with open_host(folder, "process", [Command.of(emit, console="bench", lock=None)]) as host:
        ended = await Client(host, "bench.emit").run()
        if ended.status != "succeeded":
            raise RuntimeError(f"emitting ended as {ended.status}: {ended.error}")
    return points


async def _emit(ctx: Context, count: int) -> None:
    for number in range(1, count + 1):
        ctx.log("a message of some forty characters, made up")
        if not number % BURST:
            await asyncio.sleep(0)
    await ctx.flush()


# -- commands registered --------------------------------------------------------------------------


async def _commands(folder: Path, sizes: Sequence[int], effort: Effort) -> Curve:
    runs: Points = []
    changes: Points = []
    for size in sizes:
        many = [Command.of(noop, console=f"set{number // 100}", name=f"c{number % 100}") for number in range(1, size)]
        async with open_host(folder, "memory", [NOOP, *many]) as host:
            runs.append((size, await _cost(in_flight(Client(host, "bench.noop").run, 1), effort)))
            changes.append((size, await _cost(_change(host.kernel.registry), effort)))
    return Curve(title="Commands registered", x="commands", series={"run in memory": runs, "change of one": changes})


def _change(registry: Registry) -> Work:
    """Put a set of one command in the place of another, as a driver that starts does."""

    async def work(count: int) -> None:
        for number in range(count):
            # A new one each time: what is given again is not compiled again.
            registry.replace("extra", Contributed(commands=[Command.of(noop, console="extra")]))
            if not number % BURST:
                await asyncio.sleep(0)

    return work
