"""A shell that has done a great many lines: what it remembers is bounded, and what it looks at is what runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from trunnion import Busy, Event, Run
from trunnion_tty.jobs import REMEMBERED, SHORT, Job, Jobs


class Runs:
    """Stands for the host: runs go on until they are let go."""

    def __init__(self) -> None:
        self.over: dict[str, asyncio.Event] = {}

    async def follow(self, stream: str, after: int) -> AsyncIterator[list[Event]]:
        await self.over.setdefault(stream.removeprefix("run/"), asyncio.Event()).wait()
        for nothing in ():
            yield nothing

    async def wait(self, run_id: str) -> Run:
        return run(run_id, "succeeded")


class Nobody:
    """Looks away."""

    async def events(self, job: Job, batch: Sequence[Event]) -> None:
        """See ``Watcher``."""

    def ended(self, job: Job) -> None:
        """See ``Watcher``."""


def run(run_id: str, status: str = "running") -> Run:
    return Run(
        id=run_id, num=1, command_id="t.c", command_revision="", status=status, created=1, source="tty", principal="me"
    )


async def let_go(host: Runs, job: Job) -> None:
    host.over.setdefault(job.run.id, asyncio.Event()).set()
    await job.over()
    await asyncio.sleep(0)


async def test_what_has_ended_is_remembered_up_to_a_number_and_costs_nothing() -> None:
    """Defence: ``Jobs._live``, ``_over`` and ``_forget``: prompt and bar ask for the active ones at each drawing."""
    host = Runs()
    jobs = Jobs(host, Nobody())  # type: ignore[arg-type]
    first = jobs.follow(run("0" * 8 + "ffff"))
    for number in range(REMEMBERED + 50):
        job = jobs.follow(run(f"{number:012x}"))
        assert jobs.active == [first, job]
        await let_go(host, job)
        assert jobs.active == [first]
    jobs.follow(run("0" * 8 + "eeee"))
    assert len(list(jobs)) == REMEMBERED + 2
    assert jobs.find("ffff") is first
    assert jobs.find(f"{0:012x}") is None
    assert not jobs._live.keys() - {first.run.id, "0" * 8 + "eeee"}
    assert len(jobs._tags) == len(list(jobs))
    await jobs.close()


async def test_a_run_that_is_followed_anew_is_active_again() -> None:
    """Defence: ``Jobs._over`` looks which of its tasks has ended."""
    host = Runs()
    jobs = Jobs(host, Nobody())  # type: ignore[arg-type]
    job = jobs.follow(run("0" * 8 + "aaaa"))
    assert job.task is not None
    job.task.cancel()
    while not job.task.done():
        await asyncio.sleep(0)
    again = jobs.follow(job.run)  # before whoever waits for its end has heard of it
    await asyncio.sleep(0)
    assert again is job
    assert jobs.active == [job]
    await jobs.close()


async def test_no_two_jobs_have_one_tag() -> None:
    jobs = Jobs(Runs(), Nobody())  # type: ignore[arg-type]
    made = [jobs.follow(run(f"{number}{'0' * 11}")) for number in range(3)]
    assert len({job.tag for job in made}) == 3
    assert len(made[0].tag) == SHORT
    await jobs.close()


class Clumsy(Nobody):
    """Cannot show what it is told."""

    def __init__(self) -> None:
        self.over: list[Job] = []

    async def events(self, job: Job, batch: Sequence[Event]) -> None:
        raise KeyError("colour")

    def ended(self, job: Job) -> None:
        self.over.append(job)


class Talking(Runs):
    """Runs that say one thing."""

    async def follow(self, stream: str, after: int) -> AsyncIterator[list[Event]]:
        yield []


async def test_a_job_that_cannot_be_shown_is_told_to_be_lost() -> None:
    """Defence: ``except Exception`` in ``show``: it ended without a word, as if all was well."""
    watcher = Clumsy()
    jobs = Jobs(Talking(), watcher)  # type: ignore[arg-type]
    job = jobs.follow(run("0" * 8 + "dddd"))
    await job.over()
    assert watcher.over == [job]
    assert job.lost == "a defect of this shell, KeyError: 'colour'; the run goes on"
    assert isinstance(job.defect, KeyError)
    await jobs.close()


class Crowded(Runs):
    """A host with too many who look on already, and too many who wait, now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = [3, 2]

    def refuse(self, which: int) -> None:
        if self.refusals[which]:
            self.refusals[which] -= 1
            raise Busy("1024 subscriptions are open on this connection; end one first")

    async def follow(self, stream: str, after: int) -> AsyncIterator[list[Event]]:
        self.refuse(0)
        for nothing in ():
            yield nothing

    async def wait(self, run_id: str) -> Run:
        self.refuse(1)
        return await super().wait(run_id)


async def test_a_job_that_finds_no_room_to_be_looked_on_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``_look_on``: of three hundred jobs the last were told to be lost, and went on unseen."""
    monkeypatch.setattr("trunnion_tty.jobs.PAUSE", 0.001)
    host = Crowded()
    jobs = Jobs(host, Nobody())  # type: ignore[arg-type]
    job = jobs.follow(run("0" * 8 + "cccc"))
    await asyncio.wait_for(job.over(), 10)
    assert (job.lost, job.run.status, host.refusals) == ("", "succeeded", [0, 0])
    await jobs.close()


class Heavy(Runs):
    """Runs that have a megabyte to tell."""

    async def wait(self, run_id: str) -> Run:
        return msgspec.structs.replace(run(run_id, "succeeded"), args={"a": "x"}, result="y" * 1_000_000)


async def test_what_came_of_a_run_is_not_kept_for_ever() -> None:
    """Defence: ``Jobs._lighten``: a thousand results of a megabyte each were."""
    host = Heavy()
    jobs = Jobs(host, Nobody())  # type: ignore[arg-type]
    first = jobs.follow(run("0" * 8 + "aaaa"))
    await let_go(host, first)
    assert first.run.result is not None
    second = jobs.follow(run("0" * 8 + "bbbb"))
    assert (first.run.result, first.run.args, first.run.status) == (None, {}, "succeeded")
    await let_go(host, second)
    assert jobs.follow(second.run) is second
    assert second.run.result is not None, "it is looked on once more"
    await jobs.close()
