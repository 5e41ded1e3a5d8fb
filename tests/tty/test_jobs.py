"""Jobs: found by what people call them, and followed without loss or repetition whatever becomes of the line."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from wire_kit import Front, Plant, Wire, hosted, until

from trunnion import Host, Invocation, NotFound, Run
from trunnion.protocol.client import Client
from trunnion_tty.finding import Finder
from trunnion_tty.jobs import Job, Jobs
from trunnion_tty.link import Link
from trunnion_tty.running import Running

pytestmark = pytest.mark.anyio


# -- by name --------------------------------------------------------------------------------------


class Nothing:
    """Stands for the connection of a shell whose runs say nothing."""

    async def follow(self, stream: str, after: int) -> AsyncIterator[list[object]]:
        await asyncio.Event().wait()
        yield []


def run_of(run_id: str) -> Run:
    return Run(
        id=run_id, num=1, command_id="a", command_revision="", status="running", created=1, principal="", source="tty"
    )


IDS = ["019a-0000-aaaa", "019a-0000-bbbb", "019a-0001-xaaa", "019b-0000-1234"]


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    made = Jobs(Nothing(), Front())  # type: ignore[arg-type]
    for run_id in IDS:
        made.follow(run_of(run_id))
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("1", 1), ("%1", 1), ("4", 4), ("aaaa", 1), ("AAAA", 1), ("0-bbbb", 2), ("xaaa", 3), ("019b", 4),
        ("019a-0001", 3), ("019a-0000-aaaa", 1), ("1234", 4), ("", 4),
    ],
)  # fmt: skip
async def test_a_job_is_found(jobs: Jobs, name: str, number: int) -> None:
    job = jobs.find(name)
    assert job is not None
    assert job.number == number


@pytest.mark.parametrize("name", ["019a", "019a-0000", "5", "aaa", "%", "0", "nothing", "%aaaa", "-"])
async def test_what_could_be_several_jobs_is_none(jobs: Jobs, name: str) -> None:
    """Ids of one day begin alike: the wrong run might be cancelled."""
    assert jobs.find(name) is None


async def test_tags_differ_as_long_as_they_have_to(jobs: Jobs) -> None:
    assert [job.tag for job in jobs] == ["aaaa", "bbbb", "xaaa", "1234"]
    assert jobs.follow(run_of("019c-0000-aaaa")).tag == "-aaaa"
    for tag, number in (("aaaa", 1), ("-aaaa", 5)):
        job = jobs.find(tag)
        assert job is not None
        assert job.number == number
    assert jobs.follow(run_of(IDS[0])).number == 1, "a run that is looked after is the same job"


async def test_runs_of_other_doors_are_found_among_the_newest(wire: Wire, plant: Plant) -> None:
    link = Link(Client(wire.path, patience=float("inf"), door="tty"))
    await link.open()
    front = Front()
    mine = Jobs(link.client, front)
    finder = Finder(Running(link.client, mine, front, 5), mine)
    try:
        with pytest.raises(NotFound, match="started nothing yet"):
            await finder.run_id("")
        runs = [await link.client.run(Invocation(command_id="plant.quick", args={"mark": str(n)})) for n in range(3)]
        for run in runs:
            assert await finder.run_id(run.id) == run.id
            assert await finder.run_id(run.id[-12:]) == run.id
            assert await finder.run_id(run.id[-12:].upper()) == run.id
        for name in (runs[0].id[:4], "5", "ffffffffffff", runs[0].id[-3:]):
            with pytest.raises(NotFound, match=r"runs match|no such run|there is no job"):
                await finder.run_id(name)
        job = mine.follow(runs[1])
        assert await finder.run_id("1") == await finder.run_id("") == runs[1].id
        assert (await finder.run(job.run.id)).status == "succeeded"
    finally:
        await mine.close()
        await link.close()


# -- to the end -----------------------------------------------------------------------------------


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[Client]:
    async with Client(wire.path, patience=float("inf"), door="tty") as connected:
        yield connected


async def test_a_lost_line_loses_and_repeats_nothing(wire: Wire, client: Client, host: Host) -> None:
    """The line is cut again and again while two runs speak; what was shown is every event, once, in order."""
    chance, front = random.Random(5), Front()
    jobs = Jobs(client, front)
    async with Client(host.data.socket) as other:
        runs = [await other.submit(Invocation(command_id="plant.count", args={"lines": 3000})) for _ in range(2)]
        followed = [jobs.follow(run) for run in runs]
        cuts = 0
        while any(job.active for job in followed):
            await asyncio.sleep(chance.uniform(0, 0.02))
            await wire.cut()
            cuts += 1
            if cuts > 20:
                break
        for job in followed:
            await asyncio.wait_for(job.over(), 20)
            events = [event async for batch in other.follow(f"run/{job.run.id}") for event in batch]
            assert front.seen[job.run.id] == [event.seq for event in events] == list(range(1, len(events) + 1))
            assert job.run.status == "succeeded"
            assert job.run.result == 3000
            assert not job.lost
    assert cuts > 3
    assert sorted(job.number for job in front.over) == [1, 2], "each end is told once"


async def test_a_host_that_comes_back_is_heard_to_the_end(tmp_path: Path, plant: Plant) -> None:
    front = Front()
    async with hosted(tmp_path, plant, "store.durability=process") as host:
        socket = host.data.socket
        client = Client(socket, patience=float("inf"), door="tty")
        jobs = Jobs(client, front)
        run = await client.submit(Invocation(command_id="plant.hold"))
        job = jobs.follow(run)
        await until(lambda: "holding\n" in front.texts)
    assert job.active, "the host has ended the run, and the shell waits for it to say so"
    async with hosted(tmp_path, plant, "store.durability=process"):
        await asyncio.wait_for(job.over(), 20)
        assert job.run.status == "interrupted"
        assert front.seen[run.id] == list(range(1, len(front.seen[run.id]) + 1))
    await jobs.close()
    await client.close()


async def test_a_run_that_has_ended_is_shown_from_where_one_looked_away(client: Client, plant: Plant) -> None:
    front = Front()
    jobs = Jobs(client, front)
    run = await client.submit(Invocation(command_id="plant.hold"))
    job = jobs.follow(run)
    await until(lambda: front.texts == ["holding\n"])
    await jobs.close()
    assert not job.active
    plant.go.set()
    ended = await client.wait(run.id)
    again = jobs.follow(ended)
    assert again is job
    await asyncio.wait_for(job.over(), 20)
    assert front.seen[run.id] == list(range(1, ended.last_seq + 1))
    assert job.run.result == "let go"


async def test_a_run_nobody_knows_is_lost_and_one_that_is_found_again_is_not(client: Client) -> None:
    front = Front()
    jobs = Jobs(client, front)
    job = jobs.follow(run_of("019a0000-0000-7000-8000-000000000000"))
    await asyncio.wait_for(job.over(), 20)
    assert job.lost == "nothing is known of run 019a0000-0000-7000-8000-000000000000"
    assert front.over == [job]
    known = await client.run(Invocation(command_id="plant.quick"))
    job = Job(9, known, "tag")
    job.lost = "for a while"
    jobs._jobs[known.id] = job
    jobs.follow(known)
    await asyncio.wait_for(job.over(), 20)
    assert not job.lost
