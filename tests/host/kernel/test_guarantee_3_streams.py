"""Guarantee 3: gapless, in order, nothing seen before its commit; slow followers cost nobody anything."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_kit import ANN, Valve, cmd, until

from trunnion.kernel.clock import SystemClock
from trunnion.kernel.committer import Committer
from trunnion.kernel.context import Context
from trunnion.kernel.eventlog import RING_EVENTS, EventLog
from trunnion.model.errors import Busy, InvalidArguments
from trunnion.model.events import run_stream
from trunnion.model.retention import Rule
from trunnion.store.base import Batch, Done
from trunnion.store.memory import MemoryStore
from trunnion.store.pruning import prune


class Bench:
    """An event log on a store whose commits a test lets through, delays or fails."""

    def __init__(self, plan: list[str]) -> None:
        self.store = MemoryStore()
        self.plan = plan
        store_commit = self.store.commit

        def commit(batch: Batch, done: Done) -> None:
            fate = self.plan.pop() if self.plan else "pass"
            if fate == "fail":
                done(OSError("the disk said no"))
            elif fate == "delay":
                asyncio.get_running_loop().call_later(0.001, store_commit, batch, done)
            else:
                store_commit(batch, done)

        self.store.commit = commit
        loop, clock = asyncio.get_running_loop(), SystemClock()
        self.committer = Committer(self.store, clock, loop.call_soon, lambda *_: None)
        self.log = EventLog(self.committer, self, self.store.last_seq, clock)

    async def events(self, stream: str, after: int):
        return self.store.read_events(stream, after, 1024)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["one", "many", "turn", "follow", "large"]), min_size=1, max_size=40),
    plan=st.lists(st.sampled_from(["pass", "delay", "fail"]), max_size=12),
)
def test_gapless_ordered_and_committed_whatever_the_store_does(steps: list[str], plan: list[str]) -> None:
    """Defence: ``StreamLog.after`` ends at ``visible``, which only the commit's callback moves."""

    async def main() -> None:
        bench = Bench(list(plan))
        log, followers, total = bench.log.stream("s"), [], 0

        async def follow(after: int) -> list[int]:
            seen = []
            async for batch in bench.log.follow("s", after):
                for event in batch:
                    assert event.seq <= bench.store.last_seq("s"), "seen before it was on record"
                    seen.append(event.seq)
            return seen

        for step in steps:
            if step == "turn":
                await asyncio.sleep(0)
            elif step == "follow":
                followers.append((log.visible, asyncio.create_task(follow(log.visible))))
            else:
                for _ in range(50 if step == "many" else 1):
                    total += 1
                    log.append("text", "x" * (70_000 if step == "large" else 10))
        log.close()
        followers.append((0, asyncio.create_task(follow(0))))
        bench.committer.when_quiet(lambda: None)
        async with asyncio.timeout(20):
            for after, task in followers:
                assert await task == list(range(after + 1, total + 1))
        assert [e.seq for e in bench.store.read_events("s", 0, 100_000)] == list(range(1, total + 1))

    import trunnion.kernel.committer as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RETRY_FULL", 0.002)
        asyncio.run(main())


async def test_nothing_is_seen_while_its_commit_is_under_way(start) -> None:
    """Defence: a follower sees committed events only."""

    async def talks(ctx: Context) -> None:
        await begin.wait()
        ctx.echo("one")
        await asyncio.Event().wait()

    begin = asyncio.Event()
    async with start(cmd(talks)) as rig:
        run = await rig.submit("t.talks")
        seen = []

        async def watch() -> None:
            async for batch in rig.door.follow(ANN, run_stream(run.id)):
                seen.extend(e.text for e in batch)

        task = asyncio.create_task(watch())
        await until(lambda: seen)
        valve = Valve(rig.kernel.store)
        valve.close()
        begin.set()
        await until(lambda: valve.waiting)
        await asyncio.sleep(0.02)
        assert seen == ["started"]
        valve.open()
        await until(lambda: seen == ["started", "one\n"])
        await rig.door.cancel(ANN, run.id)
        await task


