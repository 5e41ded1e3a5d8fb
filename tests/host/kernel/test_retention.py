"""Retention through the whole host: what commands say, what followers see, and which settings hold."""

from __future__ import annotations

import asyncio

import pytest
from kernel_kit import ANN, cmd

from trunnion.kernel.context import Context
from trunnion.model.errors import InvalidArguments
from trunnion.model.events import run_stream

pytestmark = pytest.mark.anyio


async def say(ctx: Context, lines: int = 1) -> None:
    for number in range(lines):
        ctx.log(f"line {number}")
        await ctx.flush()


async def other() -> None:
    pass


async def test_what_goes_while_it_is_followed_is_one_gap(start) -> None:
    """Defence: ``EventLog.follow`` knows where an ended run's stream ends; without it the follower just stops."""
    async with start(cmd(say), durability="process") as rig:
        run = await rig.run("t.say", lines=3000)
        follow = rig.door.follow(ANN, run_stream(run.id))
        seen = list(await anext(follow))
        assert seen[-1].seq < run.last_seq
        forgotten = await rig.run("runs.forget", run_id=run.id)
        assert forgotten.status == "succeeded"
        seen += [event async for batch in follow for event in batch]
        assert seen[-1].kind == "gap"
        assert seen[-1].data == {"first": seen[-2].seq + 1, "last": run.last_seq, "reason": "retention"}


async def test_prune_says_what_by_command_and_rule(start) -> None:
    async with start(cmd(say), cmd(other), durability="process") as rig:
        for _ in range(4):
            await rig.run("t.say")
            await rig.run("t.other")
        said = (await rig.run("runs.prune", keep=1, command="t.say", dry_run=True)).result
        assert said["dry_run"]
        (of,) = said["of"]
        assert (of["command"], of["limit"], of["on"], of["runs"]) == ("t.say", "runs", "t.say", 3)
        assert (said["runs"], said["events"], said["bytes"]) == (3, of["events"], of["bytes"])
        assert said["events"] >= 9
        gone = (await rig.run("runs.prune", keep=1, command="t.say")).result
        assert gone == {**said, "dry_run": False}
        left = [item["command_id"] for item in (await rig.door.query(ANN, "runs.list", {"command": "t.*"}))["items"]]
        assert sorted(left) == ["t.other"] * 4 + ["t.say"]
        everything = (await rig.run("runs.prune", bytes=0)).result
        assert everything["runs"] >= 5


async def test_prune_wants_to_know_which(start) -> None:
    async with start() as rig:
        run = await rig.run("runs.prune", command="t.*")
        assert (run.status, run.error.code) == ("failed", InvalidArguments.code)
        with pytest.raises(InvalidArguments):
            await rig.run("runs.prune", keep=-1)


async def test_a_run_that_is_followed_to_its_end_is_whole_though_it_is_removed(start) -> None:
    """What is in memory needs no history."""
    go = asyncio.Event()

    async def wait(ctx: Context) -> None:
        ctx.log("first")
        await go.wait()

    async with start(cmd(wait), durability="process") as rig:
        run = await rig.submit("t.wait")
        follow = rig.door.follow(ANN, run_stream(run.id))
        seen = list(await anext(follow))
        go.set()
        ended = await rig.door.wait(ANN, run.id, 20)
        await rig.run("runs.forget", run_id=run.id)
        seen += [event async for batch in follow for event in batch]
        assert [event.seq for event in seen] == list(range(1, ended.last_seq + 1))
