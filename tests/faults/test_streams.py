"""G1, G2, G3: those who listen, slowly, in great number, and from the very moment something is said."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import msgspec
import pytest
from faults_kit import Ground, Up
from streams_kit import last_of, line, resident, submit

from trunnion.protocol.connection import Limits

PER_LINE = 250
"""Subscriptions of one connection; the host lets it have 256."""


@pytest.fixture
def talking(ground: Ground) -> Ground:
    ground.only = "streams"
    return ground


# -- G1 ---------------------------------------------------------------------------------------------

DEAF, EVENTS, SIZE = 8, 8_000, 600


@contextmanager
def deaf(ground: Ground, run: str, count: int) -> Iterator[list[socket.socket]]:
    """Connections that subscribe and never read."""
    with contextlib.ExitStack() as stack:
        lines = []
        for _ in range(count):
            made = stack.enter_context(socket.socket(socket.AF_UNIX))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.connect(str(ground.socket))
            made.sendall(
                b'{"type":"rpc","id":1,"method":"stream.subscribe","params":{"stream":"run/%b"}}\n' % run.encode()
            )
            lines.append(made)
        yield lines


async def storm(ground: Ground, host: Up, name: str, count: int) -> tuple[int, float]:
    """What memory a storm costs beside so many who never read, and how long a good listener takes to hear all of it."""
    go = ground.root / f"go-{name}"
    async with line(ground.socket) as good:
        run = await submit(good, "streams.storm", events=EVENTS, size=SIZE, go=str(go))
        with deaf(ground, run, count) as lines:
            heard = await good.listen(f"run/{run}")
            before = resident(host)
            began = time.monotonic()
            go.touch()
            async with asyncio.timeout(60):
                await heard.ended.wait()
            took = time.monotonic() - began
            last = await last_of(good, run)
            assert heard.follows(0, last)
            assert last > EVENTS
            most = max(resident(host), before)
            if lines:
                await asyncio.to_thread(catches_up, lines[0], last)
    return most - before, took


def catches_up(deaf_line: socket.socket, last: int) -> None:
    """It reads at last: everything is there, in order, from where it stopped."""
    deaf_line.settimeout(30)
    expected, rest = 1, b""
    while expected <= last:
        data = rest + deaf_line.recv(1 << 20)
        *frames, rest = data.split(b"\n")
        for frame in frames:
            for event in msgspec.json.decode(frame).get("data", {}).get("events", ()):
                assert event["seq"] == expected
                expected += 1


@pytest.mark.alone
def test_g1_a_subscriber_never_reads(talking: Ground, figure: Callable[..., None]) -> None:
    """Others hear everything; the deaf one costs its bounded share, and finds the rest when it reads."""
    host = talking.up()
    asyncio.run(storm(talking, host, "warm", 0))
    spared, alone = asyncio.run(storm(talking, host, "alone", 0))
    cost, beside = asyncio.run(storm(talking, host, "beside", DEAF))
    limits = Limits()
    share = limits.soft_buffer + limits.frame_bytes
    figure("memory a deaf subscriber costs at most", share >> 10, "KiB")
    figure("memory more with 8 of them", max(cost - spared, 0) >> 10, "KiB")
    figure("what each was owed", EVENTS * SIZE >> 10, "KiB")
    figure("a good one beside them takes", round(beside / alone, 2), "times as long as alone")
    assert cost - spared <= DEAF * share + (12 << 20)
    assert host.stop() == 0


def test_g1_without_the_fault_whoever_reads_hears_everything(talking: Ground) -> None:
    host = talking.up()
    asyncio.run(storm(talking, host, "alone", 0))
    assert host.stop() == 0


@pytest.mark.alone
def test_g1_without_the_defence_memory_grows_with_what_is_not_read(talking: Ground) -> None:
    host = talking.up(without="never_hold_back")
    asyncio.run(storm(talking, host, "warm", 0))
    spared, _ = asyncio.run(storm(talking, host, "alone", 0))
    cost, _ = asyncio.run(storm(talking, host, "beside", DEAF))
    assert cost - spared > DEAF * EVENTS * SIZE // 2


# -- G2 ---------------------------------------------------------------------------------------------


async def crowd(ground: Ground, listeners: int) -> list[str]:
    """The digests of what so many heard of one run, one who came after its end among them."""
    go = ground.root / "go"
    async with AsyncExitStack() as stack:
        shares = [min(PER_LINE, listeners - first) for first in range(0, listeners, PER_LINE)]
        lines = [await stack.enter_async_context(line(ground.socket)) for _ in shares]
        run = await submit(lines[0], "streams.storm", events=100, go=str(go))
        stream = f"run/{run}"
        heard = [
            await asyncio.gather(*(one.listen(stream) for _ in range(share)))
            for one, share in zip(lines, shares, strict=True)
        ]
        go.touch()
        async with asyncio.timeout(60):
            for several in heard:
                await asyncio.gather(*(one.ended.wait() for one in several))
        late = await lines[0].hear(stream)
        assert late.follows(0, await last_of(lines[0], run))
    return [one.digest for several in heard for one in several] + [late.digest]


def test_g2_a_thousand_subscribers_to_one_run(talking: Ground, figure: Callable[..., None]) -> None:
    host = talking.up()
    digests = asyncio.run(crowd(talking, 1000))
    figure("subscribers", len(digests))
    figure("different digests", len(set(digests)))
    assert len(set(digests)) == 1
    assert host.stop() == 0


def test_g2_without_the_fault_one_subscriber_hears_it(talking: Ground) -> None:
    host = talking.up()
    assert len(set(asyncio.run(crowd(talking, 1)))) == 1
    assert host.stop() == 0


def test_g2_without_the_defence_each_hears_another_story(talking: Ground) -> None:
    talking.up(without="tell_each_anew")
    assert len(set(asyncio.run(crowd(talking, 20)))) > 1


# -- G3 ---------------------------------------------------------------------------------------------


async def random_instants(ground: Ground, runs: int, each: int) -> tuple[int, int]:
    """How many subscribed at a random instant of a run, and how many of them missed something or had it twice."""
    wrong = asked = 0
    async with line(ground.socket) as listener:
        for _ in range(runs):
            stream = "run/" + (run := await submit(listener, "streams.steady"))

            async def one(turns: int, after: int) -> tuple[int, object]:
                for _ in range(turns):
                    await asyncio.sleep(0)
                return after, await listener.hear(stream, after)  # noqa: B023 - awaited in the same turn

            choices = [(ground.random.randrange(60), ground.random.randrange(3)) for _ in range(each)]
            found = await asyncio.gather(*(one(*choice) for choice in choices))
            last = await last_of(listener, run)
            asked += each
            wrong += sum(not heard.follows(after, last) for after, heard in found)  # type: ignore[attr-defined]
    return asked, wrong


def test_g3_subscribing_exactly_as_events_fly(talking: Ground, rounds: int, figure: Callable[..., None]) -> None:
    host = talking.up()
    asked, wrong = asyncio.run(random_instants(talking, rounds, 20))
    figure("subscriptions", asked)
    figure("gaps and repetitions", wrong)
    assert wrong == 0
    assert host.stop() == 0


@pytest.mark.heavy
def test_g3_ten_thousand_subscriptions(talking: Ground, figure: Callable[..., None]) -> None:
    host = talking.up()
    asked, wrong = asyncio.run(random_instants(talking, 500, 20))
    figure("subscriptions", asked)
    figure("gaps and repetitions", wrong)
    assert wrong == 0
    assert host.stop() == 0


def test_g3_without_the_fault_after_the_end(talking: Ground) -> None:
    """Nothing is said any more: what is heard is the whole of it."""
    talking.up()

    async def late() -> bool:
        async with line(talking.socket) as listener:
            run = await submit(listener, "streams.steady")
            last = await last_of(listener, run)
            return (await listener.hear(f"run/{run}")).follows(0, last)

    assert asyncio.run(late())


def test_g3_without_the_defence_events_are_missed(talking: Ground) -> None:
    talking.up(without="snapshot_first")
    _, wrong = asyncio.run(random_instants(talking, 20, 20))
    assert wrong > 0
