"""Reading what is committed, from any thread: runs, events, commits, kept files, documents."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

import msgspec

from trunnion.model.errors import ErrorInfo
from trunnion.model.events import RUN_STREAM, Event, gap_event
from trunnion.model.runs import ArtifactInfo, Page, Run, RunFilter
from trunnion.model.status import Status
from trunnion.store import aged, chunks
from trunnion.store.base import Commit, DocumentWrite, Ended, KeyRow, OldEvents, Weight
from trunnion.store.connections import Pool
from trunnion.store.documents import read_document, read_documents, read_usage
from trunnion.store.files import RunFiles
from trunnion.store.listing import matches, parse_cursor, select_ended
from trunnion.store.replay import DAMAGED, Replay
from trunnion.store.state import KEY_LIFE, end_position, stream_name, stream_number

_CommitRow: TypeAlias = tuple[int, int, int, bytes, int, int, int]

_decode_run = msgspec.json.Decoder(Run).decode
_artifact = msgspec.json.Decoder(ArtifactInfo)


class History:
    """The readable side of a store.

    Ended runs are read from the database, live ones from ``live``, the host's own view of them. It is
    looked at first: a run moves from there to the database after its commit, so that at every moment it
    is found in at least one of them.

    Args:
        pool: reading connections.
        files: the files kept with runs.
        clock: UTC µs.
        live: live runs by id, as committed.
    """

    def __init__(self, pool: Pool, files: RunFiles, clock: Callable[[], int], live: Mapping[str, Run]) -> None:
        self._pool = pool
        self._files = files
        self._clock = clock
        self._live = live

    def get_run(self, run_id: str) -> Run | None:
        """One run, live or ended."""
        found = self.get_runs((run_id,))
        return found[0] if found else None

    def get_runs(self, run_ids: Sequence[str]) -> list[Run]:
        """Those of the given runs that exist, in the order asked for."""
        found = {run_id: run for run_id in run_ids if (run := self._live.get(run_id)) is not None}
        missing = [run_id for run_id in run_ids if run_id not in found]
        with self._pool.reader() as connection:
            found.update((run.id, run) for run in _fetch(connection, missing))
        return [found[run_id] for run_id in run_ids if run_id in found]

    def list_runs(self, filter: RunFilter, limit: int, cursor: str | None) -> Page:
        """Runs, newest first, at most ``limit``.

        Raises:
            InvalidArguments: the cursor is not one of ours.
        """
        before, limit = parse_cursor(cursor), max(1, limit)
        live = {run.num: run for run in list(self._live.values()) if run.num < before and matches(run, filter)}
        with self._pool.reader() as connection:
            rows = select_ended(connection, filter, before, limit + 1)
            ended = [
                _decode_run(doc) if crc32(doc) == crc else damaged_run(connection, num)
                for num, crc, doc in rows[:limit]
            ]
        if not live:
            return Page(ended, str(ended[-1].num) if len(rows) > limit else None)
        live.update((run.num, run) for run in ended)
        items = sorted(live.values(), key=lambda run: run.num, reverse=True)[:limit]
        return Page(items, str(items[-1].num) if len(live) > limit or len(rows) > limit else None)

    def read_events(self, stream: str, after: int, limit: int, max_bytes: int = 4 << 20) -> list[Event]:
        """Committed events with ``seq > after``, whole ones, in order; what is no longer kept is one gap event.

        Args:
            stream: its name.
            after: the last number the reader has.
            limit: at most so many.
            max_bytes: stop after about so many bytes; one event is given whatever its size.
        """
        run = self._live.get(stream[len(RUN_STREAM) :]) if stream.startswith(RUN_STREAM) else None
        with self._pool.reader() as connection:
            number = stream_number(connection, stream) if run is None else run.num
            if number is None:
                return []
            return Replay(connection, self._files, stream, number, self._clock()).read(after, limit, max_bytes)

    def read_commits(self, after: int, limit: int) -> list[Commit]:
        """Commits after a host-wide position, in order."""
        query = (
            "SELECT position, codec, crc, data, stream, first, last FROM chunks"
            " WHERE position > ? ORDER BY position LIMIT ?"
        )
        with self._pool.reader() as connection:
            rows: list[_CommitRow] = connection.execute(query, (after, limit)).fetchall()
            return [Commit(row[0], self._events(connection, row)) for row in rows]

    def _events(self, connection: sqlite3.Connection, row: _CommitRow) -> Sequence[Event]:
        _, codec, crc, data, stream, first, last = row
        events = chunks.decode(codec, crc, data)
        if events:
            return Replay.hydrate(self._files, events)
        return [gap_event(stream_name(connection, stream), first, last, self._clock(), DAMAGED)]

    def end_position(self) -> int:
        """The newest host-wide commit position."""
        with self._pool.reader() as connection:
            return end_position(connection)

    def find_key(self, principal: str, key: str) -> KeyRow | None:
        """The run an idempotency key belongs to, if it is younger than 24 h."""
        query = "SELECT run_id, command_id, args_digest, created FROM keys WHERE principal = ? AND key = ?"
        with self._pool.reader() as connection:
            row: tuple[str, str, str, int] | None = connection.execute(query, (principal, key)).fetchone()
        if row is None or row[3] <= self._clock() - KEY_LIFE:
            return None
        return KeyRow(principal, key, *row)

    def artifact(self, artifact_id: str) -> tuple[ArtifactInfo, Path] | None:
        """A kept file and where it lies."""
        with self._pool.reader() as connection:
            query = "SELECT doc FROM artifacts WHERE id = ?"
            row: tuple[bytes] | None = connection.execute(query, (artifact_id,)).fetchone()
        if row is None:
            return None
        info = _artifact.decode(row[0])
        return info, self._files.artifact(info.run_id, info.id)

    def artifacts_of(self, run_id: str) -> list[ArtifactInfo]:
        """The files kept with a run, in the order they came."""
        with self._pool.reader() as connection:
            query = "SELECT doc FROM artifacts WHERE run_id = ? ORDER BY rowid"
            return [_artifact.decode(doc) for (doc,) in connection.execute(query, (run_id,)).fetchall()]

    def artifact_path(self, run_id: str, artifact_id: str) -> Path:
        """Where the file of an artifact goes; its directory exists (0700)."""
        return self._files.artifact(run_id, artifact_id, make=True)

    def document(self, owner: str, key: str) -> DocumentWrite | None:
        """One committed document, as it was last written."""
        with self._pool.reader() as connection:
            return read_document(connection, owner, key)

    def documents(self, owner: str, prefix: str, after: str, limit: int) -> list[DocumentWrite]:
        """Committed documents whose keys begin with ``prefix`` and sort after ``after``."""
        with self._pool.reader() as connection:
            return read_documents(connection, owner, prefix, after, limit)

    def document_usage(self, owner: str) -> tuple[int, int]:
        """How many documents an owner has, and the bytes of their values together."""
        with self._pool.reader() as connection:
            return read_usage(connection, owner)

    def ended(self, before: int | None = None) -> Iterator[list[Ended]]:
        """Ended runs, oldest first, without parents of runs that are live."""
        for page in aged.ended_pages(self._pool, before):
            parents = {run.parent_run_id for run in list(self._live.values())}
            yield [run for run in page if run.id not in parents]

    def tally(self) -> dict[str, int]:
        """How many ended runs there are of each command."""
        with self._pool.reader() as connection:
            return aged.tally(connection)

    def weigh(self, runs: Sequence[Ended]) -> list[Weight]:
        """What is kept with each of some runs."""
        with self._pool.reader() as connection:
            return aged.weigh(connection, self._files, runs)

    def used_database(self) -> int:
        """Bytes of the database that are in use."""
        with self._pool.reader() as connection:
            return aged.used(connection)

    def used_files(self) -> int:
        """Bytes of all kept files and long output."""
        return self._files.total()

    def old_events(self, before: int) -> Iterator[OldEvents]:
        """What can be cut of streams that are no run's."""
        return aged.old_events(self._pool, before)


