"""Gathers what happens in one turn of the loop into one atomic batch, and shows it once it is on record.

State changes are committed at the end of the turn they were made in; events alone, and ends that nobody
waits for, are committed with the next change, after 2 ms or 512 KiB at the latest. At most one batch is on
its way at a time: while a slow disk works, the next one grows, which is group commit and keeps every stream
gapless when a batch fails.

A full disk refuses new work by name and keeps the rest waiting: the reserve is given back so that ends
and cancels still fit, and what does not fit is tried again until there is space. Changes of documents are
new work too: whoever made one is waiting for the answer, and what comes after builds on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from trunnion.kernel.clock import Clock, Timer
from trunnion.kernel.eventlog import StreamLog
from trunnion.kernel.reporting import Report
from trunnion.model.errors import TrunnionError, Unavailable
from trunnion.model.events import Event
from trunnion.model.runs import ArtifactInfo, Run
from trunnion.store.base import Accept, Batch, DiskFull, DocumentWrite, Store

LINGER = 0.002
BLOCK = 512 << 10
RETRY_FULL = 0.5
SMALL = 64 << 10
NOTHING_SEALED: Mapping[int, bytes] = {}
"""What a stream may have waiting and still be tried first when the disk is full, bytes."""

Settled: TypeAlias = Callable[[TrunnionError | None], None]
"""Told when a change is on record, or why it will never be."""


Committed: TypeAlias = Callable[[int, int, Mapping[str, Sequence[Event]]], None]


class Change(msgspec.Struct, eq=False):
    """One verb about one run, or changes of one plugin's documents, with the stream whose waiting events go with it.

    ``sealed`` are secrets of live runs that were sealed anew, by run number.

    Documents and their events are on record together or not at all: announce the change first, then append its
    events, in the same turn of the loop. Nothing else may append to that stream.
    """

    log: StreamLog
    settled: Settled
    accept: Accept | None = None
    start: Run | None = None
    finish: Run | None = None
    artifacts: Sequence[ArtifactInfo] = ()
    documents: Sequence[DocumentWrite] = ()
    sealed: Mapping[int, bytes] = NOTHING_SEALED


class Committer:
    """Owns the way from memory to the store.

    Args:
        store: opened.
        clock: for the linger timer.
        soon: schedules a call for the next turn of the loop.
        report: told of trouble in plain words, for the stream ``host`` and the log.

    Attributes:
        listeners: called after each commit.
        run_listeners: given the id of each run whose row is on record anew.
        event_listeners: given the host-wide position before and after each commit, and its events by stream.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        soon: Callable[[Callable[[], None]], object],
        report: Report,
    ) -> None:
        self._store = store
        self._clock = clock
        self._soon = soon
        self._report = report
        self._changes: list[Change] = []
        self._dirty: dict[str, StreamLog] = {}
        self._bytes = 0
        self._timer: Timer | None = None
        self._scheduled = False
        self._in_flight = False
        self._closed = False
        self._proving = False
        self.refusal: Unavailable | None = None
        self.idle_waiters: list[Callable[[], None]] = []
        self.listeners: list[Callable[[], None]] = []
        self.run_listeners: list[Callable[[str], None]] = []
        self.event_listeners: list[Committed] = []
        self._position = 0
        self.commits = 0

    # -- what the kernel calls --------------------------------------------------------------------

    def appended(self, log: StreamLog, size: int) -> None:
        """Events wait: commit within 2 ms, or at once past 512 KiB."""
        self._dirty[log.name] = log
        self._bytes += size
        if self._scheduled:
            return
        if self._bytes >= BLOCK and self.refusal is None:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(LINGER, self._linger_over)

    def change(self, change: Change, *, at_leisure: bool = False) -> None:
        """A state change: commit at the end of this turn of the loop; with the next commit, if nobody waits for it."""
        self._changes.append(change)
        if self._closed:
            self._soon(self._refuse_what_is_left)
        elif at_leisure:
            if self._timer is None and not self._scheduled:
                self._timer = self._clock.call_later(LINGER, self._linger_over)
        elif not self._scheduled:
            self._scheduled = True
            self._soon(self.flush)

    def on_record(
        self,
        log: StreamLog,
        *,
        start: Run | None = None,
        artifacts: Sequence[ArtifactInfo] = (),
        sealed: Mapping[int, bytes] = NOTHING_SEALED,
    ) -> asyncio.Future[None]:
        """``change`` for whoever waits for it: done when it is on record, or with the reason why it will never be."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(error: TrunnionError | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        self.change(Change(log, settled, start=start, artifacts=artifacts, sealed=sealed))
        return done

    def refuse_if_unable(self) -> None:
        """Refuse new work while nothing can be stored.

        Raises:
            Unavailable: there is no space on the disk, or the store is broken.
        """
        if self.refusal is not None:
            raise self.refusal

    @property
    def quiet(self) -> bool:
        """Whether everything is on record."""
        return not (self._changes or self._dirty or self._in_flight)

    def when_quiet(self, callback: Callable[[], None]) -> None:
        """Call back once everything appended so far is on record."""
        if self.quiet:
            callback()
        else:
            self.idle_waiters.append(callback)
            self.flush()

    def flush(self) -> None:
        """Commit what waits, unless a batch is on its way or the disk is full."""
        self._scheduled = False
        if self._in_flight or self._closed:
            return
        if self.refusal is not None:
            self._retry_later()
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send(self._changes, self._dirty)

    # -- one batch --------------------------------------------------------------------------------

    def _linger_over(self) -> None:
        self._timer = None
        self.flush()

    def _send(self, changes: list[Change], dirty: dict[str, StreamLog]) -> None:
        if not changes and not dirty:
            return
        if changes is self._changes:
            self._changes = []
        else:
            self._changes = [c for c in self._changes if c not in changes]
        if dirty is self._dirty:
            self._dirty, self._bytes = {}, 0
        else:
            self._dirty = {name: log for name, log in self._dirty.items() if name not in dirty}
        logs = [(log, log.seq) for log in dirty.values()]
        self._in_flight = True
        batch = _batch(changes, dirty)
        if self.event_listeners:
            self._position = self._store.end_position()
        self._store.commit(batch, partial(self._done, changes, logs, batch.appends))

    def _done(
        self,
        changes: list[Change],
        logs: list[tuple[StreamLog, int]],
        appends: Mapping[str, Sequence[Event]],
        error: Exception | None,
    ) -> None:
        self._in_flight = False
        proved, self._proving = self._proving, False
        if error is None:
            self.commits += 1
            for log, upto in logs:
                log.committed(upto)
            if proved:
                self._healed()
            self._settle(changes, None)
            if self.run_listeners:
                self._tell_of_runs(changes)
            for listener in self.listeners:
                listener()
            for committed in self.event_listeners:
                committed(self._position, self._store.end_position(), appends)
        elif isinstance(error, DiskFull):
            self._disk_is_full(error, changes, logs)
        else:
            self._broken(error, changes, logs)
        if not (self._changes or self._dirty):
            if self.idle_waiters:
                waiters, self.idle_waiters = self.idle_waiters, []
                for callback in waiters:
                    callback()
        elif not self._scheduled and self.refusal is None:
            self._scheduled = True
            self._soon(self.flush)

    def _settle(self, changes: list[Change], error: TrunnionError | None) -> None:
        """Tell all of a batch; what goes wrong with one keeps no other waiting."""
        for change in changes:
            try:
                change.settled(error)
            except Exception as caught:
                self._report(
                    "kernel.error", f"a defect of the host: {change.log.name} was not told of its commit", caught
                )

    def _tell_of_runs(self, changes: list[Change]) -> None:
        """Name each run whose row is on record anew."""
        for change in changes:
            run = change.finish or change.start or (change.accept.run if change.accept is not None else None)
            if run is not None:
                for listener in self.run_listeners:
                    listener(run.id)

    # -- trouble ----------------------------------------------------------------------------------

    def _give_back(self, changes: list[Change], logs: list[tuple[StreamLog, int]]) -> list[Change]:
        """Put a failed batch back to wait, but for its new runs, what was wished of them, and changed documents.

        Those are returned. Changed documents that were not sent yet go with them, they build on what failed.
        """
        waiting = changes + self._changes
        gone = {change.log.name for change in changes if change.accept is not None}
        gone |= _undone(waiting)
        self._changes = [change for change in waiting if change.log.name not in gone]
        for log, _ in logs:
            self._dirty.setdefault(log.name, log)
        for name in gone:
            self._dirty.pop(name, None)
        return [change for change in waiting if change.log.name in gone and change.finish is None]

    def _disk_is_full(self, error: DiskFull, changes: list[Change], logs: list[tuple[StreamLog, int]]) -> None:
        refused = self._give_back(changes, logs)
        if self.refusal is None:
            self._report("store.full", f"the disk is full: new work is refused until there is space ({error})")
        self.refusal = _disk_full()
        self._settle(refused, self.refusal)
        if self._store.release_ballast() or refused:
            self._soon(self._send_small)
        self._retry_later()

    def _send_small(self) -> None:
        """Ends and cancels first: they are small and somebody waits for them.

        A cancel is on record with the row alone, so that the run whose output fills the disk can be ended.
        """
        if self._in_flight or self._closed:
            return
        small = [c for c in self._changes if c.log.uncommitted <= SMALL or _is_row_alone(c)]
        logs = {c.log.name: c.log for c in small if c.log.uncommitted <= SMALL and c.log.seq > c.log.visible}
        self._send(small, logs)

    def _retry_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._clock.call_later(RETRY_FULL, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        if self._in_flight:
            self._retry_later()
            return
        if not self._has_reserve():
            self._send_small()
            self._retry_later()
        elif self.quiet:
            self._healed()
        else:
            self._proving = True
            self._send(self._changes, self._dirty)

    def _has_reserve(self) -> bool:
        try:
            return self._store.restore_ballast()
        except OSError:
            return False

    def _healed(self) -> None:
        """What waited is on record: only that shows that the store works."""
        self.refusal = None
        self._report("store.healed", "the store works again: new work is accepted")

    def _broken(self, error: Exception, changes: list[Change], logs: list[tuple[StreamLog, int]]) -> None:
        if self.refusal is None:
            self._report("store.error", f"the store refused a batch: {type(error).__name__}: {error}")
        self.refusal = Unavailable("nothing can be stored at the moment; the host's log has the reason")
        self._settle(self._give_back(changes, logs), self.refusal)
        self._retry_later()

    def close(self) -> None:
        """Commit what waits, as far as the disk lets us, and take nothing more; whoever asks for more is told."""
        if not self._in_flight:
            self._send(self._changes, self._dirty)
        self._closed = True
        self._refuse_what_is_left()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_what_is_left(self) -> None:
        """Nobody waits for a batch that will not be. What was asked of runs that are on record stays asked there."""
        left, self._changes = self._changes, []
        self._settle([change for change in left if change.finish is None], Unavailable("the host has stopped"))


def _disk_full() -> Unavailable:
    return Unavailable(
        "the disk of the data directory is full: new runs and changes of documents are refused until there is space; "
        "what runs and cancels go on",
        {"reason": "disk_full"},
    )


def _undone(changes: list[Change]) -> set[str]:
    """The streams of changed documents, taken back to what is on record."""
    logs = {change.log.name: change.log for change in changes if change.documents}
    for log in logs.values():
        log.rollback()
    return set(logs)


def _is_row_alone(change: Change) -> bool:
    """Whether a change means something before its stream's events are on record."""
    return change.start is not None and change.accept is None and change.finish is None


def _batch(changes: list[Change], dirty: dict[str, StreamLog]) -> Batch:
    batch = Batch(appends={name: log.pending() for name, log in dirty.items()})
    for change in changes:
        if change.accept is not None:
            batch.accepts.append(change.accept)
        if change.start is not None:
            batch.starts.append(change.start)
        if change.finish is not None:
            batch.finishes.append(change.finish)
        if change.artifacts:
            batch.artifacts.extend(change.artifacts)
        if change.documents:
            batch.documents.extend(change.documents)
        if change.sealed:
            batch.sealed.update(change.sealed)
    return batch
