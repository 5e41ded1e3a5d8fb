"""``State``: what a plugin keeps, as JSON documents under keys, each with a revision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from trunnion.kernel.document_value import checked_key, encoded
from trunnion.kernel.documents import OwnDocuments
from trunnion.kernel.threads import waited_for
from trunnion.model.errors import Conflict, InvalidArguments, Unavailable
from trunnion.model.events import Event
from trunnion.model.json import Json, decode
from trunnion.model.state import Document, DocumentPage
from trunnion.store.base import DocumentWrite

if TYPE_CHECKING:
    from trunnion.kernel.state_migration import StateMigration

T = TypeVar("T")
MAX_LIMIT = 1000


class State:
    """The documents of one plugin, kept in the host's database with its runs.

    Values are JSON; what is handed out is the caller's own copy. Reads see what is on record. Each change
    is on record when its call returns, and raises ``Unavailable`` when it cannot be. Methods that wait are
    coroutines; each has a twin ending in ``_blocking`` for sync handlers, which run in a thread.
    """

    def __init__(self, own: OwnDocuments, loop: asyncio.AbstractEventLoop) -> None:
        self._own = own
        self._loop = loop

    @property
    def owner(self) -> str:
        """Whose documents they are: a plugin's id, or ``host``."""
        return self._own.owner

    @property
    def stream(self) -> str:
        """The stream that tells of each change; an event's number is the revision it tells of."""
        return self._own.stream

    # -- one document -----------------------------------------------------------------------------

    async def get(self, key: str) -> Document | None:
        """One document, None if there is none.

        Raises:
            InvalidArguments: the key cannot be one.
            Unavailable: it is damaged.
        """
        found = self._own.committed(checked_key(key))
        return document_of(found) if found is not None else None

    async def put(self, key: str, value: Json, *, revision: int | None = None) -> Document:
        """Set a document.

        Args:
            key: such as ``instances/plc1``.
            value: any JSON.
            revision: the one it must be at; 0 says that it must not exist, None takes whatever is there.

        Raises:
            Conflict: it is at another revision; ``details`` has the key and the present one.
            InvalidArguments: the key or the value cannot be kept; the message says why.
            Busy: the plugin would keep too much; the message names the limit.
            Unavailable: nothing can be stored at the moment.
        """
        raw, read = encoded(checked_key(key), value, self._own.shared.limits.max_document_bytes)
        await self._own.ready()
        self._own.expect(key, revision)
        (write,) = await self._own.change({key: raw})
        return Document(key, read, write.revision, write.updated)

    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        """Remove a document; False if there was none.

        Raises:
            Conflict: it is at another revision than the one given.
            Unavailable: nothing can be stored at the moment.
        """
        checked_key(key)
        await self._own.ready()
        self._own.expect(key, revision)
        if self._own.newest(key) is None:
            return False
        await self._own.change({key: None})
        return True

    async def update(self, key: str, change: Callable[[Json], Json]) -> Document:
        """Set a document to what ``change`` makes of its value, None if there is none.

        ``change`` is called on the host's loop and again when another change came between, so it must be
        quick and do nothing else.

        Raises:
            InvalidArguments, Busy, Unavailable: as ``put``.
        """
        while True:
            await self._own.ready()
            revision, value = self._newest(key)
            value = change(value)
            try:
                return await self.put(key, value, revision=revision)
            except Conflict as conflict:
                if conflict.details.get("key") != key:
                    raise

    def _newest(self, key: str) -> tuple[int, Json]:
        """What an update builds on: if that fails on its way to the record, so does the update."""
        newest = self._own.newest(checked_key(key))
        return (newest.revision, decode(newest.value or b"null")) if newest is not None else (0, None)

    # -- many -------------------------------------------------------------------------------------

    async def list(self, prefix: str = "", *, limit: int = 100, cursor: str | None = None) -> DocumentPage:
        """Documents whose keys begin with ``prefix``, in order of key.

        Args:
            prefix: such as ``instances/``.
            limit: at most so many, 1 to 1000.
            cursor: ``next`` of the page before.

        Raises:
            InvalidArguments: the limit or the cursor is not one.
            Unavailable: one of them is damaged.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidArguments(f"a page has 1 to {MAX_LIMIT} documents, not {limit}")
        if not prefix.isascii():
            raise InvalidArguments(f"no key begins with {prefix[:80]!a}: keys are ASCII")
        after = checked_key(cursor) if cursor is not None else ""
        found = await self._own.page(prefix, after, limit + 1)
        items = [document_of(write) for write in found[:limit]]
        return DocumentPage(items, items[-1].key if len(found) > limit else None)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Change several documents together: all of it is on record at the end of the block, or nothing.

        What was read in the block must still be the same at its end. An exception in the block, one's own
        included, leaves everything as it was.

        Raises:
            Conflict: at the end of the block, if something read or expected is at another revision by then.
        """
        transaction = Transaction(self._own)
        try:
            yield transaction
        except BaseException:
            transaction.over = True
            raise
        await transaction.commit()

    async def follow(self, after: int = 0, *, live: bool = True) -> AsyncIterator[Event]:
        """Yield an event for each change after a revision: its data has ``key``, ``revision``, and ``removed`` if so.

        What retention removed is one event of kind ``gap``.

        Args:
            after: the last revision the caller knows of.
            live: go on for ever, or end with the newest.
        """
        log = self._own.shared.log
        log.stream(self.stream)
        async for batch in log.follow(self.stream, after, live=live):
            for event in batch:
                yield event

    async def migrate(self, steps: Sequence[StateMigration]) -> None:
        """Bring the documents to the version that has seen all ``steps``; call it before anything else uses them.

        Each step is committed as a whole, together with the number of steps the documents have seen. Killed at
        any moment, the next call goes on from there. Documents that are there before are first copied to
        ``db/<owner>.state-v<version>.bak.jsonl`` in the data directory.

        Args:
            steps: called in order, in a thread, those that the documents have not seen yet. Only ever add to them.

        Raises:
            IncompatibleData: the documents have seen more steps than these; nothing was touched.
            Conflict: something else changed documents meanwhile.
            Unavailable: nothing can be stored at the moment, or the copy cannot be written.
        """
        from trunnion.kernel.state_migration import migrate

        await migrate(self._own, steps)

    # -- the same from threads --------------------------------------------------------------------

    def get_blocking(self, key: str) -> Document | None:
        """``get`` for sync handlers."""
        return self._blocking(self.get(key))

    def put_blocking(self, key: str, value: Json, *, revision: int | None = None) -> Document:
        """``put`` for sync handlers."""
        return self._blocking(self.put(key, value, revision=revision))

    def delete_blocking(self, key: str, *, revision: int | None = None) -> bool:
        """``delete`` for sync handlers."""
        return self._blocking(self.delete(key, revision=revision))

    def list_blocking(self, prefix: str = "", *, limit: int = 100, cursor: str | None = None) -> DocumentPage:
        """``list`` for sync handlers."""
        return self._blocking(self.list(prefix, limit=limit, cursor=cursor))

    def update_blocking(self, key: str, change: Callable[[Json], Json]) -> Document:
        """``update`` for sync handlers: ``change`` is called in the caller's own thread."""
        while True:
            revision, value = self._blocking(self._read_newest(key))
            value = change(value)
            try:
                return self._blocking(self.put(key, value, revision=revision))
            except Conflict as conflict:
                if conflict.details.get("key") != key:
                    raise

    async def _read_newest(self, key: str) -> tuple[int, Json]:
        return self._newest(key)

    def _blocking(self, coroutine: Coroutine[None, None, T]) -> T:
        return waited_for(coroutine, self._loop)


