"""What a plugin keeps: documents with revisions, lists, transactions, changes to follow, limits."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path

import pytest
from kernel_kit import ANN, FakeClock, Valve, until
from state_kit import Start, changes, limited, state_of

from trunnion.host import Host, HostOptions
from trunnion.kernel import committer
from trunnion.kernel.documents import DocumentLimits
from trunnion.model.errors import Busy, Conflict, Forbidden, InvalidArguments, NotFound, Unavailable
from trunnion.model.retention import Rule
from trunnion.model.runs import Caller
from trunnion.store.base import DiskFull
from trunnion.store.pruning import prune


@pytest.fixture(params=["memory", "process", "power"])
def durability(request: pytest.FixtureRequest) -> str:
    return request.param


# -- one document ---------------------------------------------------------------------------------


async def test_a_document_is_what_was_put_last(start: Start, durability: str) -> None:
    async with start(durability=durability) as rig:
        state = state_of(rig)
        assert await state.get("instances/plc1") is None
        first = await state.put("instances/plc1", {"port": 1, "tags": ["a", None, 1.5, True]})
        assert (first.key, first.revision) == ("instances/plc1", 1)
        assert await state.get("instances/plc1") == first
        second = await state.put("instances/plc1", None)
        assert await state.get("instances/plc1") == second
        assert (second.value, second.revision) == (None, 2)
        assert await state.delete("instances/plc1") is True
        assert await state.delete("instances/plc1") is False
        assert await state.get("instances/plc1") is None


async def test_documents_are_there_after_a_restart(start: Start) -> None:
    async with start(durability="process") as rig:
        kept = await state_of(rig).put("a", {"n": 1})
    async with start(durability="process") as rig:
        assert await state_of(rig).get("a") == kept
        assert (await state_of(rig).put("a", 2)).revision == 2


async def test_owners_do_not_meet(start: Start) -> None:
    async with start() as rig:
        await state_of(rig, "one").put("a", 1)
        await state_of(rig, "two").put("a", 2)
        assert (await state_of(rig, "one").get("a")).value == 1
        assert (await state_of(rig, "two").get("a")).revision == 1
        assert await state_of(rig, "three").get("a") is None
        assert state_of(rig, "one") is state_of(rig, "one")
        for nobody in ("", "a/b", "..", "A", "a\n"):
            with pytest.raises(InvalidArguments, match="cannot own documents"):
                state_of(rig, nobody)


async def test_a_change_compares_before_it_sets(start: Start, durability: str) -> None:
    async with start(durability=durability) as rig:
        state = state_of(rig)
        with pytest.raises(Conflict) as caught:
            await state.put("a", 1, revision=7)
        assert caught.value.details == {"key": "a", "revision": 0}
        assert (await state.put("a", 1, revision=0)).revision == 1
        for wrong in (0, 2):
            with pytest.raises(Conflict) as caught:
                await state.put("a", 2, revision=wrong)
            assert caught.value.details == {"key": "a", "revision": 1}
            with pytest.raises(Conflict):
                await state.delete("a", revision=wrong)
        assert (await state.put("a", 2, revision=1)).revision == 2
        assert await state.delete("a", revision=2)
        assert not await state.delete("a", revision=0)
        with pytest.raises(Conflict):
            await state.delete("a", revision=2)
        assert (await state.put("a", 3, revision=0)).revision == 4


async def test_of_those_who_change_at_once_one_wins(start: Start, durability: str) -> None:
    async with start(durability=durability) as rig:
        state = state_of(rig)
        await state.put("a", "start")
        answers = await asyncio.gather(*[state.put("a", n, revision=1) for n in range(20)], return_exceptions=True)
        won = [answer for answer in answers if not isinstance(answer, Conflict)]
        assert won == [await state.get("a")]


async def test_what_is_not_on_record_is_not_read(start: Start) -> None:
    """Defence: reads look at the store, only changes look at what is on its way."""
    async with start() as rig:
        state, valve = state_of(rig), Valve(rig.kernel.store)
        before = await state.put("a", 1)
        valve.close()
        waiting = asyncio.ensure_future(state.put("a", 2))
        await until(lambda: valve.waiting)
        assert await state.get("a") == before
        assert [event.seq for event in await changes(state)] == [1]
        with pytest.raises(Conflict):
            await state.put("a", 3, revision=1)
        built_on = asyncio.ensure_future(state.put("a", 4, revision=2))
        valve.open()
        assert (await waiting).revision == 2
        assert await built_on == await state.get("a")


async def test_values_are_the_callers_own(start: Start) -> None:
    async with start() as rig:
        state, given = state_of(rig), {"list": [1]}
        put = await state.put("a", given)
        given["list"].append(2)
        put.value["list"].append(3)
        (await state.get("a")).value["list"].append(4)
        assert (await state.get("a")).value == {"list": [1]}


CIRCLE: list[object] = []
CIRCLE.append(CIRCLE)
DEEP: list[object] = []
for _ in range(101):
    DEEP = [DEEP]

BAD_VALUES = [
    math.nan,
    [math.inf],
    {"a": -math.inf},
    "\ud800",
    {"\ud800": 1},
    {1: "number for a key"},
    {True: 1},
    {1: 1, "1": 2},
    b"bytes",
    {"a": {1, 2}},
    object(),
    10**200,
    DEEP,
    CIRCLE,
    FakeClock,
    "x" * (1 << 20),
]


@pytest.mark.parametrize("value", BAD_VALUES, ids=lambda value: repr(value)[:20])
async def test_what_would_not_come_back_is_refused(start: Start, value: object) -> None:
    async with start() as rig:
        state = state_of(rig)
        with pytest.raises(InvalidArguments):
            await state.put("a", value)
        with pytest.raises(InvalidArguments):
            async with state.transaction() as transaction:
                await transaction.put("b", 1)
                await transaction.put("a", value)
        assert (await state.list()).items == []
        assert await changes(state) == []


@pytest.mark.parametrize("value", [(1, (2, [3])), {"a": ()}, 2**64 - 1, -(2**63), "🂡\x00é", {"": {}}, 0.1, [[]] * 50])
async def test_what_json_has_a_form_for_comes_back(start: Start, value: object) -> None:
    async with start() as rig:
        put = await state_of(rig).put("a", value)
        assert put == await state_of(rig).get("a")
        assert put.value == value or isinstance(value, tuple | dict)


BAD_KEYS = ["", "/", "a//b", "a/", "/a", "-a", "a b", "ä", "a\n", "!version", "a/" * 8 + "b", "x" * 129, "../a", 1]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_what_is_no_key_is_refused(start: Start, key: str) -> None:
    async with start() as rig:
        state = state_of(rig)
        for work in (state.get(key), state.put(key, 1), state.delete(key), state.update(key, lambda _: 1)):
            with pytest.raises(InvalidArguments, match="cannot be the key"):
                await work


# -- telling --------------------------------------------------------------------------------------


async def test_changes_are_told_without_values(start: Start) -> None:
    async with start() as rig:
        state = state_of(rig)
        await state.put("a", "hush")
        await state.delete("a")
        first, second = await changes(state)
        assert (first.stream, first.kind, first.by, first.seq) == ("state/demo", "data", "demo", 1)
        assert first.data == {"key": "a", "revision": 1}
        assert second.data == {"key": "a", "revision": 2, "removed": True}
        assert "hush" not in repr([first, second])


async def test_a_follower_hears_of_changes_as_they_come(start: Start) -> None:
    async with start() as rig:
        state, heard = state_of(rig), asyncio.Queue()

        async def follow() -> None:
            async for event in state.follow():
                heard.put_nowait(event.data["key"])

        following = asyncio.ensure_future(follow())
        for key in ("a", "b"):
            await state.put(key, 1)
            assert await asyncio.wait_for(heard.get(), 5) == key
        following.cancel()


async def test_what_retention_took_is_one_gap(start: Start) -> None:
    async with start(durability="process") as rig:
        state = state_of(rig)
        for n in range(3):
            await state.put("a", n)
        prune(rig.kernel.store, [Rule("*", age=0)], 2**60)
    async with start(durability="process") as rig:
        state = state_of(rig)
        assert (await state.get("a")).revision == 3
        await state.put("a", 4)
        gap, change = await changes(state)
        assert gap.kind == "gap"
        assert gap.data["last"] == 3
        assert change.data == {"key": "a", "revision": 4}


async def test_only_admins_follow_and_only_documents_write_the_stream(start: Start) -> None:
    async with start() as rig:
        await state_of(rig).put("a", 1)
        seen = [e async for batch in rig.door.follow(ANN, "state/demo", live=False) for e in batch]
        assert len(seen) == 1
        operator, remote = Caller("bob", "cli", "operator"), Caller("ann", "web", "admin")
        for door, caller in ((rig.door, operator), (rig.host.door("web"), remote)):
            with pytest.raises((Forbidden, NotFound)):
                async for _ in door.follow(caller, "state/demo", live=False):
                    raise AssertionError("somebody else was told")
        with pytest.raises(InvalidArguments, match="is not a stream demo may write to"):
            rig.host.handle("system:demo", "demo").emit("state/demo", "data")


async def test_a_part_of_a_plugin_holds_its_own_documents(start: Start) -> None:
    async with start() as rig:
        mine = rig.host.handle("system:demo", "demo").state
        assert mine is state_of(rig)
        assert (mine.owner, mine.stream) == ("demo", "state/demo")


# -- limits and trouble ---------------------------------------------------------------------------


async def test_limits_are_named_with_figures(start: Start) -> None:
    async with limited(start, max_document_bytes=50, max_plugin_bytes=100, max_documents=4) as state:
        with pytest.raises(InvalidArguments, match=r"51 bytes, the limit is 50 .*state\.max_document_bytes"):
            await state.put("a", "x" * 49)
        for key in ("a", "b"):
            await state.put(key, "x" * 48)
        with pytest.raises(Busy, match=r"101 bytes, the limit is 100 .*state\.max_plugin_bytes") as caught:
            await state.put("c", 1)
        assert caught.value.details == {"bytes": 101, "limit": 100, "setting": "state.max_plugin_bytes"}
        await state.put("a", "y" * 48)
        await state.put("a", "y")
        await state.put("c", 1)
        await state.put("d", 1)
        with pytest.raises(Busy, match=r"5 documents, the limit is 4 .*state\.max_documents"):
            await state.put("e", 1)
        await state.delete("d")
        with pytest.raises(Busy, match="5 documents"):
            async with state.transaction() as transaction:
                await transaction.put("d", 1)
                await transaction.put("e", 1)
        async with state.transaction() as transaction:
            await transaction.put("d", 1)
            await transaction.delete("c")
        assert [d.key for d in (await state.list()).items] == ["a", "b", "d"]


async def test_what_is_there_already_counts_and_may_shrink(start: Start) -> None:
    async with start(durability="process") as rig:
        for n in range(3):
            await state_of(rig).put(f"k{n}", "x" * 10)
    async with start(durability="process") as rig:
        state = state_of(rig)
        rig.kernel.documents.limits = DocumentLimits(max_plugin_bytes=20, max_documents=2)
        with pytest.raises(Busy, match="4 documents"):
            await state.put("new", 1)
        with pytest.raises(Busy, match="37 bytes"):
            await state.put("k0", "x" * 11)
        await state.put("k0", "x")
        assert await state.delete("k1")


async def test_the_limits_are_the_configurations(tmp_path: Path) -> None:
    overrides = ("state.max_documents=1", "store.durability=memory")
    async with Host(
        HostOptions(data_dir=tmp_path, capture=False, overrides=overrides), discovery=False, environ={}
    ) as host:
        state = host.kernel.documents.state("demo")
        await state.put("a", 1)
        with pytest.raises(Busy, match=r"state\.max_documents"):
            await state.put("b", 1)


async def test_a_full_disk_refuses_changes_at_once_and_reads_go_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defence: ``Committer._give_back`` returns changed documents, those still waiting included."""
    monkeypatch.setattr(committer, "RETRY_FULL", 0.02)
    async with start() as rig:
        one, two, valve = state_of(rig, "one"), state_of(rig, "two"), Valve(rig.kernel.store)
        space = asyncio.Event()
        monkeypatch.setattr(rig.kernel.store, "restore_ballast", space.is_set)
        await one.put("a", "kept")
        await two.put("a", "kept")
        valve.close()
        sent = asyncio.ensure_future(one.put("a", 1))
        await until(lambda: valve.waiting)
        waiting = [asyncio.ensure_future(state.put(key, 2)) for state, key in ((one, "a"), (one, "b"), (two, "a"))]
        await asyncio.sleep(0)
        valve.fail(DiskFull("no space"))
        for task in (sent, *waiting):
            with pytest.raises(Unavailable) as caught:
                await asyncio.wait_for(task, 5)
            assert caught.value.details == {"reason": "disk_full"}
        with pytest.raises(Unavailable, match="disk of the data directory is full"):
            await one.put("a", 3)
        assert (await one.get("a")).value == "kept"
        assert [d.key for d in (await one.list()).items] == ["a"]
        space.set()
        await until(lambda: rig.kernel.committer.refusal is None)
        assert [(await state.put("a", 4)).revision for state in (one, two)] == [2, 2]
        assert [event.data["revision"] for event in await changes(one)] == [1, 2]
        assert {"store.full", "store.healed"} <= set(await rig.codes())


