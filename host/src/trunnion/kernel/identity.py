"""Who there is: from the configuration and the host's documents, changed by commands, told to policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from trunnion.access.changes import Change, applied
from trunnion.access.identity import PLUGIN
from trunnion.access.policy import Policy
from trunnion.access.register import Register, from_config, from_documents, to_document
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.reporting import Report
from trunnion.kernel.state import State
from trunnion.kernel.telling import BeforeChange
from trunnion.model.access import SYSTEM
from trunnion.model.events import LOG
from trunnion.model.json import Json, JsonObject, encode
from trunnion.model.runs import Caller, Role
from trunnion.model.told import HostChange

ACCESS_STREAM = "host/access"
"""Tells of every change of principals, tokens and grants, and of failed proofs."""

_KEPT = ("principals/", "tokens/", "grants/")
_PAGE = 1000


class Identities:
    """Keeps the register and makes its changes, one after the other.

    Args:
        policy: is given another directory after each change.
        log: has the stream that tells of changes.
        report: takes what operators should know.
        about_to: tells of a change before it is made, and may refuse it.

    Attributes:
        register: who there is, as of now.
        listeners: called after a change with the names and ids of what was removed.
    """

    def __init__(self, policy: Policy, log: EventLog, report: Report, about_to: BeforeChange) -> None:
        self.register = Register()
        self.listeners: list[Callable[[set[str]], None]] = []
        self._policy = policy
        self._log = log
        self._report = report
        self._about_to = about_to
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Change]] = set()
        self._state: State

    # -- what there is ----------------------------------------------------------------------------

    async def open(self, state: State, section: JsonObject, file: Path | None) -> None:
        """Take up what is kept and what is configured, before any door opens.

        Args:
            state: the host's own documents.
            section: ``[access]``, checked.
            file: where it stands.
        """
        self._state = state
        documents = [document for prefix in _KEPT async for document in _all(state, prefix)]
        managed, damaged = from_documents(documents)
        for key in damaged:
            self._report("access.damaged", f"document {key} of the host cannot be read: nobody gets in by it")
        self.register = Register(managed=managed, file=str(file) if file is not None else self.register.file)
        self.configure(section)

    def configure(self, section: JsonObject) -> None:
        """Go by another section ``[access]`` from now on; it has been checked."""
        configured, exposure = from_config(section)
        self._replace(msgspec.structs.replace(self.register, configured=configured, exposure=exposure))

    def _replace(self, register: Register) -> None:
        self.register = register
        self._policy.replace(register.directory())

    def system_role(self, plugin: str) -> Role:
        """What a plugin may do when it acts by itself: operator, unless the configuration says otherwise."""
        record = self.register.configured.principals.get(f"{SYSTEM}{plugin}")
        return (record.about.role if record is not None else None) or PLUGIN

    # -- changing ---------------------------------------------------------------------------------

    async def change(self, by: Caller, decide: Callable[[Register], Change]) -> Change:
        """Make one change: on record, then in force, then told. Once begun it is completed.

        Args:
            by: who makes it.
            decide: what is to be written, judged by the register as it is then; see ``access.changes``.

        Raises:
            TrunnionError: what ``decide`` refuses it with, or it cannot be stored.
        """
        task = asyncio.get_running_loop().create_task(self._change(by, decide), name="change of access")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Change]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at here, for whoever asked may be gone

    async def _change(self, by: Caller, decide: Callable[[Register], Change]) -> Change:
        async with self._changing:
            change = decide(self.register)
            await self._about_to(
                HostChange(kind="access", code=change.code, text=change.text, facts=change.facts, caller=by)
            )
            async with self._state.transaction() as transaction:
                for record in change.remove:
                    await transaction.delete(record.key)
                for record in change.put:
                    await transaction.put(record.key, to_document(record))
            self._replace(msgspec.structs.replace(self.register, managed=applied(self.register.managed, change)))
        for listener in self.listeners:
            listener({record.name for record in change.remove})
        self.tell(change.code, change.text, {**change.facts, "by": by.principal, "source": by.source})
        return change

    def tell(self, code: str, text: str, facts: JsonObject, level: str = "info") -> None:
        """Add an event to the stream of changes."""
        raw = msgspec.Raw(encode({"code": code, **facts}))
        self._log.stream(ACCESS_STREAM).append(LOG, text, raw, level=level)


async def _all(state: State, prefix: str) -> AsyncIterator[tuple[str, Json]]:
    """All documents whose keys begin with a prefix."""
    cursor = None
    while True:
        page = await state.list(prefix, limit=_PAGE, cursor=cursor)
        for document in page.items:
            yield document.key, document.value
        cursor = page.next
        if cursor is None:
            return
