"""Guarantee 5: what a client sends is intent; ids, principal, source, lock key and times are the host's."""

from __future__ import annotations

import asyncio

import pytest
from kernel_kit import FakeClock, Valve, cmd, until

from trunnion.kernel.context import Context
from trunnion.model.errors import Busy, Conflict, DeadlineExceeded, InvalidArguments, NotFound, StaleMeta, TrunnionError
from trunnion.model.runs import Caller, Invocation, Run

DAY = 86_400


async def add(a: int, b: int = 1) -> int:
    return a + b


def test_an_invocation_has_no_field_of_the_hosts() -> None:
    """Defence: ``Invocation`` names intent only."""
    hosts = set(Run.__struct_fields__) - {
        "command_id", "args", "idempotency_key", "session_id", "labels", "not_before", "deadline_at", "cwd",
    }  # fmt: skip
    assert not hosts & set(Invocation.__struct_fields__)


async def test_ids_times_and_locks_are_the_hosts(start) -> None:
    clock = FakeClock()
    async with start(cmd(add, lock="sum:{a}"), clock=clock) as rig:
        run = await rig.run("t.add", a=1)
        assert (run.principal, run.source, run.lock_key) == ("ann", "cli", "sum:1")
        assert run.created == clock.utc()
        assert run.owner == rig.kernel.identity.host_id
        assert len(run.id) == 36


async def test_a_door_stamps_its_own_source(start) -> None:
    """Defence: ``Door._stamped``: a caller made elsewhere does not pass as one of this door."""
    async with start(cmd(add, expose=frozenset({"web"}))) as rig:
        web = rig.host.door("web")
        run = await web.submit(Caller("ann", "cli", "admin"), Invocation(command_id="t.add", args={"a": 1}))
        assert run.source == "web"


async def test_a_stale_revision_is_refused_with_the_present_one(start) -> None:
    """Defence: the comparison in ``Admissions._check``."""
    async with start(cmd(add)) as rig:
        revision = rig.kernel.registry.command("t.add").revision
        await rig.ended(await rig.ask(command_id="t.add", args={"a": 1}, revision=revision))
        with pytest.raises(StaleMeta) as caught:
            await rig.ask(command_id="t.add", args={"a": 1}, revision="0" * 64)
        assert caught.value.details == {"revision": revision}
        rig.assert_idle()


@pytest.mark.parametrize(
    "fields",
    [
        {"args": {"a": 1}, "argv": ("1",)},
        {"args": {"a": 1}, "line": "1"},
        {"argv": ("1",), "line": "1"},
        {"args": {}, "argv": (), "line": ""},
    ],
)
async def test_arguments_are_given_once(start, fields) -> None:
    """Defence: the count in ``admission._named``."""
    async with start(cmd(add)) as rig:
        with pytest.raises(InvalidArguments, match="once"):
            await rig.ask(command_id="t.add", **fields)


async def test_args_argv_and_line_give_equal_arguments(start) -> None:
    async with start(cmd(add)) as rig:
        runs = [
            await rig.ask(command_id="t.add", args={"a": 1, "b": 2}),
            await rig.ask(command_id="t.add", argv=("1", "2")),
            await rig.ask(command_id="t.add", line="1 2"),
            await rig.ask(line="t.add 1 2"),
        ]
        assert len({run.args_digest for run in runs}) == 1
        assert [(await rig.ended(run)).result for run in runs] == [3, 3, 3, 3]
        for empty in ({}, {"line": "  "}):
            with pytest.raises(InvalidArguments):
                await rig.ask(**empty)
        with pytest.raises(InvalidArguments):
            await rig.ask(command_id="t.add", args={"a": 1, "id": "mine"})


async def test_the_same_key_joins_the_first_run(start) -> None:
    """Defence: ``Admissions._twin``; the key is stored in the transaction of the run."""
    async with start(cmd(add)) as rig:
        one = await rig.ask(command_id="t.add", args={"a": 1}, idempotency_key="k")
        two = await rig.ask(command_id="t.add", args={"a": 1}, idempotency_key="k")
        assert two.id == one.id
        ended = await rig.ended(one)
        assert await rig.ask(command_id="t.add", args={"a": 1}, idempotency_key="k") == ended
        assert rig.kernel.executor.table.counts["accepted"] == 1


async def test_a_key_with_other_arguments_or_another_command_is_a_conflict(start) -> None:
    """Defence: ``admission._same``."""
    async with start(cmd(add), cmd(add, name="sum")) as rig:
        await rig.ended(await rig.ask(command_id="t.add", args={"a": 1}, idempotency_key="k"))
        for fields in ({"command_id": "t.add", "args": {"a": 2}}, {"command_id": "t.sum", "args": {"a": 1}}):
            with pytest.raises(Conflict):
                await rig.ask(**fields, idempotency_key="k")
        spelled = await rig.ask(command_id="t.add", args={"b": 1, "a": 1}, idempotency_key="k")
        assert spelled.ended


async def test_keys_belong_to_a_principal(start) -> None:
    bob = Caller("bob", "cli", "operator")
    async with start(cmd(add)) as rig:
        one = await rig.ask(command_id="t.add", args={"a": 1}, idempotency_key="k")
        two = await rig.ask(bob, command_id="t.add", args={"a": 2}, idempotency_key="k")
        assert one.id != two.id


