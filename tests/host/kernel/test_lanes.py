"""Lanes, slots and nested runs: who waits for whom, in which order, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest
from kernel_kit import ANN, Gatehouse, cmd, until

from trunnion.model.commands import Lock
from trunnion.model.errors import Busy, InvalidArguments
from trunnion.model.runs import Caller

# -- order ------------------------------------------------------------------------------------------


async def test_runs_under_one_key_come_one_after_the_other_in_order(start) -> None:
    """Defence: the queue of ``Lane``."""
    house = Gatehouse()
    async with start(cmd(house.stay, lock="one")) as rig:
        runs = [await rig.submit("t.stay", n=n) for n in range(5)]
        for n, run in enumerate(runs):
            await until(lambda n=n: len(house.began) == n + 1)
            await asyncio.sleep(0)
            assert house.began == list(range(n + 1))
            house.release(n)
            await rig.ended(run)
        rig.assert_idle()


async def test_a_lane_of_three_lets_three_in(start) -> None:
    """Defence: ``limit`` in ``Lanes.enter`` and ``leave``."""
    house = Gatehouse()
    async with start(cmd(house.stay, lock=Lock("one", limit=3))) as rig:
        for n in range(7):
            await rig.submit("t.stay", n=n)
        await until(lambda: len(house.began) == 3)
        house.release(1)
        await until(lambda: len(house.began) == 4)
        await asyncio.sleep(0.01)
        assert house.began == [0, 1, 2, 3]
        house.release(*range(7))
        await until(lambda: not rig.kernel.executor.table.live)
        assert sorted(house.began) == list(range(7))
        rig.assert_idle()


async def test_templates_name_arguments_session_principal_and_console(start) -> None:
    """Defence: ``compile_lock``."""

    async def keyed(device: str) -> None:
        pass

    bob = Caller("bob", "cli", "operator")
    commands = {
        "plc": "plc:{device}", "own": "{command_id}", "console": "{console}", "session": "s-{session}",
        "mine": "{principal}", "everyone": "global",
    }  # fmt: skip
    async with start(*(cmd(keyed, name=name, lock=lock) for name, lock in commands.items())) as rig:
        keys = {}
        for name in commands:
            run = await rig.ask(bob, command_id=f"t.{name}", args={"device": "x1"}, session_id="s9")
            keys[name] = run.lock_key
        assert keys == {
            "plc": "plc:x1", "own": "t.own", "console": "t", "session": "s-s9", "mine": "bob", "everyone": "global",
        }  # fmt: skip


@pytest.mark.parametrize("lock", ["{nothing}", "{", Lock("a", limit=0)])
def test_a_template_that_cannot_be_used_is_refused_at_registration(lock) -> None:
    from trunnion.kernel.entries import Compiler

    async def noop() -> None:
        pass

    with pytest.raises(InvalidArguments):
        Compiler().command("p", cmd(noop, lock=lock), available=True)


async def test_the_default_lock_is_one_run_of_a_command_at_a_time(start) -> None:
    house = Gatehouse()
    from msgspec import UNSET

    async with start(cmd(house.stay, lock=UNSET)) as rig:
        await rig.submit("t.stay", n=1)
        second = await rig.submit("t.stay", n=2)
        assert rig.phase(second) == "lane"
        house.release(1, 2)
        await rig.ended(second)


async def test_a_blocked_lane_holds_up_no_other(start) -> None:
    """Defence: a waiting run occupies no slot."""
    house = Gatehouse()
    async with start(cmd(house.stay, lock="lane-{n}"), cmd(house.stay, name="one", lock="one"), max_running=2) as rig:
        blocked = [await rig.submit("t.one", n=100 + n) for n in range(5)]
        free = await rig.submit("t.stay", n=1)
        await until(lambda: 1 in house.began)
        events = await rig.events(blocked[3], live=False)
        assert events[0].data["status"] == "pending"
        assert events[0].data["lane"] == "one"
        assert events[0].data["blocked_by"] == [blocked[0].id]
        house.release(1, *range(100, 105))
        for run in (free, *blocked):
            await rig.ended(run)


async def test_full_threads_hold_up_no_async_run_nor_the_other_way_round(start) -> None:
    """Defence: ``Slots`` keeps the two kinds apart."""
    go, house = threading.Event(), Gatehouse()

    def blocks() -> None:
        go.wait(20)

    async with start(cmd(blocks), cmd(house.stay), threads=1, max_running=3) as rig:
        one, two = await rig.submit("t.blocks"), await rig.submit("t.blocks")
        assert [rig.phase(one), rig.phase(two)] == ["running", "slot"]
        quick = await rig.submit("t.stay", n=1)
        assert rig.phase(quick) == "running"
        house.release(1)
        await rig.ended(quick)
        go.set()
        await rig.ended(two)
        rig.assert_idle()


async def test_a_free_slot_goes_to_the_oldest_whatever_its_kind(start) -> None:
    """Defence: ``Slots.take`` leaves a slot to who waits for it; a lane that never empties would keep it for itself."""
    house, order = Gatehouse(), []

    def thread() -> None:
        order.append("thread")

    async def next_one(n: int) -> None:
        order.append(n)

    async with start(cmd(house.stay, lock="l"), cmd(next_one, lock="l"), cmd(thread), max_running=1) as rig:
        first = await rig.submit("t.stay", n=0)
        await until(lambda: house.began)
        older = await rig.submit("t.thread")
        younger = [await rig.submit("t.next_one", n=n) for n in range(3)]
        house.release(0)
        for run in (first, older, *younger):
            await rig.ended(run)
        assert order == ["thread", 0, 1, 2]


async def test_slots_are_given_in_order_of_acceptance(start) -> None:
    house = Gatehouse()
    async with start(cmd(house.stay), max_running=1) as rig:
        runs = [await rig.submit("t.stay", n=n) for n in range(6)]
        await rig.door.cancel(ANN, runs[3].id)
        house.release(*range(6))
        for run in runs:
            await rig.ended(run)
        assert house.began == [0, 1, 2, 4, 5]
        rig.assert_idle()


async def test_waiting_runs_are_bounded(start) -> None:
    """Defence: ``Admissions._has_room``."""
    house, bob = Gatehouse(), Caller("bob", "cli", "operator")
    async with start(cmd(house.stay, lock="one"), max_pending=5, max_pending_per_principal=3) as rig:
        for n in range(4):
            await rig.submit("t.stay", n=n)
        with pytest.raises(Busy) as caught:
            await rig.submit("t.stay", n=9)
        assert caught.value.details["retry_after"]
        for n in range(4, 6):
            await rig.submit("t.stay", bob, n=n)
        with pytest.raises(Busy):
            await rig.submit("t.stay", bob, n=9)
        house.release(*range(6))
        await until(lambda: not rig.kernel.executor.table.live)
        await rig.ended(await rig.submit("t.stay", n=0))
        rig.assert_idle()
