"""Runs this shell looks after: each is followed to its end, whatever becomes of the host meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Protocol

import msgspec

from trunnion import Event, Run, TrunnionError
from trunnion.model.events import run_stream
from trunnion.protocol.clients import HostClient

SHORT = 4
"""Characters of a run's id that stand for it where they are enough; its last ones, for the first tell the time."""


PAUSE = 0.05
"""Seconds before a host that has no time or no room is asked again; doubles up to some."""

REMEMBERED = 1000
"""Jobs that have ended, without what was given to them and what came of them."""


class Watcher(Protocol):
    """Who is told what a job says and that it has ended."""

    async def events(self, job: Job, batch: list[Event]) -> None:
        """Some events, in order; returns once there is room for more."""

    def ended(self, job: Job) -> None:
        """The run has ended; ``job.run`` says how. Or it is lost: ``job.lost`` says why."""


class Job:
    """One run, as the shell knows it.

    Attributes:
        number: counted from 1 in this shell.
        run: the run as it was last heard of.
        tag: what lines of it are marked with.
        foreground: whether the shell waits for it.
        collected: whether ``wait`` has told how it ended in the background.
        cursor: the last event that was shown.
        lost: why nothing more is known of it.
        defect: what went wrong in this shell itself, so that it is lost.
        quiet: whether its end is told only if something went wrong: what it says is all a person is to see of it.
    """

    def __init__(self, number: int, run: Run, tag: str) -> None:
        self.number = number
        self.run = run
        self.tag = tag
        self.foreground = True
        self.collected = False
        self.cursor = 0
        self.lost = ""
        self.defect: Exception | None = None
        self.quiet = False
        self.task: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether it is still followed."""
        return self.task is not None and not self.task.done()

    async def over(self) -> None:
        """Return once it has ended and all it said was shown."""
        if self.task is not None:
            await asyncio.wait([self.task])


class Jobs:
    """All jobs of a shell.

    Args:
        client: the connection to the host.
        watcher: told of what happens.
    """

    def __init__(self, client: HostClient, watcher: Watcher) -> None:
        self._client = client
        self._watcher = watcher
        self._jobs: dict[str, Job] = {}
        self._live: dict[str, Job] = {}
        self._tags: set[str] = set()
        self._told: list[Job] = []
        self._numbers = 0

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    @property
    def active(self) -> list[Job]:
        """Those that have not ended."""
        return sorted((job for job in self._live.values() if job.active), key=attrgetter("number"))

    def follow(self, run: Run, *, after: int = 0) -> Job:
        """Look after a run from now on; the same job again for one that is looked after."""
        self._lighten()
        job = self._jobs.get(run.id)
        if job is None:
            self._forget()
            self._numbers += 1
            job = self._jobs[run.id] = Job(self._numbers, run, self._tag(run.id))
            job.cursor = after
        if not job.active:
            job.run, job.lost, job.defect = run, "", None
            job.task = asyncio.create_task(self.show(job), name=f"trunnion shell: {run.id}")
            self._live[run.id] = job
            job.task.add_done_callback(partial(self._over, job))
        return job

    def find(self, name: str) -> Job | None:
        """A job by its number (``3`` or ``%3``), its tag, or the beginning or end of its run's id.

        An empty name is the newest job that has not ended. What could be several jobs is none of them: ids of one day
        begin alike, and the wrong run might be cancelled.
        """
        if not name:
            return next(reversed(self.active), None)
        number = name.removeprefix("%")
        by_number = next((job for job in self if str(job.number) == number), None)
        if by_number is not None:
            return by_number
        lowered = name.lower()
        if len(lowered) < SHORT:
            return None
        matching = [job for job in self if job.run.id.startswith(lowered) or job.run.id.endswith(lowered)]
        by_tag = next((job for job in matching if job.tag == lowered), None)
        return by_tag or (matching[0] if len(matching) == 1 else None)

    async def close(self) -> None:
        """Look away; the runs go on."""
        tasks = [job.task for job in self if job.task is not None and not job.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _lighten(self) -> None:
        """What was given to and came of a run that has been told is the host's to remember: it may be much."""
        for job in self._told:
            if not job.active:
                job.run = msgspec.structs.replace(job.run, args={}, result=None)
        self._told.clear()

    def _forget(self) -> None:
        """Of those that have ended the newest are remembered; the host knows all."""
        excess = len(self._jobs) - len(self._live) - REMEMBERED
        over = (run_id for run_id, job in self._jobs.items() if run_id not in self._live)
        for run_id in list(islice(over, max(0, excess))):
            self._tags.discard(self._jobs.pop(run_id).tag)

    def _tag(self, run_id: str) -> str:
        tags = (run_id[-size:] for size in range(SHORT, len(run_id)))
        tag = next((tag for tag in tags if tag not in self._tags), run_id)
        self._tags.add(tag)
        return tag

    def _over(self, job: Job, task: asyncio.Task[None]) -> None:
        if job.task is task:
            self._live.pop(job.run.id, None)
            self._told.append(job)

    async def show(self, job: Job) -> None:
        """Have the watcher told all a job says behind its cursor, and of its end."""
        try:
            if not job.run.ended or job.run.last_seq:
                await self._look_on(job)
            if not job.run.ended:
                job.run = await self._end_of(job.run.id)
        except TrunnionError as error:
            job.lost = error.message if error.code != "not_found" else f"nothing is known of run {job.run.id}"
        except Exception as error:  # a defect in what shows one job is no reason to be silent about its end
            job.defect, job.lost = error, f"a defect of this shell, {type(error).__name__}: {error}; the run goes on"
        self._watcher.ended(job)

    async def _look_on(self, job: Job) -> None:
        """Where the host has no room for one more who looks on, as beside a thousand jobs, room is waited for."""
        pause = PAUSE
        while True:
            try:
                async for batch in self._client.follow(run_stream(job.run.id), job.cursor):
                    await self._watcher.events(job, batch)
                    job.cursor = batch[-1].seq
                return
            except TrunnionError as error:
                if error.code != "busy":
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    async def _end_of(self, run_id: str) -> Run:
        """The run at its end; a host that is gone or has no room just now is waited for."""
        pause = PAUSE
        while True:
            try:
                return await self._client.wait(run_id)
            except TrunnionError as error:
                if error.code not in ("unavailable", "busy"):
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
