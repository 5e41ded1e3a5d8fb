"""Which runs changed: a short memory of their ids, in order, for whoever follows all the runs they may see.

It begins when somebody first follows it, so a host that nobody watches pays nothing. Whoever is further behind than
memory reaches, or comes from before a restart, is told so and begins with the runs that have not ended: each is looked
up when it is told of, so what was missed in between are states, never the last one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from trunnion.access.policy import refusal
from trunnion.kernel.committer import Committer
from trunnion.kernel.threads import in_thread
from trunnion.model.contributions import Admission as Question
from trunnion.model.errors import TrunnionError, Unavailable
from trunnion.model.runs import Caller, Run, RunChanges

if TYPE_CHECKING:
    from trunnion.kernel.core import Kernel
    from trunnion.kernel.entries import QueryEntry

LIST = "runs.list"
"""The query whose callers may follow the feed: it tells the same, asked again and again."""

MEMORY = 16_384
"""Changes that are remembered."""

SLICE = 256
"""Changes looked at for one batch."""


class RunFeed:
    """The memory, and who waits for more of it.

    Args:
        committer: tells of each run whose row is on record anew.
        boot_id: of this start; positions of another mean nothing here.
        memory: changes to remember.
    """

    def __init__(self, committer: Committer, boot_id: str, memory: int = MEMORY) -> None:
        self._committer = committer
        self._boot_id = boot_id
        self._ids: deque[str] = deque(maxlen=memory)
        self._open = False
        self._over = False
        self._waiting: list[asyncio.Future[None]] = []
        self.position = 0

    def open(self) -> None:
        """Begin to remember, unless that was begun before."""
        if not self._open:
            self._open = True
            self._committer.run_listeners.append(self._changed)

    def _changed(self, run_id: str) -> None:
        self._ids.append(run_id)
        self.position += 1
        if self._waiting:
            self.wake()

    def cursor(self, position: int) -> str:
        """A position as clients are told of it."""
        return f"{self._boot_id}:{position}"

    def place(self, cursor: str) -> int | None:
        """The position of a cursor, None where it says nothing about this memory."""
        boot_id, _, number = cursor.rpartition(":")
        if boot_id != self._boot_id or not (number.isascii() and number.isdigit() and len(number) < 20):
            return None
        position = int(number)
        return position if self.position - len(self._ids) <= position <= self.position else None

    def after(self, position: int) -> Sequence[str] | None:
        """Some ids that follow a position, in order; None when memory does not reach back that far."""
        first = self.position - len(self._ids)
        if position < first:
            return None
        start = position - first
        return list(islice(self._ids, start, start + SLICE))

    async def more(self) -> None:
        """Wait until there may be more.

        Raises:
            Unavailable: the host has stopped.
        """
        if self._over:
            raise Unavailable("runs are followed no further: the host has stopped")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future in self._waiting:
                self._waiting.remove(future)
            raise

    def wake(self) -> None:
        """Have every follower look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def give_up(self) -> None:
        """The host ends."""
        self._over = True
        self.wake()


async def follow_runs(kernel: Kernel, caller: Caller, after: str) -> AsyncGenerator[RunChanges, None]:
    """See ``Door.follow_runs``; the caller is stamped already."""
    try:
        entry = await _admitted(kernel, caller)
    except TrunnionError as error:
        kernel.telling.refused("query", LIST, caller, error)
        raise
    feed = kernel.run_feed
    feed.open()

    def judge() -> int | None:
        decision = kernel.policy.decide((kernel.registry.query(LIST) or entry).target, caller)
        if not decision.allowed:
            raise refusal(decision, "query", LIST)
        return decision.until

    place = feed.place(after)
    with kernel.wards.ward(judge, lambda _: feed.wake()) as ward:
        while ward.refusal is None:
            ids = None if place is None else feed.after(place)
            if place is None or ids is None:
                place = feed.position
                unended = [live.told for live in kernel.executor.table.live.values() if not live.ephemeral]
                yield RunChanges(_visible(kernel, caller, unended), feed.cursor(place), reset=True)
            elif ids:
                place += len(ids)
                if runs := _visible(kernel, caller, await _present(kernel, dict.fromkeys(ids))):
                    yield RunChanges(runs, feed.cursor(place))
            else:
                await feed.more()
    if ward.refusal is not None:
        raise ward.refusal


async def _admitted(kernel: Kernel, caller: Caller) -> QueryEntry:
    """The query ``runs.list``, once everybody who may refuse it was asked, as when it is asked itself."""
    entry, decision = kernel.lookup.query(LIST, caller)
    kernel.authorizers.check("query", entry.id, caller, "read", decision.rule)
    if kernel.gates.covers("queries"):
        question = Question(
            kind="query", target=entry.id, revision=entry.revision, caller=caller, decision=decision.rule, effect="read"
        )
        await kernel.gates.admit(question)
    return entry


async def _present(kernel: Kernel, ids: Iterable[str]) -> list[Run]:
    """Runs as they are now, those that are removed left out."""
    live = {run_id: kernel.executor.table.run_of(run_id) for run_id in ids}
    ended = [run_id for run_id, run in live.items() if run is None]
    stored = await in_thread(kernel.readers, lambda: kernel.store.get_runs(ended)) if ended else []
    found = {run.id: run for run in (*live.values(), *stored) if run is not None}
    return [found[run_id] for run_id in live if run_id in found]


def _visible(kernel: Kernel, caller: Caller, runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if kernel.policy.may_see_run(run, caller)]
