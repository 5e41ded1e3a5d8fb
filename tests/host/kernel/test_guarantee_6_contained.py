"""Guarantee 6: no handler, hook, gate or observer stops the host."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from pathlib import Path

import pytest
from kernel_kit import ANN, FakeClock, Plugin, cmd, rig, until

from trunnion.kernel import observers
from trunnion.kernel.context import Context
from trunnion.model.commands import Query
from trunnion.model.contributions import Observer
from trunnion.model.errors import Busy, Conflict, DeadlineExceeded, InternalError, NotFound
from trunnion.running import run as run_loop


async def quick() -> int:
    return 1


def test_sys_exit_in_a_task_a_handler_made_itself(tmp_path: Path, caplog) -> None:
    """Defence: ``running.run`` enters the loop again and names the task."""

    async def bomb() -> None:
        async def explode() -> None:
            sys.exit(7)

        task = asyncio.create_task(explode())
        await asyncio.wait({task})

    async def main() -> list[str]:
        async with rig(tmp_path, cmd(bomb), cmd(quick)) as host:
            ends = [(await host.run("t.bomb")).status, (await host.run("t.quick")).status]
            host.assert_idle()
            return ends

    with caplog.at_level(logging.ERROR, "trunnion.loop"):
        assert run_loop(main()) == ["succeeded", "succeeded"]
    assert "explode" in caplog.text


def test_the_hosts_own_exit_ends_it() -> None:
    async def main() -> None:
        sys.exit(3)

    with pytest.raises(SystemExit) as caught:
        run_loop(main())
    assert caught.value.code == 3


def raises_value() -> object:
    raise ValueError("broken")


def exits() -> object:
    sys.exit(1)


def interrupts() -> object:
    raise KeyboardInterrupt


RAISES = [raises_value, exits, interrupts]


@pytest.mark.parametrize("failing", RAISES)
async def test_a_validator_that_raises(start, failing) -> None:
    """Defence: ``CommandEntry.validate`` contains it."""
    async with start(cmd(quick, validate=lambda args: failing()), cmd(quick, name="fine")) as host:
        with pytest.raises(InternalError, match="validator"):
            await host.submit("t.quick")
        assert (await host.run("t.fine")).status == "succeeded"
        host.assert_idle()


@pytest.mark.parametrize("failing", RAISES)
@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_query_that_raises(start, failing, kind: str) -> None:
    """Defence: ``Queries._answer`` contains it."""

    async def on_loop() -> object:
        return failing()

    def in_thread() -> object:
        return failing()

    handler = on_loop if kind == "async" else in_thread
    plugin = {"queries": [Query.of(handler, console="t", name="ask")]}
    async with start(cmd(quick), plugin=plugin) as host:
        with pytest.raises(InternalError, match=r"t\.ask"):
            await host.door.query(ANN, "t.ask")
        assert (await host.run("t.quick")).status == "succeeded"


async def test_a_query_has_a_deadline_and_a_json_answer(start) -> None:
    """Defence: ``asyncio.timeout`` around every query, ``returned`` around its answer."""

    async def slow() -> None:
        await asyncio.Event().wait()

    async def odd() -> object:
        return object()

    plugin = {"queries": [Query.of(slow, console="t", timeout=0.01), Query.of(odd, console="t")]}
    async with start(plugin=plugin) as host:
        with pytest.raises(DeadlineExceeded):
            await host.door.query(ANN, "t.slow")
        with pytest.raises(InternalError, match="not JSON"):
            await host.door.query(ANN, "t.odd")
        with pytest.raises(NotFound, match=r"t\.slow"):
            await host.door.query(ANN, "t.slwo")


# -- observers --------------------------------------------------------------------------------------


def observer(take, name: str = "watch") -> dict[str, list[object]]:
    return {"observers": [Observer(name=name, on_events=take, streams="run/*")]}


@pytest.mark.parametrize("failing", RAISES)
async def test_an_observer_that_raises_gets_the_same_again(start, monkeypatch, failing) -> None:
    """Defence: ``ObserverPump._deliver`` tries again and moves on only when it returned."""
    monkeypatch.setattr(observers, "FIRST_DELAY", 0.01)
    got, failures = [], []

    async def take(events) -> None:
        if len(failures) < 3:
            failures.append([(e.stream, e.seq) for e in events])
            failing()
        got.extend((e.stream, e.seq) for e in events)

    async with start(cmd(quick), plugin=observer(take)) as host:
        runs = [await host.run("t.quick") for _ in range(5)]
        wanted = [(f"run/{run.id}", seq) for run in runs for seq in (1, 2)]
        await until(lambda: sorted(got) == sorted(wanted))
        assert len(failures) == 3
        state = host.kernel.observers[0].state
        assert state.failures == 3
        assert "observer.raised" in await host.codes()


async def test_an_observer_takes_up_where_it_was_after_a_restart(start, monkeypatch) -> None:
    """Defence: the stored position, moved on only after delivery: at least once, in order, none left out."""
    monkeypatch.setattr(observers, "FIRST_DELAY", 0.01)
    got, deaf = [], []

    async def take(events) -> None:
        if deaf:
            raise ValueError("deaf")
        got.extend((e.stream, e.seq) for e in events)

    async with start(cmd(quick), plugin=observer(take), durability="process") as host:
        runs = [await host.run("t.quick")]
        await until(lambda: len(got) == 2)
        deaf.append(1)
        runs += [await host.run("t.quick") for _ in range(20)]
    deaf.clear()
    async with start(cmd(quick), plugin=observer(take), durability="process") as host:
        runs.append(await host.run("t.quick"))
        wanted = [(f"run/{run.id}", seq) for run in runs for seq in (1, 2)]
        await until(lambda: set(wanted) <= set(got))
        first = list(dict.fromkeys(got))
        assert first == wanted


async def test_a_history_that_cannot_be_read_does_not_end_an_observer(start, monkeypatch) -> None:
    """Defence: ``ObserverPump.run`` tries again."""
    monkeypatch.setattr(observers, "FIRST_DELAY", 0.01)
    got, failures = [], []

    async def take(events) -> None:
        got.extend(events)

    monkeypatch.setattr(observers, "FRESH", -1)  # nothing is kept in memory for it
    async with start(cmd(quick), plugin=observer(take)) as host:
        read = host.kernel.store.read_commits

        def fails(after: int, limit: int):
            if len(failures) < 2:
                failures.append(1)
                raise OSError("no")
            return read(after, limit)

        host.kernel.store.read_commits = fails
        await host.run("t.quick")
        await until(lambda: len(got) == 2)
        assert "observer.failed" in await host.codes()


# -- threads that do not return ---------------------------------------------------------------------


class Stuck:
    def __init__(self) -> None:
        self.go = threading.Event()

    def wait(self, key: str = "k") -> None:
        self.go.wait(20)


async def abandon(host, clock: FakeClock, command: str = "t.wait", **args: object):
    run = await host.submit(command, **args)
    await until(lambda: host.live(run).context)
    await host.door.cancel(ANN, run.id)
    clock.advance(3)
    return await host.ended(run)


async def test_an_abandoned_thread_keeps_its_lane_until_it_returns(start) -> None:
    """Defence: ``keep_lane`` in ``Ending._ended``: two of them at one device would be worse than waiting."""
    clock, stuck = FakeClock(), Stuck()
    async with start(cmd(stuck.wait, lock="k"), cmd(quick, lock="k"), clock=clock, threads=1, max_running=1) as host:
        lost = await abandon(host, clock)
        waiting = await host.submit("t.quick")
        assert (lost.status, host.phase(waiting)) == ("cancelled", "lane")
        lanes = await host.door.query(ANN, "lanes.list")
        assert lanes["items"] == [
            {"value": "k", "key": "k", "holders": [lost.id], "waiting": [waiting.id], "blocked_by": [lost.id]}
        ]
        stuck.go.set()
        assert (await host.ended(waiting)).status == "succeeded"
        host.assert_idle()


async def test_a_lane_whose_holder_does_not_return_can_be_freed(start) -> None:
    """Defence: ``lanes.release``, for admins, for abandoned holders only."""
    clock, stuck = FakeClock(), Stuck()
    async with start(cmd(stuck.wait, lock="k"), cmd(quick, lock="k"), clock=clock) as host:
        lost = await abandon(host, clock)
        waiting = await host.submit("t.quick")
        released = await host.run("lanes.release", key="k")
        assert released.result == {"released": [lost.id]}
        assert (await host.ended(waiting)).status == "succeeded"
        assert (await host.run("lanes.release", key="k")).error.code == "not_found"
        stuck.go.set()
        await until(lambda: not host.kernel.executor.table.abandoned)
        host.assert_idle()


async def test_a_lane_whose_holder_is_watched_is_not_freed(start) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async with start(cmd(forever, lock="k")) as host:
        await host.submit("t.forever")
        assert (await host.run("lanes.release", key="k")).error.code == Conflict.code


async def test_a_command_may_opt_out(start) -> None:
    """Defence: ``abandon="release"``."""
    clock, stuck = FakeClock(), Stuck()
    async with start(cmd(stuck.wait, lock="k", abandon="release"), cmd(quick, lock="k"), clock=clock) as host:
        await abandon(host, clock)
        assert (await host.run("t.quick")).status == "succeeded"
        stuck.go.set()


async def test_lost_threads_are_replaced_up_to_a_limit(start) -> None:
    """Defence: ``max_abandoned`` in ``_ended`` and ``_has_room``."""
    clock, stuck = FakeClock(), Stuck()

    def sync() -> int:
        return 1

    async with start(
        cmd(stuck.wait), cmd(sync), cmd(quick), clock=clock, threads=1, max_running=2, max_abandoned=2
    ) as host:
        for _ in range(2):
            await abandon(host, clock)
            assert (await host.run("t.sync")).status == "succeeded"
        await abandon(host, clock)
        with pytest.raises(Busy, match="lanes"):
            await host.submit("t.sync")
        assert (await host.run("t.quick")).status == "succeeded"
        stuck.go.set()
        await until(lambda: not host.kernel.executor.table.abandoned)
        assert (await host.run("t.sync")).status == "succeeded"
        host.assert_idle()


async def test_stopping_a_parent_whose_handler_has_returned_abandons_nothing(start) -> None:
    """Defence: ``Ending.give_up`` looks for an outcome."""
    clock, go = FakeClock(), asyncio.Event()

    async def deaf() -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    async def parent(ctx: Context) -> None:
        await ctx.spawn("t.deaf")
        await asyncio.sleep(0.01)

    async with start(cmd(deaf), cmd(parent, lock="one"), clock=clock) as host:
        run = await host.submit("t.parent")
        await until(lambda: host.live(run).outcome)
        await host.door.cancel(ANN, run.id)
        clock.advance(5)
        assert (await host.ended(run)).status == "cancelled"
        assert (await host.codes()).count("handler.abandoned") == 1
        go.set()
        await until(lambda: not host.kernel.executor.table.abandoned)
        host.assert_idle()


async def test_one_call_from_a_thread_that_raises_holds_up_none_behind_it(start) -> None:
    """Defence: the finally clause of ``Mailbox.drain``."""
    async with start(cmd(quick)) as host:
        done = asyncio.Event()
        host.kernel.loop.set_exception_handler(lambda *_: None)
        host.kernel.mailbox.post(lambda: 1 / 0)
        host.kernel.mailbox.post(done.set)
        await asyncio.wait_for(done.wait(), 5)


async def test_a_plain_function_that_returns_something_to_await(start) -> None:
    ended = []

    async def inner(ctx: Context) -> str:
        ctx.echo("inner")
        return "from a coroutine"

    def outer(ctx: Context):
        return inner(ctx)

    def late(ctx: Context):
        async def never() -> None:
            ended.append(1)

        ctx.wait_cancelled(20)
        return never()

    async with start(cmd(outer), cmd(late)) as host:
        run = await host.run("t.outer")
        assert (run.result, await host.texts(run)) == ("from a coroutine", "inner\n")
        run = await host.submit("t.late")
        await host.door.cancel(ANN, run.id)
        assert (await host.ended(run)).status == "cancelled"
        assert not ended


async def test_plugins_that_raise_are_named_and_the_host_goes_on(start) -> None:
    from trunnion.hookspecs import hookimpl

    class Broken:
        @hookimpl
        def trunnion_commands(self):
            raise RuntimeError("no")

    async with start(cmd(quick), more_plugins={"broken": Broken(), "fine": Plugin([cmd(quick, name="two")])}) as host:
        assert (await host.run("t.two")).status == "succeeded"
        record = next(r for r in host.kernel.records() if r.id == "broken")
        assert record.state == "broken"
        assert "no" in record.reason
