"""Part D: what a host does not have without end, which are descriptors, threads and places in the queue."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from faults_kit import Ground, until

from trunnion.model.errors import TrunnionError
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client

Figure = Callable[..., None]
FEW_DESCRIPTORS = ["sh", "-c", 'ulimit -n 128 && exec "$@"', "sh"]


MOST_OF_STORE = 80
"""Descriptors of the database: three for whoever writes, two for each of at most 32 readers, and some to spare."""


def names(pid: int) -> list[str]:
    """What a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.append(str(entry.readlink()))
    return found


def opened(pid: int) -> int:
    return len(names(pid))


# -- D1: descriptors that clients take --------------------------------------------------------------


def crowd(path: Path, number: int, stack: ExitStack) -> int:
    """Connect so many times and say nothing; how many were let in at first."""
    count = 0
    for _ in range(number):
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.setblocking(False)
        with suppress(BlockingIOError):  # the queue of connections is full
            client.connect(str(path))
            count += 1
    return count


def slowest_answer(ground: Ground, times: int) -> float:
    """Seconds until a new client has been greeted and answered, the longest of some times."""

    async def ask(client: Client) -> None:
        await client.query("host.status")

    took = []
    for _ in range(times):
        began = time.monotonic()
        ground.talk(ask)
        took.append(time.monotonic() - began)
    return max(took)


def slowest_two(ground: Ground, sockets: int) -> tuple[float, float]:
    """The slowest answer while so many clients are connected, and after they have left."""
    host = ground.start(wrapper=FEW_DESCRIPTORS).wait_ready()
    with ExitStack() as stack:
        crowd(ground.socket, sockets, stack)
        during = slowest_answer(ground, 10)
        assert opened(host.pid) < 128
    after = slowest_answer(ground, 10)
    assert host.stop() == 0
    return during, after


def test_d1_clients_take_all_descriptors(ground: Ground, figure: Figure) -> None:
    during, after = slowest_two(ground, 500)
    figure("slowest answer meanwhile", round(during, 3), "s")
    figure("slowest answer afterwards", round(after, 3), "s")
    assert during < 10, "1 s where the machine is not crowded"
    assert after < 10


def test_d1_without_the_fault(ground: Ground) -> None:
    assert max(slowest_two(ground, 0)) < 10


def test_d1_without_the_defence_nobody_else_gets_in(ground: Ground) -> None:
    """Where the idle do not make room, those who came first keep everybody out."""
    ground.start(wrapper=FEW_DESCRIPTORS, without="make_no_room").wait_ready()
    with ExitStack() as stack:
        crowd(ground.socket, 500, stack)
        assert not asyncio.run(let_in(ground.socket))


async def let_in(path: Path) -> bool:
    """Whether a new client is answered, rather than refused or left waiting."""
    with suppress(TrunnionError, TimeoutError):
        async with asyncio.timeout(2), await Client.connect(path) as client:
            await client.query("host.status")
            return True
    return False


# -- D2: descriptors that are left open -------------------------------------------------------------


async def runs(client: Client, number: int) -> None:
    """So many runs, ten at a time."""

    async def one(name: str) -> None:
        asked = Invocation(command_id="faults.quick", args={"token": name})
        assert (await client.run(asked)).status == "succeeded"

    for first in range(0, number, 10):
        await asyncio.gather(*(one(f"d2-{number}-{first + n}") for n in range(10)))


def left_open(ground: Ground, number: int, connects: int, *, warm: int = 200, **options: str) -> int:
    """Descriptors a host has more than before after so many runs and connections, once so many have warmed it up."""
    host = ground.up(**options)

    def work(number: int, connects: int) -> None:
        ground.talk(lambda client: runs(client, number))
        for _ in range(connects):
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(str(ground.socket))

    work(warm, 20)
    before = until(lambda: steady(host.pid), "the host is at rest")
    work(number, connects)
    with suppress(AssertionError):
        until(lambda: besides_store(host.pid) <= before, "as many as before", 5 if not options else 0.5)
    more = besides_store(host.pid) - before
    assert opened(host.pid) - besides_store(host.pid) < MOST_OF_STORE
    assert host.stop() == 0
    return more


