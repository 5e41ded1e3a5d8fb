"""Many documents at once: lists, transactions, updates that build on one another, and handlers in threads."""

from __future__ import annotations

import asyncio
import threading

import pytest
from kernel_kit import Plugin, Valve, cmd, until
from state_kit import Start, changes, state_of

from trunnion.kernel import documents
from trunnion.kernel.context import Context
from trunnion.kernel.state import State
from trunnion.model.errors import Conflict, InvalidArguments


@pytest.fixture(params=["memory", "process", "power"])
def durability(request: pytest.FixtureRequest) -> str:
    return request.param


# -- many -----------------------------------------------------------------------------------------


async def test_a_list_goes_on_where_the_page_before_ended(start: Start, durability: str) -> None:
    async with start(durability=durability) as rig:
        state = state_of(rig)
        keys = sorted(f"{kind}/{n}" for kind in ("a", "b") for n in range(7))
        for key in keys:
            await state.put(key, key)
        for prefix in ("", "a/", "b/", "a/3", "c"):
            found, cursor = [], None
            while True:
                page = await state.list(prefix, limit=3, cursor=cursor)
                found += [(document.key, document.value) for document in page.items]
                if (cursor := page.next) is None:
                    break
                assert len(page.items) == 3
            assert found == [(key, key) for key in keys if key.startswith(prefix)]
        for wrong in ({"limit": 0}, {"limit": 1001}, {"cursor": ""}, {"cursor": "!version"}, {"prefix": "ä"}):
            with pytest.raises(InvalidArguments):
                await state.list(**wrong)


async def test_a_transaction_is_whole(start: Start, durability: str) -> None:
    async with start(durability=durability) as rig:
        state = state_of(rig)
        await state.put("from", 10)
        await state.put("gone", 1)
        async with state.transaction() as transaction:
            amount = (await transaction.get("from")).value
            await transaction.put("from", amount - 3, revision=1)
            await transaction.put("to", 3, revision=0)
            assert (await transaction.get("to")).value == 3
            assert await transaction.delete("gone")
            assert await transaction.get("gone") is None
            assert not await transaction.delete("never")
            await transaction.put("passing", 1)
            await transaction.delete("passing")
            assert await state.get("to") is None
        assert [(d.key, d.value) for d in (await state.list()).items] == [("from", 7), ("to", 3)]
        told = [event.data for event in await changes(state, 2)]
        assert told == [
            {"key": "from", "revision": 3},
            {"key": "to", "revision": 4},
            {"key": "gone", "revision": 5, "removed": True},
        ]
        with pytest.raises(RuntimeError, match="over"):
            await transaction.put("late", 1)


@pytest.mark.parametrize("other", ["written", "read", "removed", "absent"])
async def test_a_transaction_that_was_overtaken_did_nothing(start: Start, other: str) -> None:
    """Defence: ``Transaction.get`` remembers what it read, ``commit`` compares."""
    async with start() as rig:
        state = state_of(rig)
        for key in ("written", "read", "removed"):
            await state.put(key, "before")
        before = await state.list()
        with pytest.raises(Conflict) as caught:
            async with state.transaction() as transaction:
                await transaction.get("read")
                await transaction.get("absent")
                await transaction.put("written", "mine", revision=1)
                await transaction.delete("removed")
                await transaction.put("new", "mine")
                theirs = await state.put(other, "theirs")
        assert caught.value.details == {"key": other, "revision": theirs.revision}
        after = {document.key: document for document in (await state.list()).items}
        assert after == {document.key: document for document in before.items} | {other: theirs}


async def test_an_exception_in_a_transaction_leaves_everything(start: Start) -> None:
    async with start() as rig:
        state = state_of(rig)
        for error in (ValueError("mine"), asyncio.CancelledError()):
            with pytest.raises(type(error)):
                async with state.transaction() as transaction:
                    await transaction.put("a", 1)
                    raise error
        async with state.transaction():
            pass
        assert (await state.list()).items == await changes(state) == []


async def test_updates_of_one_document_build_on_one_another(start: Start, durability: str) -> None:
    async with start(durability=durability) as rig:
        state = state_of(rig)
        await asyncio.gather(*[state.update("n", lambda n: (n or 0) + 1) for _ in range(100)])
        assert (await state.get("n")).value == 100
        assert rig.kernel.store.last_seq(state.stream) == 100


async def test_the_callers_own_conflict_ends_an_update(start: Start) -> None:
    def refuses(value: object) -> object:
        raise Conflict("not this one", {"key": "a"})

    async with start() as rig:
        with pytest.raises(Conflict, match="not this one"):
            await state_of(rig).update("a", refuses)
        with pytest.raises(Conflict, match="not this one"):
            await asyncio.to_thread(state_of(rig).update_blocking, "a", refuses)


async def test_a_change_whose_caller_went_away_is_made_all_the_same(start: Start) -> None:
    async with start() as rig:
        state, valve = state_of(rig), Valve(rig.kernel.store)
        await state.put("a", 1)
        valve.close()
        task = asyncio.ensure_future(state.put("a", 2))
        await until(lambda: valve.waiting)
        task.cancel()
        valve.open()
        await until(lambda: rig.kernel.committer.quiet)
        assert (await state.get("a")).value == 2
        assert (await state.put("a", 3, revision=2)).revision == 3


# -- in threads -----------------------------------------------------------------------------------


async def test_handlers_in_threads_have_twins(start: Start, durability: str) -> None:
    def works(ctx: Context, key: str) -> object:
        state = ctx.require(State)
        state.put_blocking(key, 1)
        for _ in range(5):
            state.update_blocking("shared", lambda n: (n or 0) + 1)
        page = state.list_blocking(key)
        found = state.get_blocking(key)
        removed = state.delete_blocking(key, revision=found.revision)
        return [[document.key for document in page.items], found.value, removed]

    async with start(cmd(works), durability=durability) as rig:
        state = state_of(rig, "p")
        runs = [await rig.submit("t.works", key=f"k{n}") for n in range(8)]
        for n, run in enumerate(runs):
            assert (await rig.ended(run)).result == [[f"k{n}"], 1, True]
        assert (await state.get("shared")).value == 40
        with pytest.raises(RuntimeError, match="async twin"):
            state.get_blocking("a")
        with pytest.raises(RuntimeError, match="async twin"):
            state.update_blocking("a", lambda n: n)


async def test_a_handler_asks_for_its_plugins_documents(start: Start) -> None:
    async def keep(ctx: Context, value: int) -> object:
        document = await ctx.require(State).put("kept", value)
        return [ctx.require(State).owner, document.revision]

    others = {"q": Plugin([cmd(keep, console="u")])}
    async with start(cmd(keep), more_plugins=others) as rig:
        assert (await rig.run("t.keep", value=1)).result == ["p", 1]
        assert (await rig.run("u.keep", value=2)).result == ["q", 1]
        assert (await state_of(rig, "p").get("kept")).value == 1


async def test_threads_that_ask_at_once_get_the_same(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``Documents.state`` keeps the first; two would not know of each other's changes."""
    both = threading.Barrier(2)

    class Slow(documents.OwnDocuments):
        def __init__(self, shared: documents.Documents, owner: str) -> None:
            both.wait(5)
            super().__init__(shared, owner)

    async with start() as rig:
        monkeypatch.setattr(documents, "OwnDocuments", Slow)
        one, other = await asyncio.gather(*[asyncio.to_thread(state_of, rig) for _ in range(2)])
        assert one is other
