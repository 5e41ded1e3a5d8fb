"""Handlers in processes of their own: whatever they do to themselves, the host goes on and nothing is left of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_kit import Ground, Up, tagged, until

from trunnion.model.errors import Unavailable
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client

Figure = Callable[..., None]


@pytest.fixture
def apart(ground: Ground) -> Ground:
    ground.only = "apart"
    return ground


def call(name: str, **args: object) -> Invocation:
    return Invocation(command_id=f"apart.{name}", args=args)  # type: ignore[arg-type]


def run_of(ground: Ground, name: str, **args: object) -> Run:
    return ground.talk(lambda client: client.run(call(name, **args)))


def submitted(ground: Ground, name: str, **args: object) -> Run:
    return ground.talk(lambda client: client.submit(call(name, **args)))


def still_fine(ground: Ground) -> None:
    assert run_of(ground, "fine", n=1).result == 2


def of_handlers(ground: Ground) -> int:
    """How many processes there are of handlers: the host is left out, and its keeper with its minders."""
    ours = ("sabotage.py", " -I -S -c ")
    return sum(not any(word in line for word in ours) for line in tagged(ground.tag).values())


def cancelled(ground: Ground, run: Run) -> tuple[Run, float]:
    async def cancel(client: Client) -> Run:
        await client.cancel(run.id)
        return await client.wait(run.id, 30)

    begun = time.monotonic()
    return ground.talk(cancel), time.monotonic() - begun


def high_water(host: Up) -> int:
    """The most memory the host ever had, bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{host.pid}/status").read_text())
    assert found
    return int(found[1]) << 10


DEATHS = {"segfault": "SIGSEGV", "exit0": 0, "exit3": 3, "exit255": 255, "9": "SIGKILL", "6": "SIGABRT", "7": "SIGBUS"}


def test_e16_an_isolated_handler_dies_in_every_way(apart: Ground, figure: Figure) -> None:
    host = apart.up()

    async def die(client: Client) -> list[Run]:
        return await asyncio.gather(*[client.run(call("dies", how=how)) for how in DEATHS])

    for how, run in zip(DEATHS, apart.talk(die), strict=True):
        assert run.status == "failed", how
        assert run.error is not None
        assert run.error.code == "internal"
        assert [*run.error.details.values()] == [DEATHS[how]], how
    still_fine(apart)
    assert host.stop() == 0, host.said()
    figure("ways to die, each told exactly", len(DEATHS))


def test_e16_an_isolated_handler_dies_without_the_defence(apart: Ground) -> None:
    """Where the handler shares the host's process, the host dies of it."""
    host = apart.up(without="share_the_process")
    with pytest.raises(Unavailable):
        run_of(apart, "dies", how="segfault")
    assert host.process.wait(20) == -11


def test_e16_an_isolated_handler_without_the_fault(apart: Ground) -> None:
    host = apart.up()
    still_fine(apart)
    assert host.stop() == 0, host.said()
    apart.judged()


@pytest.mark.parametrize("name", ["deaf", "in_c"])
def test_e4_an_isolated_handler_ignores_its_end(apart: Ground, figure: Figure, name: str) -> None:
    host = apart.up()
    run = submitted(apart, name)
    until(lambda: of_handlers(apart) == 1, "its process is there")
    ended, seconds = cancelled(apart, run)
    assert ended.status == "cancelled"
    assert of_handlers(apart) == 0
    still_fine(apart)
    assert host.stop() == 0, host.said()
    figure(f"killed after being told ({name}; 0.5 s of grace)", round(seconds, 2), "s")


def test_e5_an_isolated_handler_leaves_a_family(apart: Ground, figure: Figure) -> None:
    host = apart.up()
    run = submitted(apart, "family", depth=2, width=3)
    until(lambda: of_handlers(apart) == 13, "all are there")
    ended, _ = cancelled(apart, run)
    assert ended.status == "cancelled"
    assert of_handlers(apart) == 0
    assert host.stop() == 0, host.said()
    figure("processes of a handler alive at the end of its run", 0)


def test_e7_an_isolated_handler_forks_without_end(apart: Ground, figure: Figure) -> None:
    host = apart.up()
    run = submitted(apart, "bomb", most=6)  # 2 to the 6th processes
    until(lambda: of_handlers(apart) == 64, "all are there")
    still_fine(apart)
    ended, seconds = cancelled(apart, run)
    assert ended.status == "cancelled"
    assert of_handlers(apart) == 0
    assert host.stop() == 0, host.said()
    figure("64 forks of a handler are gone after", round(seconds, 2), "s")


def test_e6_the_host_is_killed_over_isolated_handlers(apart: Ground, rounds: int, figure: Figure) -> None:
    host = apart.up()
    many = max(3, rounds // 5)

    async def start(client: Client) -> None:
        for _ in range(many):
            await client.submit(call("family", depth=1, width=2))

    apart.talk(start)
    until(lambda: of_handlers(apart) == 3 * many, "all are there")
    left = tagged(apart.tag)
    host.kill()
    begun = time.monotonic()
    apart.orphans_gone(left, 5.0)
    figure("orphans of isolated handlers 5 s after kill -9 of the host", 0)
    figure("the last of them gone after", round(time.monotonic() - begun, 2), "s")
    host = apart.up()
    apart.drained()
    still_fine(apart)
    assert host.stop() == 0, host.said()
    assert apart.judged()["status.interrupted"] == many


def test_n9_an_isolated_handler_prints_one_endless_line(apart: Ground, rounds: int, figure: Figure) -> None:
    size = 1024 if rounds >= 200 else 64
    host = apart.up()
    still_fine(apart)
    before = high_water(host)
    assert run_of(apart, "one_line", mebibytes=size).status == "succeeded"
    grown = high_water(host) - before
    assert grown < 96 << 20
    assert host.stop() == 0, host.said()
    figure(f"memory of the host under a line of {size} MiB", round(grown / (1 << 20)), "MiB")


def test_n9_an_isolated_handler_never_stops_talking(apart: Ground, figure: Figure) -> None:
    host = apart.up()
    still_fine(apart)
    before = high_water(host)
    run = submitted(apart, "emits")

    async def answers(client: Client) -> float:
        slowest = 0.0
        for _ in range(20):
            begun = time.monotonic()
            await client.query("runs.get", {"run_id": run.id})
            slowest = max(slowest, time.monotonic() - begun)
        return slowest

    slowest = apart.talk(answers)
    ended, _ = cancelled(apart, run)
    assert ended.status == "cancelled"
    assert high_water(host) - before < 96 << 20
    assert host.stop() == 0, host.said()
    apart.judged()
    figure("slowest of 20 queries beside a handler that never stops talking", round(slowest, 3), "s")


def test_e16_an_isolated_handler_writes_rubbish_to_its_host(apart: Ground) -> None:
    host = apart.up()
    run = run_of(apart, "rubbish")
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.code == "internal"
    still_fine(apart)
    assert host.stop() == 0, host.said()
