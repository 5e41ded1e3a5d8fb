"""Nested runs: the locks, slots, deadlines and ends of parents and children; nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_kit import ANN, FakeClock, Gatehouse, cmd, until

from trunnion.kernel.context import Context
from trunnion.model.commands import Retry
from trunnion.model.errors import Unavailable

# -- nested -----------------------------------------------------------------------------------------


async def test_a_nested_run_enters_the_key_its_ancestor_holds(start) -> None:
    """Defence: ``placement._holder_above``; waiting for the parent would be waiting for ever."""

    async def child(depth: int, ctx: Context) -> int:
        return 0 if depth == 0 else 1 + await ctx.invoke("t.child", depth=depth - 1)

    async def nest(ctx: Context, depth: int) -> int:
        return 0 if depth == 0 else 1 + await ctx.invoke("t.nest", depth=depth - 1)

    async with start(cmd(nest, lock="one")) as rig:
        run = await asyncio.wait_for(rig.run("t.nest", depth=5), 5)
        assert run.result == 5
        rig.assert_idle()


async def test_siblings_under_one_inherited_key_run_in_order(start) -> None:
    """Defence: children of one holder stand in a lane of their own below it."""
    at_once, most, order = [], [], []

    async def child(n: int) -> None:
        at_once.append(n)
        order.append(n)
        most.append(len(at_once))
        for _ in range(5):
            await asyncio.sleep(0)
        at_once.remove(n)

    async def parent(ctx: Context) -> None:
        handles = [await ctx.spawn("t.child", n=n) for n in range(5)]
        for handle in handles:
            await handle.result()

    async with start(cmd(child, lock="one"), cmd(parent, lock="one")) as rig:
        run = await asyncio.wait_for(rig.run("t.parent"), 5)
        assert (run.status, order, max(most)) == ("succeeded", [0, 1, 2, 3, 4], 1)
        rig.assert_idle()


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_parent_lends_its_slot(start, kind: str) -> None:
    """Defence: ``Placement.lend`` and ``reclaim``; with one slot a nested run would wait for its parent's."""

    async def on_loop(ctx: Context, depth: int) -> int:
        return 0 if depth == 0 else 1 + await ctx.invoke("t.nest", depth=depth - 1)

    def in_thread(ctx: Context, depth: int) -> int:
        return 0 if depth == 0 else 1 + ctx.invoke_blocking("t.nest", depth=depth - 1)

    handler = on_loop if kind == "async" else in_thread
    async with start(cmd(handler, name="nest"), max_running=1, threads=1) as rig:
        runs = await asyncio.wait_for(asyncio.gather(*(rig.run("t.nest", depth=5) for _ in range(3))), 10)
        assert [run.result for run in runs] == [5, 5, 5]
        rig.assert_idle()


async def test_a_wait_in_a_circle_is_a_conflict_that_names_both(start) -> None:
    """Defence: ``Ending.refuse_cycle`` before a nested run is waited for."""
    both = asyncio.Event()
    holders = []

    async def holds(ctx: Context, mine: str, other: str) -> object:
        holders.append(mine)
        if len(holders) == 2:
            both.set()
        await both.wait()
        return await ctx.invoke("t.needs", key=other)

    async def needs(key: str) -> str:
        return key

    async with start(cmd(holds, lock="k:{mine}"), cmd(needs, lock="k:{key}")) as rig:
        one, two = await rig.submit("t.holds", mine="a", other="b"), await rig.submit("t.holds", mine="b", other="a")
        ends = [await rig.ended(one, seconds=5), await rig.ended(two, seconds=5)]
        assert sorted(run.status for run in ends) == ["failed", "succeeded"]
        failed = next(run for run in ends if run.status == "failed")
        other = next(run for run in ends if run.status == "succeeded")
        assert failed.error.code == "conflict"
        assert "t.needs" in failed.error.message
        assert other.id in failed.error.message or other.id in failed.error.details["runs"]
        rig.assert_idle()


