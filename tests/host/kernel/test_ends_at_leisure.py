"""An end that nobody waits for goes on record with the next change; whoever waits for it never waits for that."""

from __future__ import annotations

import asyncio

import pytest
from kernel_kit import ANN, Gatehouse, cmd, until

from trunnion.kernel import committer

PATIENCE = 5


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may wait does so for a minute, so that a test sees what does not."""
    monkeypatch.setattr(committer, "LINGER", 60.0)


async def noop() -> None:
    pass


async def fails() -> None:
    raise ValueError("why")


async def _ending(rig) -> list:
    """The runs that are at their end, with nothing but the record missing."""
    await until(lambda: all(live.phase == "ending" for live in rig.kernel.executor.table.live.values()))
    return list(rig.kernel.executor.table.live.values())


async def test_it_goes_with_the_next_change(start, never) -> None:
    """Defence: ``at_leisure``. Two runs take three commits and not four."""
    async with start(cmd(noop)) as rig:
        before = rig.kernel.committer.commits
        first = await rig.submit("t.noop")
        (live,) = await _ending(rig)
        assert (live.id, rig.kernel.committer.commits - before) == (first.id, 1)
        second = await rig.submit("t.noop")
        assert rig.kernel.store.get_run(first.id).status == "succeeded"
        assert rig.kernel.committer.commits - before == 2
        await rig.ended(second)
        assert rig.kernel.committer.commits - before == 3
        await rig.check_end(await rig.door.get(ANN, first.id))


async def test_until_then_nobody_is_told_of_it(start, never) -> None:
    """Defence: ``LiveRun.told``. A host that is killed now would call the run interrupted."""
    async with start(cmd(noop)) as rig:
        run = await rig.ask(command_id="t.noop", idempotency_key="k")
        await _ending(rig)
        listed = await rig.door.query(ANN, "runs.list")
        changes = rig.door.follow_runs(ANN)
        (followed,) = (await anext(changes)).runs
        await changes.aclose()
        again = await rig.ask(command_id="t.noop", idempotency_key="k")
        told = [run.status, (await rig.door.get(ANN, run.id)).status, listed["items"][0]["status"], followed.status]
        assert [*told, again.status] == ["running"] * 5
        assert rig.kernel.store.get_run(run.id).status == "running"


async def test_it_goes_by_itself_soon(start) -> None:
    async with start(cmd(noop)) as rig:
        run = await rig.submit("t.noop")
        await until(lambda: not rig.kernel.executor.table.live)
        assert rig.kernel.store.get_run(run.id).status == "succeeded"


async def test_whoever_comes_to_wait_does_not(start, never) -> None:
    """Defence: ``flush`` in ``Waiting.ended``."""
    async with start(cmd(noop)) as rig:
        run = await rig.submit("t.noop")
        await _ending(rig)
        assert (await asyncio.wait_for(rig.ended(run), PATIENCE)).status == "succeeded"


async def test_whoever_waits_or_follows_already_does_not(start, never) -> None:
    house = Gatehouse()
    async with start(cmd(house.stay)) as rig:
        for n, look in ((0, rig.ended), (1, rig.events)):
            run = await rig.submit("t.stay", n=n)
            looking = asyncio.create_task(look(run))
            live = rig.kernel.executor.table.live[run.id]
            await until(lambda live=live: live.waiters or live.log.followers)
            house.release(n)
            await asyncio.wait_for(looking, PATIENCE)


async def test_the_next_in_the_lane_does_not(start, never) -> None:
    house = Gatehouse()
    async with start(cmd(house.stay, lock="one")) as rig:
        for n in range(3):
            await rig.submit("t.stay", n=n)
        for n in range(3):
            await asyncio.wait_for(until(lambda n=n: n in house.began), PATIENCE)
            house.release(n)


async def test_the_next_for_a_slot_does_not(start, never) -> None:
    house = Gatehouse()
    async with start(cmd(house.stay), max_running=1) as rig:
        for n in range(3):
            await rig.submit("t.stay", n=n)
        for n in range(3):
            await asyncio.wait_for(until(lambda n=n: n in house.began), PATIENCE)
            house.release(n)


async def test_an_end_that_is_no_success_does_not(start, never) -> None:
    async with start(cmd(fails)) as rig:
        await rig.submit("t.fails")
        await asyncio.wait_for(until(lambda: not rig.kernel.executor.table.live), PATIENCE)


async def test_a_host_that_stops_has_it_on_record(start, never) -> None:
    """Defence: ``flush`` in ``Kernel.drain``."""
    async with asyncio.timeout(PATIENCE), start(cmd(noop), durability="process", shutdown_grace=60.0) as rig:
        run = await rig.submit("t.noop")
        await _ending(rig)
    async with start(cmd(noop), durability="process") as again:
        assert again.kernel.store.get_run(run.id).status == "succeeded"
