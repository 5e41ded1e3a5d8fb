"""The store's contract: what the kernel needs of it, whatever the engine behind it.

A ``Batch`` is one atomic commit. Writes come from the kernel loop alone; reads of history may come
from any thread and never see anything uncommitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from trunnion.model.events import Event
from trunnion.model.json import Json
from trunnion.model.runs import ArtifactInfo, Page, Run, RunFilter


class KeyRow(msgspec.Struct, frozen=True):
    """One idempotency key in use."""

    principal: str
    key: str
    run_id: str
    command_id: str
    args_digest: str
    created: int


class Accept(msgspec.Struct, frozen=True):
    """Verb 1: a new run, its key and its sealed secrets."""

    run: Run
    key: KeyRow | None = None
    sealed: bytes | None = None


class DocumentWrite(msgspec.Struct, frozen=True):
    """One change of one document of a plugin; without a value it is removed.

    Attributes:
        revision: number of the change among those of its owner.
        updated: UTC microseconds.
        value: JSON.
    """

    owner: str
    key: str
    revision: int
    updated: int
    value: bytes | None


class Batch(msgspec.Struct):
    """What one commit holds; applied in the order of the fields.

    Attributes:
        accepts: verb 1, runs not seen before.
        starts: verb 2, live runs whose row changed (started, cancel requested, attempt, stats).
        appends: verb 3, new events by stream name, gapless after what the stream has.
        finishes: verb 4, runs that ended: the row leaves the live table for history, sealed secrets go.
        artifacts: files that came to be kept with runs.
        documents: changes of plugins' documents, in order.
        sealed: secrets of live runs sealed anew, by run number: the key was changed.
    """

    accepts: list[Accept] = []
    starts: list[Run] = []
    appends: dict[str, list[Event]] = {}
    finishes: list[Run] = []
    artifacts: list[ArtifactInfo] = []
    documents: list[DocumentWrite] = []
    sealed: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(
            self.accepts
            or self.starts
            or self.appends
            or self.finishes
            or self.artifacts
            or self.documents
            or self.sealed
        )


Done: TypeAlias = Callable[[Exception | None], None]
"""Called once when a batch is committed (None) or has failed as a whole."""


class DiskFull(Exception):
    """The batch did not fit on the disk; nothing of it was kept. The message names the path."""


class LiveRun(msgspec.Struct, frozen=True):
    """A live run as found at start."""

    run: Run
    sealed: bytes | None
    last_seq: int


class Commit(msgspec.Struct, frozen=True):
    """Events of one stream at one host-wide commit position, for observers."""

    position: int
    events: Sequence[Event]


class Ended(msgspec.Struct, frozen=True):
    """As much of an ended run as retention needs to know."""

    num: int
    id: str
    command_id: str
    finished: int


class Weight(msgspec.Struct, frozen=True):
    """What is kept with a run: how many events, and about how many bytes in the database and in files."""

    events: int
    database: int
    files: int = 0

    @property
    def bytes(self) -> int:
        """Both together."""
        return self.database + self.files


class OldEvents(msgspec.Struct, frozen=True):
    """Events of a stream that are old enough to go: all up to ``last``."""

    stream: str
    last: int
    events: int
    bytes: int


class Store(Protocol):
    """What the kernel asks of a store."""

    def open(self) -> None:
        """Open or create; migrate older data.

        Raises:
            IncompatibleData: written by a newer version; nothing was touched.
            Unavailable: cannot be opened; the message names the path and the reason.
        """

    def close(self) -> None:
        """Flush and close; safe to call twice."""

    def commit(self, batch: Batch, done: Done) -> None:
        """Commit atomically, then call ``done``, at once or later on the kernel loop, in order of the calls.

        ``done(DiskFull)`` means that nothing of the batch was kept and a smaller one may succeed. Where
        batches are answered later, those sent before the answer build on it and fail with it.
        """

    def release_ballast(self) -> bool:
        """Give back the reserve kept for a full disk; False if it was given back already."""

    def restore_ballast(self) -> bool:
        """Take the reserve again when there is space; True if it is in place."""

    # -- read on the kernel loop ------------------------------------------------------------------

    def next_num(self) -> int:
        """The number for the next run; ascending, never used twice."""

    def live(self) -> list[LiveRun]:
        """All runs that have not ended, in order of acceptance."""

    def find_key(self, principal: str, key: str) -> KeyRow | None:
        """The run an idempotency key belongs to, if it is younger than 24 h."""

    def last_seq(self, stream: str) -> int:
        """The last committed event number of a stream, 0 for none."""

    def observer_position(self, name: str) -> int:
        """How far an observer has come; a new one starts at the present end."""

    def set_observer_position(self, name: str, position: int) -> None:
        """Keep how far an observer has come."""

    # -- read from any thread ---------------------------------------------------------------------

    def get_run(self, run_id: str) -> Run | None:
        """One run, live or ended."""

    def get_runs(self, run_ids: Sequence[str]) -> list[Run]:
        """Those of the given runs that exist."""

    def list_runs(self, filter: RunFilter, limit: int, cursor: str | None) -> Page:
        """Runs, newest first, at most ``limit``.

        Raises:
            InvalidArguments: the cursor is not one of ours.
        """

    def read_events(self, stream: str, after: int, limit: int, max_bytes: int = 4 << 20) -> list[Event]:
        """Committed events with ``seq > after``, whole ones, in order; what is no longer kept is one gap event."""

    def read_commits(self, after: int, limit: int) -> list[Commit]:
        """Commits after a host-wide position, in order."""

    def end_position(self) -> int:
        """The newest host-wide commit position."""

    def artifact(self, artifact_id: str) -> tuple[ArtifactInfo, Path] | None:
        """A kept file and where it lies."""

    def artifacts_of(self, run_id: str) -> list[ArtifactInfo]:
        """The files kept with a run."""

    def artifact_path(self, run_id: str, artifact_id: str) -> Path:
        """Where the file of an artifact goes; its directory exists (0700)."""

    def document(self, owner: str, key: str) -> DocumentWrite | None:
        """One committed document, as it was last written."""

    def documents(self, owner: str, prefix: str, after: str, limit: int) -> list[DocumentWrite]:
        """Committed documents whose keys begin with ``prefix`` and sort (by code point) after ``after``."""

    def document_usage(self, owner: str) -> tuple[int, int]:
        """How many documents an owner has, and the bytes of their values together."""

    # -- retention: takes a while, use a thread ---------------------------------------------------

    def ended(self, before: int | None = None) -> Iterator[Sequence[Ended]]:
        """Ended runs that may be removed, oldest first, in pages: without parents of runs that are live.

        Args:
            before: only those that ended before this time, UTC µs.
        """

    def tally(self) -> dict[str, int]:
        """How many ended runs there are of each command."""

    def weigh(self, runs: Sequence[Ended]) -> list[Weight]:
        """What is kept with each of some runs."""

    def used_database(self) -> int:
        """Bytes of the database that are in use; what is unused serves what comes next."""

    def used_files(self) -> int:
        """Bytes of all kept files and long output."""

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove some ended runs with everything kept with them; how many there were."""

    def old_events(self, before: int) -> Iterator[OldEvents]:
        """What can be cut of streams that are no run's, where a whole stored piece is older than a time, UTC µs."""

    def cut(self, stream: str, last: int) -> None:
        """Remove the events of a stream up to a number that ``old_events`` said."""

    def forget(self, run_id: str) -> bool:
        """Remove one ended run with everything kept with it; False if there is none."""

    def stats(self) -> dict[str, Json]:
        """Figures for ``host.status``: path, bytes, schema version, runs, durability."""
