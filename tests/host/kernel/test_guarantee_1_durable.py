"""Guarantee 1: what was acknowledged survives ``kill -9``; nothing stays ``running`` without a live owner.

Most tests start a second host on ``Rig.disk_image``, what a kill at that instant would leave on disk, while
the first one still holds its own directory; one kills a real process.
"""

from __future__ import annotations

import asyncio

import pytest
from kernel_kit import ANN, FakeClock, Valve, cmd, until

from trunnion.kernel.context import Context
from trunnion.kernel.registry import Contributed
from trunnion.model.commands import Retry

DISK = {"durability": "process", "shutdown_grace": 0}


async def forever() -> None:
    await asyncio.Event().wait()


async def quick(n: int = 0) -> int:
    return n


async def test_running_becomes_interrupted_and_pending_runs_go_on_in_order(start) -> None:
    """Defence: ``Recovery.recover`` at start."""
    order = []

    async def step(n: int) -> int:
        order.append(n)
        return n

    async with start(cmd(forever, lock="l"), cmd(step, lock="l"), **DISK) as rig:
        first = await rig.submit("t.forever")
        rest = [await rig.submit("t.step", n=n) for n in range(20)]
        image = rig.disk_image()
    async with start(cmd(forever, lock="l"), cmd(step, lock="l"), data=image, **DISK) as rig:
        first = await rig.ended(first)
        assert (first.status, first.error.code) == ("interrupted", "interrupted")
        for n, run in enumerate(rest):
            ended = await rig.ended(run)
            assert (ended.status, ended.result, ended.owner) == ("succeeded", n, rig.kernel.identity.host_id)
        assert order == list(range(20))
        assert "host.recovered" in await rig.codes()
        rig.assert_idle()


async def test_a_run_that_says_so_is_tried_again_after_an_interruption(start) -> None:
    """Defence: ``Recovery._retried``."""
    attempts = []

    async def stubborn(ctx: Context) -> int:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return ctx.attempt

    clock = FakeClock()
    command = cmd(stubborn, retry=Retry(attempts=2, delay=60, codes=frozenset({"interrupted"})))
    async with start(command, **DISK) as rig:
        run = await rig.submit("t.stubborn")
        await until(lambda: attempts)
        image = rig.disk_image()
    async with start(command, data=image, clock=clock, **DISK) as rig:
        assert (await rig.door.get(ANN, run.id)).status == "pending"
        again = rig.disk_image("image2")
        clock.advance(61)
        ended = await rig.ended(run)
        assert (ended.status, ended.result, ended.attempt) == ("succeeded", 2, 2)
        assert attempts == [1, 2]
    async with start(command, data=again, clock=clock, **DISK) as rig:
        assert (await rig.ended(run)).attempt == 2


async def test_attempts_are_not_endless(start) -> None:
    """Defence: ``retry_delay`` counts attempts."""
    command = cmd(forever, retry=Retry(attempts=1))
    async with start(command, **DISK) as rig:
        run = await rig.submit("t.forever")
        image = rig.disk_image()
    async with start(command, data=image, **DISK) as rig:
        assert (await rig.ended(run)).status == "interrupted"


async def test_a_cancel_is_on_record_before_it_is_answered_and_never_queued_again(start) -> None:
    """Defence: ``Door.cancel`` commits ``cancel_requested_at``; ``Recovery._judge`` looks at it first."""

    async def deaf() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if stop.is_set():
                    raise

    stop, ran = asyncio.Event(), []

    async def again() -> None:
        ran.append(1)

    command = cmd(deaf, retry=Retry())
    async with start(command, **DISK) as rig:
        run = await rig.submit("t.deaf")
        await until(lambda: rig.live(run).task)
        await asyncio.sleep(0)
        answer = await rig.door.cancel(ANN, run.id)
        image = rig.disk_image()
        assert answer.status == "running"
        stop.set()
    async with start(cmd(again, name="deaf", retry=Retry()), data=image, **DISK) as rig:
        assert (await rig.ended(run)).status == "cancelled"
        assert not ran


async def test_a_cancel_waits_for_its_commit(start) -> None:
    """Defence: ``Door._on_record``."""
    async with start(cmd(forever)) as rig:
        run = await rig.submit("t.forever")
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.starts)
        cancelling = asyncio.create_task(rig.door.cancel(ANN, run.id))
        await until(lambda: valve.waiting)
        await asyncio.sleep(0.01)
        assert not cancelling.done()
        assert not rig.live(run).context.cancelled
        valve.open()
        await cancelling
        assert (await rig.ended(run)).status == "cancelled"


async def test_a_cancel_nobody_waits_for_any_more_is_done_once_it_is_on_record(start) -> None:
    """Defence: ``cancelling._stop``; the record said that it was asked for, and the run went on."""
    async with start(cmd(forever)) as rig:
        run = await rig.submit("t.forever")
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.starts)
        cancelling = asyncio.create_task(rig.door.cancel(ANN, run.id))
        await until(lambda: valve.waiting)
        cancelling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelling
        valve.open()
        assert (await rig.ended(run)).status == "cancelled"