async def test_a_circle_that_closes_when_a_child_is_tried_again(start) -> None:
    """Defence: ``Executor._lined_up``: a child that comes back to its lane is already waited for."""
    clock, b_holds, tries = FakeClock(), asyncio.Event(), []

    async def a(ctx: Context) -> object:
        return await ctx.invoke("t.flaky")

    async def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable("not now")
        return "fine"

    async def b(ctx: Context) -> object:
        b_holds.set()
        return await ctx.invoke("t.wants_x")

    async def wants_x() -> str:
        return "x"

    async with start(
        cmd(a, lock="x"), cmd(flaky, lock="y", retry=Retry(delay=60)), cmd(b, lock="y"), cmd(wants_x, lock="x"),
        clock=clock,
    ) as rig:  # fmt: skip
        one = await rig.submit("t.a")
        await until(lambda: any(live.phase == "delayed" for live in rig.kernel.executor.table.live.values()))
        two = await rig.submit("t.b")
        await until(lambda: any(live.run.command_id == "t.wants_x" for live in rig.kernel.executor.table.live.values()))
        clock.advance(61)
        ends = [await rig.ended(one, seconds=5), await rig.ended(two, seconds=5)]
        assert [(run.status, run.error.code if run.error else "") for run in ends] == [
            ("failed", "conflict"), ("succeeded", ""),
        ]  # fmt: skip
        rig.assert_idle()


