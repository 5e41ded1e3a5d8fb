"""An observer that keeps up is handed what was committed; one that does not reads it, and nothing is told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from trunnion import Command, Context, Event, Observer, hookimpl
from trunnion.kernel import observers
from trunnion.testing import Hosting

pytestmark = pytest.mark.anyio


class Onlooker:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.go = asyncio.Event()
        self.go.set()

    @hookimpl
    def trunnion_observers(self) -> list[Observer]:
        async def look(events: Sequence[Event]) -> None:
            await self.go.wait()
            self.seen.extend((event.stream, event.seq) for event in events)

        return [Observer(name="onlooker", on_events=look, streams="run/*")]


async def talk(ctx: Context, lines: int) -> None:
    for number in range(lines):
        ctx.log(f"line {number} " + "x" * 100)
        if number % 10 == 0:
            await ctx.flush()


TALK = Command.of(talk, console="t", lock=None)


async def test_one_that_keeps_up_reads_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    onlooker, reads = Onlooker(), []
    async with Hosting(plugins=[onlooker], commands=[TALK], store="process") as host:
        await host.settle()
        store = host.host.kernel.store
        real = store.read_commits
        monkeypatch.setattr(store, "read_commits", lambda after, limit: reads.append(after) or real(after, limit))
        runs = [await host.invoke("t.talk", lines=50) for _ in range(3)]
        async with asyncio.timeout(10):
            while len(onlooker.seen) < sum(run.last_seq for run in runs):
                await asyncio.sleep(0.005)
    assert reads == []
    assert onlooker.seen == [(f"run/{run.id}", seq) for run in runs for seq in range(1, run.last_seq + 1)]


async def test_one_that_falls_behind_gets_everything_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "FRESH", 20_000)
    onlooker, reads = Onlooker(), []
    async with Hosting(plugins=[onlooker], commands=[TALK], store="process") as host:
        store = host.host.kernel.store
        real = store.read_commits
        monkeypatch.setattr(store, "read_commits", lambda after, limit: reads.append(after) or real(after, limit))
        runs = []
        for _ in range(3):
            talks = asyncio.gather(*(host.invoke("t.talk", lines=400) for _ in range(3)))
            while not talks.done():  # now and then it stands still, so that it falls behind and comes up again
                onlooker.go.clear()
                await asyncio.sleep(0.02)
                onlooker.go.set()
                await asyncio.sleep(0.001)
            runs += await talks
        await host.settle()
    assert reads
    for run in runs:
        told = [seq for stream, seq in onlooker.seen if stream == f"run/{run.id}"]
        assert told == list(range(1, run.last_seq + 1))
