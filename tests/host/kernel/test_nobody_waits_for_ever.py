"""Whoever still waits when a host of a program stops is told: the program goes on without it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator

from kernel_kit import ANN, Valve, cmd, until

from trunnion.kernel.threads import DaemonThreads, waited_for
from trunnion.model.errors import Unavailable


async def forever() -> None:
    await asyncio.Event().wait()


async def each(batches: AsyncIterator[object]) -> None:
    async for _ in batches:
        pass


async def refused(*tasks: asyncio.Task[object]) -> list[str]:
    """What those who waited were told."""
    told = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(type(error) is Unavailable for error in told), told
    return [str(error) for error in told]


async def test_who_waits_for_a_run_that_waits_itself(start) -> None:
    """Defence: ``Waiting.give_up``."""
    async with start(cmd(forever), max_running=1) as rig:
        await rig.submit("t.forever")
        queued = await rig.submit("t.forever")
        waits = asyncio.create_task(rig.door.wait(ANN, queued.id))
        ends = asyncio.create_task(rig.door.wait(ANN, (await rig.submit("t.forever")).id, 3600))
        await until(lambda: rig.live(queued).waiters)
    assert (await refused(waits, ends))[0] == f"the host has stopped before run {queued.id} ended"


async def test_who_follows_a_stream_that_does_not_end(start) -> None:
    """Defence: ``EventLog.give_up``."""
    async with start(cmd(forever), max_running=1) as rig:
        await rig.submit("t.forever")
        queued = await rig.submit("t.forever")
        await rig.kernel.documents.state("app").put("a", 1)
        streams = [rig.door.follow(ANN, name) for name in ("host", f"run/{queued.id}")]
        follows = [asyncio.create_task(each(batches)) for batches in streams]
        follows.append(asyncio.create_task(each(rig.kernel.documents.state("app").follow())))
        logs = [rig.kernel.log.stream(name) for name in ("host", f"run/{queued.id}", "state/app")]
        await until(lambda: all(log._waiting for log in logs))
    assert (await refused(*follows))[0] == "host is shown no further: the host has stopped"


async def test_who_waits_for_a_batch_that_never_is(start, monkeypatch) -> None:
    """Defence: ``Committer.close`` tells those whose changes it did not send."""
    monkeypatch.setattr("trunnion.winding_down.FLUSH_TIMEOUT", 0.01)
    async with start(shutdown_grace=0.01) as rig:
        kernel = rig.kernel
        state, valve = kernel.documents.state("app"), Valve(kernel.store)
        valve.close(lambda batch: batch.documents)  # what the host still says of its start goes by
        sent = asyncio.create_task(state.put("a", 1))
        await until(lambda: valve.waiting)
        unsent = [asyncio.create_task(state.put("b", 2)), asyncio.create_task(kernel.secrets.rotate())]
        await until(lambda: len(kernel.committer._changes) == 2)
        kernel.close()
        told = await refused(*unsent)
        valve.open()
        assert (await sent).value == 1
    assert told == ["the host has stopped"] * 2
    assert await refused(asyncio.create_task(kernel.secrets.rotate())) == ["the host has stopped"]


def test_a_thread_that_calls_a_loop_which_is_gone_is_told() -> None:
    """Defence: ``waited_for``; a handler's thread may outlive its host."""
    loop = asyncio.new_event_loop()
    called, told = threading.Event(), list[str]()

    async def answers_never() -> None:
        called.set()
        await asyncio.Event().wait()

    def calls() -> None:
        for _ in range(2):
            try:
                waited_for(answers_never(), loop)
            except Unavailable as error:
                told.append(str(error))

    async def main() -> None:
        thread.start()
        await until(called.is_set)

    thread = threading.Thread(target=calls)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    thread.join(5)
    assert len(told) == 2
    gc.collect()  # what never answers is told of when it is thrown away; that is to be said here


def test_threads_end_with_the_host_whose_they_are() -> None:
    """Defence: ``DaemonThreads`` that was closed while a job goes on lets its thread end after it."""
    threads, go = DaemonThreads("test"), threading.Event()
    threads.start(go.wait)
    threads.close()
    go.set()
    late = threading.Event()
    threads.start(late.set)
    assert late.wait(5)
    for thread in [each for each in threading.enumerate() if each.name.startswith("test-")]:
        thread.join(5)
    assert threads.alive == 0
