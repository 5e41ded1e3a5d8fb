"""The way of a record to the file: written in the same turn of the loop, synced where that is promised, or refused.

While the file cannot be written, strict records are accepted by a sink that stands in, or not at all. What a sink
accepted so, and a few records nobody insists on, wait in memory for the file; the rest is counted. Each attempt to
write tries the file first, so whatever ailed it is noticed to be gone by the next record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from trunnion import Json
from trunnion_audit.building import admin_of
from trunnion_audit.keys import KeyProblem
from trunnion_audit.log import Log
from trunnion_audit.records import Lost, Record
from trunnion_audit.segment import FileProblem, problem_of
from trunnion_audit.sinks import SinkFeed
from trunnion_audit.syncing import Syncing
from trunnion_audit.tailing import Growth
from trunnion_audit.taking_up import Damaged

MOST_OWED = 1000
"""Records that wait for the file; beyond, strict ones are refused and others counted."""

REOPEN = 1.0
"""Seconds between attempts to open a log that could not be opened."""


class Unrecorded(Exception):
    """Nothing took the record; the message says why."""


class Unwritable(Unrecorded):
    """A record is none that could ever be written: it is too large, or holds what is not Unicode text."""


class Fault(msgspec.Struct):
    """Why the file takes nothing.

    Attributes:
        reason: a stable word.
        since: UTC microseconds.
        refused: strict records that were refused meanwhile.
    """

    reason: str
    text: str
    since: int
    refused: int = 0


def now() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


class Ledger:
    """Takes records, on the loop.

    Args:
        open_log: opens the log. Called again while that fails.
        power: whether a record counts once it is on the disk, or once the system has it.
        report: told when the file fails and when it is well again.
        sinks: further places.

    Attributes:
        log: None while it cannot be opened.
        fault: None while all is well.
        opening: held by whoever opens a log, or puts another in its place.
        growth: tells those who follow the log.
    """

    def __init__(
        self,
        open_log: Callable[[], Awaitable[Log]],
        *,
        power: bool,
        report: Callable[[str, str], None],
        sinks: Sequence[SinkFeed] = (),
    ) -> None:
        self.log: Log | None = None
        self.fault: Fault | None = None
        self.growth = Growth()
        self.sinks = list(sinks)
        self._open_log = open_log
        self._power = power
        self._report = report
        self._owed: list[Record] = []
        self._lost = 0
        self._lost_since = 0
        self._tried = 0.0
        self._syncing = Syncing(self._work)
        self.opening = asyncio.Lock()

    # -- opening ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the log; should that fail, it is a fault, and tried again from time to time."""
        async with self.opening:
            if self.log is None:
                await self._open()

    async def _open(self) -> None:
        self._tried = time.monotonic()
        try:
            self.log = await self._open_log()
        except (Damaged, KeyProblem) as error:
            self._failed(Fault("damaged", str(error), now()))
        except FileProblem as error:
            self._failed(Fault(error.reason, str(error), now()))
        except OSError as error:
            problem = problem_of(Path(str(error.filename or "the audit log")), error)
            self._failed(Fault(problem.reason, str(problem) if error.errno else str(error), now()))

    @property
    def is_due(self) -> bool:
        """Whether it is time to try again to open the log."""
        return self.log is None and time.monotonic() - self._tried >= REOPEN

    def adopt(self, log: Log) -> None:
        """Go on with another log, which was begun in the place of one that is put aside."""
        if self.log is not None:
            self.log.close()
        self.log = log

    # -- taking -----------------------------------------------------------------------------------

    async def record(self, records: Sequence[Record]) -> None:
        """Have records on record; together they are, or none.

        Raises:
            Unrecorded: nothing took them.
        """
        if self.is_due:
            await self.open()
        try:
            self._write(records)
        except Unwritable:
            raise
        except Unrecorded as problem:
            await self._stood_in(records, problem)
            return
        if self._power:
            await self._durable()

    async def _durable(self) -> None:
        try:
            await self._syncing.synced()
        except FileProblem as problem:
            self._failed(Fault(problem.reason, str(problem), now()))
            raise self._unrecorded() from problem
        except OSError as error:
            self._failed(Fault("unwritable", str(error), now()))
            raise self._unrecorded() from error

    def note(self, records: Sequence[Record]) -> None:
        """Put on record what nobody waits for. What cannot be written waits, or is counted as lost."""
        self.lose(len(self.noted(records)))

    def noted(self, records: Sequence[Record]) -> Sequence[Record]:
        """Put on record what nobody waits for; returns what can neither be written nor wait."""
        try:
            self._write(records)
        except Unwritable:  # it may not wait either, or nothing would be written after it
            return records if len(records) == 1 else [left for each in records for left in self.noted([each])]
        except Unrecorded:
            room = max(0, MOST_OWED - len(self._owed))
            self._owed.extend(records[:room])
            return records[room:]
        if self._power:
            self._syncing.synced()
        return ()

    def lose(self, count: int) -> None:
        """Count records that were not written and never will be."""
        if count > 0:
            self._lost_since = self._lost_since or now()
            self._lost += count

    async def _stood_in(self, records: Sequence[Record], problem: Unrecorded) -> None:
        """Have a sink take what the file does not; the file gets it later."""
        lines = [_unchained(record) for record in records]
        if len(self._owed) + len(records) <= MOST_OWED:
            for feed in sorted(self.sinks, key=lambda each: each.state != "well"):  # those that hang come last
                if feed.sink.stands_in and await feed.take(lines):
                    self._owed.extend(records)
                    return
        if self.fault is not None:
            self.fault.refused += len(records)
        raise problem

    # -- writing ----------------------------------------------------------------------------------

    def _write(self, records: Sequence[Record]) -> None:
        log = self.log
        if log is None:
            raise self._unrecorded()
        moment = now()
        owed = self._debts(moment) if self.fault is not None or self._owed or self._lost else []
        try:
            lines = log.write([*owed, *records], moment)
        except FileProblem as problem:
            self._failed(Fault(problem.reason, str(problem), moment))
            raise self._unrecorded() from problem
        except ValueError as error:
            raise Unwritable(str(error)) from error
        except OSError as error:
            self._failed(Fault("unwritable", str(error), moment))
            raise self._unrecorded() from error
        self.growth.tell()
        if owed:
            self._settled()
        if self.sinks:
            whole = lines.splitlines(keepends=True)
            for feed in self.sinks:
                feed.offer(whole)
        if log.has_news and not self._power:
            self._syncing.synced()  # a checkpoint is shown beside the log when the log is on the disk

    def _debts(self, moment: int) -> list[Record]:
        """What has to be said before anything else."""
        records = list[Record]()
        if self.fault is not None:
            detail: dict[str, Json] = {"reason": self.fault.reason, "text": self.fault.text}
            records.append(admin_of("audit.fault", detail, self.fault.since))
        records += self._owed
        if self._lost:
            reason = "the file could not be written" if self.fault is None else self.fault.text
            records.append(
                Lost(ts=moment, count=self._lost, since=self._lost_since, until=moment, reason=reason[:1024])
            )
        if self.fault is not None:
            healed: dict[str, Json] = {
                "reason": self.fault.reason, "since": self.fault.since, "refused": self.fault.refused
            }  # fmt: skip
            records.append(admin_of("audit.heal", healed, moment))
        return records

    def _settled(self) -> None:
        self._owed, self._lost, self._lost_since = [], 0, 0
        if self.fault is not None:
            self._report("log.healed", f"the audit log is written again; {self.fault.refused} records were refused")
            self.fault = None

    def _failed(self, fault: Fault) -> None:
        if self.fault is None:
            self._report("log.failed", f"the audit log takes nothing, strict commands are refused: {fault.text}")
            self.fault = fault
        else:
            self.fault.reason, self.fault.text = fault.reason, fault.text

    def _unrecorded(self) -> Unrecorded:
        return Unrecorded(self.fault.text if self.fault is not None else "the audit log is not open")

    # -- from time to time ------------------------------------------------------------------------

    def tick(self) -> None:
        """Look at the file, and seal and rotate what is due."""
        log = self.log
        if log is None:
            return
        try:
            log.look()
            if self.fault is not None or self._owed or self._lost:
                self._write([])
            log.tick(now())
        except FileProblem as problem:
            self._failed(Fault(problem.reason, str(problem), now()))
        except OSError as error:
            self._failed(Fault("unwritable", str(error), now()))
        except Unrecorded:
            return
        self.growth.tell()
        if log.has_news:
            self._syncing.synced()

    def _work(self) -> Callable[[], None]:
        return self.log.syncing() if self.log is not None else lambda: None

    async def flush(self) -> None:
        """Have all of it on the disk.

        Raises:
            Unrecorded: it may not be.
        """
        await self._durable()

    async def close(self) -> None:
        """Seal, sync, and let go."""
        if self.log is not None:
            try:
                self.log.seal(now())
                await asyncio.wait_for(self._syncing.synced(), 5.0)
            except (FileProblem, OSError, TimeoutError) as problem:
                self._report("log.failed", f"the end of the audit log may not be on the disk: {problem}")
            self.log.close()
        for feed in self.sinks:
            await feed.close()
        self._syncing.close()


def _unchained(record: Record) -> bytes:
    """A record as a sink gets it that stands in: without number and link, which the file gives."""
    record.kind, record.n, record.prev = record.KIND, 0, ""
    return record.line() + b"\n"
