"""Guarantee 2: a stream ends with exactly one terminal event, last, agreeing with the row, whatever happens.

``Rig.run`` and ``Rig.ended`` check that for every run of every test in this folder.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

import pytest
from kernel_kit import ANN, FakeClock, Rig, Valve, cmd, until

from trunnion.kernel.context import Context
from trunnion.model.commands import Retry
from trunnion.model.errors import Busy, CommandFailed, Unavailable
from trunnion.model.events import run_stream


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


# -- after the end ----------------------------------------------------------------------------------


async def test_what_a_handlers_own_tasks_emit_after_its_end_is_dropped_and_counted(start) -> None:
    """Defence: ``Sink.close`` when the run is settled; ``_land`` drops and counts."""
    go, kept = asyncio.Event(), []

    async def leaves_a_task(ctx: Context) -> None:
        async def late() -> None:
            await go.wait()
            ctx.echo("late")
            ctx.log("late")
            ctx.data({"late": True})

        kept.extend((asyncio.create_task(late()), ctx))
        ctx.echo("in time")

    async with start(cmd(leaves_a_task)) as rig:
        run = await rig.run("t.leaves_a_task")
        go.set()
        await kept[0]
        assert kept[1]._sink.dropped == 3
        assert await rig.texts(run) == "in time\n"
        await rig.check_end(run)


async def test_a_context_used_after_the_end_refuses_to_start_or_keep_anything(start) -> None:
    """Defence: ``NestedRuns._live``."""
    kept = []

    async def leaks(ctx: Context) -> None:
        kept.append(ctx)

    async with start(cmd(leaks)) as rig:
        run = await rig.run("t.leaks")
        for use in (kept[0].invoke("t.leaks"), kept[0].artifact("a", b"x"), kept[0].flush()):
            with pytest.raises(Unavailable, match="has ended"):
                await use
        assert await rig.ended(run) == run


async def test_an_artifact_that_is_still_being_written_when_the_run_ends_is_not_kept(start, monkeypatch) -> None:
    """Defence: ``ArtifactKeeper.keep`` looks again after the copy; an event after the end would break the stream."""
    copying, go, kept = threading.Event(), threading.Event(), []
    from trunnion.kernel import artifacts

    copy = artifacts._copy

    def slow(content, target):
        copying.set()
        go.wait(20)
        kept.append(target)
        return copy(content, target)

    monkeypatch.setattr(artifacts, "_copy", slow)

    async def leaves(ctx: Context) -> None:
        kept.append(asyncio.create_task(ctx.artifact("a.bin", b"12345")))
        while not copying.is_set():
            await asyncio.sleep(0.001)

    async with start(cmd(leaves)) as rig:
        run = await rig.run("t.leaves")
        go.set()
        with pytest.raises(Unavailable, match="has ended"):
            await kept[0]
        assert not kept[1].exists()
        assert await rig.ended(run) == run
        assert (await rig.run("t.leaves")).status == "succeeded"


async def test_only_the_host_says_state(start) -> None:
    """Defence: ``Context.emit`` refuses kind ``state``."""

    async def pretends(ctx: Context) -> None:
        ctx.emit("state", "succeeded", {"status": "succeeded"})

    async with start(cmd(pretends)) as rig:
        run = await rig.run("t.pretends")
        assert (run.status, run.error.details["type"]) == ("failed", "ValueError")


async def test_following_after_the_end_gives_the_end_at_once(start) -> None:
    """Defence: a closed log is dropped from memory, so the store's end is the end."""

    async def quick() -> None:
        pass

    async with start(cmd(quick)) as rig:
        run = await rig.run("t.quick")
        follow = rig.door.follow(ANN, run_stream(run.id), run.last_seq - 1)
        assert [[e.kind for e in batch] async for batch in follow] == [["state"]]
        follow = rig.door.follow(ANN, run_stream(run.id), run.last_seq)
        assert [batch async for batch in follow] == []
        follow = rig.door.follow(ANN, run_stream(run.id), run.last_seq + 100)
        assert [batch async for batch in follow] == []


async def test_output_that_is_half_a_line_and_far_ahead_of_the_disk_still_ends(start) -> None:
    """Defence: ``finish_output`` is not refused for what waits already; the end would never come."""
    valves = []

    async def much(ctx: Context) -> int:
        valves[0].close()
        ctx.write("half a line")
        for blocks in range(1000):
            try:
                ctx.text("x" * 60_000 + "\n")
            except Busy:
                return blocks
        return 0

    async with start(cmd(much), max_uncommitted_bytes=1 << 20) as rig:
        valves.append(Valve(rig.kernel.store))
        run = await rig.submit("t.much")
        await until(lambda: rig.phase(run) == "ending")
        valves[0].open()
        run = await rig.ended(run)
        assert (run.status, run.result > 10) == ("succeeded", True)
        assert (await rig.texts(run)).endswith("half a line\n")


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "nul \0 byte", "\u2028"])
@pytest.mark.parametrize("durability", ["memory", "process"])
async def test_text_of_any_kind_poisons_neither_run_nor_host(start, text: str, durability: str) -> None:
    """Defence: text that is no Unicode is mended where it enters, not found out by the store."""

    async def speaks(ctx: Context) -> None:
        ctx.echo(text)
        ctx.log(text)
        ctx.stats.add(text)
        ctx.progress(1, 2, text)
        ctx.table([[text]], [text], text)

    async def quick() -> None:
        pass

    def shouts() -> None:
        raise CommandFailed(text, {"why": text})

    async with start(cmd(speaks), cmd(quick), cmd(shouts), durability=durability) as rig:
        assert (await rig.run("t.speaks")).ended
        assert (await rig.run("t.shouts")).status == "failed"
        assert (await rig.run("t.quick")).status == "succeeded"
        assert rig.kernel.committer.refusal is None


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), "three", None])
async def test_figures_that_are_no_numbers_are_refused_to_the_handler(start, figure: object) -> None:
    """Defence: ``Stats`` takes finite numbers only; a row with another could not be read again."""

    def counts(ctx: Context) -> None:
        ctx.stats.set("n", figure)

    async with start(cmd(counts), durability="process") as rig:
        run = await rig.run("t.counts")
        assert (run.status, run.stats) == ("failed", {})


# -- shutdown ---------------------------------------------------------------------------------------


async def test_a_stop_of_the_host_ends_streams_too(start) -> None:
    """Defence: ``Kernel.interrupt`` settles what still runs before the store closes."""

    async def works() -> None:
        await asyncio.Event().wait()

    async with start(cmd(works), shutdown_grace=0.01) as rig:
        run = await rig.submit("t.works")
        seen = asyncio.create_task(rig.events(run))
        await until(lambda: rig.live(run).log.followers)
        store = rig.kernel.store
    events = await seen
    assert events[-1].data["status"] == "interrupted"
    assert store.get_run(run.id).status == "interrupted"
    assert [e.kind for e in store.read_events(run_stream(run.id), 0, 100)] == [e.kind for e in events]