class Transaction:
    """Changes of several documents, made together at the end of ``State.transaction``.

    Attributes:
        over: the block was left.
    """

    def __init__(self, own: OwnDocuments) -> None:
        self._own = own
        self._values: dict[str, bytes | None] = {}
        self._expected: list[tuple[str, int | None]] = []
        self.over = False

    async def get(self, key: str) -> Document | None:
        """A document as this transaction left it, or as it is on record; None if there is none.

        One set by this transaction has revision 0: it has none before the end.
        """
        self._refuse_if_over()
        if checked_key(key) in self._values:
            value = self._values[key]
            return None if value is None else Document(key, decode(value), 0, self._own.shared.clock.utc())
        found = self._own.committed(key)
        self._expected.append((key, found.revision if found is not None else 0))
        return document_of(found) if found is not None else None

    async def put(self, key: str, value: Json, *, revision: int | None = None) -> None:
        """Set a document at the end; ``revision`` is the one it must be at before this transaction.

        Raises:
            InvalidArguments: the key or the value cannot be kept; the message says why.
        """
        self._refuse_if_over()
        raw, _ = encoded(checked_key(key), value, self._own.shared.limits.max_document_bytes)
        self._expected.append((key, revision))
        self._values[key] = raw

    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        """Remove a document at the end; False if there is none."""
        found = await self.get(key)
        self._expected.append((key, revision))
        if found is not None:
            self._values[key] = None
        return found is not None

    async def commit(self) -> None:
        """Check everything and make the changes. For ``State.transaction``."""
        self.over = True
        await self._own.ready()
        for key, revision in self._expected:
            self._own.expect(key, revision)
        # What was set and removed again, without ever having been there, is no change.
        values = {k: v for k, v in self._values.items() if v is not None or self._own.newest(k) is not None}
        if values:
            await self._own.change(values)

    def _refuse_if_over(self) -> None:
        if self.over:
            raise RuntimeError(f"the transaction on documents of {self._own.owner} is over: begin another")


def document_of(write: DocumentWrite) -> Document:
    """A document on record as it is handed out.

    Raises:
        Unavailable: it is damaged.
    """
    try:
        return Document(write.key, decode(write.value or b"null"), write.revision, write.updated)
    except msgspec.DecodeError as error:
        raise Unavailable(
            f"document {write.key!r} of {write.owner} is damaged on the disk ({error}): put or delete it, or restore a"
            " backup of the data directory",
            {"owner": write.owner, "key": write.key},
        ) from error
