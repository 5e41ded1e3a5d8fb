"""What is said of a run that ran out of time: whose time it was, whatever its handler made of the stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from kernel_kit import ANN, FakeClock, Rig, cmd, until

from trunnion import Context
from trunnion.model.commands import Retry
from trunnion.model.errors import CommandFailed

pytestmark = pytest.mark.anyio


async def waits() -> None:
    await asyncio.Event().wait()


async def calls(ctx: Context) -> None:
    await ctx.invoke("t.waits")


async def looks(ctx: Context) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ctx.check()


async def complains() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise CommandFailed("the valve is stuck") from None


async def late(rig: Rig, clock: FakeClock, name: str, **asked: object) -> tuple[str, str]:
    """Code and message of a run whose time passes while it works."""
    run = await rig.ask(command_id=name, **asked)
    await until(lambda: rig.live(run).task)
    await until(lambda: name != "t.calls" or rig.live(run).children)
    await asyncio.sleep(0)
    clock.advance(61)
    ended = await rig.ended(run)
    assert ended.status == "timed_out"
    return ended.error.code, ended.error.message


@pytest.mark.parametrize("handler", [waits, looks, complains])
async def test_the_command_s_own_timeout_is_named(start, handler: Callable[..., object]) -> None:
    clock = FakeClock()
    async with start(cmd(handler, timeout=60), clock=clock) as rig:
        name = f"t.{handler.__name__}"
        assert await late(rig, clock, name) == ("deadline_exceeded", f"{name} took longer than its timeout of 60 s")


async def test_a_shorter_time_that_was_asked_for_is_told_apart(start) -> None:
    clock = FakeClock()
    async with start(cmd(waits, timeout=600), clock=clock) as rig:
        _, message = await late(rig, clock, "t.waits", timeout=30)
        assert message == "t.waits ran out of the time that its caller gave it"


async def test_time_that_was_spent_waiting_is_told_apart(start) -> None:
    clock = FakeClock()
    async with start(cmd(waits, lock="one"), clock=clock) as rig:
        first = await rig.submit("t.waits")
        second = await rig.ask(command_id="t.waits", timeout=30)
        clock.advance(31)
        message = (await rig.ended(second)).error.message
        assert message == "t.waits ran out of the time that its caller gave it, while it waited"
        await rig.door.cancel(ANN, first.id)
        await rig.ended(first)


async def test_a_child_names_the_parent_that_ran_out_of_time(start) -> None:
    clock = FakeClock()
    async with start(cmd(waits), cmd(calls, timeout=60), clock=clock) as rig:
        await late(rig, clock, "t.calls")
        (child,) = (await rig.door.query(ANN, "runs.list", {"command": "t.waits"}))["items"]
        assert child["error"]["message"] == "t.waits ran out of time together with t.calls, which called it"


async def test_each_attempt_says_what_it_exceeded(start) -> None:
    clock = FakeClock()
    retry = Retry(attempts=2, delay=1, codes=frozenset({"deadline_exceeded"}))
    async with start(cmd(waits, timeout=60, retry=retry), clock=clock) as rig:
        run = await rig.submit("t.waits")
        for attempt in (1, 2):
            await until(lambda attempt=attempt: rig.phase(run) == "running" and rig.live(run).run.attempt == attempt)
            await until(lambda: rig.live(run).task)
            await asyncio.sleep(0)
            clock.advance(61)
            if attempt == 1:
                await until(lambda: rig.phase(run) == "delayed" and rig.live(run).timer)
                clock.advance(601)
        ended = await rig.ended(run)
        texts = [
            event.text for event in await rig.events(ended) if "took longer than its timeout of 60 s" in event.text
        ]
        assert len(texts) == 2