async def test_thousands_of_subscriptions_at_random_instants(start) -> None:
    """Row G3. Defence: one cursor over memory and store; there is no seam between snapshot and live."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)

    async def talks(ctx: Context) -> None:
        for n in range(600):
            ctx.data(n)
            await asyncio.sleep(0)

    async with start(cmd(talks)) as rig:
        run = await rig.submit("t.talks")

        async def one(after: int) -> tuple[int, list[int]]:
            seqs = []
            async for batch in rig.door.follow(ANN, run_stream(run.id), after):
                seqs.extend(e.seq for e in batch)
                if chance.random() < 0.1:
                    await asyncio.sleep(0)
            return after, seqs

        tasks, live = [], rig.live(run)
        while live.phase != "ended" or len(tasks) < 2000:
            tasks += [asyncio.create_task(one(chance.randint(0, live.log.seq))) for _ in range(4)]
            await asyncio.sleep(0)
        last = (await rig.ended(run)).last_seq
        assert len(tasks) >= 2000
        for after, seqs in await asyncio.gather(*tasks):
            assert seqs == list(range(after + 1, last + 1))


async def test_a_thousand_followers_see_the_same(start) -> None:
    """Row G2. Defence: one slice shared by all, made once per commit."""

    async def talks(ctx: Context) -> None:
        await begin.wait()
        for n in range(200):
            ctx.echo("line", n)
            await asyncio.sleep(0)

    begin = asyncio.Event()
    async with start(cmd(talks)) as rig:
        run = await rig.submit("t.talks")

        async def digest() -> str:
            whole = hashlib.sha256()
            async for batch in rig.door.follow(ANN, run_stream(run.id)):
                for event in batch:
                    whole.update(f"{event.seq} {event.kind} {event.text}\n".encode())
            return whole.hexdigest()

        tasks = [asyncio.create_task(digest()) for _ in range(1000)]
        await until(lambda: rig.live(run).log.followers == 1000)
        begin.set()
        digests = await asyncio.gather(*tasks)
        assert len(set(digests)) == 1
        assert digests[0] == await digest()


async def test_a_slow_follower_reads_on_from_the_store(start) -> None:
    """Defence: ``EventLog.follow`` falls back when memory does not reach back that far; memory stays bounded."""

    async def talks(ctx: Context) -> None:
        await begin.wait()
        for n in range(RING_EVENTS * 3):
            ctx.data(n)
            if n % 500 == 0:
                await ctx.flush()
        await finish.wait()

    begin, finish = asyncio.Event(), asyncio.Event()
    async with start(cmd(talks)) as rig:
        run = await rig.submit("t.talks")
        follow = rig.door.follow(ANN, run_stream(run.id))
        first = await anext(follow)
        begin.set()
        await until(lambda: rig.live(run).log.visible > RING_EVENTS * 3)
        assert len(rig.live(run).log.ring) <= RING_EVENTS
        assert rig.live(run).log.base > 0
        finish.set()
        seqs = [e.seq for e in first]
        async for batch in follow:
            seqs += [e.seq for e in batch]
        assert seqs == list(range(1, RING_EVENTS * 3 + 3))


async def test_what_retention_removed_is_one_gap_with_both_numbers(start) -> None:
    """Defence: ``gap_event`` from the store, the same way for every follower."""

    async def quick() -> None:
        pass

    async with start(cmd(quick), durability="process") as rig:
        log = rig.kernel.log.stream("host/log")
        for n in range(5000):
            rig.kernel.host_log.log("test", "info", f"line {n}")
        await rig.kernel.waiting.flush(log)
        prune(rig.kernel.store, [Rule("*", age=0)], rig.kernel.clock.utc() + 1)
        events = await rig.host_events("host/log")
        assert [e.kind for e in events].count("gap") == 1
        gap = events[0]
        assert gap.data["first"] == 1
        assert gap.seq == gap.data["last"]
        assert [e.seq for e in events[1:]] == list(range(gap.seq + 1, log.seq + 1))
        again = [e async for b in rig.door.follow(ANN, "host/log", 100, live=False) for e in b]
        assert again[0].data["first"] == 101


@pytest.mark.parametrize("threads", [1, 4])
async def test_threads_emit_100_000_lines_in_order(start, threads: int) -> None:
    """Defence: ``Mailbox``: one queue, emptied in order; what a thread said stands before its end."""
    each = 100_000 // threads

    def talks(ctx: Context, me: int) -> int:
        for n in range(each):
            ctx.text(f"{me} {n}\n")
        return each

    async with start(cmd(talks)) as rig:
        runs = [await rig.submit("t.talks", me=me) for me in range(threads)]
        for me, run in enumerate(runs):
            await rig.door.wait(ANN, run.id, 60)
            lines, counted = [], 0
            for event in await rig.events(run):
                if event.kind == "text":
                    assert event.data["first_line"] == counted + 1
                    counted += event.data["lines"]
                    lines += event.text.splitlines()
            assert lines == [f"{me} {n}" for n in range(each)]


async def test_a_thread_far_ahead_of_the_disk_waits(start) -> None:
    """Defence: the loop in ``Sink._send``."""
    reached = []

    def talks(ctx: Context) -> None:
        for n in range(1000):
            ctx.text("x" * 10_000 + "\n")
            reached.append(n)

    async with start(cmd(talks), max_uncommitted_bytes=200_000) as rig:
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: not batch.accepts)
        run = await rig.submit("t.talks")
        await until(lambda: len(reached) > 15)
        await asyncio.sleep(0.1)
        stopped_at = len(reached)
        assert stopped_at < 30
        await asyncio.sleep(0.1)
        assert len(reached) == stopped_at
        valve.open()
        assert (await rig.ended(run)).last_seq == 1002


async def test_a_thread_that_waits_for_room_can_be_ended(start) -> None:
    """Defence: ``Sink.last_words`` and ``close`` let go of it once the run is settled."""
    reached = []

    def talks(ctx: Context) -> None:
        for n in range(1000):
            ctx.text("x" * 10_000 + "\n")
            reached.append(n)

    async with start(cmd(talks), max_uncommitted_bytes=100_000, cancel_grace=0.05) as rig:
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: not batch.accepts and not batch.starts)
        run = await rig.submit("t.talks")
        await until(lambda: len(reached) > 5)
        rig.kernel.executor.ending.stop(rig.live(run), "cancelled")
        await until(lambda: len(reached) == 1000)
        valve.open()
        assert (await rig.ended(run)).status == "cancelled"


async def test_async_code_far_ahead_of_the_disk_is_told_so_and_flush_paces_it(start) -> None:
    """Defence: ``Sink._refuse_if_behind``; ``ctx.flush`` returns when what was emitted is on record."""
    told = []

    async def runs_ahead(ctx: Context) -> None:
        valve.close()
        try:
            for _ in range(1000):
                ctx.text("x" * 10_000 + "\n")
        except Busy as busy:
            told.append(busy.message)
            valve.open()
            raise

    async def paces(ctx: Context) -> int:
        for n in range(300):
            ctx.text("x" * 10_000 + "\n")
            if n % 10 == 0:
                await ctx.flush()
                assert rig.kernel.store.last_seq(run_stream(ctx.run_id)) == rig.live(ctx.run_id).log.seq
        return n

    async with start(cmd(runs_ahead), cmd(paces), max_uncommitted_bytes=1 << 20) as rig:
        valve = Valve(rig.kernel.store)
        run = await rig.run("t.runs_ahead")
        assert (run.status, run.error.code) == ("failed", "busy")
        assert "ctx.flush()" in told[0]
        assert (await rig.run("t.paces")).result == 299


async def test_positions_that_cannot_be(start) -> None:
    async with start() as rig:
        with pytest.raises(InvalidArguments):
            async for _ in rig.door.follow(ANN, "host", -1):
                pass


async def test_a_failed_commit_loses_nothing_of_what_runs(start) -> None:
    """Defence: ``Committer._give_back``."""

    async def talks(ctx: Context) -> None:
        ctx.echo("before")
        await go.wait()

    go = asyncio.Event()
    async with start(cmd(talks)) as rig:
        run = await rig.submit("t.talks")
        valve = Valve(rig.kernel.store)
        valve.close()
        go.set()
        await until(lambda: valve.waiting)
        valve.fail(OSError("no"))
        assert (await rig.ended(run)).status == "succeeded"
        assert await rig.texts(run) == "before\n"
        assert {"store.error", "store.healed"} <= set(await rig.codes())
