"""The history of a data directory while no host runs: everything readable, nothing changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from trunnion.model.errors import Unavailable
from trunnion.model.json import Json
from trunnion.model.runs import Run
from trunnion.store.base import DocumentWrite, LiveRun
from trunnion.store.connections import Pool, unavailable
from trunnion.store.files import RunFiles
from trunnion.store.history import History
from trunnion.store.schema import DOCUMENTS_SINCE, check
from trunnion.store.snapshot import Snapshot
from trunnion.store.sqlite import figures
from trunnion.store.state import live_runs


class ReadOnlyStore(History):
    """Reads what the last host left. Runs that were live are shown as they were, nobody owns them.

    Args:
        path: the database.
        artifacts: the folder of kept files.
        clock: UTC µs.
    """

    def __init__(self, path: Path, *, artifacts: Path, clock: Callable[[], int]) -> None:
        self.path = path
        self._snapshot = Snapshot(path)
        self._found: dict[str, Run] = {}
        self._version = 0
        super().__init__(Pool(self._snapshot.connect), RunFiles(artifacts), clock, self._found)

    def open(self) -> None:
        """Look at the database.

        Raises:
            IncompatibleData: written by a newer version.
            Unavailable: there is none, or it cannot be read.
        """
        if not self.path.exists():
            raise Unavailable(f"there is no history at {self.path} yet", {"path": str(self.path)})
        try:
            with self._pool.reader() as connection:
                self._version = check(connection, self.path)
            self._found.update((entry.run.id, entry.run) for entry in self.live())
        except Unavailable:
            self.close()
            raise
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise unavailable(error, self.path) from error

    def close(self) -> None:
        """Close; safe to call twice."""
        self._pool.close()
        self._snapshot.close()

    def live(self) -> list[LiveRun]:
        """Runs that had not ended, in order of acceptance."""
        with self._pool.reader() as connection:
            return live_runs(connection)

    def document(self, owner: str, key: str) -> DocumentWrite | None:
        """One document; data of a version without documents has none, and is not migrated to look."""
        return super().document(owner, key) if self._version >= DOCUMENTS_SINCE else None

    def documents(self, owner: str, prefix: str, after: str, limit: int) -> list[DocumentWrite]:
        """Documents, as ``Store.documents``."""
        return super().documents(owner, prefix, after, limit) if self._version >= DOCUMENTS_SINCE else []

    def document_usage(self, owner: str) -> tuple[int, int]:
        """How many documents an owner has, and their bytes."""
        return super().document_usage(owner) if self._version >= DOCUMENTS_SINCE else (0, 0)

    def stats(self) -> dict[str, Json]:
        """Figures as in ``Store.stats``."""
        with self._pool.reader() as connection:
            return figures(connection, self.path, len(self._found), "read-only")
