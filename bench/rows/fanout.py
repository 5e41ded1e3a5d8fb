"""perf-fanout: one producer and N followers; perf-emit-thread: the producer is a worker thread."""

from __future__ import annotations

import asyncio
import queue
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bench.harness import Effort, Work, duel
from bench.hosting import open_host, scratch
from bench.result import Curve, Result, rate
from trunnion.host import Host
from trunnion.kernel.context import Context
from trunnion.model.commands import Command
from trunnion.model.events import Event
from trunnion.model.runs import Invocation

BURST = 256
"""Events between two turns of the loop, the same for all."""

RING = 8192
TARGETS = {1: 0.8, 100: 0.3, 1000: 0.3}
THREAD_TARGET = 0.3
UNLIMITED = "[executor]\nmax_output_bytes = 0\nmax_output_lines = 0\n"
"""For a run that is measured for as long as it takes: what is beyond the limit goes to nobody until it ends."""

TEXT = "a line of output as programs write them, of some eighty characters, or a little more"


def measure(effort: Effort) -> Result:
    """Events delivered, for each number of followers."""
    result = Result(
        notes=[
            "Ceiling: at 1 follower a deque and one wake-up per turn of the loop, from 10 on one shared list with a "
            f"cursor per follower; events are made one by one, {BURST} between two turns. Ours: ctx.emit in an async "
            "handler, committed to the store in memory, followed through a door."
        ]
    )
    asyncio.run(_measure(effort, result))
    return result


def measure_thread(effort: Effort) -> Result:
    """Events from a worker thread to one follower."""
    notes = ["Ceiling: the same events emitted on the loop. Beside it: the deque of perf-fanout, filled on the loop."]
    result = Result(notes=notes)
    asyncio.run(_measure_thread(effort, result))
    return result


async def _measure(effort: Effort, result: Result) -> None:
    ours_by_size: list[tuple[float, float]] = []
    bare_by_size: list[tuple[float, float]] = []
    for followers in effort.followers:
        ceiling = Deque() if followers == 1 else Ring(followers)
        async with emitting(followers, threaded=False) as ours, ceiling.running():
            figures = await duel(each(ours, followers), each(ceiling.produce, followers), effort)
        case = f"{followers} follower{'s' if followers > 1 else ''}"
        result.lines.append(rate("perf-fanout", case, "event", figures, at_least=TARGETS.get(followers)))
        ours_by_size.append((followers, figures[0].cpu_median * 1e6))
        bare_by_size.append((followers, figures[1].cpu_median * 1e6))
    series = {"delivered event": ours_by_size, "ceiling": bare_by_size}
    result.curves.append(Curve(title="Followers of one stream", x="followers", series=series))


async def _measure_thread(effort: Effort, result: Result) -> None:
    ceiling = Deque()
    async with emitting(1, threaded=True) as threaded, emitting(1, threaded=False) as on_loop, ceiling.running():
        figures = await duel(threaded, on_loop, effort)
        result.lines.append(rate("perf-emit-thread", "1 follower", "event", figures, at_least=THREAD_TARGET))
        beside = await duel(threaded, ceiling.produce, effort)
        result.lines.append(rate("perf-emit-thread", "beside a bare deque", "event", beside))


