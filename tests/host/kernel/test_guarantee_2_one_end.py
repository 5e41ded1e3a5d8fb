"""Guarantee 2: a stream ends with exactly one terminal event, last, agreeing with the row, whatever happens.

``Rig.run`` and ``Rig.ended`` check that for every run of every test in this folder.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

import pytest
from kernel_kit import ANN, FakeClock, Rig, cmd, until

from trunnion.kernel.context import Context
from trunnion.model.commands import Retry
from trunnion.model.errors import CommandFailed, Unavailable


class Odd:
    pass


def endless() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def deep() -> object:
    return deep()


def exits() -> None:
    sys.exit(3)


def interrupts() -> None:
    raise KeyboardInterrupt


def refuses() -> None:
    raise CommandFailed("no paper", {"tray": 2})


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def unprintable() -> None:
    raise Unprintable


ENDS = [
    (lambda: {"a": 1}, "succeeded", "", ""),
    (lambda: None, "succeeded", "", ""),
    (refuses, "failed", "failed", "no paper"),
    (lambda: 1 / 0, "failed", "failed", "ZeroDivisionError"),
    (exits, "failed", "failed", "sys.exit(3)"),
    (interrupts, "failed", "failed", "KeyboardInterrupt"),
    (deep, "failed", "failed", "RecursionError"),
    (unprintable, "failed", "failed", "cannot be shown"),
    (Odd, "failed", "internal", "Odd"),
    (endless, "failed", "internal", "contains itself"),
    (lambda: {"a": "\ud800"}, "failed", "internal", "not JSON"),
    (lambda: {Odd(): 1}, "failed", "internal", "not JSON"),
]


def _handler(make: Callable[[], object], kind: str) -> Callable[..., object]:
    async def on_loop() -> object:
        return make()

    def in_thread() -> object:
        return make()

    return on_loop if kind == "async" else in_thread


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_every_way_a_handler_can_come_to_its_end(start, kind: str) -> None:
    """Defence: ``outcome.returned`` and ``outcome.raised`` take whatever a handler returns or raises,
    BaseException included."""
    commands = [cmd(_handler(make, kind), name=f"end{number}") for number, (make, *_) in enumerate(ENDS)]
    async with start(*commands) as rig:
        for number, (_, status, code, text) in enumerate(ENDS):
            run = await rig.run(f"t.end{number}")
            assert (run.status, run.error.code if run.error else "") == (status, code)
            assert text in (run.error.message if run.error else "")
        rig.assert_idle()


async def test_a_large_result_becomes_an_artifact(start) -> None:
    """Defence: ``Ending._settle_alone`` keeps a result past the cap as a file, not in the row."""

    async def large() -> list[int]:
        return list(range(20_000))

    async with start(cmd(large), max_result_bytes=1000) as rig:
        run = await rig.run("t.large")
        info, path = rig.kernel.store.artifact(run.result["artifact"])
        assert run.status == "succeeded"
        assert run.result["size"] == info.size == path.stat().st_size
        assert path.read_text() == "[" + ",".join(map(str, range(20_000))) + "]"
        assert [e.kind for e in await rig.events(run)] == ["state", "artifact", "state"]


async def test_a_large_result_that_cannot_be_kept_is_a_failure_that_says_so(start, monkeypatch) -> None:
    """Defence: the except clause of ``Ending._keep_large``."""

    async def large() -> list[int]:
        return list(range(20_000))

    async with start(cmd(large), max_result_bytes=1000) as rig:
        monkeypatch.setattr(rig.kernel.store, "artifact_path", lambda *_: 1 / 0)
        run = await rig.run("t.large")
        assert (run.status, run.error.code) == ("failed", "internal")
        assert "result.lost" in await rig.codes()


# -- out of time ------------------------------------------------------------------------------------


async def test_timeout_of_an_async_handler(start) -> None:
    """Defence: the deadline timer armed in ``Executor._arm_expiry``."""
    clock = FakeClock()

    async def sleeps() -> None:
        await asyncio.Event().wait()

    async with start(cmd(sleeps, timeout=60), clock=clock) as rig:
        run = await rig.submit("t.sleeps")
        await until(lambda: rig.live(run).task)
        clock.advance(59)
        await asyncio.sleep(0)
        assert rig.phase(run) == "running"
        clock.advance(2)
        run = await rig.ended(run)
        assert (run.status, run.error.code) == ("timed_out", "deadline_exceeded")
        rig.assert_idle()


async def test_timeout_of_a_thread_that_ignores_it_and_returns_later(start) -> None:
    """Defence: ``Ending._abandon`` settles the run without its thread; ``settle`` takes no second outcome."""
    clock, go = FakeClock(), threading.Event()

    def stuck(ctx: Context) -> str:
        go.wait(20)
        ctx.echo("too late")
        return "late"

    async with start(cmd(stuck, timeout=60, lock="one"), clock=clock) as rig:
        run = await rig.submit("t.stuck")
        await until(lambda: rig.live(run).context)
        clock.advance(61)
        assert rig.phase(run) == "running"
        context = rig.live(run).context
        clock.advance(10)
        run = await rig.ended(run)
        assert run.status == "timed_out"
        assert rig.kernel.executor.table.abandoned
        go.set()
        await until(lambda: not rig.kernel.executor.table.abandoned)
        await until(lambda: context._sink.dropped)
        assert context._sink.dropped == 1
        assert await rig.ended(run) == run
        assert {"handler.abandoned", "handler.returned"} <= set(await rig.codes())
        rig.assert_idle()


async def test_the_time_a_run_may_take_counts_waiting_in_its_lane(start) -> None:
    """Defence: ``_arm_expiry`` when a run that has to wait was accepted."""
    clock = FakeClock()

    async def sleeps() -> None:
        await asyncio.Event().wait()

    async with start(cmd(sleeps, lock="one"), clock=clock) as rig:
        first = await rig.submit("t.sleeps")
        second = await rig.ask(command_id="t.sleeps", timeout=30)
        clock.advance(31)
        ended = await rig.ended(second)
        assert (ended.status, ended.started) == ("timed_out", None)
        assert rig.phase(first) == "running"
        await rig.door.cancel(ANN, first.id)
        await rig.ended(first)
        rig.assert_idle()


# -- cancelled --------------------------------------------------------------------------------------


async def test_cancel_of_a_run_whose_handler_has_not_taken_its_first_step(start) -> None:
    """Defence: ``Ending.stop`` settles a task that has not begun; cancelled there, it never comes to its own end."""
    stopped = []

    async def works() -> None:
        stopped.append(1)
        await asyncio.Event().wait()

    async with start(cmd(works)) as rig:
        launched = rig.kernel.executor._handlers.start

        def start_and_cancel(live, context) -> None:
            launched(live, context)
            rig.kernel.executor.ending.stop(live, "cancelled")

        rig.kernel.executor._handlers.start = start_and_cancel
        run = await asyncio.wait_for(rig.run("t.works"), 1)
        assert (run.status, stopped) == ("cancelled", [])
        rig.assert_idle()


async def test_cancel_in_every_phase_a_run_can_wait_in(start) -> None:
    """Defence: ``Ending.stop`` concludes what waits at once."""
    clock = FakeClock()

    async def works() -> None:
        await asyncio.Event().wait()

    def flaky() -> None:
        raise Unavailable("not now")

    async with start(
        cmd(works, lock="one"), cmd(works, name="free"), cmd(flaky, retry=Retry(delay=60)),
        clock=clock, max_running=2,
    ) as rig:  # fmt: skip
        holder, other = await rig.submit("t.works"), await rig.submit("t.free")
        lane, slot = await rig.submit("t.works"), await rig.submit("t.free")
        delayed = await rig.ask(command_id="t.free", not_before=clock.utc() + 60_000_000)
        assert [rig.phase(r) for r in (holder, other, lane, slot, delayed)] == [
            "running", "running", "lane", "slot", "delayed",
        ]  # fmt: skip
        for run in (lane, slot, delayed):
            ended = await rig.door.cancel(ANN, run.id)
            assert (ended.status, ended.started) == ("cancelled", None)
            await rig.ended(run)
        for run in (holder, other):
            answer = await rig.door.cancel(ANN, run.id)
            assert answer.cancel_requested_at is not None
            assert (await rig.ended(run)).status == "cancelled"
        retried = await rig.submit("t.flaky")
        await until(lambda: rig.phase(retried) == "delayed")
        assert (await rig.door.cancel(ANN, retried.id)).status == "cancelled"
        assert (await rig.ended(retried)).attempt == 2
        rig.assert_idle()
        again = await rig.door.cancel(ANN, retried.id)
        assert again.status == "cancelled"


async def test_cancel_of_a_thread_that_asks(start) -> None:
    """Defence: ``Context.request_stop`` reaches the thread through ``check`` and ``wait_cancelled``."""

    def waits(ctx: Context) -> None:
        ctx.wait_cancelled(20)
        ctx.check()

    async with start(cmd(waits)) as rig:
        run = await rig.submit("t.waits")
        await rig.door.cancel(ANN, run.id)
        ended = await rig.ended(run)
        assert (ended.status, ended.error.code) == ("cancelled", "cancelled")
        rig.assert_idle()


async def test_a_handler_that_swallows_its_cancellation(start) -> None:
    """Defence: ``Ending._abandon`` after ``cancel_grace``; ``settle`` counts the late return and drops it."""
    clock, go = FakeClock(), asyncio.Event()

    async def stubborn() -> str:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return "done all the same"

    async with start(cmd(stubborn), clock=clock) as rig:
        run = await rig.submit("t.stubborn")
        await until(lambda: rig.live(run).task)
        await asyncio.sleep(0)
        await rig.door.cancel(ANN, run.id)
        clock.advance(10)
        ended = await rig.ended(run)
        assert (ended.status, ended.result) == ("cancelled", None)
        go.set()
        await until(lambda: not rig.kernel.executor.table.abandoned)
        assert await rig.ended(run) == ended
        rig.assert_idle()


async def test_a_result_given_after_the_cancel_is_a_cancelled_run(start) -> None:
    """Defence: ``_settle_alone`` judges by the reason for stopping before the outcome."""

    async def finishes() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "finished"
        return ""

    async with start(cmd(finishes)) as rig:
        run = await rig.submit("t.finishes")
        await until(lambda: rig.live(run).task)
        await asyncio.sleep(0)
        await rig.door.cancel(ANN, run.id)
        assert (await rig.ended(run)).status == "cancelled"


async def test_a_handler_that_cancels_itself_has_failed(start) -> None:
    async def itself() -> None:
        raise asyncio.CancelledError

    async with start(cmd(itself)) as rig:
        run = await rig.run("t.itself")
        assert (run.status, run.error.code) == ("failed", "failed")


async def test_cancel_races_completion(start) -> None:
    """Row G9. Defence: ``stop``, ``settle`` and ``conclude`` leave alone what ends. Both callers hear the truth."""

    async def quick(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    async def one(rig: Rig, number: int) -> str:
        run = await rig.submit("t.quick", turns=number % 7)
        for _ in range(number % 5):
            await asyncio.sleep(0)
        answer, ended = await asyncio.gather(rig.door.cancel(ANN, run.id), rig.door.wait(ANN, run.id))
        assert not answer.ended or answer == ended
        await rig.check_end(ended)
        return ended.status

    async with start(cmd(quick)) as rig:
        told = []
        for block in range(20):
            told += await asyncio.gather(*(one(rig, block * 50 + n) for n in range(50)))
        assert len(told) == 1000
        assert set(told) == {"succeeded", "cancelled"}
        counts = rig.kernel.executor.table.counts
        assert counts["succeeded"] + counts["cancelled"] == 1000
        rig.assert_idle()
