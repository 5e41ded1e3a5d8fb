"""What can be read of the log through the host: a query, a stream and a command. Whoever does is on record first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

from msgspec import Meta

from trunnion import Command, Context, Contributed, Event, HostHandle, Json, Query, StreamSource
from trunnion_audit.audit import Audit
from trunnion_audit.exporting import MEDIA_TYPES, Export, Format
from trunnion_audit.ledger import now
from trunnion_audit.reading import LogReader
from trunnion_audit.searching import place_of, search
from trunnion_audit.tailing import TAIL, events_of, follow
from trunnion_audit.wanted import FIELDS, wanted

SEARCH: Final = "audit.search"
EXPORT: Final = "audit.export"
BEYOND: Final = 1 << 53
"""No record has such a number: the end of a log that is not open, which nobody writes to."""

REMOTE: Final = frozenset({"web", "rpc"})
Limit = Annotated[int, Meta(ge=1, le=1000)]


class Consulting:
    """The log as the host's callers read it.

    Args:
        audit: whose log.
        host: reads in its threads.
    """

    def __init__(self, audit: Audit, host: HostHandle) -> None:
        self._audit = audit
        self._host = host
        self._reader = LogReader(audit.folder)

    @property
    def end(self) -> int:
        """The number of the last record that counts."""
        log = self._audit.ledger.log
        return log.state.n if log is not None else BEYOND

    async def search(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        principal: str | None = None,
        target: str | None = None,
        source: str | None = None,
        decision: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        run: str | None = None,
        text: str | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Json]:
        """Records of the audit log, newest first. A page ends when it has read enough: go on while there is a next one.

        Args:
            since: made at this time or later: 2h (ago), 2026-11-30, 2026-11-30T12:00+01:00, or microseconds.
            until: made before this time.
            principal: by this principal; ``ann*`` takes all that begin so.
            target: about this command, query or stream; ``device.*`` takes all that begin so.
            source: by this door, or through it.
            decision: allowed by this rule, or refused with this code; ``grant:*`` takes all that begin so.
            status: outcomes of this status.
            kind: records of this kind; ``admin:host.start`` takes one action.
            run: about this run.
            text: that have this text in their arguments, reasons or output, in any case.
            limit: at most so many.
            cursor: as given by the page before.
        """
        given = (since, until, principal, target, source, decision, status, kind, run, text)
        asked = wanted(now(), dict(zip(FIELDS, given, strict=True)))
        before = place_of(cursor, self.end + 1)
        page = await self._host.in_thread(lambda: search(self._reader, asked, limit, before))
        return {"items": list[Json](page.items), "next": page.next, "unreadable": page.unreadable}

    # -- the stream -------------------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        """Records after a number."""
        end = self.end
        return await self._host.in_thread(lambda: events_of(self._reader, after, end, limit))

    async def grown(self, end: int) -> None:
        """Wait until the log has another end."""
        while self.end == end:
            await self._audit.ledger.growth.wait()

    async def _read(self, _stream: str, after: int, limit: int) -> Sequence[Event]:
        return await self.read(after, limit)

    def _follow(self, _stream: str, after: int) -> AsyncIterator[Sequence[Event]]:
        return follow(self, after)

    def contributed(self) -> Contributed:
        """The query and the stream; for administrators, and for other sources only where these are named."""
        stream = StreamSource(
            pattern=TAIL,
            title="The audit log as it grows",
            description="Each record is an event with the record's number.",
            role="admin",
            expose=REMOTE,
            read=self._read,
            follow=self._follow,
        )
        query = Query.of(
            self.search, id=SEARCH, title="Records of the audit log, newest first", role="admin", expose=REMOTE
        )
        return Contributed(queries=[query], streams=[stream])


def consult(audit: Audit, host: HostHandle) -> None:
    """Have an audit that is open be read."""
    host.registry.replace("audit/reading", Consulting(audit, host).contributed())


def export(
    ctx: Context,
    *,
    format: Format = "jsonl",
    since: str | None = None,
    until: str | None = None,
    principal: str | None = None,
    target: str | None = None,
    source: str | None = None,
    decision: str | None = None,
    status: str | None = None,
    kind: str | None = None,
    run: str | None = None,
    text: str | None = None,
) -> dict[str, Json]:
    """Write records of the audit log into a file that is kept with the run, oldest first.

    Args:
        format: ``jsonl`` has the lines as they are in the log, ``csv`` is for spreadsheets.
        since: made at this time or later: 2h (ago), 2026-11-30, 2026-11-30T12:00+01:00, or microseconds.
        until: made before this time.
        principal: by this principal; ``ann*`` takes all that begin so.
        target: about this command, query or stream; ``device.*`` takes all that begin so.
        source: by this door, or through it.
        decision: allowed by this rule, or refused with this code; ``grant:*`` takes all that begin so.
        status: outcomes of this status.
        kind: records of this kind; ``admin:host.start`` takes one action.
        run: about this run.
        text: that have this text in their arguments, reasons or output, in any case.
    """
    given = (since, until, principal, target, source, decision, status, kind, run, text)
    asked = wanted(now(), dict(zip(FIELDS, given, strict=True)))
    audit = ctx.require(Audit)
    log = audit.ledger.log
    end = log.state.n if log is not None else BEYOND
    made = Export(LogReader(audit.folder), asked, format, end, ctx.check)
    kept = ctx.artifact_blocking(f"audit.{format}", made.pieces(), MEDIA_TYPES[format])
    return {"artifact": kept.id, "name": kept.name, "records": made.records, "unreadable": made.unreadable}


def commands() -> Sequence[Command]:
    """What can be done to read it."""
    return [Command.of(export, id=EXPORT, role="admin", effect="read", lock=None, expose=REMOTE)]
