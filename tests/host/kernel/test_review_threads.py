"""Threads that talk faster than the loop listens, and a system that has no thread left."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from kernel_kit import ANN, Rig, cmd, until

from trunnion.kernel import file_ranges
from trunnion.kernel.context import Context
from trunnion.kernel.file_writing import NewFile
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.threads import DaemonThreads, in_thread

Start = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.mark.anyio
async def test_an_item_that_always_brings_another_leaves_turns_to_the_loop() -> None:
    mailbox, turns, going = Mailbox(asyncio.get_running_loop()), 0, True

    def again() -> None:
        if going:
            mailbox.post(again)

    mailbox.post(again)
    while turns < 10:
        await asyncio.sleep(0)
        turns += 1
    going = False


@pytest.mark.anyio
async def test_what_goes_on_comes_before_what_was_posted_behind_it() -> None:
    mailbox, told = Mailbox(asyncio.get_running_loop()), list[str]()

    def first() -> None:
        told.append("slice")
        if len(told) < 3:
            mailbox.go_on(first)

    mailbox.post(first)
    mailbox.post(lambda: told.append("end"))
    mailbox.drain()
    assert told == ["slice", "slice", "slice", "end"]


@pytest.mark.alone
@pytest.mark.anyio
async def test_the_loop_stays_free_while_threads_emit_without_pause(start: Start) -> None:
    stop = threading.Event()

    def loud(ctx: Context) -> int:
        count = 0
        while not stop.is_set():
            ctx.log("a line")
            count += 1
        return count

    async with start(cmd(loud), durability="process") as rig:
        runs = [await rig.submit("t.loud") for _ in range(4)]
        end, worst = time.monotonic() + 1.0, 0.0
        while (now := time.monotonic()) < end:
            await asyncio.sleep(0.001)
            worst = max(worst, time.monotonic() - now)
        stop.set()
        for run in runs:
            ended = await rig.ended(run)
            assert ended.result == sum(e.kind == "log" for e in await rig.events(run))
    assert worst < 0.8, f"the loop stood still for {worst:.2f} s of 1 s"


@pytest.mark.anyio
async def test_a_run_fails_when_the_system_has_no_thread_for_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain() -> int:
        return 1

    async def fine() -> int:
        return 2

    started = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("trunnion-handler"):
            raise RuntimeError("can't start new thread")
        started(thread)

    async with start(cmd(plain), cmd(fine), durability="process") as rig:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            both = await asyncio.gather(rig.submit("t.plain"), rig.submit("t.fine"))
            ends = [await rig.ended(run) for run in both]
        assert [end.status for end in ends] == ["failed", "succeeded"]
        assert ends[0].error is not None and "new thread" in ends[0].error.message
        assert (await rig.run("t.plain")).result == 1
        rig.assert_idle()


@pytest.mark.anyio
@pytest.mark.parametrize("arrived", [False, True])
async def test_what_a_thread_opened_for_nobody_is_closed(arrived: bool) -> None:
    """Whoever waits is cancelled while the thread works, or when its answer is there and not yet taken."""
    threads, go, left = DaemonThreads("test"), threading.Event(), list[str]()

    def opens() -> str:
        go.wait()
        return "file"

    task = asyncio.create_task(in_thread(threads, opens, left.append))
    await asyncio.sleep(0)
    threads.close()
    if arrived:
        go.set()
        for thread in [each for each in threading.enumerate() if each.name.startswith("test-")]:
            thread.join(5)
        await asyncio.sleep(0)  # the answer comes before this turn, the task's own turn is the next
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: left)
    assert left == ["file"]


@pytest.mark.anyio
async def test_who_stops_reading_a_file_leaves_it_closed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep(ctx: Context) -> str:
        return (await ctx.artifact("a", b"content")).id

    async with start(cmd(keep)) as rig:
        artifact = str((await rig.run("t.keep")).result)
        going, go, opened = threading.Event(), threading.Event(), list[int]()
        opens = file_ranges._opened

        def slowly(path: Path, what: str) -> int:
            going.set()
            go.wait()
            opened.append(opens(path, what))
            return opened[0]

        monkeypatch.setattr(file_ranges, "_opened", slowly)
        read = asyncio.create_task(anext(rig.kernel.files.artifacts.read(ANN, artifact, 0, None)))
        await until(going.is_set)
        read.cancel()
        go.set()
        await asyncio.wait({read})
        await until(lambda: opened and not is_open(opened[0]))


@pytest.mark.anyio
async def test_a_run_that_is_stopped_while_it_begins_a_file_leaves_none(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, go, made = threading.Event(), threading.Event(), list[NewFile]()
    makes = NewFile.__init__

    def slowly(file: NewFile, *args: object) -> None:
        going.set()
        go.wait()
        makes(file, *args)
        made.append(file)

    async def keep(ctx: Context) -> None:
        await ctx.artifact("a", b"content")

    async with start(cmd(keep)) as rig:
        monkeypatch.setattr(NewFile, "__init__", slowly)
        run = await rig.submit("t.keep")
        await until(going.is_set)
        await rig.door.cancel(ANN, run.id)
        assert (await rig.ended(run)).status == "cancelled"
        go.set()
        await until(lambda: made and not made[0].path.exists() and not is_open(made[0]._descriptor))


def is_open(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False
