"""Odd ends of runs: secrets that look like data, long queues, children and waiters that come late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import msgspec
import pytest
from kernel_kit import ANN, Rig, cmd, until
from stopwatch import stopwatch

from trunnion.access.redaction import MASK
from trunnion.arguments import Secret
from trunnion.kernel.context import Context
from trunnion.kernel.registry import Contributed
from trunnion.model.commands import Command
from trunnion.model.json import Json

Start = Callable[..., AbstractAsyncContextManager[Rig]]
pytestmark = pytest.mark.anyio


async def pinned(ctx: Context, *, pin: Annotated[str, Secret()]) -> dict[str, Json]:
    facts: dict[str, Json] = {"year": 2024, "open": True, "none": None, "said": f"it is {pin}"}
    ctx.data(facts)
    return facts


@pytest.mark.parametrize("pin", ["2024", "true", "null", '":20', "year"])
async def test_a_secret_that_looks_like_json_ends_its_run_all_the_same(start: Start, pin: str) -> None:
    async with start(Command(id="t.pinned", handler=pinned, lock=None)) as rig:
        ended = await rig.run("t.pinned", pin=pin)
        assert ended.status == "succeeded"
        assert isinstance(ended.result, dict)
        assert ended.result["said"] == f"it is {MASK}"
        assert ended.result["open"] is True
        assert (ended.result.get("year") == MASK) is (pin == "2024")
        assert [e.data for e in await rig.events(ended) if e.kind == "data"] == [ended.result]


async def test_what_stands_inside_a_secret_value_is_secret_too(start: Start) -> None:
    async def login(*, account: Annotated[dict[str, Json], Secret()]) -> str:
        return f"{account['name']} {account['keys']}"

    async with start(Command(id="t.login", handler=login, lock=None)) as rig:
        ended = await rig.run("t.login", account={"name": "dagmar", "keys": ["hunter22", 314159]})
        assert ended.result == f"{MASK} ['{MASK}', {MASK}]"


@pytest.mark.alone
async def test_a_long_queue_is_lined_up_without_walking_it_for_each(start: Start) -> None:
    async def work() -> None:
        await asyncio.sleep(60)

    async with start(Command.of(work, console="t"), shutdown_grace=0.0) as rig:
        later = rig.host.clock.utc() + 10**10
        runs = [await rig.ask(command_id="t.work", not_before=later) for _ in range(1000)]
        placement = rig.kernel.executor.placement
        with stopwatch() as cost:
            for run in runs:
                live = rig.live(run)
                live.disarm()
                live.run = msgspec.structs.replace(live.run, not_before=None)
                placement.place(live)
        assert cost.seconds < 2.0
        assert [rig.phase(run) for run in runs[1:]] == ["lane"] * 999


async def test_a_child_that_keeps_nothing_still_has_its_result_when_it_is_awaited_late(start: Start) -> None:
    async def brief() -> int:
        return 7

    async def parent(ctx: Context) -> Json:
        child = await ctx.spawn("t.brief")
        while child.run_id in table:
            await asyncio.sleep(0)
        return await child.result()

    async with start(cmd(brief, keep="none"), cmd(parent)) as rig:
        table = rig.kernel.executor.table.live
        assert (await rig.run("t.parent")).result == 7


async def test_who_stops_waiting_leaves_nothing_with_the_run(start: Start) -> None:
    async def work() -> None:
        await asyncio.sleep(60)

    async with start(cmd(work), shutdown_grace=0.0) as rig:
        run = await rig.submit("t.work")
        waits = [asyncio.create_task(rig.door.wait(ANN, run.id)) for _ in range(20)]
        await until(lambda: len(rig.live(run).waiters) == 20)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        assert rig.live(run).waiters == []


async def test_a_command_whose_lock_changed_while_a_run_waited_is_kept_apart_by_the_new_one(start: Start) -> None:
    go = {"first": asyncio.Event(), "other": asyncio.Event(), "second": asyncio.Event()}

    async def work(which: str) -> None:
        await go[which].wait()

    async def other() -> None:
        await go["other"].wait()

    async with start(Command.of(other, console="t", lock="two")) as rig:
        registry = rig.kernel.registry
        registry.replace("d", Contributed(commands=[Command.of(work, console="d", lock="one")]))
        first = await rig.submit("d.work", which="first")
        second = await rig.submit("d.work", which="second")
        registry.replace("d", Contributed(commands=[Command.of(work, console="d", lock="two")]))
        holder = await rig.submit("t.other")
        go["first"].set()
        await rig.ended(first)
        await until(lambda: rig.phase(second) != "lane" or rig.live(second).run.lock_key == "two")
        assert (rig.phase(holder), rig.phase(second)) == ("running", "lane")
        go["other"].set()
        go["second"].set()
        assert (await rig.ended(second)).status == "succeeded"
        await rig.ended(holder)
        rig.assert_idle()
