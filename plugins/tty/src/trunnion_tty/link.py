"""The line to the host: always there for the shell, whatever becomes of the host.

A call waits no longer than it is told to; a look at the host each second says whether it answers, how quickly, and
whether what it offers has changed. Nothing here ends the shell.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from trunnion import Event, TrunnionError
from trunnion.model.events import HOST_STREAM, LEVELS, LOG, META
from trunnion.protocol.answers import MetaAnswer
from trunnion.protocol.clients import HostClient
from trunnion_tty.catalog import Catalog
from trunnion_tty.submitting import is_gone

LOOK_EVERY = 1.0
"""Seconds between two looks at the host."""

BUSY_AFTER = 1.0
"""Seconds without an answer after which the host counts as busy."""

BEYOND = 2**53
"""A place no stream has come to."""

START_EVENTS = 200
"""Events that a host makes at most while it starts."""

OF_A_RUN = frozenset({"handler.raised", "query.raised", "handler.returned", "result.lost", "isolated.died"})
"""Codes of what whoever waits for a run or an answer is told anyway."""

State = Literal["up", "busy", "gone"]


class Health(NamedTuple):
    """How the host fares, as far as the shell can tell.

    Attributes:
        state: it answers; it does not though somebody serves its socket; nobody does.
        lag: seconds the last answer took, or for which there has been none.
        why: what the system says of a host that is gone.
    """

    state: State
    lag: float = 0.0
    why: str = ""


class Link:
    """One shell's connection.

    Args:
        client: to the host, which tries it again for ever.

    Attributes:
        catalog: what the host offers, as far as it has said so.
        health: how the host fares.
        principal: who the host takes this shell for.
        on_health: told of the health before and now, at each look.
        on_notice: told of what the host has to say to operators.
    """

    def __init__(self, client: HostClient) -> None:
        self.client = client
        self.health = Health("gone")
        self.catalog = Catalog({})
        self.principal = ""
        self._generation = -1
        self.on_health: Callable[[Health, Health], None] = _ignored
        self.on_notice: Callable[[Event], None] = _unheard
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect and learn who and what is there.

        Raises:
            TrunnionError: nobody answers, or the host refuses.
        """
        await self.client.hello()
        who, meta = await asyncio.gather(self.client.whoami(), self._news())
        self.principal = who.principal
        self._take(meta)
        self.health = Health("up")

    def watch(self, *, from_its_start: bool = False) -> None:
        """Begin to look at the host each second, and to listen to what it says.

        Args:
            from_its_start: whether what it said while it started is of interest: nobody else was there to hear it.
        """
        self._tasks = [
            asyncio.create_task(self._look(), name="trunnion shell: the host's health"),
            asyncio.create_task(self._listen(from_its_start), name="trunnion shell: the host's words"),
        ]

    async def close(self) -> None:
        """Stop looking and disconnect."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.client.close()

    async def refresh(self, patience: float) -> None:
        """Ask for changes of what the host offers now; it may not answer in time, then it stays as it was."""
        with contextlib.suppress(TrunnionError, TimeoutError):
            async with asyncio.timeout(patience):
                self._take(await self._news())

    async def live_runs(self, patience: float) -> int:
        """How many runs are under way or wait on the host, as far as it says so within some seconds."""
        with contextlib.suppress(TrunnionError, TimeoutError):
            async with asyncio.timeout(patience):
                status = await self.client.query("host.status")
            runs = status.get("runs") if isinstance(status, Mapping) else None
            if isinstance(runs, Mapping):
                return sum(n for n in (runs.get("running"), runs.get("pending")) if isinstance(n, int))
        return 0

    async def _news(self) -> MetaAnswer:
        """What the host offers, left out if that is what is known.

        Its revision says nothing of what is available just now, as a driver's commands are; its generation does, as
        long as it is the same host.
        """
        answer = await self.client.meta(self.catalog.revision or None)
        if not answer.modified and answer.generation != self._generation:
            answer = await self.client.meta()
        return answer

    def _take(self, answer: MetaAnswer) -> None:
        self._generation = answer.generation
        if answer.modified and isinstance(answer.meta, Mapping):
            self.catalog = Catalog(answer.meta)

    async def _look(self) -> None:
        while True:
            await self._look_once()
            await asyncio.sleep(LOOK_EVERY)

    async def _look_once(self) -> None:
        """One question, however long it takes; meanwhile the host counts as busy, and how long is told."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        asking = asyncio.ensure_future(self._news())
        try:
            while not (await asyncio.wait([asking], timeout=BUSY_AFTER))[0]:
                self._tell(Health("busy", loop.time() - began))
            answer = asking.result()
        except TrunnionError as error:
            if is_gone(error):
                self._generation = -1  # it is not the same host that comes back
                self._tell(Health("gone", 0.0, error.message))
            else:
                self._tell(Health("busy", loop.time() - began, error.message))
        else:
            self._tell(Health("up", loop.time() - began))
            self._take(answer)
        finally:
            asking.cancel()

    async def _listen(self, from_its_start: bool) -> None:
        """What the host says: that meta has changed, and what operators should know."""
        with contextlib.suppress(TrunnionError):  # it is not for everybody
            newest = await self._newest()
            after = await self._start_of(newest) if from_its_start else newest
            while True:
                after = await self._hear(after)
                await asyncio.sleep(LOOK_EVERY)

    async def _hear(self, after: int) -> int:
        """What is said from a place on, until there is no more for now; returns the place to go on from.

        Raises:
            TrunnionError: it is not for this shell.
        """
        try:
            async for batch in self.client.follow(HOST_STREAM, after):
                if any(event.kind == META for event in batch):
                    await self.refresh(LOOK_EVERY)
                for event in batch:
                    if event.kind == LOG and LEVELS.get(event.level, 0) >= LEVELS["warning"] and not _of_a_run(event):
                        self.on_notice(event)
                after = batch[-1].seq
        except TrunnionError as error:
            newest = error.details.get("newest")
            if isinstance(newest, int):  # the host has come back with an earlier past, as from a backup
                return newest
            if error.code not in ("unavailable", "busy"):
                raise
        return after

    async def _newest(self) -> int:
        """The number of the host's newest event: asked for what cannot be there yet, it says so."""
        try:
            async for _ in self.client.follow(HOST_STREAM, BEYOND, live=False):
                pass
        except TrunnionError as error:
            newest = error.details.get("newest")
            return newest if isinstance(newest, int) else 0
        return 0

    async def _start_of(self, newest: int) -> int:
        """Where the host's latest start begins in its words; the newest of them if that is long ago."""
        found = newest
        async for batch in self.client.follow(HOST_STREAM, max(0, newest - START_EVENTS), live=False):
            for event in batch:
                if event.kind == META and isinstance(event.data, Mapping) and event.data.get("generation") == 1:
                    found = event.seq
        return found

    def _tell(self, health: Health) -> None:
        before, self.health = self.health, health
        self.on_health(before, health)


def _of_a_run(event: Event) -> bool:
    data = event.data
    return isinstance(data, Mapping) and data.get("code") in OF_A_RUN


def _ignored(before: Health, now: Health) -> None:
    """Nobody watches the host's health."""


def _unheard(event: Event) -> None:
    """Nobody listens to the host."""
