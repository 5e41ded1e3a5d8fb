"""Attempts: which errors are worth another one, when it comes, what is on record of each, and what may end the wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_kit import ANN, FakeClock, Rig, cmd, until

from trunnion import Context
from trunnion.kernel.retry import backoff, retry_delay
from trunnion.model.commands import Retry
from trunnion.model.errors import CommandFailed, Unavailable
from trunnion.model.runs import Invocation

pytestmark = pytest.mark.anyio
DISK = {"durability": "process"}
SOON = Retry(attempts=3, delay=60, max_delay=600)


async def flaky(ctx: Context) -> int:
    """Fails twice."""
    ctx.echo(f"attempt {ctx.attempt}")
    if ctx.attempt < 3:
        raise Unavailable(f"not at attempt {ctx.attempt}", {"line": "busy"})
    return ctx.attempt


async def never() -> None:
    raise Unavailable("never")


async def forever() -> None:
    await asyncio.Event().wait()


async def ok() -> int:
    return 1


async def waits_again(rig: Rig, clock: FakeClock, run_id: str) -> None:
    """Until the attempt has failed and its successor waits; then the time passes."""
    await until(lambda: rig.phase(run_id) == "delayed" and rig.live(run_id).timer is not None)
    clock.advance(601)


async def works(rig: Rig, run_id: str, attempt: int) -> None:
    """Until the handler of an attempt has begun."""
    await until(lambda: rig.phase(run_id) == "running" and rig.live(run_id).run.attempt == attempt)
    await until(lambda: rig.live(run_id).task)
    await asyncio.sleep(0)


# -- whether and when -----------------------------------------------------------------------------


@given(st.integers(1, 5000), st.floats(1e-3, 1e6), st.floats(0, 1e6))
def test_the_wait_doubles_up_to_its_ceiling_and_its_last_half_is_random(
    attempt: int, delay: float, most: float
) -> None:
    """Defence: ``MOST_DOUBLINGS``; without it attempt 1025 was an OverflowError in the middle of an end."""
    whole = min(most, delay * 2.0 ** min(attempt - 1, 200))
    waits = {backoff(Retry(delay=delay, max_delay=most), attempt) for _ in range(8)}
    assert all(whole / 2 <= wait <= whole for wait in waits)
    assert whole < 1 or len(waits) > 1


def test_a_command_that_says_nothing_is_never_tried_again() -> None:
    for code in ("interrupted", "unavailable", "failed", "deadline_exceeded"):
        assert retry_delay(cmd(ok), code, 1) is None


def test_which_errors_count_unless_it_says_so() -> None:
    """Defence: ``Retry.codes_for``: what destroys is not repeated after a crash by way of a default."""
    counted = {
        effect: {code for code in ("unavailable", "interrupted", "failed")
                 if retry_delay(cmd(ok, effect=effect, retry=Retry()), code, 1) is not None}
        for effect in ("read", "write", "destroy")
    }  # fmt: skip
    assert counted["read"] == counted["write"] == {"unavailable", "interrupted"}
    assert counted["destroy"] == {"unavailable"}
    named = Retry(codes=frozenset({"interrupted"}))
    assert retry_delay(cmd(ok, effect="destroy", retry=named), "interrupted", 1) is not None


def test_attempts_are_counted() -> None:
    command = cmd(ok, retry=Retry(attempts=2))
    assert retry_delay(command, "unavailable", 1) is not None
    assert retry_delay(command, "unavailable", 2) is None


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"delay": -1.0}, {"delay": float("nan")}, {"max_delay": float("inf")}]
)
def test_what_makes_no_sense_is_refused_where_it_is_written(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="retry: "):
        Retry(**wrong)


# -- what is on record ----------------------------------------------------------------------------


async def test_every_attempt_is_in_the_record_with_why_it_failed(start) -> None:
    """Defence: ``next_attempt``."""
    clock = FakeClock()
    async with start(cmd(flaky, retry=SOON), clock=clock) as rig:
        run = await rig.submit("t.flaky")
        for attempt in (2, 3):
            await until(lambda: rig.live(run).run.attempt == attempt)  # noqa: B023  # awaited at once
            row = await rig.door.get(ANN, run.id)
            assert (row.status, row.attempt, row.started, row.not_before > clock.utc()) == (
                "pending",
                attempt,
                None,
                True,
            )
            await waits_again(rig, clock, run.id)
        ended = await rig.ended(run)
        assert (ended.status, ended.result, ended.attempt) == ("succeeded", 3, 3)
        states = [event.data for event in await rig.events(run) if event.kind == "state"]
        assert [(state["status"], state["attempt"]) for state in states] == [
            ("running", 1), ("pending", 2), ("running", 2), ("pending", 3), ("running", 3), ("succeeded", 3)
        ]  # fmt: skip
        failed = [state for state in states if state["status"] == "pending"]
        assert [(state["failed_attempt"], state["error"]) for state in failed] == [
            (n, {"code": "unavailable", "message": f"not at attempt {n}"}) for n in (1, 2)
        ]
        assert await rig.texts(ended) == "attempt 1\nattempt 2\nattempt 3\n"


async def test_the_last_attempts_error_is_the_runs(start) -> None:
    async with start(cmd(never, retry=Retry(attempts=3, delay=0))) as rig:
        run = await rig.run("t.never")
        assert (run.status, run.attempt, run.error.code) == ("failed", 3, "unavailable")
        rig.assert_idle()


async def test_secrets_are_not_in_the_record_of_an_attempt(start) -> None:
    async def learns(ctx: Context) -> None:
        ctx.register_secrets("hunter2-long")
        raise Unavailable("no line with hunter2-long")

    async with start(cmd(learns, retry=Retry(attempts=2, delay=0))) as rig:
        assert "hunter2-long" not in repr(await rig.events(await rig.run("t.learns")))


async def test_what_an_attempt_left_behind_says_nothing_in_the_next_ones_name(start) -> None:
    """Defence: ``Context.outlive``, and ``NestedRuns._live`` that knows attempts apart."""
    late, said, asked = threading.Event(), threading.Event(), list[str]()

    def flaky_thread(ctx: Context) -> str:
        def straggler() -> None:
            late.wait(20)
            ctx.echo("from attempt 1")
            try:
                ctx.invoke_blocking("t.ok")
            except Unavailable as error:
                asked.append(error.message)
            said.set()

        if ctx.attempt == 1:
            threading.Thread(target=straggler, daemon=True).start()
            raise Unavailable("not yet")
        late.set()
        said.wait(20)
        ctx.echo("from attempt 2")
        return "done"

    async with start(cmd(flaky_thread, retry=Retry(attempts=2, delay=0)), cmd(ok)) as rig:
        run = await rig.run("t.flaky_thread")
        assert run.result == "done"
        assert await rig.texts(run) == "from attempt 2\n"
        assert "attempt 1 of run" in asked[0]


# -- lanes, keys ----------------------------------------------------------------------------------


async def test_a_run_that_waits_for_its_next_attempt_holds_neither_lane_nor_slot(start) -> None:
    clock = FakeClock()
    commands = [cmd(flaky, lock="one", retry=SOON), cmd(ok, lock="one")]
    async with start(*commands, clock=clock, max_running=1) as rig:
        run = await rig.submit("t.flaky")
        await until(lambda: rig.phase(run) == "delayed")
        assert (await rig.run("t.ok")).result == 1
        for _ in range(2):
            await waits_again(rig, clock, run.id)
        assert (await rig.ended(run)).result == 3
        rig.assert_idle()


async def test_a_twin_joins_between_two_attempts(start) -> None:
    clock = FakeClock()
    async with start(cmd(flaky, retry=SOON), clock=clock) as rig:
        asked = Invocation(command_id="t.flaky", args={}, idempotency_key="k")
        run = await rig.door.submit(ANN, asked)
        await until(lambda: rig.phase(run) == "delayed")
        assert (await rig.door.submit(ANN, asked)).id == run.id
        for _ in range(2):
            await waits_again(rig, clock, run.id)
        assert (await rig.ended(run)).attempt == 3
        assert (await rig.door.submit(ANN, asked)).id == run.id


# -- what ends the wait ---------------------------------------------------------------------------


async def test_a_cancel_ends_the_wait(start) -> None:
    clock = FakeClock()
    async with start(cmd(flaky, retry=SOON), clock=clock, **DISK) as rig:
        run = await rig.submit("t.flaky")
        await until(lambda: rig.phase(run) == "delayed")
        await rig.door.cancel(ANN, run.id)
        ended = await rig.ended(run)
        assert (ended.status, ended.attempt) == ("cancelled", 2)
        image = rig.disk_image()
        rig.assert_idle()
    async with start(cmd(flaky, retry=SOON), data=image, clock=clock, **DISK) as rig:
        assert await rig.ended(run) == ended


async def test_a_host_that_stops_meanwhile_hands_the_wait_on(start) -> None:
    """Defence: ``not_before`` is in the row."""
    clock = FakeClock()
    async with start(cmd(flaky, retry=SOON), clock=clock, **DISK) as rig:
        run = await rig.submit("t.flaky")
        await until(lambda: rig.phase(run) == "delayed")
        due = rig.live(run).run.not_before
        data = rig.host.data.root
    async with start(cmd(flaky, retry=SOON), data=data, clock=clock, **DISK) as rig:
        assert (rig.phase(run), rig.live(run).run.not_before) == ("delayed", due)
        clock.advance((due - clock.utc()) / 1e6 - 1)
        await asyncio.sleep(0)
        assert rig.phase(run) == "delayed"
        for _ in range(2):
            await waits_again(rig, clock, run.id) if rig.phase(run) == "delayed" else None
            await until(lambda: rig.phase(run) in ("delayed", "gone"))
        assert (await rig.ended(run)).result == 3


async def test_an_attempt_that_fails_while_the_host_drains_is_the_next_hosts(start) -> None:
    """Defence: ``Ending._retry`` asks nobody whether the host is stopping; nor is the rest of the grace waited for."""
    began, go = asyncio.Event(), asyncio.Event()

    async def slow(ctx: Context) -> int:
        began.set()
        await go.wait()
        if ctx.attempt == 1:
            raise Unavailable("not now")
        return ctx.attempt

    command = cmd(slow, retry=Retry(delay=0))
    async with asyncio.timeout(60):
        async with start(command, shutdown_grace=600, **DISK) as rig:
            run = await rig.submit("t.slow")
            await began.wait()
            asyncio.get_running_loop().call_later(0.05, go.set)
            data = rig.host.data.root
    async with start(command, data=data, **DISK) as rig:
        assert (await rig.ended(run)).result == 2


# -- time -----------------------------------------------------------------------------------------


async def test_an_attempt_that_took_too_long_is_tried_again_where_that_is_said(start) -> None:
    """Defence: ``Ending._retry_late``."""
    clock = FakeClock()

    async def slow(ctx: Context) -> int:
        if ctx.attempt < 3:
            await asyncio.Event().wait()
        return ctx.attempt

    late = Retry(attempts=3, delay=60, max_delay=600, codes=frozenset({"deadline_exceeded"}))
    async with start(cmd(slow, timeout=5, retry=late), clock=clock) as rig:
        run = await rig.submit("t.slow")
        for attempt in (1, 2):
            await works(rig, run.id, attempt)
            clock.advance(6)
            await waits_again(rig, clock, run.id)
        ended = await rig.ended(run)
        assert (ended.status, ended.result) == ("succeeded", 3)
        errors = [
            event.data["error"]["code"] for event in await rig.events(run) if "failed_attempt" in (event.data or {})
        ]
        assert errors == ["deadline_exceeded"] * 2


@pytest.mark.parametrize("codes", [None, frozenset({"deadline_exceeded"})])
async def test_what_was_asked_for_ends_all_attempts(start, codes: frozenset[str] | None) -> None:
    """A deadline of the caller, or the command's own timeout without the code, is the end."""
    clock = FakeClock()
    command = cmd(forever, retry=Retry(codes=codes), **({} if codes else {"timeout": 5}))
    async with start(command, clock=clock) as rig:
        run = await rig.ask(command_id="t.forever", timeout=5.0 if codes else None)
        await works(rig, run.id, 1)
        clock.advance(6)
        ended = await rig.ended(run)
        assert (ended.status, ended.attempt) == ("timed_out", 1)


