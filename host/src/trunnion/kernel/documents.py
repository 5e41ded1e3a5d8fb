"""Plugins' documents on the loop: what is on record, what is on its way there, and comparing before setting.

All changes of one owner are made on the kernel's loop, one after the other. A change is judged against
what is on record *and* what is on its way: when something on its way fails, everything behind it of the
same owner fails with it, so what was built on it never was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Change, Committer
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.errors import Busy, Conflict, InvalidArguments, TrunnionError, Unavailable, error_from_info
from trunnion.model.events import DATA
from trunnion.model.json import Json, encode
from trunnion.model.names import is_segment
from trunnion.store.base import DocumentWrite, Store

if TYPE_CHECKING:
    from trunnion.kernel.state import State

STATE_STREAM = "state/"

VERSION_KEY = "!version"
"""Holds the version of an owner's documents. No document can have this key, and it sorts before all that can."""


class DocumentLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one plugin may keep: the section ``state`` of the configuration.

    Attributes:
        max_document_bytes: of one value, as JSON.
        max_plugin_bytes: of all values of one plugin.
        max_documents: of one plugin.
    """

    max_document_bytes: int = 1 << 20
    max_plugin_bytes: int = 64 << 20
    max_documents: int = 100_000


class Documents:
    """The documents of all owners.

    Args:
        store: opened.
        committer: takes changes.
        log: has the streams ``state/<owner>``.
        clock: for the time of a change.
        readers: threads for reads that take a while.
        limits: per owner.
        backups: the folder for copies made before a migration, None where nothing is kept on a disk.

    Attributes:
        closed: why no change is taken any more, empty while they are.
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        log: EventLog,
        clock: Clock,
        readers: DaemonThreads,
        *,
        limits: DocumentLimits,
        backups: Path | None,
    ) -> None:
        self.store = store
        self.committer = committer
        self.log = log
        self.clock = clock
        self.readers = readers
        self.limits = limits
        self.backups = backups
        self.closed = ""
        self._loop = asyncio.get_running_loop()
        self._states: dict[str, State] = {}

    def state(self, owner: str) -> State:
        """The documents of one owner: a plugin's id, or ``host``. The same object at each call, from any thread.

        Raises:
            InvalidArguments: nobody can be called that.
        """
        found = self._states.get(owner)
        if found is None:
            from trunnion.kernel.state import State

            if not is_segment(owner):
                raise InvalidArguments(f"{owner[:80]!a} cannot own documents: it is no plugin's id")
            # Of two threads that ask for the first time, both get what the quicker one made.
            found = self._states.setdefault(owner, State(OwnDocuments(self, owner), self._loop))
        return found