def _fetch(connection: sqlite3.Connection, run_ids: Sequence[str]) -> Iterator[Run]:
    """Ended runs by id."""
    for start in range(0, len(run_ids), 500):
        part = run_ids[start : start + 500]
        query = f"SELECT num, crc, doc FROM runs WHERE id IN ({', '.join('?' * len(part))})"  # noqa: S608
        rows: list[tuple[int, int, bytes]] = connection.execute(query, part).fetchall()
        yield from (_decoded(connection, *row) for row in rows)


def _decoded(connection: sqlite3.Connection, num: int, crc: int, doc: bytes) -> Run:
    return _decode_run(doc) if crc32(doc) == crc else damaged_run(connection, num)


def damaged_run(connection: sqlite3.Connection, num: int) -> Run:
    """What the columns still say of a run whose record does not match its checksum."""
    query = (
        "SELECT runs.id, runs.num, commands.id, status, created, principal, source, finished, last FROM runs"
        " LEFT JOIN commands ON commands.num = command LEFT JOIN callers ON callers.num = caller WHERE runs.num = ?"
    )
    row: tuple[str, int, str | None, Status, int, str | None, str | None, int, int] = connection.execute(
        query, (num,)
    ).fetchone()
    return Run(
        id=row[0],
        num=row[1],
        command_id=row[2] or "",
        command_revision="",
        status=row[3],
        created=row[4],
        principal=row[5] or "",
        source=row[6] or "",
        finished=row[7],
        last_seq=row[8],
        error=ErrorInfo(
            "internal", f"the record of run {row[0]} is damaged on the disk; arguments and result are lost"
        ),
    )