async def test_a_run_is_answered_only_once_it_is_on_record(start) -> None:
    """Defence: ``Admissions._admit`` awaits ``live.accepted``."""
    began = []

    async def works() -> None:
        began.append(1)

    async with start(cmd(works)) as rig:
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.accepts)
        submitting = asyncio.create_task(rig.submit("t.works"))
        await until(lambda: valve.waiting)
        await asyncio.sleep(0.01)
        assert not submitting.done()
        assert not began
        valve.open()
        assert (await rig.ended(await submitting)).status == "succeeded"


async def test_a_queued_run_is_on_record_as_running_before_its_first_step(start) -> None:
    """Defence: ``Executor._commit_start`` launches from the commit's callback."""
    began, go = [], asyncio.Event()

    async def works() -> None:
        began.append(1)
        await go.wait()

    async with start(cmd(works, lock="one")) as rig:
        await rig.submit("t.works")
        second = await rig.submit("t.works")
        await until(lambda: began)
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.starts)
        go.set()
        await until(lambda: valve.waiting)
        await asyncio.sleep(0.01)
        assert len(began) == 1
        valve.open()
        assert (await rig.ended(second)).status == "succeeded"
        assert len(began) == 2


async def test_a_run_whose_command_is_missing_is_parked_until_it_appears(start) -> None:
    """Defence: ``Placement.place`` parks; ``unpark`` listens to the registry."""
    async with start(cmd(forever, lock="l"), cmd(quick, lock="l"), **DISK) as rig:
        await rig.submit("t.forever")
        waiting = [await rig.submit("t.quick", n=n) for n in range(3)]
        image = rig.disk_image()
    async with start(data=image, **DISK) as rig:
        await asyncio.sleep(0.02)
        assert [rig.phase(run) for run in waiting] == ["parked"] * 3
        rig.kernel.registry.replace("late", Contributed(commands=[cmd(quick, lock="l")]), available=False)
        assert [rig.phase(run) for run in waiting] == ["parked"] * 3
        rig.kernel.registry.set_available("late", available=True)
        assert [(await rig.ended(run)).result for run in waiting] == [0, 1, 2]
        rig.assert_idle()


async def test_a_parked_run_is_given_up_after_park_timeout(start) -> None:
    """Defence: the timer in ``Placement.park``."""
    clock = FakeClock()
    async with start(cmd(forever, lock="l"), cmd(quick, lock="l"), **DISK) as rig:
        await rig.submit("t.forever")
        run = await rig.submit("t.quick")
        image = rig.disk_image()
    async with start(data=image, clock=clock, park_timeout=100, **DISK) as rig:
        clock.advance(99)
        assert rig.phase(run) == "parked"
        clock.advance(2)
        ended = await rig.ended(run)
        assert (ended.status, ended.error.code) == ("failed", "unavailable")
        rig.assert_idle()


async def test_a_parked_run_can_be_cancelled_and_can_run_out_of_time(start) -> None:
    clock = FakeClock()
    async with start(cmd(forever, lock="l"), cmd(quick, lock="l"), clock=clock, **DISK) as rig:
        await rig.submit("t.forever")
        one, two = await rig.submit("t.quick"), await rig.ask(command_id="t.quick", timeout=50)
        image = rig.disk_image()
    async with start(data=image, clock=clock, **DISK) as rig:
        assert (await rig.door.cancel(ANN, one.id)).status == "cancelled"
        clock.advance(51)
        assert (await rig.ended(two)).status == "timed_out"
        rig.assert_idle()


@pytest.mark.parametrize("fits", [True, False])
async def test_a_changed_command_has_its_arguments_checked_again(start, fits: bool) -> None:
    """Defence: ``Executor._still_valid``."""
    seen = []

    async def one(n: int) -> None:
        seen.append(n)

    async def other(n: str) -> None:
        seen.append(n)

    async def wider(n: int, extra: bool = True) -> None:
        seen.append((n, extra))

    async with start(cmd(forever, lock="l"), cmd(one, lock="l"), **DISK) as rig:
        await rig.submit("t.forever")
        run = await rig.submit("t.one", n=5)
        image = rig.disk_image()
    changed = cmd(wider if fits else other, name="one", lock="l")
    async with start(changed, data=image, **DISK) as rig:
        ended = await rig.ended(run)
        if fits:
            assert (ended.status, seen) == ("succeeded", [(5, True)])
            assert ended.command_revision == rig.kernel.registry.command("t.one").revision != run.command_revision
        else:
            assert (ended.status, ended.error.code, seen) == ("failed", "invalid_arguments", [])
        rig.assert_idle()


async def test_the_validator_judges_again_too(start) -> None:
    """Defence: ``_still_valid`` asks the command's own validator after a restart."""
    async with start(cmd(forever, lock="l"), cmd(quick, lock="l"), **DISK) as rig:
        await rig.submit("t.forever")
        run = await rig.submit("t.quick", n=5)
        image = rig.disk_image()
    strict = cmd(quick, lock="l", validate=lambda args: "five is taken" if args["n"] == 5 else None)
    async with start(strict, data=image, **DISK) as rig:
        ended = await rig.ended(run)
        assert (ended.status, ended.error.code) == ("failed", "invalid_arguments")
        assert "five is taken" in ended.error.message
