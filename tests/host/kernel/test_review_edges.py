"""What handlers, clients and other parts do wrong stays with them: the host and the store go on."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import pytest
from kernel_kit import ANN, FakeClock, Rig, Valve, cmd, until

from trunnion.arguments import Secret
from trunnion.kernel.context import Context
from trunnion.model.commands import Command, Query, Retry
from trunnion.model.contributions import Admission, Allow, Gate, Observer, StreamSource
from trunnion.model.errors import CommandFailed, InvalidArguments, Unavailable
from trunnion.model.events import Event
from trunnion.model.json import Json
from trunnion.store.base import Batch

Start = Callable[..., AbstractAsyncContextManager[Rig]]
pytestmark = pytest.mark.anyio

ODD: dict[str, Callable[[Context], None]] = {
    "kind": lambda ctx: ctx.emit("\ud800"),
    "number": lambda ctx: ctx.emit(5),  # type: ignore[arg-type]
    "level": lambda ctx: ctx.emit("data", level="\ud800"),
    "by": lambda ctx: ctx.emit("data", by='a"b'),
    "channel": lambda ctx: ctx.text("x\n", channel='a"b'),
    "written": lambda ctx: ctx.write("x", channel="\ud800"),
    "text": lambda ctx: ctx.emit("data", None),  # type: ignore[arg-type]
    "large": lambda ctx: ctx.data("x" * (5 << 20)),
}


async def ok() -> int:
    return 1


@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("what", sorted(ODD))
async def test_an_event_the_store_could_not_keep_fails_its_run_alone(start: Start, what: str, thread: bool) -> None:
    async def odd(ctx: Context) -> None:
        ODD[what](ctx)

    def odd_in_thread(ctx: Context) -> None:
        ODD[what](ctx)

    async with start(cmd(odd_in_thread if thread else odd, name="odd"), cmd(ok), durability="process") as rig:
        assert (await rig.run("t.odd")).status == "failed"
        assert (await rig.run("t.ok")).status == "succeeded"
        assert rig.kernel.committer.refusal is None


@pytest.mark.parametrize(
    "asked",
    [
        {"timeout": math.inf},
        {"timeout": 1e20},
        {"timeout": math.nan},
        {"deadline_at": 10**30},
        {"not_before": 10**30},
        {"labels": {"a": "\ud800"}},
        {"session_id": "\ud800"},
        {"idempotency_key": "\ud800"},
    ],
    ids=str,
)
async def test_what_could_not_be_put_on_record_is_refused_by_name(start: Start, asked: dict[str, object]) -> None:
    async with start(cmd(ok), durability="process") as rig:
        with pytest.raises(InvalidArguments):
            await rig.ask(command_id="t.ok", **asked)
        assert rig.kernel.committer.refusal is None


async def test_errors_are_kept_in_a_size_that_fits_their_row(start: Start) -> None:
    async def boom() -> None:
        raise ValueError("x" * 10_000_000)

    async def facts() -> None:
        raise CommandFailed("no", {"dump": "x" * 10_000_000})

    async with start(cmd(boom), cmd(facts)) as rig:
        for name in ("t.boom", "t.facts"):
            error = (await rig.run(name)).error
            assert error is not None
            assert len(error.message) + len(str(error.details)) < 100_000


async def test_the_deadline_counts_between_two_attempts_too(start: Start) -> None:
    clock = FakeClock()

    async def flaky() -> None:
        raise Unavailable("not now")

    retry = Retry(attempts=3, delay=100, max_delay=100, codes=frozenset({"unavailable"}))
    async with start(cmd(flaky, retry=retry), clock=clock) as rig:
        run = await rig.ask(command_id="t.flaky", timeout=5.0)
        await until(lambda: rig.phase(run) == "delayed")
        clock.advance(6)
        assert (await rig.ended(run)).status == "timed_out"


async def test_an_observer_whose_own_task_was_cancelled_gets_its_events_again(start: Start) -> None:
    calls: list[list[tuple[str, int]]] = []

    async def on_events(events: Sequence[Event]) -> None:
        calls.append([(e.stream, e.seq) for e in events])
        if len(calls) == 1:
            own = asyncio.create_task(asyncio.sleep(60))
            own.cancel()
            await own

    observer = Observer(name="o", on_events=on_events)
    async with start(cmd(ok), durability="process", plugin={"observers": [observer]}) as rig:
        await rig.run("t.ok")
        await until(lambda: len(calls) >= 2)
        assert calls[1] == calls[0]


async def test_a_cold_host_does_not_end_what_it_parks_for_others(start: Start, tmp_path: Path) -> None:
    clock = FakeClock()
    async with start(cmd(ok), durability="process") as rig:
        run = await rig.ask(command_id="t.ok", not_before=rig.host.clock.utc() + 10**11)
        image = rig.disk_image()
    async with start(cmd(ok), data=image, durability="process", mode="cold", clock=clock, park_timeout=10.0) as rig:
        assert rig.phase(run) == "parked"
        clock.advance(60)
        assert rig.phase(run) == "parked"


async def test_names_that_are_only_asked_for_take_no_memory(start: Start) -> None:
    async with start(plugin={"streams": [StreamSource(pattern="unit/*", title="Units")]}) as rig:
        before = len(rig.kernel.log.logs)
        for number in range(50):
            assert [b async for b in rig.door.follow(ANN, f"unit/{number}/log", live=False)] == []
        assert len(rig.kernel.log.logs) == before


async def test_a_child_is_cancelled_when_its_caller_gives_up_before_it_is_on_record(start: Start) -> None:
    async def child() -> None:
        await asyncio.sleep(60)

    async def parent(ctx: Context) -> None:
        call = asyncio.create_task(ctx.invoke("t.child"))
        await until(lambda: valve.waiting)
        call.cancel()
        await asyncio.wait([call])
        valve.open()
        await until(lambda: len(rig.kernel.executor.table.live) == 1)

    async with start(cmd(child), cmd(parent), durability="process") as rig:
        valve = Valve(rig.kernel.store)
        run = await rig.submit("t.parent")
        valve.close(lambda batch: any(a.run.command_id == "t.child" for a in batch.accepts))
        assert (await rig.ended(run)).status == "succeeded"


async def test_a_second_cancel_is_answered_no_sooner_than_the_first_is_on_record(start: Start) -> None:
    async def stubborn() -> None:
        await asyncio.sleep(60)

    async with start(cmd(stubborn), durability="process") as rig:
        run = await rig.submit("t.stubborn")
        valve = Valve(rig.kernel.store)
        valve.close()
        cancels = [asyncio.create_task(rig.door.cancel(ANN, run.id)) for _ in range(2)]
        await until(lambda: valve.waiting)
        done, _ = await asyncio.wait(cancels, timeout=0.1)
        assert not done
        valve.open()
        await asyncio.gather(*cancels)
        assert (await rig.ended(run)).status == "cancelled"


async def test_a_run_that_was_refused_leaves_nothing_that_would_be_tried_for_ever(start: Start) -> None:
    async with start(Command.of(ok, console="t"), durability="process") as rig:
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.accepts)
        asked = asyncio.create_task(rig.submit("t.ok"))
        await until(lambda: valve.waiting)
        (live,) = rig.kernel.executor.table.live.values()
        cancel = asyncio.create_task(rig.door.cancel(ANN, live.id))
        await until(lambda: live.cancel_on_record is not None)
        valve.fail(RuntimeError("no"))
        for outcome in await asyncio.wait_for(asyncio.gather(asked, cancel, return_exceptions=True), 5):
            assert isinstance(outcome, Unavailable)
        await until(lambda: rig.kernel.committer.refusal is None)
        assert (await rig.run("t.ok")).status == "succeeded"


async def test_a_store_is_called_healed_once_something_was_written(start: Start) -> None:
    async with start(cmd(ok), durability="process") as rig:
        real, failing = rig.kernel.store.commit, [True]

        def commit(batch: Batch, done: Callable[[Exception | None], None]) -> None:
            done(RuntimeError("no")) if failing[0] else real(batch, done)

        rig.kernel.store.commit = commit
        with pytest.raises(Unavailable):
            await rig.submit("t.ok")
        log, tried = rig.kernel.log.stream("host"), rig.kernel.log.stream("host").seq
        await asyncio.sleep(1.2)  # two tries; what is shown is that nothing comes of them
        assert log.seq == tried
        failing[0] = False
        await until(lambda: rig.kernel.committer.refusal is None)
        assert (await rig.codes())[-1] == "store.healed"


async def test_a_call_through_the_portal_does_not_hold_up_the_end(start: Start) -> None:
    async with asyncio.timeout(10):
        async with start() as rig:
            thread = threading.Thread(target=lambda: rig.host.portal.start_task_soon(asyncio.sleep, 3600))
            thread.start()
            await asyncio.to_thread(thread.join)


async def test_secret_arguments_of_a_query_are_not_shown_to_gates_nor_in_the_log(start: Start) -> None:
    asked: list[Admission] = []

    async def admit(batch: Sequence[Admission]) -> Sequence[Allow]:
        asked.extend(batch)
        return [Allow()] * len(batch)

    async def look(*, word: Annotated[str, Secret()]) -> Json:
        raise RuntimeError(f"cannot look with {word}")

    gate = Gate(name="g", admit=admit, covers=frozenset({"queries"}))
    plugin = {"gates": [gate], "queries": [Query(id="t.look", handler=look)]}
    async with start(plugin=plugin) as rig:
        with pytest.raises(Exception, match="look"):
            await rig.door.query(ANN, "t.look", {"word": "hunter2222"})
        assert [a.args for a in asked] == [{"word": "•••"}]
        assert "hunter2222" not in str(await rig.host_events("host/log"))
        assert "hunter2222" not in rig.host.data.host_log.read_text()


async def test_a_run_whose_secrets_cannot_be_opened_is_not_run_without_them(start: Start) -> None:
    got: list[str] = []

    async def login(*, word: Annotated[str, Secret()]) -> None:
        got.append(word)

    command = Command(id="t.login", handler=login, lock=None)
    async with start(command, durability="process") as rig:
        later = rig.host.clock.utc() + 300_000
        run = await rig.ask(command_id="t.login", args={"word": "hunter2222"}, not_before=later)
        image = rig.disk_image()
    (image / "secret.key").unlink()
    async with start(command, data=image, durability="process") as rig:
        ended = await rig.ended(run.id)
        assert ended.status == "failed"
        assert got == []


async def test_what_takes_the_store_a_while_is_asked_in_a_thread(start: Start) -> None:
    threads: list[int] = []

    async with start(cmd(ok), durability="process") as rig:
        store = rig.kernel.store
        forget, stats = store.forget, store.stats
        store.forget = lambda run_id: threads.append(threading.get_ident()) or forget(run_id)
        store.stats = lambda: threads.append(threading.get_ident()) or stats()
        run = await rig.run("t.ok")
        assert (await rig.run("runs.forget", run_id=run.id)).status == "succeeded"
        await rig.door.query(ANN, "host.status")
        assert len(threads) == 2
        assert threading.get_ident() not in threads


@pytest.mark.parametrize("args", [{"cursor": "x"}, {"cursor": "-1"}, {"limit": 10**9}, {"limit": 0}], ids=str)
async def test_the_log_is_read_in_pages_of_bounded_size(start: Start, args: dict[str, Json]) -> None:
    async with start() as rig:
        with pytest.raises(InvalidArguments):
            await rig.door.query(ANN, "log.query", args)
