"""Waiting: for the end of a run, and for what was emitted to be on record."""

from __future__ import annotations

import asyncio
from functools import partial

from trunnion.kernel.committer import Committer
from trunnion.kernel.eventlog import StreamLog
from trunnion.kernel.executor import Executor
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.kernel.wards import Judge, Wards
from trunnion.model.errors import DeadlineExceeded, NotFound, TrunnionError, Unavailable
from trunnion.model.runs import Run
from trunnion.store.base import Store


class Waiting:
    """Finds runs, live or ended, and waits for them."""

    def __init__(
        self, executor: Executor, store: Store, committer: Committer, readers: DaemonThreads, wards: Wards
    ) -> None:
        self._executor = executor
        self._store = store
        self._committer = committer
        self._readers = readers
        self._wards = wards

    async def get(self, run_id: str) -> Run:
        """A run as it is now.

        Raises:
            NotFound: there is none.
        """
        run = self._executor.table.run_of(run_id)
        if run is None:
            found = await in_thread(self._readers, lambda: self._store.get_run(run_id))
            run = found or self._executor.table.run_of(run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id!r}", {"run_id": run_id})
        return run

    async def ended(self, run_id: str, timeout: float | None = None, judge: Judge | None = None) -> Run:
        """A run once it has ended.

        Args:
            run_id: the run.
            timeout: seconds.
            judge: raises when whoever waits may no longer.

        Raises:
            NotFound: there is none.
            DeadlineExceeded: it has not ended within ``timeout`` seconds; it goes on.
            Unavailable: the host stops before that.
        """
        live = self._executor.table.live.get(run_id)
        if live is None:
            return await self.get(run_id)
        future: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        live.waiters.append(future)
        if live.phase == "ending":  # with the next commit, until somebody waited for it
            self._committer.flush()
        ward = None if judge is None else self._wards.ward(judge, partial(_refuse, future)).begin()
        try:
            if timeout is None:
                return await future
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise DeadlineExceeded(f"run {run_id} has not ended within {timeout:g} s; it goes on") from None
        finally:
            if ward is not None:
                ward.end()
            if live.phase != "ended":
                live.waiters.remove(future)

    def give_up(self) -> None:
        """The host ends: whoever waits for a run is told."""
        for live in self._executor.table.live.values():
            for waiter in live.waiters:
                _refuse(waiter, Unavailable(f"the host has stopped before run {live.id} ended", {"run_id": live.id}))

    async def flush(self, log: StreamLog) -> None:
        """Return once everything appended to a stream so far is on record.

        Raises:
            Unavailable: it will not be: the host has stopped.
        """
        target = log.seq
        while log.visible < target:
            self._committer.flush()
            if log.visible >= target:
                return
            await log.changed()


def _refuse(future: asyncio.Future[Run], refusal: TrunnionError) -> None:
    if not future.done():
        future.set_exception(refusal)
