"""Threads that talk faster than the loop listens, and a system that has no thread left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from kernel_kit import Rig, cmd

from trunnion.kernel.context import Context
from trunnion.kernel.mailbox import Mailbox

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