async def test_a_damaged_document_is_named_and_can_be_put_anew(start: Start) -> None:
    async with start(durability="process") as rig:
        state = state_of(rig)
        await state.put("good", 1)
        await state.put("bad", {"n": 1})
        connection = sqlite3.connect(rig.kernel.store.path)
        connection.execute("UPDATE documents SET value = X'7B22' WHERE key = 'bad'")
        connection.commit()
        connection.close()
        for read in (state.get("bad"), state.list()):
            with pytest.raises(Unavailable, match="document 'bad' of demo is damaged"):
                await read
        assert (await state.get("good")).value == 1
        assert (await state.put("bad", 2)).revision == 3
        assert [document.value for document in (await state.list()).items] == [2, 1]


async def test_a_stopped_host_changes_nothing(start: Start) -> None:
    async with start() as rig:
        state = state_of(rig)
        await state.put("a", 1)
    with pytest.raises(Unavailable, match="stopping"):
        await state.put("a", 2)


async def test_without_a_host_documents_are_read_and_not_changed(start: Start) -> None:
    async with start(durability="process") as rig:
        await state_of(rig).put("a", 1)
    async with start(durability="process", mode="readonly") as rig:
        assert (await state_of(rig).get("a")).value == 1
        with pytest.raises(Unavailable, match="no host is running"):
            await state_of(rig).put("a", 2)
