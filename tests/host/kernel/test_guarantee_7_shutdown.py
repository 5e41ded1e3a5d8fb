"""Guarantee 7: shutdown always ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kernel_kit import ANN, cmd, until

from trunnion.kernel.context import Context
from trunnion.model.errors import Unavailable
from trunnion.model.events import run_stream


async def forever() -> None:
    await asyncio.Event().wait()


async def quick() -> int:
    return 1


async def test_runs_get_their_grace(start) -> None:
    """Defence: ``Kernel.drain`` waits for what runs."""
    go = asyncio.Event()

    async def finishes() -> int:
        await go.wait()
        return 1

    async with start(cmd(finishes), shutdown_grace=20) as rig:
        run = await rig.submit("t.finishes")
        store = rig.kernel.store
        asyncio.get_running_loop().call_later(0.05, go.set)
    assert store.get_run(run.id).status == "succeeded"


async def test_nothing_new_is_accepted_while_it_stops(start) -> None:
    """Defence: ``Admissions.closed``; nested runs of what still runs go on."""
    told, go = [], asyncio.Event()

    async def parent(ctx: Context) -> object:
        await go.wait()
        return await ctx.invoke("t.quick")

    async with start(cmd(parent), cmd(quick), shutdown_grace=20) as rig:
        run = await rig.submit("t.parent")
        store = rig.kernel.store

        async def late() -> None:
            await until(lambda: rig.kernel.admissions.closed)
            with pytest.raises(Unavailable):
                await rig.submit("t.quick")
            told.append(1)
            go.set()

        task = asyncio.create_task(late())
    await task
    assert told
    assert store.get_run(run.id).result == 1


async def test_what_does_not_end_in_time_is_interrupted(start) -> None:
    """Defence: ``Kernel.interrupt`` after the grace."""
    clean = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            clean.append(1)

    async with start(cmd(tidy), shutdown_grace=0.05) as rig:
        run = await rig.submit("t.tidy")
        store = rig.kernel.store
        await until(lambda: rig.live(run).task)
        await asyncio.sleep(0)
    assert clean
    row = store.get_run(run.id)
    assert (row.status, row.error.code) == ("interrupted", "interrupted")


@pytest.mark.parametrize("kind", ["thread", "async"])
async def test_a_handler_that_ignores_its_end_is_settled_without_it(start, kind: str) -> None:
    """Defence: ``Ending.give_up``; handler threads are daemons nobody joins."""
    go, leave = threading.Event(), asyncio.Event()

    def stuck() -> None:
        go.wait(60)

    async def deaf() -> None:
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                continue

    began = time.monotonic()
    handler = stuck if kind == "thread" else deaf
    async with start(cmd(handler, name="stuck"), shutdown_grace=0.05, cancel_grace=0.2) as rig:
        run = await rig.submit("t.stuck")
        store = rig.kernel.store
        await until(lambda: rig.live(run).context)
        await asyncio.sleep(0)
    assert time.monotonic() - began < 5
    row = store.get_run(run.id)
    assert row.status == "interrupted"
    assert [e.data["status"] for e in store.read_events(run_stream(run.id), 0, 9) if e.kind == "state"][
        -1
    ] == row.status
    go.set()
    leave.set()


async def test_a_second_wish_skips_the_wait(start) -> None:
    """Defence: ``Host._hurry``."""
    go = threading.Event()

    def stuck() -> None:
        go.wait(60)

    began = time.monotonic()
    async with start(cmd(stuck), cmd(forever), shutdown_grace=60, cancel_grace=60) as rig:
        runs = [await rig.submit("t.stuck"), await rig.submit("t.forever")]
        store = rig.kernel.store
        rig.host.request_stop("one")
        asyncio.get_running_loop().call_later(0.05, rig.host.request_stop)
    assert time.monotonic() - began < 5
    assert [store.get_run(run.id).status for run in runs] == ["interrupted", "interrupted"]
    go.set()


async def test_what_waits_stays_on_record_for_the_next_start(start) -> None:
    """Defence: ``RunTable.draining``: nothing queued is started any more, nor ended."""
    ran = []

    async def counts() -> None:
        ran.append(1)

    async with start(cmd(forever, lock="l"), cmd(counts, lock="l"), durability="process", shutdown_grace=0.01) as rig:
        running = await rig.submit("t.forever")
        waiting = [await rig.submit("t.counts") for _ in range(3)]
    assert not ran
    async with start(cmd(counts, lock="l"), durability="process") as rig:
        assert (await rig.ended(running)).status == "interrupted"
        assert [(await rig.ended(run)).status for run in waiting] == ["succeeded"] * 3
        assert len(ran) == 3


async def test_a_retry_that_falls_due_after_the_start_of_the_stop_is_not_lost(start) -> None:
    from trunnion.model.commands import Retry

    go = asyncio.Event()

    async def flaky(ctx: Context) -> int:
        if ctx.attempt == 1:
            await go.wait()
            raise Unavailable("not now")
        return ctx.attempt

    async with start(cmd(flaky, retry=Retry(delay=0.01)), shutdown_grace=5) as rig:
        run = await rig.submit("t.flaky")
        store = rig.kernel.store
        asyncio.get_running_loop().call_later(0.02, go.set)
    assert store.get_run(run.id).status == "pending"


async def test_drain_ends_the_host_once_what_runs_has_ended(start) -> None:
    """Defence: ``host.drain`` wishes for the stop."""
    async with start(cmd(quick)) as rig:
        run = await rig.submit("host.drain")
        await asyncio.wait_for(rig.host.run_until_stopped(), 5)
        assert rig.host.stop_reason == "drained"
        with pytest.raises(Unavailable):
            await rig.submit("t.quick")
        assert (await rig.ended(run)).status == "succeeded"


async def test_everything_emitted_is_on_record_before_the_store_closes(start) -> None:
    """Defence: ``Host._flushed``."""

    async def talks(ctx: Context) -> None:
        for n in range(1000):
            ctx.log(str(n))

    async with start(cmd(talks), durability="process") as rig:
        run = await rig.submit("t.talks")
    async with start(durability="process") as rig:
        events = await rig.check_end(await rig.door.get(ANN, run.id))
        assert [e.text for e in events if e.kind == "log"] == [str(n) for n in range(1000)]


CHILD = """
import asyncio, sys, threading
from pathlib import Path
from trunnion.host import Host, HostOptions
from trunnion.hookspecs import hookimpl
from trunnion.model.commands import Command
from trunnion.model.runs import Caller, Invocation
from trunnion.running import run

class Plugin:
    @hookimpl
    def trunnion_commands(self):
        def stuck():
            threading.Event().wait()
        return [Command.of(stuck, console="t")]

async def main():
    overrides = ("store.durability=process", "executor.shutdown_grace=0.1", "executor.cancel_grace=0.1")
    options = HostOptions(data_dir=Path(sys.argv[1]), overrides=overrides)
    async with Host(options, plugins={"p": Plugin()}, discovery=False, environ={}) as host:
        made = await host.door("cli").submit(Caller("ann", "cli"), Invocation(command_id="t.stuck"))
        print(made.id, flush=True)

run(main())
"""


async def test_the_process_leaves_with_a_handler_thread_that_never_returns(start, tmp_path: Path) -> None:
    """Defence: handler threads are our own daemon threads, not the loop's default executor."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True, timeout=20, check=True
    )
    async with start(durability="process") as rig:
        assert (await rig.door.get(ANN, child.stdout.strip())).status == "interrupted"