class OwnDocuments:
    """The documents of one owner, between its ``State`` and the store. On the loop only.

    Attributes:
        owner: a plugin's id, or ``host``.
        stream: tells of each change.
    """

    def __init__(self, shared: Documents, owner: str) -> None:
        self.shared = shared
        self.owner = owner
        self.stream = STATE_STREAM + owner
        self._on_way: dict[str, DocumentWrite] = {}
        self._usage: tuple[int, int] | None = None

    # -- reading ----------------------------------------------------------------------------------

    def committed(self, key: str) -> DocumentWrite | None:
        """A document as it is on record."""
        return self.shared.store.document(self.owner, key)

    def newest(self, key: str) -> DocumentWrite | None:
        """A document as the next change finds it, on its way to the record or there."""
        write = self._on_way.get(key) or self.committed(key)
        return write if write is not None and write.value is not None else None

    @property
    def revision(self) -> int:
        """Number of the newest change, on record or not."""
        return self.shared.log.stream(self.stream).seq

    async def page(self, prefix: str, after: str, limit: int) -> list[DocumentWrite]:
        """Documents on record, read away from the loop."""
        read = partial(self.shared.store.documents, self.owner, prefix, max(after, VERSION_KEY), limit)
        return await in_thread(self.shared.readers, read)

    # -- changing ---------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Wait until changes can be judged. What follows in the same turn of the loop sees one state of things.

        Raises:
            Unavailable: nothing can be stored at the moment.
        """
        if self._usage is None:
            usage = await in_thread(self.shared.readers, self._read_usage)
            self._usage = self._usage or usage  # another change may have waited for it too, and counted itself in
        if self.shared.closed:
            raise Unavailable(f"documents of {self.owner} cannot be changed: {self.shared.closed}")
        self.shared.committer.refuse_if_unable()

    def _read_usage(self) -> tuple[int, int]:
        count, size = self.shared.store.document_usage(self.owner)
        version = self.committed(VERSION_KEY)
        return (count, size) if version is None else (count - 1, size - len(version.value or b""))

    def expect(self, key: str, revision: int | None) -> None:
        """Compare a document with what the caller takes it for; 0 is none, None is whatever is there.

        Raises:
            Conflict: it is at another revision.
        """
        if revision is None:
            return
        newest = self.newest(key)
        present = newest.revision if newest is not None else 0
        if present != revision:
            found = f"is at revision {present}" if present else "does not exist"
            wanted = f"revision {revision}" if revision else "none"
            raise Conflict(
                f"document {key!r} of {self.owner} {found}, {wanted} was expected: read it again",
                {"key": key, "revision": present},
            )

    async def change(self, values: Mapping[str, bytes | None], version: int | None = None) -> list[DocumentWrite]:
        """Set documents, or remove those without a value; all of it is on record when this returns, or nothing.

        Call it after ``ready`` and ``expect``, before anything else is awaited.

        Args:
            values: by key.
            version: of the owner's documents from now on, if that changes.

        Raises:
            Busy: the owner would keep too much.
            Unavailable: it could not be stored.
        """
        now, log = self.shared.clock.utc(), self.shared.log.stream(self.stream)
        writes = [DocumentWrite(self.owner, k, log.seq + n, now, v) for n, (k, v) in enumerate(values.items(), 1)]
        grown = self._count(writes)
        stored = list(writes)
        if version is not None:
            stored.append(DocumentWrite(self.owner, VERSION_KEY, log.seq + len(writes), now, encode(version)))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_way.update({write.key: write for write in stored})
        self.shared.committer.change(Change(log, partial(self._settled, stored, grown, future), documents=stored))
        for write in writes:
            log.append(DATA, raw=_told(write), by=self.owner)
        await future
        return writes

    def _count(self, writes: Sequence[DocumentWrite]) -> tuple[int, int]:
        """Count documents and bytes in; how many more they are."""
        count = size = 0
        for write in writes:
            newest = self.newest(write.key)
            count += (write.value is not None) - (newest is not None)
            size += len(write.value or b"") - len((newest and newest.value) or b"")
        kept, kept_bytes = self._usage or (0, 0)
        limits = self.shared.limits
        self._bound("documents", count, kept + count, limits.max_documents, "state.max_documents")
        self._bound("bytes", size, kept_bytes + size, limits.max_plugin_bytes, "state.max_plugin_bytes")
        self._usage = (kept + count, kept_bytes + size)
        return count, size

    def _bound(self, what: str, more: int, total: int, limit: int, setting: str) -> None:
        if more > 0 and total > limit:
            raise Busy(
                f"{self.owner} would keep {total} {what}, the limit is {limit} ({setting}): remove some, or raise it",
                {what: total, "limit": limit, "setting": setting},
            )

    def _settled(
        self,
        writes: Sequence[DocumentWrite],
        grown: tuple[int, int],
        future: asyncio.Future[None],
        error: TrunnionError | None,
    ) -> None:
        for write in writes:
            if self._on_way.get(write.key) is write:
                del self._on_way[write.key]
        if error is not None and self._usage is not None:
            self._usage = (self._usage[0] - grown[0], self._usage[1] - grown[1])
        if not future.done():
            # An exception of its own for each: they are raised in several places at once.
            future.set_result(None) if error is None else future.set_exception(error_from_info(error.info))


def _told(write: DocumentWrite) -> msgspec.Raw:
    """What followers learn of a change: never the value."""
    told: dict[str, Json] = {"key": write.key, "revision": write.revision}
    if write.value is None:
        told["removed"] = True
    return msgspec.Raw(encode(told))