def besides_store(pid: int) -> int:
    """How many are open, but for those of the database: it keeps as many readers as there ever were at once."""
    return sum("trunnion.sqlite" not in name for name in names(pid))


def steady(pid: int) -> int:
    """The same, once it does not change for half a second; 0 else."""
    before, end = besides_store(pid), time.monotonic() + 0.5
    while time.monotonic() < end:
        time.sleep(0.02)
        if besides_store(pid) != before:
            return 0
    return before


def test_d2_no_descriptor_is_left_open(ground: Ground, rounds: int, figure: Figure) -> None:
    more = left_open(ground, 20 * rounds, 5 * rounds)
    figure("descriptors left open", max(0, more))
    figure("runs", 20 * rounds)
    assert more <= 0


def test_d2_without_the_fault_a_host_at_rest_opens_nothing(ground: Ground) -> None:
    assert left_open(ground, 0, 0, warm=20) <= 0


def test_d2_without_the_defence_each_connection_leaves_one_open(ground: Ground) -> None:
    assert left_open(ground, 10, 5, warm=20, without="close_no_more") >= 5


@pytest.mark.heavy
def test_d2_of_very_many(ground: Ground, figure: Figure) -> None:
    more = left_open(ground, 10_000, 1_000)
    figure("descriptors left open", max(0, more))
    assert more <= 0


# -- D4: threads that sleep -------------------------------------------------------------------------

THREADS, PLACES, HANDLERS = 8, 40, 100


async def sleepers(client: Client, handlers: int) -> tuple[list[Run], list[TrunnionError]]:
    """Ask for many handlers that sleep; those that are on record, and the refusals."""
    accepted, refused = [], []
    for number in range(handlers):
        args = {"token": f"d4-{number}", "seconds": 60}
        try:
            accepted.append(await client.submit(Invocation(command_id="faults.sleeper_thread", args=args)))
        except TrunnionError as error:
            refused.append(error)
    return accepted, refused


def starved(ground: Ground, places: int, handlers: int = HANDLERS) -> tuple[int, list[TrunnionError], float]:
    """How many were accepted, the refusals, and the slowest of the answers that need no thread of handlers."""
    limits = f"threads = {THREADS}\nmax_pending = {places}\n"
    ground.config.write_text(ground.config.read_text().replace("[executor]\n", f"[executor]\n{limits}"))
    host = ground.up()

    async def work(client: Client) -> tuple[int, list[TrunnionError], float]:
        accepted, refused = await sleepers(client, handlers)
        took = []
        for _ in range(20):
            began = time.monotonic()
            await client.query("host.status")
            took.append(time.monotonic() - began)
        for run in (accepted[0], accepted[-1]):  # one that sleeps, one that waits
            await client.cancel(run.id)
        assert (await client.wait(accepted[-1].id, 20)).status == "cancelled"
        assert (await client.wait(accepted[0].id, 20)).status == "cancelled"
        quick = await client.run(Invocation(command_id="faults.quick", args={"token": "d4-quick"}, timeout=20.0))
        assert quick.status == "succeeded", "what needs no thread does not wait for one"
        for run in accepted:
            with suppress(TrunnionError):
                await client.cancel(run.id)
        return len(accepted), refused, max(took)

    found = ground.talk(work)
    ground.drained()
    assert host.stop() == 0
    return found


def test_d4_handlers_that_sleep_take_all_threads(ground: Ground, figure: Figure) -> None:
    accepted, refused, slowest = starved(ground, PLACES)
    figure("refused by name", f"{len(refused)} of {HANDLERS}")
    figure("slowest answer", round(slowest, 3), "s")
    assert accepted == THREADS + PLACES
    assert {error.code for error in refused} == {"busy"}
    assert slowest < 5, "0.1 s where the machine is not crowded"


def test_d4_without_the_fault_there_is_a_thread_for_each(ground: Ground) -> None:
    accepted, refused, _ = starved(ground, PLACES, THREADS)
    assert (accepted, refused) == (THREADS, [])


def test_d4_without_the_defence_all_of_them_wait(ground: Ground) -> None:
    accepted, refused, _ = starved(ground, 10_000)
    assert (accepted, refused) == (HANDLERS, [])
