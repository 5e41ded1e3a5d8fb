"""The same contract without a disk: for embedding, for tests, for measuring what is above the store.

What ended is kept encoded and, in blocks, compressed: a run with a few events takes a few hundred bytes.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trunnion.model.events import RUN_STREAM, Event, run_stream
from trunnion.model.json import Json
from trunnion.model.runs import ArtifactInfo, Page, Run, RunFilter
from trunnion.store.archive import Archive, Log
from trunnion.store.base import Batch, Commit, DocumentWrite, Done, Ended, KeyRow, LiveRun, OldEvents, Weight
from trunnion.store.documents import DocumentTable
from trunnion.store.files import RunFiles
from trunnion.store.listing import matches, parse_cursor
from trunnion.store.state import KEY_LIFE


def _now() -> int:
    return time.time_ns() // 1000


class MemoryStore:
    """Everything in memory; kept files in ``data_dir/artifacts``, or in a folder that goes with the store.

    Args:
        data_dir: where kept files go.
        clock: UTC µs.
    """

    def __init__(self, data_dir: Path | None = None, *, clock: Callable[[], int] = _now) -> None:
        self._clock = clock
        self._own = data_dir is None
        self._data_dir = data_dir
        self._lock = threading.RLock()
        self._num = 0
        self._position = 0
        self._live: dict[str, Run] = {}
        self._sealed: dict[str, bytes] = {}
        self._logs: dict[str, Log] = {}
        self._archive = Archive()
        self._keys: dict[tuple[str, str], KeyRow] = {}
        self._observers: dict[str, int] = {}
        self._commits: list[Commit] = []
        self._artifacts: dict[str, ArtifactInfo] = {}
        self._documents: dict[str, DocumentTable] = {}

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Remove the folder made for kept files; what is in memory stays readable."""
        if self._own and self._data_dir is not None:
            shutil.rmtree(self._data_dir, ignore_errors=True)
            self._data_dir = None

    def commit(self, batch: Batch, done: Done) -> None:
        """Apply, then call ``done`` before returning."""
        try:
            with self._lock:
                self._check(batch)
                self._apply(batch)
        except ValueError as error:
            done(error)
            return
        done(None)

    def _check(self, batch: Batch) -> None:
        accepted = {accept.run.id for accept in batch.accepts}
        for stream, events in batch.appends.items():
            log = self._logs.get(stream)
            last = log.last if log is not None else 0
            if log is None and stream.startswith(RUN_STREAM):  # that of an ended run is in the archive
                run_id = stream[len(RUN_STREAM) :]
                if run_id not in accepted and run_id not in self._live:
                    raise ValueError(f"events for {stream}, which is not the stream of a live run")
            if events and (events[0].seq != last + 1 or events[-1].seq != last + len(events)):
                raise ValueError(f"events from {events[0].seq} of {stream} do not follow its last event {last}")

    def _apply(self, batch: Batch) -> None:
        for accept in batch.accepts:
            run = accept.run
            self._live[run.id] = run
            if accept.sealed is not None:
                self._sealed[run.id] = accept.sealed
            if accept.key is not None:
                self._add_key(accept.key)
        for run in batch.starts:
            self._live[run.id] = run
        for stream, events in batch.appends.items():
            if events:
                self._append(stream, events)
        for run in batch.finishes:
            self._live.pop(run.id, None)
            self._sealed.pop(run.id, None)
            self._archive.add(run, self._logs.pop(run_stream(run.id), None))
        for info in batch.artifacts:
            self._artifacts[info.id] = info
        for write in batch.documents:
            self._documents.setdefault(write.owner, DocumentTable()).apply(write)
        if batch.sealed:
            ids = {run.num: run.id for run in self._live.values()}
            self._sealed.update((ids[num], sealed) for num, sealed in batch.sealed.items() if num in ids)

    def _add_key(self, key: KeyRow) -> None:
        """Keep a key, and drop what is too old at the front: keys lie in order of age."""
        self._keys.pop((key.principal, key.key), None)
        self._keys[key.principal, key.key] = key
        for _ in range(2):
            first = next(iter(self._keys.values()))
            if first.created > self._clock() - KEY_LIFE or first is key:
                break
            del self._keys[first.principal, first.key]

    def _append(self, stream: str, events: Sequence[Event]) -> None:
        self._position += 1
        log = self._logs.get(stream)
        if log is None:
            log = self._logs[stream] = Log(stream)
        log.extend(events)
        if self._observers:
            self._commits.append(Commit(self._position, events))

    def release_ballast(self) -> bool:
        """There is no reserve."""
        return False

    def restore_ballast(self) -> bool:
        """There is no reserve, and none is missing."""
        return True

    def next_num(self) -> int:
        """The number for the next run; ascending, never used twice."""
        self._num += 1
        return self._num

    def live(self) -> list[LiveRun]:
        """All runs that have not ended, in order of acceptance."""
        with self._lock:
            runs = sorted(self._live.values(), key=lambda run: run.num)
            return [LiveRun(run, self._sealed.get(run.id), self.last_seq(run_stream(run.id))) for run in runs]

    def find_key(self, principal: str, key: str) -> KeyRow | None:
        """The run an idempotency key belongs to, if it is younger than 24 h."""
        row = self._keys.get((principal, key))
        return row if row is not None and row.created > self._clock() - KEY_LIFE else None

    def last_seq(self, stream: str) -> int:
        """The last event number of a stream, 0 for none."""
        with self._lock:
            log = self._log(stream)
            return log.last if log is not None else 0

    def _log(self, stream: str) -> Log | None:
        if (log := self._logs.get(stream)) is not None or not stream.startswith(RUN_STREAM):
            return log
        record = self._archive.record(stream[len(RUN_STREAM) :])
        return record.log if record is not None else None

    def observer_position(self, name: str) -> int:
        """How far an observer has come; a new one starts at the present end."""
        with self._lock:
            return self._observers.setdefault(name, self._position)

    def set_observer_position(self, name: str, position: int) -> None:
        """Keep how far an observer has come, and drop the commits that every observer has seen."""
        with self._lock:
            self._observers[name] = position
            oldest = min(self._observers.values())
            self._commits = [commit for commit in self._commits if commit.position > oldest]

    def get_run(self, run_id: str) -> Run | None:
        """One run, live or ended."""
        with self._lock:
            if (run := self._live.get(run_id)) is not None:
                return run
            record = self._archive.record(run_id)
            return record.run if record is not None else None

    def get_runs(self, run_ids: Sequence[str]) -> list[Run]:
        """Those of the given runs that exist, in the order asked for."""
        return [run for run_id in run_ids if (run := self.get_run(run_id)) is not None]

    def list_runs(self, filter: RunFilter, limit: int, cursor: str | None) -> Page:
        """Runs, newest first, at most ``limit``.

        Raises:
            InvalidArguments: the cursor is not one of ours.
        """
        before, limit = parse_cursor(cursor), max(1, limit)
        with self._lock:
            found = [run for run in self._live.values() if run.num < before and matches(run, filter)]
            found += self._archive.select(filter, before, limit + 1)
        found.sort(key=lambda run: run.num, reverse=True)
        return Page(found[:limit], str(found[limit - 1].num) if len(found) > limit else None)

    def read_events(self, stream: str, after: int, limit: int, max_bytes: int = 4 << 20) -> list[Event]:
        """Events with ``seq > after``, in order; what is no longer kept is one gap event."""
        with self._lock:
            log = self._log(stream)
            return log.read(after, limit, max_bytes, self._clock()) if log is not None else []

    def read_commits(self, after: int, limit: int) -> list[Commit]:
        """Commits after a host-wide position, in order, from where the first observer came on."""
        with self._lock:
            return [commit for commit in self._commits if commit.position > after][:limit]

    def end_position(self) -> int:
        """The newest host-wide commit position."""
        return self._position

    def artifact(self, artifact_id: str) -> tuple[ArtifactInfo, Path] | None:
        """A kept file and where it lies."""
        info = self._artifacts.get(artifact_id)
        return (info, self._files().artifact(info.run_id, info.id)) if info is not None else None

    def artifacts_of(self, run_id: str) -> list[ArtifactInfo]:
        """The files kept with a run, in the order they came."""
        with self._lock:
            return [info for info in self._artifacts.values() if info.run_id == run_id]

    def artifact_path(self, run_id: str, artifact_id: str) -> Path:
        """Where the file of an artifact goes; its directory exists (0700)."""
        return self._files().artifact(run_id, artifact_id, make=True)

    def document(self, owner: str, key: str) -> DocumentWrite | None:
        """One committed document."""
        with self._lock:
            table = self._documents.get(owner)
            return table.get(key) if table is not None else None

    def documents(self, owner: str, prefix: str, after: str, limit: int) -> list[DocumentWrite]:
        """Documents whose keys begin with ``prefix`` and sort after ``after``."""
        with self._lock:
            table = self._documents.get(owner)
            return table.select(prefix, after, limit) if table is not None else []

    def document_usage(self, owner: str) -> tuple[int, int]:
        """How many documents an owner has, and the bytes of their values together."""
        with self._lock:
            table = self._documents.get(owner)
            return table.usage() if table is not None else (0, 0)

    def _files(self) -> RunFiles:
        if self._data_dir is None:
            self._data_dir = Path(tempfile.mkdtemp(prefix="trunnion-memory-"))
        return RunFiles(self._data_dir / "artifacts")

    def ended(self, before: int | None = None) -> Iterator[list[Ended]]:
        """Ended runs, oldest first, without parents of runs that are live."""
        with self._lock:
            parents = {run.parent_run_id for run in self._live.values()}
            found = [run for run in self._archive.outlines(before) if run.id not in parents]
        yield found

    def tally(self) -> dict[str, int]:
        """How many ended runs there are of each command."""
        with self._lock:
            return Counter(run.command_id for run in self._archive.outlines(None))

    def weigh(self, runs: Sequence[Ended]) -> list[Weight]:
        """What is kept with each of some runs."""
        with self._lock:
            return [self._weigh(run.id) for run in runs]

    def _weigh(self, run_id: str) -> Weight:
        record = self._archive.record(run_id)
        if record is None:
            return Weight(0, 0)
        return Weight(record.last, record.size, sum(info.size for info in self.artifacts_of(run_id)))

    def used_database(self) -> int:
        """Bytes of what is kept in memory of ended runs."""
        with self._lock:
            return self._archive.bytes

    def used_files(self) -> int:
        """Bytes of all kept files."""
        with self._lock:
            return sum(info.size for info in self._artifacts.values())

    def old_events(self, before: int) -> Iterator[OldEvents]:
        """What can be cut of streams that are no run's."""
        with self._lock:
            found = [
                old
                for stream, log in self._logs.items()
                if not stream.startswith(RUN_STREAM) and (old := log.older(before)).events
            ]
        yield from found

    def cut(self, stream: str, last: int) -> None:
        """Remove the events of a stream up to a number that ``old_events`` said."""
        with self._lock:
            self._logs[stream].cut(last)

    def forget(self, run_id: str) -> bool:
        """Remove one ended run with everything kept with it; False if there is none."""
        return bool(self.remove([run_id]))

    def remove(self, run_ids: Sequence[str]) -> int:
        """Remove some ended runs with everything kept with them; how many there were."""
        with self._lock:
            found = {run_id for run_id in run_ids if run_id in self._archive}
            self._remove(found)
            return len(found)

    def _remove(self, run_ids: set[str]) -> None:
        self._archive.remove(run_ids)
        with_files = {info.run_id for info in self._artifacts.values()} & run_ids
        self._artifacts = {key: info for key, info in self._artifacts.items() if info.run_id not in run_ids}
        for run_id in with_files:
            self._files().remove(run_id)

    def stats(self) -> dict[str, Json]:
        """Figures for ``host.status``."""
        return {
            "path": "",
            "bytes": self._archive.bytes,
            "schema_version": 0,
            "runs": len(self._archive),
            "live_runs": len(self._live),
            "durability": "memory",
        }
