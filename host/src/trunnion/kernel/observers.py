"""Observers: durable followers of the host-wide commit position, at least once, never dropped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from trunnion.kernel.blame import BEHIND, Blame
from trunnion.kernel.eventlog import EVENT_OVERHEAD, event_size
from trunnion.kernel.reporting import Report
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.contributions import Observer
from trunnion.model.events import Event
from trunnion.store.base import Commit, Store

BATCH = 256
FRESH = 4 << 20
"""Bytes of events that are kept in memory for an observer; one that is slower reads them from the store."""

LINGER = 0.005
"""Seconds in which commits gather: one batch of many costs little more than one of few."""

FIRST_DELAY = 0.5
MAX_DELAY = 60.0


class ObserverState(msgspec.Struct):
    """How one observer fares, for operators."""

    owner: str
    name: str
    position: int
    failures: int = 0
    last_error: str = ""


class ObserverPump:
    """Feeds one observer."""

    def __init__(
        self,
        owner: str,
        observer: Observer,
        store: Store,
        readers: DaemonThreads,
        report: Report,
        blame: Blame,
        provided: Callable[[type, str], object],
    ) -> None:
        self.observer = observer
        self.state = ObserverState(owner, observer.name, store.observer_position(observer.name))
        self._store = store
        self._readers = readers
        self._report = report
        self._blame = blame
        self._provided = provided
        self._reached = self.state.position
        self._fresh: list[Commit] = []
        self._bytes = 0
        self._news = asyncio.Event()
        self._news.set()

    def committed(self, before: int, after: int, appends: Mapping[str, Sequence[Event]]) -> None:
        """Something was committed. Whoever has been handed everything before it need not read it from the store."""
        self._news.set()
        if before != (self._fresh[-1].position if self._fresh else self._reached) or self._bytes > FRESH:
            return
        events = [event for name in appends if self._wants(name) for event in appends[name]]
        self._fresh.append(Commit(after, events))
        self._bytes += EVENT_OVERHEAD + sum(map(event_size, events))

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await self._news.wait()
            await asyncio.sleep(LINGER)
            self._news.clear()
            try:
                await self.catch_up()
            except Exception as error:
                text = f"what observer {self.observer.name!r} has still to see could not be read; it is tried again"
                self._report("observer.failed", text, error)
                await asyncio.sleep(FIRST_DELAY)
                self._news.set()

    async def catch_up(self) -> None:
        """Hand on everything committed so far."""
        while commits := self._taken() or await self._read():
            self._reached = commits[-1].position
            wanted = [event for commit in commits for event in commit.events]
            if wanted:
                await self._deliver(wanted)
            self._at(self._reached)

    def _taken(self) -> Sequence[Commit]:
        """What is in memory; it goes on from what was reached."""
        taken, self._fresh, self._bytes = self._fresh, [], 0
        return taken

    async def _read(self) -> Sequence[Commit]:
        """What is in the store after what was reached."""
        after, end = self._reached, self._store.end_position()
        if after >= end:
            return ()
        commits = await in_thread(self._readers, lambda: self._store.read_commits(after, BATCH))
        if not commits:  # what there was is no longer kept
            self._reached = end
            self._at(end)
        return [Commit(c.position, [event for event in c.events if self._wants(event.stream)]) for c in commits]

    def _at(self, position: int) -> None:
        self.state.position = position
        self._store.set_observer_position(self.observer.name, position)

    def _wants(self, stream: str) -> bool:
        pattern = self.observer.streams
        return stream.startswith(pattern[:-1]) if pattern.endswith("*") else stream == pattern

    async def _deliver(self, events: Sequence[Event]) -> None:
        delay, what = FIRST_DELAY, f"observer {self.observer.name!r}"
        while True:
            began = time.perf_counter()
            try:
                await self._tell(events)
                self._blame.took(self.state.owner, what, began, BEHIND)
                return
            except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                    raise
                self._blame.raised(self.state.owner, what, error)
                self.state.failures += 1
                self.state.last_error = f"{type(error).__name__}: {error}"
                if self.state.failures == 1 or delay >= MAX_DELAY:
                    self._report(
                        "observer.raised",
                        f"{what} of plugin {self.state.owner!r} raised "
                        f"{type(error).__name__}; it gets the same events again",
                        error,
                    )
            await asyncio.sleep(delay)
            delay = min(MAX_DELAY, delay * 2)

    async def _tell(self, events: Sequence[Event]) -> None:
        if self.observer.of is None:
            await self.observer.on_events(events)
        else:
            await self.observer.on_events(self._provided(self.observer.of, self.state.owner), events)
