"""A full disk: new work is refused by name, what runs goes on, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kernel_kit import ANN, Rig, cmd, until

from trunnion.kernel import committer
from trunnion.kernel.context import Context
from trunnion.model.errors import Unavailable

ROOMY = 1_000_000


@contextmanager
def small_disk(rig: Rig, pages: int) -> Iterator[None]:
    """A database that may grow by so many pages only; as SQLite sees it, the disk is full past them."""
    connection = rig.kernel.store._database.connection
    (now,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {now + pages}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA max_page_count = {ROOMY}")


async def quick() -> int:
    return 1


async def test_a_full_disk_refuses_new_runs_and_heals_without_a_restart(start, monkeypatch) -> None:
    """Defence: ``Committer._disk_is_full``, ``refuse_if_unable`` and ``_try_again``."""
    monkeypatch.setattr(committer, "RETRY_FULL", 0.05)
    more, finish = asyncio.Event(), asyncio.Event()
    written = []

    async def writes(ctx: Context) -> int:
        ctx.echo("begin")
        await more.wait()
        for n in range(20):
            ctx.data(os.urandom(20_000).hex())
            written.append(n)
            await asyncio.sleep(0.002)
        await finish.wait()
        return len(written)

    async def waits() -> None:
        await asyncio.Event().wait()

    async with start(cmd(writes), cmd(waits), cmd(quick), durability="process", max_uncommitted_bytes=1 << 24) as rig:
        space = asyncio.Event()
        monkeypatch.setattr(rig.kernel.store, "restore_ballast", space.is_set)
        running, cancelled = await rig.submit("t.writes"), await rig.submit("t.waits")
        acknowledged = [await rig.run("t.quick") for _ in range(5)]
        await until(lambda: rig.kernel.committer.quiet)
        with small_disk(rig, pages=4):
            more.set()
            await until(lambda: rig.kernel.committer.refusal)
            with pytest.raises(Unavailable) as caught:
                await rig.submit("t.quick")
            assert caught.value.details == {"reason": "disk_full"}
            await until(lambda: len(written) == 20)
            assert rig.phase(running) == "running"
            finish.set()
            status = await rig.door.query(ANN, "host.status")
            assert status["store"]["refuses"] is True
        space.set()
        await until(lambda: rig.kernel.committer.refusal is None)
        assert (await rig.ended(running)).result == 20
        assert len([e for e in await rig.events(running) if e.kind == "data"]) == 20
        await rig.door.cancel(ANN, cancelled.id)
        assert (await rig.ended(cancelled)).status == "cancelled"
        assert (await rig.run("t.quick")).status == "succeeded"
        assert {"store.full", "store.healed"} <= set(await rig.codes())
        acknowledged += [running, cancelled]
    async with start(cmd(quick), durability="process") as rig:
        for run in acknowledged:
            assert (await rig.door.get(ANN, run.id)).status in ("succeeded", "cancelled")
            await rig.check_end(await rig.door.get(ANN, run.id))


async def test_ends_and_cancels_are_committed_from_the_reserve(start, monkeypatch) -> None:
    """Defence: ``Committer._send_small``: what is small goes before what waits for space."""
    monkeypatch.setattr(committer, "RETRY_FULL", 0.05)

    async def floods(ctx: Context) -> None:
        await go.wait()
        for _ in range(20):
            ctx.data(os.urandom(20_000).hex())
        await asyncio.Event().wait()

    async def waits() -> None:
        await asyncio.Event().wait()

    go = asyncio.Event()
    async with start(cmd(floods), cmd(waits), durability="process", max_uncommitted_bytes=1 << 24) as rig:
        space = asyncio.Event()
        monkeypatch.setattr(rig.kernel.store, "restore_ballast", space.is_set)
        flooding, waiting = await rig.submit("t.floods"), await rig.submit("t.waits")
        await until(lambda: rig.kernel.committer.quiet)
        with small_disk(rig, pages=10):
            go.set()
            await until(lambda: rig.kernel.committer.refusal)
            await asyncio.wait_for(rig.door.cancel(ANN, waiting.id), 5)
            assert (await asyncio.wait_for(rig.ended(waiting), 5)).status == "cancelled"
            assert rig.kernel.committer.refusal is not None
        space.set()
        await until(lambda: rig.kernel.committer.refusal is None)
        await rig.door.cancel(ANN, flooding.id)
        assert len([e for e in await rig.events(flooding) if e.kind == "data"]) == 20


async def test_a_run_that_does_not_fit_was_never_there(start, monkeypatch) -> None:
    """Defence: ``Executor._never_was``: refused, forgotten, and its key free again."""
    monkeypatch.setattr(committer, "RETRY_FULL", 0.05)

    async def takes(text: str) -> int:
        return len(text)

    fields = {"command_id": "t.takes", "args": {"text": os.urandom(200_000).hex()}, "idempotency_key": "k"}
    async with start(cmd(takes, lock="one"), durability="process") as rig:
        with small_disk(rig, pages=2):
            with pytest.raises(Unavailable) as caught:
                await rig.ask(**fields)
            assert caught.value.details == {"reason": "disk_full"}
            rig.assert_idle()
        await until(lambda: rig.kernel.committer.refusal is None)
        assert (await rig.ended(await rig.ask(**fields))).result == 400_000
        rig.assert_idle()


async def test_documents_are_refused_by_name_and_read_while_the_disk_is_full(start, monkeypatch) -> None:
    """Defence: ``Committer._give_back``: changed documents are answered, not kept waiting for space."""
    monkeypatch.setattr(committer, "RETRY_FULL", 0.05)
    async with start(durability="process") as rig:
        state = rig.kernel.documents.state("demo")
        for n in range(50):
            await state.put(f"small/{n}", n)
        with small_disk(rig, pages=20):
            refused = None
            while refused is None:
                try:
                    await asyncio.wait_for(state.put("large", os.urandom(100_000).hex()), 5)
                except Unavailable as error:
                    refused = error
            assert refused.details == {"reason": "disk_full"}
            assert "changes of documents are refused" in refused.message
            assert [d.value for d in (await state.list("small/")).items][:2] == [0, 1]
            assert (await state.get("small/7")).value == 7
        await until(lambda: rig.kernel.committer.refusal is None)
        put = await state.put("large", "fits")
        told = [event.data async for event in state.follow(live=False)]
        assert [change["revision"] for change in told] == list(range(1, put.revision + 1))
    async with start(durability="process") as rig:
        assert await rig.kernel.documents.state("demo").get("large") == put