PLANS = st.recursive(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map(lambda keys: [[k, []] for k in keys]),
    lambda inner: st.lists(st.tuples(st.sampled_from("abc"), inner).map(list), min_size=1, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=st.lists(PLANS, min_size=2, max_size=4), slots=st.integers(1, 3), together=st.booleans())
def test_whatever_locks_runs_take_everything_ends(tmp_path_factory, plans, slots: int, together: bool) -> None:
    """Defence: the wait-for walk, inherited keys and lent slots together: never a deadlock."""

    async def node(ctx: Context, key: str, inner: list) -> int:
        await asyncio.sleep(0)
        if together:
            handles = [await ctx.spawn("t.node", key=k, inner=i) for k, i in inner]
            return 1 + sum([await handle.result() for handle in handles])
        return 1 + sum([await ctx.invoke("t.node", key=k, inner=i) for k, i in inner])

    async def main() -> None:
        from kernel_kit import rig as start

        root = tmp_path_factory.mktemp("graph")
        async with start(root, cmd(node, lock="k:{key}"), max_running=slots) as rig:
            tops = [await rig.submit("t.node", key="abc"[n % 3], inner=plan) for n, plan in enumerate(plans)]
            for run in tops:
                ended = await rig.ended(run, seconds=10)
                assert ended.status == "succeeded" or ended.error.code == "conflict"
            await until(lambda: not rig.kernel.executor.table.live)
            rig.assert_idle()

    asyncio.run(main())


async def test_a_detached_run_inherits_neither_lock_nor_deadline_nor_end(start) -> None:
    """Defence: ``Origin.parent`` is None for detached runs."""
    house, clock = Gatehouse(), FakeClock()

    async def parent(ctx: Context) -> str:
        handle = await ctx.spawn("t.stay", n=1, detach=True)
        return handle.run_id

    async with start(cmd(house.stay, lock="one"), cmd(parent, lock="one", timeout=60), clock=clock) as rig:
        top = await rig.run("t.parent")
        child = await rig.door.get(ANN, top.result)
        assert (child.parent_run_id, child.detached, child.deadline_at) == (top.id, True, None)
        await until(lambda: house.began)
        clock.advance(100)
        assert rig.phase(child) == "running"
        house.release(1)
        assert (await rig.ended(child)).status == "succeeded"


async def test_children_end_with_their_parent_and_before_it(start) -> None:
    """Defence: ``Ending.settle`` stops children and waits for them."""
    house = Gatehouse()

    async def parent(ctx: Context) -> str:
        return (await ctx.spawn("t.stay", n=1)).run_id

    async with start(cmd(house.stay), cmd(parent)) as rig:
        top = await rig.run("t.parent")
        child = await rig.door.get(ANN, top.result)
        assert (top.status, child.status) == ("succeeded", "cancelled")
        assert child.finished <= top.finished
        rig.assert_idle()


async def test_a_cancel_goes_down_to_the_children(start) -> None:
    house = Gatehouse()

    async def middle(ctx: Context) -> object:
        return await ctx.invoke("t.stay", n=1)

    async def top(ctx: Context) -> object:
        return await ctx.invoke("t.middle")

    async with start(cmd(house.stay), cmd(middle), cmd(top)) as rig:
        run = await rig.submit("t.top")
        await until(lambda: house.began)
        ids = list(rig.kernel.executor.table.live)
        await rig.door.cancel(ANN, run.id)
        assert [(await rig.ended(i)).status for i in ids] == ["cancelled"] * 3
        rig.assert_idle()


async def test_a_deadline_goes_down_to_the_children(start) -> None:
    """Defence: ``Admissions._deadline`` takes the parent's into account."""
    clock, seen = FakeClock(), []

    async def child(ctx: Context) -> None:
        seen.append(ctx.deadline)
        await asyncio.Event().wait()

    async def parent(ctx: Context) -> object:
        seen.append(ctx.deadline)
        return await ctx.invoke("t.child", timeout=1000)

    async with start(cmd(child), cmd(parent, timeout=60), clock=clock) as rig:
        run = await rig.submit("t.parent")
        await until(lambda: len(seen) == 2)
        assert seen[0] == seen[1] == clock.monotonic() + 60
        ids = list(rig.kernel.executor.table.live)
        clock.advance(61)
        assert [(await rig.ended(i)).status for i in ids] == ["timed_out", "timed_out"]
        assert run.id in ids


async def test_an_invoke_that_is_given_up_takes_its_child_along(start) -> None:
    """Defence: ``NestedRuns.invoke`` stops the child whose caller was cancelled."""
    house = Gatehouse()

    async def parent(ctx: Context) -> str:
        try:
            async with asyncio.timeout(0.02):
                await ctx.invoke("t.stay", n=1)
        except TimeoutError:
            return "went on"
        return ""

    async with start(cmd(house.stay), cmd(parent)) as rig:
        assert (await rig.run("t.parent")).result == "went on"
        counts = rig.kernel.executor.table.counts
        assert (counts["cancelled"], counts["succeeded"]) == (1, 1)


async def test_nesting_is_bounded(start) -> None:
    async def nest(ctx: Context) -> object:
        return await ctx.invoke("t.nest")

    async with start(cmd(nest)) as rig:
        run = await rig.run("t.nest")
        assert (run.status, run.error.code) == ("failed", "busy")
        rig.assert_idle()


async def test_runs_that_keep_nothing(start) -> None:
    """Defence: ``keep="none"``: no row, no stream, at most five seconds."""
    clock = FakeClock()

    async def click(n: int) -> int:
        return n

    async def slow() -> None:
        await asyncio.Event().wait()

    async with start(cmd(click, keep="none"), cmd(slow, keep="none", timeout=100), clock=clock) as rig:
        run = await rig.submit("t.click", n=3)
        assert (run.status, run.result) == ("succeeded", 3)
        assert rig.kernel.store.get_run(run.id) is None
        slow_run = asyncio.create_task(rig.submit("t.slow"))
        await until(lambda: any(live.task for live in rig.kernel.executor.table.live.values()))
        await asyncio.sleep(0)
        clock.advance(6)
        assert (await slow_run).status == "timed_out"
        rig.assert_idle()


async def test_retries_count_up_and_keep_one_stream(start) -> None:
    """Defence: ``Ending._retry``."""
    clock = FakeClock()

    def flaky(ctx: Context) -> int:
        ctx.echo("attempt", ctx.attempt)
        if ctx.attempt < 3:
            raise Unavailable("not now")
        return ctx.attempt

    async with start(cmd(flaky, retry=Retry(attempts=3, delay=60), lock="one"), clock=clock) as rig:
        run = await rig.submit("t.flaky")
        for attempt in (2, 3):
            await until(lambda a=attempt: rig.phase(run) == "delayed" and rig.live(run).run.attempt == a)
            assert not rig.kernel.executor.placement.lanes.by_key
            clock.advance(200)
        ended = await rig.ended(run)
        assert (ended.status, ended.result, ended.attempt) == ("succeeded", 3, 3)
        assert await rig.texts(run) == "attempt 1\nattempt 2\nattempt 3\n"
        rig.assert_idle()
