"""``runs.*`` queries: what was run, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec

from trunnion.access.directory import both
from trunnion.access.ownership import Seen
from trunnion.kernel.core import Kernel
from trunnion.kernel.door import Door
from trunnion.kernel.threads import in_thread
from trunnion.model.commands import Query
from trunnion.model.errors import InvalidArguments
from trunnion.model.events import TEXT, Event, encode_event, run_stream
from trunnion.model.json import Json, decode, encode
from trunnion.model.runs import Caller, Page, Run, RunFilter
from trunnion.model.status import Status

T = TypeVar("T")
REMOTE = frozenset({"web", "rpc"})
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
EXPORT_BYTES = 16 << 20


class RunQueries:
    """Reads runs, live and ended, of those the caller may see."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def queries(self) -> list[Query]:
        """All of them."""
        live = {"run_id": "runs.ids"}
        return [
            Query.of(self.list_, console="runs", name="list", title="Runs, newest first", expose=REMOTE),
            Query.of(self.get, console="runs", title="One run", expose=REMOTE, complete=live),
            Query.of(
                self.result, console="runs", title="The result of a run", expose=REMOTE, timeout=3600.0, complete=live
            ),
            Query.of(self.events, console="runs", title="Events of a run", expose=REMOTE, complete=live),
            Query.of(self.export, console="runs", title="A run with its events", expose=REMOTE, complete=live),
            Query.of(self.artifacts, console="runs", title="Files kept with a run", expose=REMOTE, complete=live),
            Query.of(self.ids, console="runs", title="Ids of the newest runs", expose=REMOTE),
        ]

    async def list_(
        self,
        caller: Caller,
        *,
        status: list[Status] | None = None,
        command: str | None = None,
        principal: str | None = None,
        source: str | None = None,
        session: str | None = None,
        parent: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Json]:
        """Runs, newest first.

        Args:
            status: only these.
            command: only this command; ``device.*`` takes all that begin so.
            principal: only those this principal asked for.
            source: only those that came by this door.
            session: only those of this session.
            parent: only children of this run.
            created_after: accepted after this time, UTC microseconds.
            created_before: accepted before this time, UTC microseconds.
            limit: at most so many.
            cursor: as given by the page before.
        """
        wanted = RunFilter(
            status=tuple(status or ()), command=command, principal=principal, source=source, session_id=session,
            parent_run_id=parent, created_after=created_after, created_before=created_before,
        )  # fmt: skip
        page = await self._page(caller, wanted, limit, cursor)
        items = [self._kernel.executor.table.run_of(run.id) or run for run in page.items]
        return {"items": [shown(run) for run in items], "next": page.next}

    async def get(self, caller: Caller, run_id: str) -> Json:
        """One run as it is now.

        Args:
            run_id: the run.
        """
        return shown(await self._door(caller).get(caller, run_id))

    async def result(
        self, caller: Caller, run_id: str, *, wait: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    ) -> Json:
        """The run with its result, once it has ended.

        Args:
            run_id: the run.
            wait: seconds to wait for the end; if it has not come by then the answer is ``deadline_exceeded``.
        """
        return shown(await self._door(caller).wait(caller, run_id, wait))

    async def events(
        self,
        caller: Caller,
        run_id: str,
        *,
        after: Annotated[int, msgspec.Meta(ge=0)] = 0,
        limit: Limit = 200,
    ) -> dict[str, Json]:
        """Events of a run, in order.

        Args:
            run_id: the run.
            after: only those with a greater number.
            limit: at most so many; ``next`` is then the ``after`` of the next page.
        """
        found: list[Event] = []
        async for batch in self._door(caller).follow(caller, run_stream(run_id), after, live=False):
            found.extend(batch)
            if len(found) > limit:
                break
        page = found[:limit]
        return {
            "items": [decode(encode_event(event)) for event in page],
            "next": str(page[-1].seq) if len(found) > limit else None,
        }

    async def export(self, caller: Caller, run_id: str, *, format: Literal["jsonl", "text"] = "jsonl") -> Json:
        """A run with all its events as one text: JSON lines, the run first, or what it printed.

        Args:
            run_id: the run.
            format: ``jsonl`` or ``text``.
        """
        run = await self._door(caller).get(caller, run_id)
        lines = [encode(run).decode()] if format == "jsonl" else []
        size = 0
        async for batch in self._door(caller).follow(caller, run_stream(run_id), live=False):
            for event in batch:
                line = encode_event(event).decode() if format == "jsonl" else text_of(event)
                size += len(line)
                lines.append(line)
            if size > EXPORT_BYTES:
                raise InvalidArguments(
                    f"the export of run {run_id} is larger than {EXPORT_BYTES >> 20} MiB: read runs.events page by page"
                )
        text = "\n".join(lines) + "\n" if format == "jsonl" else "".join(lines)
        return {"run_id": run_id, "format": format, "text": text}

    async def artifacts(self, caller: Caller, run_id: str) -> dict[str, Json]:
        """Files kept with a run.

        Args:
            run_id: the run.
        """
        await self._door(caller).get(caller, run_id)
        found = await self._read(lambda: self._kernel.store.artifacts_of(run_id))
        return {"items": [decode(encode(info)) for info in found], "next": None}

    async def ids(self, caller: Caller) -> dict[str, Json]:
        """Ids of the newest runs, for completion."""
        page = await self._page(caller, RunFilter(), 100, None)
        return {"items": [run.id for run in page.items], "next": None}

    async def _page(self, caller: Caller, wanted: RunFilter, limit: int, cursor: str | None) -> Page:
        """One page of what the caller may see of what is wanted."""
        parts = [part for seen in self._kernel.policy.seen_runs(caller) if (part := narrowed(wanted, seen)) is not None]
        list_runs = self._kernel.store.list_runs
        return merged(await self._read(lambda: [list_runs(part, limit, cursor) for part in parts]), limit)

    def _door(self, caller: Caller) -> Door:
        return Door(self._kernel, caller.source)

    async def _read(self, function: Callable[[], T]) -> T:
        return await in_thread(self._kernel.readers, function)


def narrowed(wanted: RunFilter, seen: Seen) -> RunFilter | None:
    """What is wanted of some runs that may be seen; None where they have nothing in common."""
    command = both(wanted.command or "*", seen.command)
    if command is None or (None not in (wanted.principal, seen.principal) and wanted.principal != seen.principal):
        return None
    return msgspec.structs.replace(wanted, command=command, principal=wanted.principal or seen.principal)


def merged(pages: Sequence[Page], limit: int) -> Page:
    """Pages from one position on as one page: what several of them have is in it once."""
    runs = sorted({run.id: run for page in pages for run in page.items}.values(), key=lambda run: -run.num)
    more = len(runs) > limit or any(page.next is not None for page in pages)
    return Page(runs[:limit], str(runs[:limit][-1].num) if more else None)


def shown(run: Run) -> Json:
    """A run as it is shown: all fields, defaults left out."""
    return decode(encode(run))


def text_of(event: Event) -> str:
    """What an event adds to a run's plain text: output as it was, everything else as a line."""
    if event.kind == TEXT:
        return "" if isinstance(event.data, dict) and event.data.get("update") else event.text
    if event.kind in ("log", "state"):
        return f"[{event.level}] {event.text}\n" if event.kind == "log" else ""
    return ""