async def test_a_run_cancelled_while_it_runs_out_of_time_is_not_tried_again(start) -> None:
    clock = FakeClock()
    stop = asyncio.Event()

    async def lingers() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await stop.wait()

    late = Retry(codes=frozenset({"deadline_exceeded"}))
    async with start(cmd(lingers, timeout=5, retry=late), clock=clock, cancel_grace=100) as rig:
        run = await rig.submit("t.lingers")
        await works(rig, run.id, 1)
        clock.advance(6)
        await until(lambda: rig.live(run).context.cancelled)
        await rig.door.cancel(ANN, run.id)
        stop.set()
        assert (await rig.ended(run)).attempt == 1


async def test_a_child_is_tried_again_within_its_parent_and_ends_with_it(start) -> None:
    clock = FakeClock()

    async def parent(ctx: Context) -> object:
        return await ctx.invoke("t.flaky")

    async with start(cmd(parent), cmd(flaky, retry=SOON), clock=clock) as rig:
        run = await rig.submit("t.parent")
        await until(lambda: len(rig.kernel.executor.table.live) == 2)
        child = next(iter(set(rig.kernel.executor.table.live) - {run.id}))
        await waits_again(rig, clock, child)
        await until(lambda: rig.live(child).run.attempt == 3)
        await rig.door.cancel(ANN, run.id)
        assert (await rig.ended(run)).status == "cancelled"
        assert (await rig.ended(child)).status == "cancelled"
        rig.assert_idle()


# -- sequences ------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[], Exception]] = {
    "unavailable": lambda: Unavailable("x"),
    "failed": lambda: CommandFailed("x"),
    "ok": lambda: Unavailable("never raised"),
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(ENDS)), min_size=1, max_size=6), st.integers(1, 5), st.booleans())
async def test_any_sequence_of_ends_is_one_story(start, ends: list[str], attempts: int, both: bool) -> None:
    """The model: go on as long as the error counts and attempts are left."""
    codes = frozenset({"unavailable", "failed"} if both else {"unavailable"})

    async def scripted(ctx: Context) -> int:
        how = ends[ctx.attempt - 1] if ctx.attempt <= len(ends) else "ok"
        if how != "ok":
            raise ENDS[how]()
        return ctx.attempt

    expected = 1
    while expected < attempts and expected <= len(ends) and ends[expected - 1] in codes:
        expected += 1
    last = ends[expected - 1] if expected <= len(ends) else "ok"
    async with start(cmd(scripted, retry=Retry(attempts=attempts, delay=0, codes=codes))) as rig:
        run = await rig.run("t.scripted")
        assert (run.attempt, run.status) == (expected, "succeeded" if last == "ok" else "failed")
        rig.assert_idle()
