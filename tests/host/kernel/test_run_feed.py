"""Following all runs one may see: what changed, as it is now, to the last state of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kernel_kit import ANN, Gatehouse, Plugin, Rig, cmd, until

from trunnion.access.directory import Directory
from trunnion.kernel.run_feed import SLICE, RunFeed
from trunnion.model.access import Exposure, Grant, Principal, Token
from trunnion.model.contributions import Admission, Deny, Gate
from trunnion.model.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from trunnion.model.runs import Caller, Invocation, RunChanges

BOB = Caller("bob", "web", "operator", credential="login")
OPEN = frozenset({"web"})


async def quick(n: int = 0) -> int:
    return n


async def passing() -> None:
    """A click."""


def people(*grants: Grant, exposure: Exposure | None = None, tokens=(), role: str | None = "operator") -> Directory:
    return Directory([Principal(name="bob", role=role)], tokens, grants, exposure)


async def first(changes: AsyncIterator[RunChanges]) -> RunChanges:
    async with asyncio.timeout(10):
        return await anext(changes)


async def until_ended(changes: AsyncIterator[RunChanges], *run_ids: str) -> dict[str, list[str]]:
    """Statuses each run was told of with, until these have ended."""
    seen: dict[str, list[str]] = {}
    async with asyncio.timeout(10):
        while not all(seen.get(run_id, [""])[-1] == "succeeded" for run_id in run_ids):
            for run in (await anext(changes)).runs:
                seen.setdefault(run.id, []).append(run.status)
    return seen


async def test_it_begins_with_what_has_not_ended_and_goes_on_with_what_changes(start) -> None:
    house = Gatehouse()
    async with start(cmd(house.stay), cmd(quick)) as rig:
        held = await rig.submit("t.stay", n=1)
        await rig.run("t.quick")
        changes = rig.door.follow_runs(ANN)
        begun = await first(changes)
        assert begun.reset
        assert [run.id for run in begun.runs] == [held.id]
        new = await rig.submit("t.quick")
        house.release(1)
        seen = await until_ended(changes, held.id, new.id)
        assert set(seen) == {held.id, new.id}
        await changes.aclose()


async def test_a_follower_that_comes_back_misses_no_end(start) -> None:
    async with start(cmd(quick)) as rig:
        changes = rig.door.follow_runs(ANN)
        cursor = (await first(changes)).cursor
        await changes.aclose()
        away = [await rig.run("t.quick") for _ in range(3)]
        again = rig.door.follow_runs(ANN, cursor)
        one = await first(again)
        assert not one.reset
        assert [(run.id, run.status) for run in one.runs] == [(run.id, "succeeded") for run in away]
        await again.aclose()


@pytest.mark.parametrize("cursor", ["", "nonsense", "other-boot:0", ":1", "0", "other:" + "9" * 40])
async def test_what_is_no_cursor_of_this_start_begins_anew(start, cursor: str) -> None:
    async with start(cmd(quick)) as rig:
        rig.kernel.run_feed.open()
        await rig.run("t.quick")
        for odd in (cursor, f"{rig.kernel.identity.boot_id}:{10**9}", f"{rig.kernel.identity.boot_id}:-1"):
            changes = rig.door.follow_runs(ANN, odd)
            assert (await first(changes)).reset
            await changes.aclose()


async def test_whoever_is_too_far_behind_begins_anew(start) -> None:
    house = Gatehouse()
    async with start(cmd(house.stay), cmd(quick)) as rig:
        rig.kernel.__dict__["run_feed"] = RunFeed(rig.kernel.committer, rig.kernel.identity.boot_id, memory=5)
        changes = rig.door.follow_runs(ANN)
        assert (await first(changes)).reset
        held = await rig.submit("t.stay", n=1)
        for _ in range(5):
            await rig.run("t.quick")
        behind = await first(changes)
        assert behind.reset
        assert [run.id for run in behind.runs] == [held.id]
        house.release(1)
        assert held.id in await until_ended(changes, held.id)
        await changes.aclose()


async def test_many_changes_come_in_several_batches(start) -> None:
    async with start(cmd(quick)) as rig:
        changes = rig.door.follow_runs(ANN)
        await first(changes)
        runs = [await rig.submit("t.quick") for _ in range(SLICE)]
        await asyncio.gather(*(rig.ended(run) for run in runs))
        assert set(await until_ended(changes, *(run.id for run in runs))) == {run.id for run in runs}
        await changes.aclose()


async def test_only_runs_one_may_see(start) -> None:
    """Defence: ``_visible`` of what exists and of what changed."""
    house = Gatehouse()
    async with start(cmd(house.stay, expose=OPEN), cmd(quick, expose=OPEN)) as rig:
        rig.kernel.policy.replace(people())
        hidden = await rig.submit("t.stay", n=1)
        changes = rig.host.door("web").follow_runs(BOB)
        assert (await first(changes)).runs == []
        await rig.run("t.quick")
        own = await rig.host.door("web").submit(BOB, Invocation(command_id="t.quick"))
        seen = await until_ended(changes, own.id)
        assert set(seen) == {own.id}
        rig.kernel.policy.replace(people(Grant(id="g", principal="bob", role="viewer", on=("runs:t.stay",))))
        house.release(1)
        assert set(await until_ended(changes, hidden.id)) == {hidden.id}
        await changes.aclose()


async def test_a_run_that_keeps_no_record_is_not_told_of(start) -> None:
    async with start(cmd(passing, keep="none"), cmd(quick)) as rig:
        changes = rig.door.follow_runs(ANN)
        await first(changes)
        await rig.submit("t.passing")
        run = await rig.run("t.quick")
        assert set(await until_ended(changes, run.id)) == {run.id}
        await changes.aclose()


async def test_it_is_for_those_who_may_list_runs_at_this_door(start) -> None:
    """Defence: ``_admitted``."""
    async with start(cmd(quick)) as rig:
        for directory in (people(exposure=Exposure(withhold={"runs.list": OPEN})), people(role=None)):
            rig.kernel.policy.replace(directory)
            with pytest.raises(NotFound):
                await first(rig.host.door("web").follow_runs(BOB))
        assert rig.kernel.telling.counts["not_found"] == 2


async def test_gates_for_queries_are_asked(start) -> None:
    asked: list[Admission] = []

    async def admit(batch):
        asked.extend(batch)
        return [Deny("not today") for _ in batch]

    gate = Plugin(gates=[Gate(name="guard", admit=admit, covers=frozenset({"queries"}))])
    async with start(cmd(quick), more_plugins={"guard": gate}) as rig:
        with pytest.raises(Forbidden, match="not today"):
            await first(rig.door.follow_runs(ANN))
    assert [question.target for question in asked] == ["runs.list"]


async def waiting(rig: Rig, caller: Caller) -> asyncio.Task[None]:
    """Somebody who follows and waits for more."""

    async def follow() -> None:
        async for _ in rig.host.door(caller.source).follow_runs(caller):
            pass

    task = asyncio.create_task(follow())
    await until(lambda: rig.kernel.run_feed._waiting)
    return task


async def test_it_ends_with_the_right_to_it(start) -> None:
    """Defence: the ward."""
    token = Token(id="abcdefghijkl", principal="bob")
    bearer = Caller("bob", "web", "operator", credential=f"token:{token.id}")
    async with start(cmd(quick)) as rig:
        rig.kernel.policy.replace(people(tokens=[token]))
        task = await waiting(rig, bearer)
        rig.kernel.policy.replace(people())
        with pytest.raises(Unauthenticated):
            await asyncio.wait_for(task, 10)


async def test_a_host_that_stops_says_so(start) -> None:
    async with start(cmd(quick)) as rig:
        task = await waiting(rig, ANN)
    with pytest.raises(Unavailable, match="stopped"):
        await asyncio.wait_for(task, 10)


async def test_nobody_waits_in_memory_who_gave_up(start) -> None:
    async with start(cmd(quick)) as rig:
        task = await waiting(rig, ANN)
        task.cancel()
        await asyncio.wait({task})
        assert rig.kernel.run_feed._waiting == []


async def test_a_host_that_nobody_watches_remembers_nothing(start) -> None:
    async with start(cmd(quick)) as rig:
        await rig.run("t.quick")
        assert rig.kernel.committer.run_listeners == []
