"""The same of a whole host with scripts: what it says of its programs while they live, and when they end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from faults_kit import TAG, Ground, tagged
from processes_kit import Programs, cgroup_place, end, timed

from trunnion import Host, HostOptions, Invocation, Run
from trunnion.protocol.client import Client
from trunnion_scripts import plugin

pytestmark = pytest.mark.anyio

RUNS = 15
CONFIG = """
[host]
cgroup = "{place}"
[executor]
shutdown_grace = 0.1
[scripts.stubborn]
run = ["sh", "-c", "trap '' TERM; echo up; sleep 600"]
env = {{ {tag_name} = "{tag}" }}
stop_grace = 0.2
lock = ""
[scripts.greedy]
run = ["true"]
limits = {{ memory = 100000000 }}
[scripts.hog]
run = ["{python}", "-I", "-S", "-c", "b = []\\nwhile True: b.append(bytearray(1 << 20))"]
limits = {{ memory = 60000000 }}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path)
    yield made
    end(made.alive())


class Served:
    """A host and one caller."""

    def __init__(self, host: Host) -> None:
        self.door = host.door("cli")
        self.caller = host.local_caller()

    async def submit(self, command: str) -> Run:
        return await self.door.submit(self.caller, Invocation(command_id=command, args={}))

    async def run(self, command: str) -> Run:
        return await self.door.wait(self.caller, (await self.submit(command)).id, 30)

    async def census(self) -> dict[str, Any]:
        found = await self.door.query(self.caller, "host.census", {})
        assert isinstance(found, dict)
        return found


@asynccontextmanager
async def served(tmp_path: Path, programs: Programs, place: str = "off") -> AsyncIterator[Served]:
    config = tmp_path / "trunnion.toml"
    config.write_text(CONFIG.format(place=place, tag=programs.tag, tag_name=TAG, python=sys.executable))
    options = HostOptions(config_path=config, data_dir=tmp_path / "data", mode="serve")
    async with Host(options, plugins={"scripts": plugin}, discovery=False) as host:
        yield Served(host)


async def test_a_host_that_started_nothing_counts_zeros(tmp_path: Path, programs: Programs) -> None:
    async with served(tmp_path, programs) as host:
        census = await host.census()
    zeros = ("started", "failed", "processes")
    assert [census[name] for name in zeros] == [0, 0, 0]
    assert (census["alive"], census["orphans"], census["keeper"]) == ([], [], {"pid": 0, "minders": 0})
    assert census["descriptors"]["limit"] >= census["descriptors"]["open"] > 3
    assert census["threads"]["MainThread"] == 1
    assert census["tasks"] > 0


async def test_e4_a_run_whose_program_ignores_sigterm(
    tmp_path: Path, programs: Programs, figure: Callable[..., None]
) -> None:
    """The run says each step, with its time; the census knows whose the program is, and then that it is gone."""
    async with served(tmp_path, programs) as host:
        run = await host.submit("scripts.stubborn")
        async with asyncio.timeout(20):
            async for batch in host.door.follow(host.caller, f"run/{run.id}"):
                if any("up" in event.text for event in batch):
                    break
        timed(lambda: any(words.startswith("sleep") for words in tagged(programs.tag).values()), "it sleeps", 10)
        census = await host.census()
        assert [(one["owner"], one["program"]) for one in census["alive"]] == [(run.id, "sh")]
        assert census["processes"] == len(programs.alive())
        begun = time.monotonic()
        await host.door.cancel(host.caller, run.id)
        run = await host.door.wait(host.caller, run.id, 20)
        took = time.monotonic() - begun
        census = await host.census()
        events = [e async for batch in host.door.follow(host.caller, f"run/{run.id}") for e in batch]
    steps = [event.data for event in events if event.text.startswith("stopping: ")]
    assert run.status == "cancelled"
    assert [step["name"] for step in steps] == ["terminate", "kill"]
    assert steps[1]["seconds"] - steps[0]["seconds"] >= 0.19
    assert (census["alive"], census["orphans"], census["started"]) == ([], [], 1)
    assert not programs.alive()
    figure("cancel of a run whose program ignores SIGTERM, past its grace", round(took - 0.2, 3), "s")


async def test_e8_a_run_with_a_limit_nothing_keeps_says_so(tmp_path: Path, programs: Programs) -> None:
    async with served(tmp_path, programs) as host:
        run = await host.run("scripts.greedy")
    assert (run.status, run.error.code) == ("failed", "unavailable")
    assert "its limit 'memory' needs a cgroup" in run.error.message
    assert run.error.details["permanent"] is True


async def test_e8_a_run_that_took_too_much_memory_says_so(tmp_path: Path, programs: Programs) -> None:
    place = cgroup_place()
    if place is None or "memory" not in (place / "cgroup.controllers").read_text():
        pytest.skip("no cgroup v2 here that can limit memory")
    async with served(tmp_path, programs, str(place)) as host:
        run = await host.run("scripts.hog")
        assert (await host.census())["cgroups"]["controllers"]
    assert run.status == "failed"
    assert "more memory than their limit of 60000000 bytes" in run.error.message
    assert run.error.details["limit"] == "memory"


def test_e6_every_run_of_a_killed_host(ground: Ground, figure: Callable[..., None]) -> None:
    """Runs of a host as people start it, each with a child in a session of its own."""
    host = ground.up()

    async def start(client: Client) -> None:
        for _ in range(RUNS):
            await client.submit(Invocation(command_id="scripts.long", args={}))

    ground.talk(start)

    def sleepers() -> int:
        return sum(words.startswith("sleep") for words in tagged(ground.tag).values())

    timed(lambda: sleepers() == 2 * RUNS, "two sleepers of each run", 50)
    left = tagged(ground.tag)
    host.kill()
    begun = time.monotonic()
    ground.orphans_gone(left)
    figure(f"programs of {RUNS} runs gone after kill -9 of the host", round(time.monotonic() - begun, 3), "s")
    assert ground.up().stop() == 0
