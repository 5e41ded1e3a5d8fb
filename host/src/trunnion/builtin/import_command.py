"""``runs.import``: history of another host, or of another program, taken into this one's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from trunnion.builtin.import_reading import Found, Importing, Refused
from trunnion.builtin.imported_forms import made_id
from trunnion.kernel.context import Context
from trunnion.kernel.core import Kernel
from trunnion.kernel.threads import in_thread
from trunnion.model.commands import Command
from trunnion.model.errors import InvalidArguments, Unavailable
from trunnion.model.events import run_stream
from trunnion.model.json import Json, encode
from trunnion.model.names import is_segment
from trunnion.model.retention import Rule, held_by
from trunnion.model.runs import Run
from trunnion.store.base import Accept, Batch, DiskFull

AT_ONCE = 100
BYTES_AT_ONCE = 1 << 20
SHOWN = 100
"""Refusals, and changed ids, that the report names; all are counted."""

IMPORTED = "imported"
"""Begins the labels that say where a run came from."""


class Report(msgspec.Struct):
    """What became of a file.

    Attributes:
        imported: runs that are in the history now and were not before.
        skipped: runs that were there already.
        refused: lines that were not taken.
        past_retention: of the imported ones, those that retention removes at its next turn for their age.
    """

    imported: int = 0
    skipped: int = 0
    refused: int = 0
    past_retention: int = 0
    refusals: list[Refused] = []
    ids: dict[str, str] = {}

    def refuse(self, refused: Refused) -> None:
        """Count a line that was not taken."""
        self.refused += 1
        if len(self.refusals) < SHOWN:
            self.refusals.append(refused)

    def rename(self, old: str, new: str) -> None:
        """Tell of a run that could not keep its id."""
        if old != new and len(self.ids) < SHOWN:
            self.ids[old] = new


class ImportCommand:
    """Takes runs in, as they ended elsewhere. Nothing of them is ever executed.

    Args:
        kernel: whose history.
        rules: how long ended runs are kept at present.
    """

    def __init__(self, kernel: Kernel, rules: Callable[[], Sequence[Rule]]) -> None:
        self._kernel = kernel
        self._rules = rules

    def commands(self) -> list[Command]:
        """The one."""
        return [
            Command.of(
                self.import_,
                console="runs",
                name="import",
                title="Take runs of another host or program into the history",
                role="admin",
                lock="{command_id}",  # whatever the default is: two at once would both find an id free
                timeout=86_400.0,
            )
        ]

    async def import_(self, ctx: Context, file: Path, *, origin: str = "file") -> dict[str, Json]:
        """Read runs from a file of JSON lines: what ``runs export`` writes, or jobs of another program.

        They belong to whoever imports them; where they came from is in labels. Importing a file again adds nothing.

        Args:
            file: the file; an upload, or a path.
            origin: a word for where they come from, for the label ``imported``.
        """
        if not is_segment(origin):
            raise InvalidArguments(f"origin {origin[:40]!r} is no plain word: a letter, then letters, digits, _ and -")
        report = Report()
        source = await in_thread(self._kernel.readers, lambda: _opened(file))
        try:
            found = Importing(source, self._kernel.redactor, self._kernel.clock.utc()).read()
            while group := await in_thread(self._kernel.readers, lambda: _group(found)):
                ctx.check()
                await self._import(ctx, group, origin, report)
        finally:
            source.close()
        fields = msgspec.to_builtins(report)
        return {"origin": origin, **fields}

    async def _import(self, ctx: Context, group: Sequence[Found | Refused], origin: str, report: Report) -> None:
        store = self._kernel.store
        names = [name for each in group if isinstance(each, Found) for name in _names(each.run)]
        there = {run.id: run for run in await in_thread(self._kernel.readers, lambda: store.get_runs(names))}
        fresh: list[tuple[Found, Run]] = []
        for each in group:
            if isinstance(each, Refused):
                report.refuse(each)
            elif (run_id := _free(each.run, there)) is None:
                report.skipped += 1
            else:
                there[run_id] = each.run
                report.rename(each.run.id, run_id)
                fresh.append((each, _owned(each.run, run_id, ctx.principal, origin)))
        if fresh:
            await self._commit(fresh, report)
            report.imported += len(fresh)
            report.past_retention += sum(self._is_past(run) for _, run in fresh)

    async def _commit(self, fresh: Sequence[tuple[Found, Run]], report: Report) -> None:
        """Put runs on record, all of a group or none: each comes and goes within one batch, and is never live."""
        self._kernel.committer.refuse_if_unable()
        batch = Batch()
        for found, run in fresh:
            ended, events = found.as_run(msgspec.structs.replace(run, num=self._kernel.store.next_num()))
            batch.accepts.append(Accept(ended))
            batch.appends[run_stream(ended.id)] = events
            batch.finishes.append(ended)
        done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._kernel.store.commit(batch, lambda error: None if done.done() else done.set_result(error))
        error = await done
        if isinstance(error, DiskFull):
            text = f"{error}; {report.imported} runs were imported: make space and import the file again"
            raise Unavailable(text, {"reason": "disk_full"}) from error
        if error is not None:
            raise error

    def _is_past(self, run: Run) -> bool:
        age = held_by(self._rules(), run.command_id, "age").most
        return (run.finished or run.created) < self._kernel.clock.utc() - age


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise InvalidArguments(f"file: cannot read {str(file)!r}: {error.strerror}") from None


def _group(found: Iterator[Found | Refused]) -> list[Found | Refused]:
    """The next few, at most so many and of so many bytes."""
    group, size = list[Found | Refused](), 0
    for each in islice(found, AT_ONCE):
        group.append(each)
        size += each.size if isinstance(each, Found) else 0
        if size > BYTES_AT_ONCE:
            break
    return group


def _names(run: Run) -> tuple[str, str]:
    """The id a run has where it comes from, and the one it gets where that is another run's."""
    return run.id, made_id(encode([run.id, run.command_id, run.status, run.created, run.finished]))


def _free(run: Run, there: Mapping[str, Run]) -> str | None:
    """The id a run can have; None if it is there already."""
    for run_id in _names(run):
        other = there.get(run_id)
        if other is None:
            return run_id
        if _story(other) == _story(run):
            return None
    return None


def _story(run: Run) -> tuple[str, str, int, int | None]:
    return run.command_id, run.status, run.created, run.finished


def _owned(run: Run, run_id: str, principal: str, origin: str) -> Run:
    """As it is kept: whoever imports it is its principal, for a name in a file is no proof of anything."""
    said = {"id": run.labels.get("imported.id", run.id), "principal": run.principal, "source": run.source}
    labels = {f"{IMPORTED}.{name}": text for name, text in said.items() if text}
    return msgspec.structs.replace(
        run,
        id=run_id,
        principal=principal,
        source="import",
        role="viewer",
        decision=IMPORTED,
        labels={**run.labels, **labels, IMPORTED: origin},
    )
