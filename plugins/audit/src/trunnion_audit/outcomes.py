"""Outcomes: what an observer sees of a run, and what the host says when it ends, made into one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from hashlib import sha256
from typing import Protocol

import msgspec

from trunnion import Event, Run
from trunnion_audit.building import missing_of, outcome_of
from trunnion_audit.commitments import EVENTS, event_line
from trunnion_audit.keys import Salts
from trunnion_audit.records import Record

RUN = "run/"
ENDED = frozenset({"succeeded", "failed", "cancelled", "timed_out", "interrupted"})
MOST_RUNS = 10_000
"""Runs whose row is kept in memory until the observer comes to their end; it is read again for others."""


class History(Protocol):
    """What is on record in the host."""

    async def run(self, run_id: str) -> Run | None:
        """A run."""

    async def events(self, stream: str, after: int) -> Sequence[Event]:
        """Events of a stream after a number."""


class _State(msgspec.Struct):
    status: str = ""


class _Track:
    """What was seen of a stream: how many events, and the hash over them."""

    __slots__ = ("count", "digest")

    def __init__(self, salt: bytes) -> None:
        self.count = 0
        self.digest = sha256(salt)

    def add(self, event: Event) -> bool:
        """One event more; False if one before it is missing."""
        if event.seq == self.count + 1:
            self.digest.update(event_line(event))
            self.count += 1
        return event.seq <= self.count


_state = msgspec.json.Decoder(_State).decode


class Outcomes:
    """Makes the records of ends.

    Args:
        history: of the host.
        salts: for commitments.
        intents: returns the number of the intent of each run that has no outcome.
        wanted: whether a run that has no intent gets an outcome all the same.
        known: returns the runs whose outcome was on record at the start.
    """

    def __init__(
        self,
        history: History,
        salts: Salts,
        intents: Callable[[], Mapping[str, int]],
        wanted: Callable[[Run], bool],
        known: Callable[[], Set[str]],
    ) -> None:
        self._intents = intents
        self._history = history
        self._salts = salts
        self._wanted = wanted
        self._known = known
        self._tracks: dict[str, _Track] = {}
        self._ended: dict[str, Run] = {}
        self._over: list[str] = []

    def ended(self, run: Run) -> None:
        """Remember a run that has ended until the observer comes to it."""
        if len(self._ended) >= MOST_RUNS:
            del self._ended[next(iter(self._ended))]
        self._ended[run.id] = run

    def of_unkept(self, run: Run, now: int) -> list[Record]:
        """The outcome of a run that leaves no history, and no stream."""
        number = self._intents().get(run.id, 0)
        return [outcome_of(run, number, 0, "", self._salts, now)] if number or self._wanted(run) else []

    # -- the observer's way -----------------------------------------------------------------------

    async def seen(self, events: Sequence[Event], now: int) -> list[Record]:
        """Take note of events, the same ones more than once if need be; returns the outcomes they bring."""
        records = list[Record]()
        self._over = []
        for event in events:
            run_id = event.stream[len(RUN) :]
            track = self._tracks.get(run_id)
            if track is None:
                track = self._tracks[run_id] = _Track(self._salts.salt(EVENTS, run_id))
            whole = track.add(event)
            if event.kind == "state" and _state(event.raw).status in ENDED:
                records += await self._outcome(run_id, track if whole else None, now)
                self._over.append(run_id)
        return records

    def forget(self) -> None:
        """What was seen last is on record: let go of the runs that came to their end in it."""
        for run_id in self._over:
            self._tracks.pop(run_id, None)
            self._ended.pop(run_id, None)

    async def _outcome(self, run_id: str, track: _Track | None, now: int) -> list[Record]:
        number = self._intents().get(run_id, 0)
        if not number and run_id in self._known():
            return []
        run = self._ended.get(run_id) or await self._history.run(run_id)
        if run is None or run.status not in ENDED or (not number and not self._wanted(run)):
            return []
        if track is None or track.count != run.last_seq:
            track = await self._read(run_id)
        count, commit = (run.last_seq, "") if track is None else (track.count, track.digest.hexdigest())
        return [outcome_of(run, number, count, commit, self._salts, now)]

    async def _read(self, run_id: str) -> _Track | None:
        """A whole stream from the store; None where not all of it is kept."""
        track = _Track(self._salts.salt(EVENTS, run_id))
        while events := await self._history.events(RUN + run_id, track.count):
            if not all(event.kind != "gap" and track.add(event) for event in events):
                return None
        return track

    # -- at the start and at the end --------------------------------------------------------------

    async def left_over(self, now: int, *, at_start: bool) -> list[Record]:
        """What is to be said of intents without outcome: their run's end, and at a start that nobody knows the run."""
        records = list[Record]()
        for run_id, number in list(self._intents().items()):
            run = await self._history.run(run_id)
            if run is None:
                records += [missing_of(run_id, number, now)] if at_start else []
            elif run.status in ENDED:
                records += await self._outcome(run_id, None, now)
        return records
