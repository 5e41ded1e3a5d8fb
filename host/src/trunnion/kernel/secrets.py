"""Secrets kept sealed in the host's database, and what a plugin gets of them.

All of them are opened once, when the host starts: only what is known can be cut from what is shown.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping

import msgspec

from trunnion.access.redaction import Redaction, Release
from trunnion.access.sealing import Sealer
from trunnion.kernel.committer import Committer
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.plugin_secrets import SHARED, Secrets, missing
from trunnion.kernel.reporting import Report
from trunnion.kernel.state import State
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.kernel.unbroken import Unbroken
from trunnion.model.errors import InvalidArguments, NotFound, TrunnionError, Unavailable
from trunnion.model.events import HOST_STREAM, LOG
from trunnion.model.json import Json, encode, valid_text
from trunnion.model.names import nearest
from trunnion.model.state import Document
from trunnion.store.base import Store

PREFIX = "secrets/"
LARGEST = 64 << 10
"""Bytes of one secret."""

REMEMBERED = 2
"""Values of one name that are cut: the present one and the one before it, which may still be in use."""

_name = re.compile(r"[a-z][a-z0-9_-]{0,62}/[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class SecretStore:
    """The sealed store. On the loop, but for ``value``.

    Args:
        state: the host's own documents.
        store: for the sealed arguments of live runs.
    """

    def __init__(
        self,
        state: State,
        store: Store,
        committer: Committer,
        log: EventLog,
        sealer: Sealer,
        redaction: Redaction,
        report: Report,
        threads: DaemonThreads,
    ) -> None:
        self._state = state
        self._store = store
        self._committer = committer
        self._log = log
        self._sealer = sealer
        self._redaction = redaction
        self._report = report
        self._threads = threads
        self._values: dict[str, str] = {}
        self._unreadable: dict[str, str] = {}
        self._releases: dict[str, deque[Release]] = defaultdict(deque)
        self._changing = asyncio.Lock()
        self._unbroken = Unbroken()

    def for_plugin(self, plugin: str) -> Secrets:
        """What one plugin gets of it."""
        return Secrets(self, self._redaction, plugin)

    # -- at the start -----------------------------------------------------------------------------

    async def open(self) -> None:
        """Open every secret, and finish a change of the key that was stopped.

        One that cannot be opened is reported and named when it is asked for; the host starts all the same.
        """
        async for document in self._documents():
            name = document.key.removeprefix(PREFIX)
            try:
                self._learn(name, self._opened(name, document.value))
            except TrunnionError as error:
                self._unreadable[name] = error.message
        if self._unreadable:
            problems = sorted(set(self._unreadable.values()))
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            text = f"{len(self._unreadable)} of the stored secrets cannot be opened: {problems[0]}{more}"
            self._report("secrets.lost", text)
        try:
            if self._sealer.rotating:
                await self.rotate()
        except TrunnionError as error:
            self._report("secrets.rotation.failed", f"the change of the key could not be finished: {error.message}")

    # -- reading ----------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """All names, those that cannot be opened included."""
        return sorted([*self._values, *self._unreadable])

    def value(self, name: str) -> str:
        """One secret; from any thread.

        Raises:
            NotFound: there is none of this name.
            Unavailable: it cannot be opened; the message says why.
        """
        found = self._values.get(name)
        if found is not None:
            return found
        if name in self._unreadable:
            raise Unavailable(f"secret {name}: {self._unreadable[name]}", {"name": name})
        raise missing(name)

    async def describe(self, limit: int, cursor: str | None) -> dict[str, Json]:
        """Name, time of the last change and whether it can be opened, of some; never a value."""
        page = await self._state.list(PREFIX, limit=limit, cursor=None if cursor is None else PREFIX + cursor)
        items: list[Json] = [
            {"name": name, "updated": document.updated, "readable": self._can_open(name, document.value)}
            for document in page.items
            if (name := document.key.removeprefix(PREFIX))
        ]
        return {"items": items, "next": None if page.next is None else page.next.removeprefix(PREFIX)}

    # -- changing ---------------------------------------------------------------------------------

    async def set(self, name: str, value: str) -> Document:
        """Keep a secret under a name, in the place of what was there.

        Raises:
            InvalidArguments: the name cannot be one, or the value is empty or too long.
        """
        checked_name(name)
        if not value or len(value.encode("utf-8", "surrogatepass")) > LARGEST:
            raise InvalidArguments(f"secret {name}: a value has 1 to {LARGEST} bytes")
        value = valid_text(value)
        return await self._unbroken.finished(self._set(name, value))

    async def _set(self, name: str, value: str) -> Document:
        async with self._changing:
            document = await self._state.put(PREFIX + name, self._sealed(name, value))
            self._learn(name, value)
            self._unreadable.pop(name, None)
        return document

    async def delete(self, name: str) -> None:
        """Remove a secret. What it was is still cut until the host stops.

        Raises:
            NotFound: there is none of this name.
        """
        await self._unbroken.finished(self._delete(checked_name(name)))

    async def _delete(self, name: str) -> None:
        async with self._changing:
            if not await self._state.delete(PREFIX + name):
                close = nearest(name, self.names())
                hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
                raise NotFound(f"there is no secret {name!r}{hint}", {"name": name, "nearest": list[Json](close)})
            self._values.pop(name, None)
            self._unreadable.pop(name, None)

    # -- changing the key -------------------------------------------------------------------------

    async def rotate(self) -> dict[str, Json]:
        """Seal everything with a new key, then drop the old one; returns how much was sealed anew.

        Stopped at any moment, the next start goes on from there.
        """
        async with self._changing:
            await in_thread(self._threads, self._sealer.begin_rotation)
            # Once this is on record, so is everything that was sealed with the old key before.
            await self._told("the key of sealed secrets is being changed")
            documents, runs = await self._seal_documents_anew(), await self._seal_runs_anew()
            await in_thread(self._threads, self._sealer.finish_rotation)
            await self._told(f"the key of sealed secrets was changed: {documents} secrets, {runs} runs")
        return {"secrets": documents, "runs": runs}

    async def _seal_documents_anew(self) -> int:
        documents = [document async for document in self._documents() if self._is_old(document.value)]
        count = 0
        async with self._state.transaction() as transaction:
            for document in documents:
                name = document.key.removeprefix(PREFIX)
                if self._can_open(name, document.value) or name not in self._unreadable:
                    value = self._opened(name, document.value)
                    await transaction.put(document.key, self._sealed(name, value), revision=document.revision)
                    count += 1
        return count

    async def _seal_runs_anew(self) -> int:
        sealed = dict[int, bytes]()
        for row in self._store.live():
            if row.sealed is not None and self._sealer.is_old(row.sealed):
                try:
                    sealed[row.run.num] = self._sealer.seal(row.run.id, self._sealer.open(row.run.id, row.sealed))
                except TrunnionError as error:
                    self._report("secrets.lost", f"run {row.run.id}: {error.message}")
        if sealed:
            await self._committer.on_record(self._log.stream(HOST_STREAM), sealed=sealed)
        return len(sealed)

    def _is_old(self, value: Json) -> bool:
        return self._sealer.is_old(_unpacked(value))

    async def _told(self, text: str) -> None:
        self._log.stream(HOST_STREAM).append(LOG, text, msgspec.Raw(encode({"code": "secrets.rotated"})))
        await self._committer.on_record(self._log.stream(HOST_STREAM))

    # -- small things -----------------------------------------------------------------------------

    async def _documents(self) -> AsyncIterator[Document]:
        cursor: str | None = None
        while True:
            page = await self._state.list(PREFIX, limit=1000, cursor=cursor)
            for document in page.items:
                yield document
            cursor = page.next
            if cursor is None:
                return

    def _can_open(self, name: str, value: Json) -> bool:
        """Whether it can be opened now; one that could not, before its key was put right, is there from now on."""
        try:
            opened = self._opened(name, value)
        except TrunnionError:
            return False
        if self._unreadable.pop(name, None) is not None:
            self._learn(name, opened)
        return True

    def _opened(self, name: str, value: Json) -> str:
        return self._sealer.open(PREFIX + name, _unpacked(value)).decode()

    def _sealed(self, name: str, value: str) -> Json:
        return {"sealed": base64.b64encode(self._sealer.seal(PREFIX + name, value.encode())).decode()}

    def _learn(self, name: str, value: str) -> None:
        self._values[name] = value
        releases = self._releases[name]
        releases.append(self._redaction.register(value, owner=name.partition("/")[0]))
        if len(releases) > REMEMBERED:
            releases.popleft()()


def checked_name(name: str) -> str:
    """The name, if it can be one.

    Raises:
        InvalidArguments: it cannot.
    """
    if _name.fullmatch(name) is None:
        raise InvalidArguments(
            f"{name[:80]!a} cannot name a secret: it is <plugin>/<name>, or {SHARED}/<name> for all plugins"
        )
    return name


def _unpacked(value: Json) -> bytes:
    """The bytes of a document; what is none of ours opens with no key."""
    sealed = value.get("sealed") if isinstance(value, Mapping) else None
    try:
        return base64.b64decode(sealed, validate=True) if isinstance(sealed, str) else b""
    except ValueError:
        return b""
