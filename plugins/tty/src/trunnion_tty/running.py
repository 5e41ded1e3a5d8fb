"""Runs from a line on: submitted, waited for, cancelled by Ctrl-C, sent to the background by Ctrl-Z."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from trunnion import Invocation, Json, Run, TrunnionError
from trunnion.launcher.place import here
from trunnion.protocol.clients import HostClient
from trunnion_tty.face import Face
from trunnion_tty.jobs import SHORT, Job, Jobs
from trunnion_tty.submitting import PAUSE, GivenUp, Submission, is_gone

T = TypeVar("T")


class Running:
    """Starts runs and stays with them.

    Args:
        client: the connection to the host.
        jobs: takes over what was started.
        face: whoever is in front.
        patience: seconds a host that is gone is waited for.
    """

    def __init__(self, client: HostClient, jobs: Jobs, face: Face, patience: float) -> None:
        self._client = client
        self._jobs = jobs
        self._face = face
        self._patience = patience
        self._orphans: set[asyncio.Task[None]] = set()

    async def start(self, invocation: Invocation) -> Job:
        """Submit, and have the run looked after.

        A first Ctrl-C before the host has answered cancels the run as soon as it is on record; a second one does not
        wait for that. What has not begun by then never does.

        Raises:
            GivenUp: the person wanted it no more before it began.
            TrunnionError: it was refused, or no host answered.
        """
        wish = msgspec.structs.replace(invocation, idempotency_key=uuid.uuid4().hex, cwd=here())
        self._face.attend()
        submission = Submission(self._client, wish, self._patience, self._say_gone)
        submitting = asyncio.create_task(submission.run(), name=f"submit {wish.command_id}")
        try:
            interrupted = await self._answered(submitting, submission, wish.command_id)
        finally:
            self._face.dismiss()
        job = self._jobs.follow(submitting.result())
        if interrupted:  # nobody waits for that: whoever asked says first whether the run is in the background
            self._keep(asyncio.create_task(self._cancel(job), name=f"cancel {job.run.id}"))
        return job

    async def stay(self, job: Job) -> signal.Signals | None:
        """Wait for a job's end, or until the person lets it go on by itself; returns the signal that said so."""
        job.foreground = True
        self._face.attend()
        cancelling: asyncio.Task[None] | None = None
        told: signal.Signals | None = None
        over = asyncio.ensure_future(job.over())
        try:
            while not over.done() and job.foreground:
                told = await self._next_signal(over)
                if told == signal.SIGTSTP or (told == signal.SIGINT and cancelling is not None):
                    job.foreground = False
                    self._face.screen.note(
                        f"[{job.number}] {job.tag} {job.run.command_id} goes on; fg {job.number} waits"
                    )
                elif told == signal.SIGINT:
                    self._face.screen.note(f"cancelling {job.run.command_id}; Ctrl-C again to leave it to itself")
                    cancelling = asyncio.create_task(self._cancel(job), name=f"cancel {job.run.id}")
        finally:
            over.cancel()
            self._face.dismiss()
            if cancelling is not None:
                self._keep(cancelling)
        if not job.foreground:
            return told
        self._face.tell_end(job)
        return None

    async def look_on(self, run: Run) -> bool:
        """Show all a run says from its beginning, to its end or until Ctrl-C, False then; it goes on either way."""
        job = Job(0, run, run.id[-SHORT:])
        job.task = asyncio.create_task(self._jobs.show(job), name=f"look on {run.id}")
        self._face.attend()
        try:
            while job.active:
                if await self._next_signal(job.task) == signal.SIGINT:
                    self._face.screen.note(f"no longer looking on; {run.command_id} goes on by itself")
                    return False
            self._face.tell_end(job)
            return True
        finally:
            job.task.cancel()
            self._face.dismiss()

    async def cancel(self, run_id: str) -> Run:
        """Ask for a run's end; returns once the request is on record. Ctrl-C gives waiting for that up.

        Raises:
            GivenUp: the person would not wait.
            TrunnionError: it was refused, or no host answered.
        """
        asking = asyncio.ensure_future(self._insist(partial(self._client.cancel, run_id)))
        return await self.waited(asking, "that it is on record was not waited for")

    async def query(
        self, query_id: str, args: Mapping[str, Json] | None = None, argv: Sequence[str] | None = None
    ) -> Json:
        """The answer of a query, of the host that comes if this one goes; Ctrl-C gives it up.

        Raises:
            GivenUp: the person would not wait.
            TrunnionError: it was refused or failed, or no host answered.
        """
        return await self._asked(partial(self._client.query, query_id, args, argv=argv))

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await self.waited(asyncio.ensure_future(self._insist(ask)))

    async def waited(self, question: asyncio.Future[T], given_up: str = "the answer was not waited for") -> T:
        """The answer of a question; Ctrl-C gives it up, which ``given_up`` says.

        Raises:
            GivenUp: the person would not wait.
            TrunnionError: it was refused or failed.
        """
        self._face.attend()
        try:
            while not question.done():
                if await self._next_signal(question) == signal.SIGINT:
                    raise GivenUp(given_up)
            return question.result()
        finally:
            question.cancel()
            self._face.dismiss()

    # -- submitting -------------------------------------------------------------------------------

    async def _answered(self, submitting: asyncio.Task[Run], submission: Submission, command_id: str) -> bool:
        """Wait for the host's answer; returns whether the person wants the run no more."""
        interrupts = 0
        while not submitting.done():
            if await self._next_signal(submitting) != signal.SIGINT:
                continue
            interrupts += 1
            if interrupts > 1:
                self._keep(asyncio.create_task(self._cancel_unseen(submitting), name=f"give up {command_id}"))
                raise GivenUp(f"the host has not answered; {command_id} is cancelled should it have begun")
            submission.give_up()
            self._face.screen.note("cancelling as soon as the host answers; Ctrl-C again not to wait for that")
        return interrupts > 0

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer."""
        loop = asyncio.get_running_loop()
        until, pause, told = loop.time() + self._patience, PAUSE, False
        while True:
            try:
                return await ask()
            except TrunnionError as error:
                if not is_gone(error) or loop.time() + pause > until:
                    raise
            if not told:
                told = True
                self._say_gone()
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _say_gone(self) -> None:
        self._face.screen.note("the host is gone; waiting for it, Ctrl-C gives up")

    async def _cancel_unseen(self, submitting: asyncio.Task[Run]) -> None:
        """What was given up is cancelled if it came to be after all."""
        with contextlib.suppress(TrunnionError):
            run = await submitting
            self._client.look_away(run.id)
            await self._client.cancel(run.id)

    async def _cancel(self, job: Job) -> None:
        try:
            await self._client.cancel(job.run.id)
        except TrunnionError as error:
            self._face.screen.note(f"{job.run.command_id} could not be cancelled: {error.message}")

    # -- waiting ----------------------------------------------------------------------------------

    async def _next_signal(self, until: asyncio.Future[T]) -> signal.Signals | None:
        """The next Ctrl-C or Ctrl-Z; None if what is waited for was done before."""
        asking = asyncio.create_task(self._face.keyboard(), name="trunnion shell: a signal")
        try:
            either: list[asyncio.Future[signal.Signals] | asyncio.Future[T]] = [asking, until]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            asking.cancel()

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Hold on to something nobody waits for until it is done."""
        self._orphans.add(task)
        task.add_done_callback(self._orphans.discard)


def by_name(command_id: str, args: Mapping[str, Json], revision: str = "") -> Invocation:
    """A call with arguments by name."""
    return Invocation(command_id=command_id, args=dict(args), revision=revision or None)
