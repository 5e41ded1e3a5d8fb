"""Retention as the host does it: what is due goes, on record before and durable before the first file is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trunnion import Caller, CommandFailed, HostHandle, Json
from trunnion_audit.building import NOBODY, admin_of
from trunnion_audit.ledger import Unrecorded, now
from trunnion_audit.log import Log
from trunnion_audit.records import Cut
from trunnion_audit.retaining import DAY, Cutting, Keep, checked, clean, remove_below, to_keep
from trunnion_audit.segment import FileProblem
from trunnion_audit.settings import AuditSettings
from trunnion_audit.taking_up import Damaged
from trunnion_audit.tree import Tree

if TYPE_CHECKING:
    from trunnion_audit.audit import Audit


class Retention:
    """Removes what is not to be kept.

    Args:
        audit: whose log.
        host: says where it lies.
    """

    def __init__(self, audit: Audit, host: HostHandle) -> None:
        self._audit = audit
        self._host = host
        self._said = ""

    async def clean(self) -> None:
        """Remove what a host that died while it removed has left."""
        if (log := self._audit.ledger.log) is not None:
            keys = tuple(log.keys)
            await self._host.in_thread(lambda: clean(self._audit.folder, log.host_id, keys))

    async def look(self) -> None:
        """Remove what is due; what stands against it is told once."""
        try:
            await self.apply(NOBODY, "")
            self._said = ""
        except CommandFailed as problem:
            if str(problem) != self._said:
                self._said = str(problem)
                self._host.report("retention.failed", self._said)

    async def apply(self, caller: Caller, run_id: str) -> dict[str, Json]:
        """Remove what is not to be kept, now.

        Args:
            caller: who wants it.
            run_id: the run it is done by.

        Returns:
            How many segments and records went, and where history begins.

        Raises:
            CommandFailed: what is to go is not what was written, or nothing can be put on record.
        """
        async with self._audit.ledger.opening:  # nobody puts another log in its place meanwhile
            log = self._audit.ledger.log
            if log is None:
                raise CommandFailed("the audit log is not open; the query audit.status says why")
            try:
                return await self._applied(log, caller, run_id)
            except Damaged as error:
                text = f"nothing is removed from the audit log, for what is to go is not as it was written: {error}"
                raise CommandFailed(f"{text}; trunnion audit verify says more") from error
            except (Unrecorded, FileProblem, OSError) as error:
                raise CommandFailed(f"nothing more is removed from the audit log: {error}") from error

    async def _applied(self, log: Log, caller: Caller, run_id: str) -> dict[str, Json]:
        audit, folder, keep, keys = self._audit, self._audit.folder, keep_of(self._audit.settings), tuple(log.keys)
        current, moment = log.segment, now()

        def looked() -> Cutting | None:
            due = to_keep(folder, keep, current, moment)
            return None if due is None else checked(folder, log.host_id, *due, keys)

        cutting = await self._host.in_thread(looked)
        if cutting is None:
            return {"segments": 0, "records": 0, "first": None}
        first = cutting.state.n + 1
        detail: dict[str, Json] = {"segment": cutting.segment, "removed": cutting.removed, "reason": cutting.reason}
        record = admin_of("audit.retention", {**detail, "first": first}, now(), caller=caller, run_id=run_id)
        await audit.ledger.record([record])
        line = log.cut(cut_of(cutting, log), now())
        await audit.ledger.flush()
        gone = await self._host.in_thread(lambda: remove_below(folder, line, cutting.segment))
        return {"segments": gone, "records": cutting.removed, "first": first}


def keep_of(settings: AuditSettings) -> Keep:
    """What the settings say is kept."""
    days = settings.keep_days
    return Keep(None if days is None else int(days * DAY), settings.keep_bytes)


def cut_of(cutting: Cutting, log: Log) -> Cut:
    """The record of a cut, not signed yet."""
    state = cutting.state
    return Cut(
        ts=now(),
        host_id=log.host_id,
        key=log.key.id,
        segment=cutting.segment,
        first=state.n + 1,
        head=state.head,
        nodes=[node.hex() for node in state.nodes],
        root=Tree(state.n, state.nodes).root().hex(),
        keys=[{"id": each.id, "public": each.public, "record": each.record} for each in log.keys],
        removed=cutting.removed,
        reason=cutting.reason,
    )
