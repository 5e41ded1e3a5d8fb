"""Interleaved rounds, medians, and CPU beside wall time."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

Work: TypeAlias = Callable[[int], Awaitable[None]]
"""Does so many operations; what it needs was set up before and is not measured."""

TICKS = os.sysconf("SC_CLK_TCK")
GROWTH = 4


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done: for figures to believe, for a first look, or only to see that every row works.

    Attributes:
        rounds: per contender; the median counts.
        seconds: a round takes at least so long.
        stored_runs: history that perf-history looks into, and how far its growth curve goes.
        stored_events: events of the long run it looks into.
        memory_runs: runs after which the process is measured first, and last.
        followers: how many follow one producer.
        commands: how many commands are registered.
        output_bytes: output of one script.
        typed_lines: lines typed in a round.
        shown_lines: lines that a shell is to show.
    """

    name: str
    rounds: int = 5
    seconds: float = 0.5
    stored_runs: int = 100_000
    stored_events: int = 100_000
    memory_runs: tuple[int, int] = (20_000, 200_000)
    followers: tuple[int, ...] = (1, 10, 100, 1000)
    commands: tuple[int, ...] = (10, 100, 1000, 10_000)
    output_bytes: int = 128 << 20
    typed_lines: int = 25
    shown_lines: int = 200_000


DEFAULT = Effort(name="default")
FULL = Effort(
    name="full",
    stored_runs=1_000_000,
    stored_events=1_000_000,
    output_bytes=1 << 30,
    shown_lines=1_000_000,
)
QUICK = Effort(
    name="quick",
    rounds=3,
    seconds=0.05,
    stored_runs=10_000,
    stored_events=20_000,
    memory_runs=(2_000, 6_000),
    commands=(10, 100, 1000),
    output_bytes=16 << 20,
    typed_lines=10,
    shown_lines=50_000,
)
SMOKE = Effort(
    name="smoke",
    rounds=1,
    seconds=0.001,
    stored_runs=1_100,
    stored_events=300,
    memory_runs=(50, 100),
    followers=(1, 10),
    commands=(10, 20),
    output_bytes=1 << 16,
    typed_lines=1,
    shown_lines=100,
)
EFFORTS = {effort.name: effort for effort in (DEFAULT, FULL, QUICK, SMOKE)}


class Figure(msgspec.Struct, frozen=True):
    """Seconds per operation, one entry per round."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """Wall seconds per operation."""
        return statistics.median(self.wall)

    @property
    def cpu_median(self) -> float:
        """CPU seconds per operation, those of child processes included."""
        return statistics.median(self.cpu)

    def over(self, other: Figure) -> float:
        """How many times as long as the other it takes: the median of the rounds, each beside its neighbour."""
        return statistics.median([mine / others for mine, others in zip(self.wall, other.wall, strict=True)])

    def cpu_over(self, other: Figure) -> float | None:
        """The same for CPU; None where the clock was too coarse to tell."""
        pairs = list(zip(self.cpu, other.cpu, strict=True))
        return statistics.median([mine / others for mine, others in pairs]) if all(all(p) for p in pairs) else None


class Contender(msgspec.Struct):
    """One of those measured in turn.

    Attributes:
        rest: called between rounds, outside the measurement.
    """

    work: Work
    rest: Callable[[], None] = lambda: None


async def race(contenders: Sequence[Contender], effort: Effort) -> list[Figure]:
    """Measure in turn, round by round, so that what disturbs one disturbs its neighbour too."""
    counts = [await _calibrate(contender, effort.seconds) for contender in contenders]
    rounds: list[list[tuple[float, float]]] = [[] for _ in contenders]
    for number in range(effort.rounds):
        order = list(range(len(contenders)))
        for index in order if number % 2 == 0 else reversed(order):
            contender = contenders[index]
            contender.rest()
            rounds[index].append(await _measure(contender.work, counts[index], effort.seconds))
    return [Figure(tuple(wall for wall, _ in each), tuple(cpu for _, cpu in each)) for each in rounds]


async def duel(ours: Contender | Work, ceiling: Contender | Work, effort: Effort) -> tuple[Figure, Figure]:
    """Ours and its ceiling."""
    pair = [each if isinstance(each, Contender) else Contender(each) for each in (ours, ceiling)]
    first, second = await race(pair, effort)
    return first, second


async def _calibrate(contender: Contender, seconds: float) -> int:
    """How many operations take ``seconds``; warms up as well."""
    count = 1
    while True:
        contender.rest()
        started = time.perf_counter()
        await contender.work(count)
        taken = time.perf_counter() - started
        if taken >= seconds / GROWTH:
            return max(1, round(count * seconds / taken * 1.1))
        count *= GROWTH


async def _measure(work: Work, count: int, seconds: float) -> tuple[float, float]:
    """One round: ``count`` operations, and again while it is shorter than ``seconds``."""
    gc.collect()
    cpu, started = cpu_seconds(), time.perf_counter()
    done, taken = 0, 0.0
    while taken < seconds:
        await work(count)
        done += count
        taken = time.perf_counter() - started
    return taken / done, max(0.0, cpu_seconds() - cpu) / done


def cpu_seconds() -> float:
    """CPU time of this process and of all processes below it, ended ones included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = sum(_ticks(pid) for pid in descendants(os.getpid())) / TICKS
    return time.process_time() + ended.ru_utime + ended.ru_stime + living


def descendants(pid: int) -> list[int]:
    """The processes below one."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = [int(word) for word in children.read_text().split()]
        except OSError:
            continue
        for child in pids:
            found += [child, *descendants(child)]
    return found


def _ticks(pid: int) -> int:
    """utime, stime, cutime and cstime of a living process, clock ticks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


def in_flight(operation: Callable[[], Awaitable[object]], width: int) -> Work:
    """The same operation by ``width`` clients at once."""

    async def client(count: int) -> None:
        for _ in range(count):
            await operation()

    async def work(count: int) -> None:
        if width == 1:
            await client(count)
            return
        share, rest = divmod(count, width)
        async with asyncio.TaskGroup() as group:
            for index in range(width):
                group.create_task(client(share + (index < rest)))

    return work
