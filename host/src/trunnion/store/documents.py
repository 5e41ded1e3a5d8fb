"""Plugins' documents: how they are read from the database, and how they are kept without one.

Keys are compared by code point, which is the order SQLite gives to UTF-8 text.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from itertools import islice, takewhile

from trunnion.store.base import DocumentWrite

_LAST = chr(0x10FFFF)
"""Sorts behind everything a key may go on with."""


def read_document(connection: sqlite3.Connection, owner: str, key: str) -> DocumentWrite | None:
    """One document."""
    query = "SELECT owner, key, revision, updated, value FROM documents WHERE owner = ? AND key = ?"
    row: tuple[str, str, int, int, bytes] | None = connection.execute(query, (owner, key)).fetchone()
    return DocumentWrite(*row) if row is not None else None


def read_documents(
    connection: sqlite3.Connection, owner: str, prefix: str, after: str, limit: int
) -> list[DocumentWrite]:
    """As ``Store.documents``."""
    query = (
        "SELECT owner, key, revision, updated, value FROM documents"
        " WHERE owner = ? AND key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
    )
    values = (owner, after, prefix, prefix + _LAST, limit)
    rows: list[tuple[str, str, int, int, bytes]] = connection.execute(query, values).fetchall()
    return [DocumentWrite(*row) for row in rows]


def read_usage(connection: sqlite3.Connection, owner: str) -> tuple[int, int]:
    """As ``Store.document_usage``."""
    query = "SELECT count(*), coalesce(sum(length(value)), 0) FROM documents WHERE owner = ?"
    row: tuple[int, int] = connection.execute(query, (owner,)).fetchone()
    return row


class DocumentTable:
    """The documents of one owner in memory, with their keys in order."""

    def __init__(self) -> None:
        self._documents: dict[str, DocumentWrite] = {}
        self._keys: list[str] = []

    def apply(self, write: DocumentWrite) -> None:
        """Make one change."""
        if write.value is None:
            if self._documents.pop(write.key, None) is not None:
                del self._keys[bisect_left(self._keys, write.key)]
            return
        if write.key not in self._documents:
            self._keys.insert(bisect_left(self._keys, write.key), write.key)
        self._documents[write.key] = write

    def get(self, key: str) -> DocumentWrite | None:
        """One document."""
        return self._documents.get(key)

    def select(self, prefix: str, after: str, limit: int) -> list[DocumentWrite]:
        """As ``Store.documents``."""
        start = max(bisect_right(self._keys, after), bisect_left(self._keys, prefix))
        found = takewhile(lambda key: key.startswith(prefix), islice(self._keys, start, None))
        return [self._documents[key] for key in islice(found, limit)]

    def usage(self) -> tuple[int, int]:
        """As ``Store.document_usage``."""
        return len(self._documents), sum(len(write.value or b"") for write in self._documents.values())
