"""A6, A7, A8: a host is told to stop, is told again and again, and is stopped in its tracks to go on later."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import checker
import pytest
from faults_kit import Ground, submit_many, tagged, until

from trunnion.model.errors import TrunnionError
from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client

GRACE = 1.0


async def fifty_runs(ground: Ground, client: Client) -> None:
    await submit_many(ground, client, "faults.until", 20, path="/nowhere/at/all")
    await submit_many(ground, client, "faults.sleeper_thread", 10, seconds=60)
    await submit_many(ground, client, "faults.sleeper", 10, seconds=0.6)
    await submit_many(ground, client, "scripts.long", 5)
    await submit_many(ground, client, "faults.chatty", 5, events=100_000)


@pytest.mark.alone
def test_a6_sigterm_with_50_live_runs(make_ground: Callable[..., Ground], figure: Callable[..., None]) -> None:
    ground = make_ground(grace=GRACE)
    host = ground.up()
    ground.talk(lambda client: fifty_runs(ground, client))
    until(lambda: len(checker.lines_of(ground.effects)) >= 45, "all at work")
    until(lambda: sum("sleep 60" in line for line in tagged(ground.tag).values()) >= 10, "the scripts run")
    begun = time.monotonic()
    assert host.stop() == 0, host.said()
    took = time.monotonic() - begun
    assert took <= GRACE + 2.0
    assert not tagged(ground.tag)
    figures = ground.judged()
    figure("stopped after, with a grace of 1 s", round(took, 2), "s")
    figure("runs alive when told to stop", 50)
    figure("programs left alive", 0)
    assert figures["status.succeeded"] == 10
    assert figures["status.interrupted"] == 40


def test_a6_a_stopping_host_takes_nothing_new(make_ground: Callable[..., Ground]) -> None:
    ground = make_ground(grace=GRACE)
    host = ground.up()

    async def late(client: Client) -> str:
        await submit_many(ground, client, "faults.until", 1, path="/nowhere/at/all")
        host.process.terminate()
        code = ""
        while not code:
            try:
                await submit_many(ground, client, "faults.quick", 1)
            except TrunnionError as error:
                code = error.info.code
            await asyncio.sleep(0)
        return code

    assert ground.talk(late) == "unavailable"
    assert host.process.wait(10) == 0
    ground.judged()


def test_a6_without_the_fault(make_ground: Callable[..., Ground]) -> None:
    """Not told to stop, all of them end by themselves; then there is nothing to wait for."""
    ground = make_ground(grace=GRACE)
    host, go = ground.up(), ground.root / "go"
    ground.talk(lambda client: submit_many(ground, client, "faults.until", 20, path=str(go)))
    ground.talk(lambda client: submit_many(ground, client, "faults.sleeper_thread", 10, seconds=0.1))
    go.touch()
    ground.drained()
    assert host.stop() == 0, host.said()
    assert ground.judged()["status.succeeded"] == 30


def test_a6_without_the_defence(make_ground: Callable[..., Ground]) -> None:
    """A host that left without ending what is at work would leave it running on paper."""
    ground = make_ground(grace=0.2)
    host = ground.up(without="interrupt_nobody")
    ground.talk(lambda client: submit_many(ground, client, "faults.until", 5, path="/nowhere/at/all"))
    assert host.stop() == 0, host.said()
    assert len(ground.verdict().wrong["running"]) == 5


STORM = 100
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def test_a7_a_storm_of_signals(make_ground: Callable[..., Ground], figure: Callable[..., None]) -> None:
    """The second one ends the wait, whatever comes after it; nothing is said that nobody understands."""
    ground = make_ground(grace=60.0)
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "faults.until", 20, path="/nowhere/at/all"))
    ground.talk(lambda client: submit_many(ground, client, "faults.sleeper_thread", 10, seconds=60))
    host.process.terminate()
    begun = time.monotonic()
    for _ in range(STORM):
        if host.process.poll() is None:
            host.process.send_signal(ground.random.choice(SIGNALS))
        time.sleep(0.01)  # the storm's length, not a wait for something
    host.process.wait(20)
    took = time.monotonic() - begun
    assert "Traceback" not in host.said()
    figures = ground.judged()
    assert figures["status.interrupted"] == 30
    figure("signals", STORM)
    figure("exit after the first", round(took, 2), "s")
    assert took < 10


def test_a8_stopped_and_continued(ground: Ground, rounds: int, figure: Callable[..., None]) -> None:
    """Clients go on where they were; nothing is lost, and nothing done twice."""
    host = ground.up()
    ground.load(processes=2)
    pauses = 2 if rounds <= 20 else 20
    for _ in range(pauses):
        time.sleep(ground.random.uniform(0.1, 0.5))  # the fault's moment, not a wait for something
        host.process.send_signal(signal.SIGSTOP)
        time.sleep(ground.random.uniform(0.5, 1.5))  # the fault's length
        host.process.send_signal(signal.SIGCONT)
    ground.wait_for_load(runs=0, events=0)
    ground.close_load()
    ground.drained()
    assert host.stop() == 0, host.said()
    figures = ground.judged()
    assert figures["acknowledged"] > 0
    assert "status.interrupted" not in figures
    figure("times stopped", pauses)
    figure("events seen by followers, none lost", figures["events seen"])


def test_a8_timeouts_go_by_time_that_has_passed(ground: Ground) -> None:
    """A run whose time is up while the host is stopped is told so once it goes on; another is not."""
    host = ground.up()

    async def work(client: Client) -> tuple[str, str]:
        short = await client.submit(asked("short", 0.5))
        long = await client.submit(asked("long", 600))
        host.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.0)
        host.process.send_signal(signal.SIGCONT)
        ended = await client.wait(short.id)
        other = await client.query("runs.get", {"run_id": long.id})
        await client.cancel(long.id)
        return ended.status, other["status"]  # type: ignore[call-overload, index, return-value]

    assert ground.talk(work) == ("timed_out", "running")
    assert host.stop() == 0, host.said()


def asked(token: str, timeout: float) -> Invocation:
    args = {"token": token, "path": "/nowhere/at/all"}
    return Invocation(command_id="faults.until", args=args, idempotency_key=token, timeout=timeout)