def each(produce: Work, followers: int) -> Work:
    """Counted by delivery: one event to N followers is N."""

    async def work(count: int) -> None:
        await produce(-(-count // followers))

    return work


class Arrivals:
    """Followers report how far they are; settled when all have come to the goal."""

    def __init__(self, followers: int) -> None:
        self._followers = followers
        self._missing = 0
        self._done: asyncio.Future[None]
        self.goal = 0

    def expect(self, more: int) -> asyncio.Future[None]:
        """All followers are to receive so many more events."""
        self.goal += more
        self._missing = self._followers
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    def arrived(self) -> None:
        """One follower is there."""
        self._missing -= 1
        if not self._missing:
            self._done.set_result(None)


# -- ours -----------------------------------------------------------------------------------------


@asynccontextmanager
async def emitting(followers: int, *, threaded: bool) -> AsyncIterator[Work]:
    """A run that emits when told to, and its followers."""
    orders: asyncio.Queue[int] = asyncio.Queue()
    thread_orders: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def emit(ctx: Context) -> None:
        while amount := await orders.get():
            for number in range(1, amount + 1):
                ctx.emit("text", TEXT)
                if not number % BURST:
                    await asyncio.sleep(0)

    def emit_in_thread(ctx: Context) -> None:
        while amount := thread_orders.get():
            for _ in range(amount):
                ctx.emit("text", TEXT)

    handler: Callable[[Context], Awaitable[None] | None] = emit_in_thread if threaded else emit
    order = thread_orders.put if threaded else orders.put_nowait
    command = Command.of(handler, console="bench", name="emit", lock=None)
    with scratch() as folder:
        async with open_host(folder, "memory", [command], config=UNLIMITED) as host:
            arrivals = Arrivals(followers)
            tasks = await _followers(host, followers, arrivals)

            async def work(count: int) -> None:
                done = arrivals.expect(count)
                order(count)
                await done

            yield work
            order(0)
            await asyncio.gather(*tasks)


async def _followers(host: Host, followers: int, arrivals: Arrivals) -> list[asyncio.Task[None]]:
    door, caller = host.door("cli"), host.local_caller()
    run = await door.submit(caller, Invocation(command_id="bench.emit"))
    started = asyncio.Semaphore(0)

    async def follow() -> None:
        seen = reached = 0
        joined = False
        async for batch in door.follow(caller, f"run/{run.id}"):
            if not joined:
                joined = True
                started.release()
            seen += sum(event.kind == "text" for event in batch) if batch[0].kind != "text" else len(batch)
            if seen >= arrivals.goal > reached:
                reached = arrivals.goal
                arrivals.arrived()

    tasks = [asyncio.create_task(follow()) for _ in range(followers)]
    for _ in tasks:
        await started.acquire()
    return tasks


# -- ceilings -------------------------------------------------------------------------------------


class Bare(ABC):
    """What the ceilings share: a wake-up per turn, and the making of one event."""

    def __init__(self, followers: int, append: Callable[[Event], None]) -> None:
        self._followers = followers
        self._arrivals = Arrivals(followers)
        self._append = append
        self._waiting: list[asyncio.Future[None]] = []
        self._seq = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Its followers follow."""
        tasks = [asyncio.create_task(self._follow()) for _ in range(self._followers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def produce(self, count: int) -> None:
        """Make so many events and wait until all followers have them."""
        done = self._arrivals.expect(count)
        for number in range(1, count + 1):
            self._seq += 1
            self._append(Event("run/0", self._seq, time.time_ns() // 1000, "text", "info", "handler", TEXT))
            if not number % BURST:
                self._turn()
                await asyncio.sleep(0)
        self._turn()
        await done

    def _turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(None)

    async def _wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    @abstractmethod
    async def _follow(self) -> None:
        """Take what is new, for ever."""


class Deque(Bare):
    """One follower: a deque, emptied whole."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        super().__init__(1, self._events.append)

    async def _follow(self) -> None:
        seen = reached = 0
        while True:
            batch = list(self._events)
            self._events.clear()
            seen += len(batch)
            if seen >= self._arrivals.goal > reached:
                reached = self._arrivals.goal
                self._arrivals.arrived()
            if not batch:
                await self._wait()


class Ring(Bare):
    """Many followers: one list, a cursor for each."""

    def __init__(self, followers: int) -> None:
        self._events: list[Event] = []
        self._base = 0
        super().__init__(followers, self._events.append)

    def _turn(self) -> None:
        super()._turn()
        if len(self._events) > RING:
            del self._events[: RING // 2]
            self._base += RING // 2

    async def _follow(self) -> None:
        cursor = reached = 0
        while True:
            batch = self._events[cursor - self._base :]
            cursor += len(batch)
            if cursor >= self._arrivals.goal > reached:
                reached = self._arrivals.goal
                self._arrivals.arrived()
            if not batch:
                await self._wait()
