"""Guarantee 2, after the end: nothing follows it, nothing odd keeps it from coming."""

from __future__ import annotations

import asyncio
import threading

import pytest
from kernel_kit import ANN, Valve, cmd, until

from trunnion.kernel.context import Context
from trunnion.model.errors import Busy, CommandFailed, Unavailable
from trunnion.model.events import run_stream

# -- after the end ----------------------------------------------------------------------------------


async def test_what_a_handlers_own_tasks_emit_after_its_end_is_dropped_and_counted(start) -> None:
    """Defence: ``Sink.close`` when the run is settled; ``_land`` drops and counts."""
    go, kept = asyncio.Event(), []

    async def leaves_a_task(ctx: Context) -> None:
        async def late() -> None:
            await go.wait()
            ctx.echo("late")
            ctx.log("late")
            ctx.data({"late": True})

        kept.extend((asyncio.create_task(late()), ctx))
        ctx.echo("in time")

    async with start(cmd(leaves_a_task)) as rig:
        run = await rig.run("t.leaves_a_task")
        go.set()
        await kept[0]
        assert kept[1]._sink.dropped == 3
        assert await rig.texts(run) == "in time\n"
        await rig.check_end(run)


async def test_a_context_used_after_the_end_refuses_to_start_or_keep_anything(start) -> None:
    """Defence: ``NestedRuns._live``."""
    kept = []

    async def leaks(ctx: Context) -> None:
        kept.append(ctx)

    async with start(cmd(leaks)) as rig:
        run = await rig.run("t.leaks")
        for use in (kept[0].invoke("t.leaks"), kept[0].artifact("a", b"x"), kept[0].flush()):
            with pytest.raises(Unavailable, match="has ended"):
                await use
        assert await rig.ended(run) == run


async def test_an_artifact_that_is_still_being_written_when_the_run_ends_is_not_kept(start, monkeypatch) -> None:
    """Defence: ``ArtifactKeeper.keep`` looks again after the copy; an event after the end would break the stream."""
    copying, go, kept = threading.Event(), threading.Event(), []
    from trunnion.kernel import artifacts

    copy = artifacts._copy

    def slow(content, target):
        copying.set()
        go.wait(20)
        kept.append(target)
        return copy(content, target)

    monkeypatch.setattr(artifacts, "_copy", slow)

    async def leaves(ctx: Context) -> None:
        kept.append(asyncio.create_task(ctx.artifact("a.bin", b"12345")))
        while not copying.is_set():
            await asyncio.sleep(0.001)

    async with start(cmd(leaves)) as rig:
        run = await rig.run("t.leaves")
        go.set()
        with pytest.raises(Unavailable, match="has ended"):
            await kept[0]
        assert not kept[1].path.exists()
        assert await rig.ended(run) == run
        assert (await rig.run("t.leaves")).status == "succeeded"


async def test_only_the_host_says_state(start) -> None:
    """Defence: ``Context.emit`` refuses kind ``state``."""

    async def pretends(ctx: Context) -> None:
        ctx.emit("state", "succeeded", {"status": "succeeded"})

    async with start(cmd(pretends)) as rig:
        run = await rig.run("t.pretends")
        assert (run.status, run.error.details["type"]) == ("failed", "ValueError")


async def test_following_after_the_end_gives_the_end_at_once(start) -> None:
    """Defence: a closed log is dropped from memory, so the store's end is the end."""

    async def quick() -> None:
        pass

    async with start(cmd(quick)) as rig:
        run = await rig.run("t.quick")
        follow = rig.door.follow(ANN, run_stream(run.id), run.last_seq - 1)
        assert [[e.kind for e in batch] async for batch in follow] == [["state"]]
        follow = rig.door.follow(ANN, run_stream(run.id), run.last_seq)
        assert [batch async for batch in follow] == []
        follow = rig.door.follow(ANN, run_stream(run.id), run.last_seq + 100)
        assert [batch async for batch in follow] == []


async def test_output_that_is_half_a_line_and_far_ahead_of_the_disk_still_ends(start) -> None:
    """Defence: ``finish_output`` is not refused for what waits already; the end would never come."""
    valves = []

    async def much(ctx: Context) -> int:
        valves[0].close()
        ctx.write("half a line")
        for blocks in range(1000):
            try:
                ctx.text("x" * 60_000 + "\n")
            except Busy:
                return blocks
        return 0

    async with start(cmd(much), max_uncommitted_bytes=1 << 20) as rig:
        valves.append(Valve(rig.kernel.store))
        run = await rig.submit("t.much")
        await until(lambda: rig.phase(run) == "ending")
        valves[0].open()
        run = await rig.ended(run)
        assert (run.status, run.result > 10) == ("succeeded", True)
        assert (await rig.texts(run)).endswith("half a line\n")


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "nul \0 byte", "\u2028"])
@pytest.mark.parametrize("durability", ["memory", "process"])
async def test_text_of_any_kind_poisons_neither_run_nor_host(start, text: str, durability: str) -> None:
    """Defence: text that is no Unicode is mended where it enters, not found out by the store."""

    async def speaks(ctx: Context) -> None:
        ctx.echo(text)
        ctx.log(text)
        ctx.stats.add(text)
        ctx.progress(1, 2, text)
        ctx.table([[text]], [text], text)

    async def quick() -> None:
        pass

    def shouts() -> None:
        raise CommandFailed(text, {"why": text})

    async with start(cmd(speaks), cmd(quick), cmd(shouts), durability=durability) as rig:
        assert (await rig.run("t.speaks")).ended
        assert (await rig.run("t.shouts")).status == "failed"
        assert (await rig.run("t.quick")).status == "succeeded"
        assert rig.kernel.committer.refusal is None


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), "three", None])
async def test_figures_that_are_no_numbers_are_refused_to_the_handler(start, figure: object) -> None:
    """Defence: ``Stats`` takes finite numbers only; a row with another could not be read again."""

    def counts(ctx: Context) -> None:
        ctx.stats.set("n", figure)

    async with start(cmd(counts), durability="process") as rig:
        run = await rig.run("t.counts")
        assert (run.status, run.stats) == ("failed", {})


# -- shutdown ---------------------------------------------------------------------------------------


async def test_a_stop_of_the_host_ends_streams_too(start) -> None:
    """Defence: ``Kernel.interrupt`` settles what still runs before the store closes."""

    async def works() -> None:
        await asyncio.Event().wait()

    async with start(cmd(works), shutdown_grace=0.01) as rig:
        run = await rig.submit("t.works")
        seen = asyncio.create_task(rig.events(run))
        await until(lambda: rig.live(run).log.followers)
        store = rig.kernel.store
    events = await seen
    assert events[-1].data["status"] == "interrupted"
    assert store.get_run(run.id).status == "interrupted"
    assert [e.kind for e in store.read_events(run_stream(run.id), 0, 100)] == [e.kind for e in events]