async def test_a_thousand_pairs_of_twins_have_a_thousand_effects(start) -> None:
    """Defence: ``Admissions._claims``: a twin that comes while the first is being stored waits for it."""
    effects: list[int] = []

    async def effect(n: int) -> None:
        effects.append(n)

    async with start(cmd(effect)) as rig:

        async def pair(n: int) -> None:
            fields = {"command_id": "t.effect", "args": {"n": n}, "idempotency_key": f"k{n}"}
            one, two = await asyncio.gather(rig.ask(**fields), rig.ask(**fields))
            assert one.id == two.id

        for block in range(10):
            await asyncio.gather(*(pair(block * 100 + n) for n in range(100)))
        await until(lambda: not rig.kernel.executor.table.live)
        assert sorted(effects) == list(range(1000))
        assert not rig.kernel.admissions._claims


async def test_a_twin_of_one_that_could_not_be_stored_is_told_the_same(start) -> None:
    async with start(cmd(add)) as rig:
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.accepts)
        fields = {"command_id": "t.add", "args": {"a": 1}, "idempotency_key": "k"}
        twins = [asyncio.create_task(rig.ask(**fields)) for _ in range(2)]
        await until(lambda: valve.waiting)
        valve.fail(OSError("no"))
        for answer in await asyncio.gather(*twins, return_exceptions=True):
            assert isinstance(answer, TrunnionError)
            assert answer.code == "unavailable"
        await until(lambda: rig.kernel.committer.refusal is None)
        assert (await rig.ended(await rig.ask(**fields))).status == "succeeded"


async def test_a_first_caller_that_goes_away_leaves_its_run_to_the_second(start) -> None:
    """Defence: the admission of a key is a task of its own, which ``_claims`` names until it is on record."""
    async with start(cmd(add)) as rig:
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.accepts)
        fields = {"command_id": "t.add", "args": {"a": 1}, "idempotency_key": "k"}
        first = asyncio.create_task(rig.ask(**fields))
        await until(lambda: valve.waiting)
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(rig.ask(**fields))
        await asyncio.wait([second], timeout=0.05)
        assert not second.done(), "nothing is on record yet"
        valve.open()
        await rig.ended(await second)
        assert rig.kernel.executor.table.counts["accepted"] == 1


async def test_a_key_holds_across_a_restart_and_for_a_day(start) -> None:
    """Defence: the key's row, and ``Store.find_key``'s limit of age."""
    clock = FakeClock()
    fields = {"command_id": "t.add", "args": {"a": 1}, "idempotency_key": "k"}
    async with start(cmd(add), clock=clock, durability="process") as rig:
        first = await rig.ended(await rig.ask(**fields))
    clock.advance(DAY - 5)
    async with start(cmd(add), clock=clock, durability="process") as rig:
        assert (await rig.ask(**fields)).id == first.id
        with pytest.raises(Conflict):
            await rig.ask(command_id="t.add", args={"a": 2}, idempotency_key="k")
        clock.advance(10)
        assert (await rig.ask(**fields)).id != first.id


async def test_a_deadline_already_past_is_refused(start) -> None:
    async with start(cmd(add)) as rig:
        for fields in ({"timeout": 0}, {"deadline_at": 1}, {"timeout": -1.0}):
            with pytest.raises(DeadlineExceeded):
                await rig.ask(command_id="t.add", args={"a": 1}, **fields)
        rig.assert_idle()


async def test_a_run_starts_no_earlier_than_asked(start) -> None:
    clock = FakeClock()
    async with start(cmd(add), clock=clock) as rig:
        run = await rig.ask(command_id="t.add", args={"a": 1}, not_before=clock.utc() + 100_000_000)
        clock.advance(99)
        assert rig.phase(run) == "delayed"
        clock.advance(2)
        assert (await rig.ended(run)).status == "succeeded"


async def test_nested_runs_have_ids_of_the_hosts_too(start) -> None:
    async def parent(ctx: Context) -> object:
        return await ctx.invoke("t.add", a=1, id="mine")

    async with start(cmd(add), cmd(parent)) as rig:
        run = await rig.run("t.parent")
        assert (run.status, run.error.code) == ("failed", "invalid_arguments")


async def test_an_unknown_command_names_the_nearest(start) -> None:
    async with start(cmd(add)) as rig:
        with pytest.raises(NotFound, match=r"t\.add"):
            await rig.submit("t.ad")


async def test_whoever_joins_a_run_needs_no_room(start) -> None:
    """Defence: room is asked for only where a new run is made."""
    open_ = asyncio.Event()

    async def stay() -> None:
        await open_.wait()

    async with start(cmd(stay, lock="one"), max_pending=1) as rig:
        await rig.ask(command_id="t.stay", idempotency_key="first")
        second = await rig.ask(command_id="t.stay", idempotency_key="second")
        with pytest.raises(Busy):
            await rig.ask(command_id="t.stay", idempotency_key="third")
        assert (await rig.ask(command_id="t.stay", idempotency_key="second")).id == second.id
        open_.set()
        await rig.ended(second)
