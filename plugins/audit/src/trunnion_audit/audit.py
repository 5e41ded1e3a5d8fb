"""The audit of one host: what its gate, its observer and the host itself tell, put on record."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trunnion import (
    Admission,
    Caller,
    CommandFailed,
    Deny,
    Event,
    HostChange,
    HostHandle,
    Json,
    JsonObject,
    Refused,
    Run,
    Unavailable,
    Verdict,
)
from trunnion_audit.admitting import RECOVER, intents_of, is_too_large, verdict
from trunnion_audit.building import admin_of, change_of, intent_of
from trunnion_audit.capturing import Capture
from trunnion_audit.keys import KeyProblem, Salts
from trunnion_audit.ledger import Ledger, Unrecorded, now
from trunnion_audit.log import Log
from trunnion_audit.marking import Marking
from trunnion_audit.outcomes import RUN, Outcomes
from trunnion_audit.policy import Level
from trunnion_audit.reading import LogReader
from trunnion_audit.records import Record
from trunnion_audit.recovering import begin_again
from trunnion_audit.refusals import RefusalBook
from trunnion_audit.retention import Retention
from trunnion_audit.segment import FileProblem
from trunnion_audit.settings import AuditSettings, read_settings
from trunnion_audit.taking_up import Damaged

if TYPE_CHECKING:
    from trunnion_audit.witness import Witness

FOLDER: Final = "audit"
TICK = 1.0
SUMMARY = 10
"""Ticks between two summaries of refusals, and two looks at how far the log is."""

REGIME = "regime"


class Audit:
    """Keeps the record. One for each host, on its loop.

    Args:
        host: as the provider holds it.
        salts: for commitments.
        ledger: takes the records.

    Attributes:
        settings: in force.
        witness: takes checkpoints elsewhere, where somebody does.
        retention: removes what is not to be kept.
    """

    def __init__(self, host: HostHandle, settings: AuditSettings, salts: Salts, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self.salts = salts
        self._host = host
        self._policies = settings.policies
        self._refusals = RefusalBook(settings.refusals_per_minute)
        self._flushing = False
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._known_log = ledger.log
        self._marking = Marking(host.state)
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = False
        self.witness: Witness | None = None
        self.retention = Retention(self, host)
        self._capture = Capture(ledger, LogReader(self.folder), host.in_thread)
        self._outcomes = Outcomes(
            host.history,
            salts,
            lambda: ledger.log.intents if ledger.log is not None else {},
            self._is_wanted,
            lambda: ledger.log.ended if ledger.log is not None else frozenset(),
        )

    @property
    def folder(self) -> Path:
        """Where the log lies."""
        return self._host.data.root / FOLDER

    # -- life -------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Say that the host starts, what is different from its last start, and what the last one left open."""
        await self._tell_regime()
        host = self._host
        plugins: list[Json] = [{"id": each.id, "version": each.version, "state": each.state} for each in host.plugins]
        detail: dict[str, Json] = {"boot_id": host.boot_id, "version": host.version, "plugins": plugins}
        self.ledger.note([admin_of("host.start", detail, now())])
        await self._tell_left_over()
        self._begun = True
        host.on_refusal(self._refused)
        host.on_end(self._ended)
        host.before_change(self._before_change)
        host.on_settings(self._take)
        self._tick()

    async def say_that_it_is_off(self) -> None:
        """Put on record that nothing more is, unless that is said already."""
        kept = await self._host.state.get(REGIME)
        if kept is None or (isinstance(kept.value, dict) and kept.value.get("enabled") is False):
            return
        await self.ledger.open()
        await self._tell_regime()
        await self.ledger.close()

    async def _tell_regime(self) -> None:
        """What was changed while no host ran is told before it is gone by."""
        host = self._host
        fresh: dict[str, Json] = dict(host.settings)
        kept = await host.state.get(REGIME)
        old = kept.value if kept is not None else None
        if old is not None and old != fresh:
            changed = _differing(old, fresh) if isinstance(old, dict) else {}
            await self._insist([admin_of("audit.policy", {"changed": changed, "when": "start"}, now())])
        if old != fresh:
            await host.state.put(REGIME, fresh)

    async def _insist(self, records: Sequence[Record]) -> None:
        try:
            await self.ledger.record(records)
        except Unrecorded:
            self.ledger.note(records)

    async def _tell_left_over(self) -> None:
        self._known_log = log = self.ledger.log
        if log is not None and (problem := await self._marking.problem_of(log)):
            self._host.report("log.failed", f"the audit log is not what it was: {problem['text']}")
            self.ledger.note([admin_of("audit.fault", problem, now())])
        if log is not None:
            await self._marking.keep(log)
        await self._tell_accepted()
        records = await self._outcomes.left_over(now(), at_start=True)
        if not records:
            return
        missing = sum(record.KIND == "missing" for record in records)
        if missing:
            self._host.report(
                "intents.missing", f"{missing} intents on record belong to runs that the store does not know"
            )
        self.ledger.note(records)

    async def _tell_accepted(self) -> None:
        """Runs that were accepted while there was no record, or another one, begin without asking a gate again."""
        known = self.ledger.log.intents if self.ledger.log is not None else {}
        open_ = [asked for asked in await self._host.accepted() if asked.run_id not in known]
        levels = [self._policies.of_admission(asked) for asked in open_]
        if intents := intents_of(open_, levels, self.salts, self.settings.max_record_bytes, now()):
            await self._insist(intents)

    async def close(self) -> None:
        """Say that the host stops, and seal."""
        if not self._begun:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self.ledger.note(await self._outcomes.left_over(now(), at_start=False))
        self.ledger.note(
            [*self._refusals.summary(now()), admin_of("host.stop", {"boot_id": self._host.boot_id}, now())]
        )
        await self.ledger.close()
        if self.ledger.log is not None:
            await self._marking.keep(self.ledger.log)

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks % SUMMARY == 0 and self.ledger.fault is None and (summary := self._refusals.summary(now())):
            self.ledger.note(summary)
        self.ledger.tick()
        if self.ledger.is_due or self.ledger.log is not self._known_log:
            self._do(self._revived())
        elif self._ticks % SUMMARY == 0 and self.ledger.log is not None:
            self._do(self._marking.keep(self.ledger.log))
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="audit log")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _revived(self) -> None:
        """A log that could not be opened may be there again: then the last host's is told of after all."""
        if self.ledger.is_due:
            await self.ledger.open()
        if self.ledger.log is not self._known_log:
            await self._tell_left_over()

    def _take(self, section: JsonObject) -> None:
        self.settings = read_settings(section)
        self._policies = self.settings.policies
        self._refusals.per_minute = self.settings.refusals_per_minute
        if self.ledger.log is not None:
            self.ledger.log.rules = self.settings.rules

    # -- the gate ---------------------------------------------------------------------------------

    async def admit(self, batch: Sequence[Admission]) -> Sequence[Verdict]:
        """Put on record what will begin; what is strict begins only then."""
        moment, most = now(), self.settings.max_record_bytes
        levels = [self._policies.of_admission(asked) for asked in batch]
        intents = intents_of(batch, levels, self.salts, most, moment)
        if self.settings.oversized == "refuse" and any(map(is_too_large, intents)):
            return await self._apart(batch, levels, moment)
        problem = ""
        if intents:
            try:
                await self.ledger.record(intents)
            except Unrecorded as error:
                problem = str(error)
                self.ledger.lose(levels.count("best-effort"))
        return [verdict(asked, level, problem) for asked, level in zip(batch, levels, strict=True)]

    async def _apart(self, batch: Sequence[Admission], levels: Sequence[Level], moment: int) -> Sequence[Verdict]:
        """A batch with something too large in it: that is refused, and the rest judged without it."""
        most = self.settings.max_record_bytes
        large = {
            number
            for number, (asked, level) in enumerate(zip(batch, levels, strict=True))
            if level == "strict" and is_too_large(intent_of(asked, level, self.salts, most, moment))
        }
        rest = iter(
            await self.admit([asked for number, asked in enumerate(batch) if number not in large])
            if len(large) < len(batch)
            else ()
        )
        refusal = Deny(f"its arguments are larger than the {most} bytes that [audit] max_record_bytes records")
        return [refusal if number in large else next(rest) for number in range(len(batch))]

    # -- the observer -----------------------------------------------------------------------------

    async def on_events(self, events: Sequence[Event]) -> None:
        """Put on record what became of runs, and all output if that is wanted.

        Raises until that is done: the same events then come again.
        """
        if self.settings.capture == "full":
            await self._capture.take(events, self.settings.max_record_bytes, now())
        events = [event for event in events if event.stream.startswith(RUN)]
        records = await self._outcomes.seen(events, now())
        if records:
            await self.ledger.record(records)
        self._outcomes.forget()

    def _ended(self, run: Run, kept: bool) -> None:
        if kept:
            self._outcomes.ended(run)
        elif records := self._outcomes.of_unkept(run, now()):
            self.ledger.note(records)

    def _is_wanted(self, run: Run) -> bool:
        return self._policies.of("command", run.command_id, run.source, run.chain) != "off"

    # -- refusals ---------------------------------------------------------------------------------

    def _refused(self, refused: Refused) -> None:
        log = self.ledger.log
        intended = log is not None and bool(refused.run_id) and refused.run_id in log.intents
        self._refusals.add(refused, now(), intended=intended)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if singles := self._refusals.singles():
            self._refusals.count(self.ledger.noted(singles), now())

    # -- changes ----------------------------------------------------------------------------------

    async def _before_change(self, change: HostChange) -> None:
        """Put a change on record under the rules that hold until it is made."""
        facts: dict[str, Json] = {"code": change.code, "text": change.text, "facts": dict(change.facts)}
        records: list[Record] = [change_of(change, f"{change.kind}.change", facts, now())]
        own = self._own_changes(change)
        if own:
            records.append(change_of(change, "audit.policy", {"changed": own, "when": "reload"}, now()))
        try:
            await self.ledger.record(records)
        except Unrecorded as error:
            raise Unavailable(f"{change.code} is not done: it cannot be put on record: {error}") from None
        if own:
            await self._host.state.put(REGIME, {**self._host.settings, **{key: new["new"] for key, new in own.items()}})

    def _own_changes(self, change: HostChange) -> dict[str, dict[str, Json]]:
        """The settings of the audit that a change is about, each with the old and the new value."""
        values = change.facts.get("values")
        if change.kind != "config" or not isinstance(values, dict):
            return {}
        mine = {key.removeprefix("audit."): value for key, value in values.items() if key.startswith("audit.")}
        return {key: {"old": self._host.settings.get(key), "new": value} for key, value in mine.items()}

    # -- commands ---------------------------------------------------------------------------------

    async def recover(self, reason: str, caller: Caller, run_id: str) -> dict[str, Json]:
        """Put the log aside and begin another, which says so.

        Raises:
            CommandFailed: the log is well, or no other can be begun.
        """
        fault = self.ledger.fault
        if fault is None:
            raise CommandFailed("the audit log is well: there is nothing to recover from")
        async with self.ledger.opening:
            after = await self._begin_again(fault.text)
        detail: dict[str, Json] = {**after, "reason": reason, "fault": fault.text}
        await self._insist([admin_of(RECOVER, detail, now(), caller=caller, run_id=run_id)])
        return dict(after)

    async def _begin_again(self, why: str) -> dict[str, str | int]:
        host = self._host

        def begun() -> tuple[Log, dict[str, str | int]]:
            begun = begin_again(self.folder, host.host_id, self.settings.rules, now(), why)
            self.salts.take(self.folder)
            return begun

        try:
            log, after = await host.in_thread(begun)
        except (FileProblem, KeyProblem, Damaged, OSError) as error:
            raise CommandFailed(f"no other log can be begun: {error}") from error
        self.ledger.adopt(log)
        self._known_log = log
        await self._marking.keep(log)
        return after

    async def rotate_key(self, reason: str, caller: Caller, run_id: str) -> str:
        """Have another key sign from now on; returns its id.

        Raises:
            CommandFailed: it could not be done.
        """
        log = self.ledger.log
        if log is None:
            raise CommandFailed("the audit log is not open; the query audit.status says why")
        try:
            await self.ledger.record(
                [admin_of("audit.key", {"reason": reason, "old": log.key.id}, now(), caller=caller, run_id=run_id)]
            )
            return log.rotate_key(reason, now())
        except (Unrecorded, FileProblem, OSError) as error:
            raise CommandFailed(f"the key was not changed: {error}") from error

    async def receipt(self, run_id: str, *, events: bool) -> str:
        """The receipt of a run, one line.

        Raises:
            CommandFailed: there is none.
        """
        from trunnion_audit.proofs import Unprovable
        from trunnion_audit.receipts import give

        log = self.ledger.log
        if log is None:
            raise CommandFailed("the audit log is not open; the query audit.status says why")
        try:
            return await give(self._host, log, self.salts, run_id, events=events)
        except (Unprovable, FileProblem) as error:
            raise CommandFailed(str(error)) from error

    def status(self) -> dict[str, Json]:
        """How the record fares."""
        log, fault = self.ledger.log, self.ledger.fault
        return {
            "state": "well" if fault is None else "failing",
            "fault": None if fault is None else {"reason": fault.reason, "text": fault.text, "since": fault.since},
            "folder": str(self.folder),
            "records": log.state.n if log is not None else None,
            "head": log.state.head if log is not None else None,
            "segment": log.segment if log is not None else None,
            "key": log.key.id if log is not None else None,
            "open_intents": len(log.intents) if log is not None else None,
            "sinks": [feed.shown() for feed in self.ledger.sinks],
            "witness": self.witness.shown() if self.witness is not None else None,
        }


def _differing(old: JsonObject, new: JsonObject) -> dict[str, Json]:
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return {key: {"old": old.get(key), "new": new.get(key)} for key in keys}
