"""Looking at everything a store has on disk, and naming what is not as it was written. Changes nothing."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from trunnion.model.runs import ArtifactInfo, Run
from trunnion.model.status import LIVE, TERMINAL
from trunnion.store.check_streams import check_streams
from trunnion.store.connections import connect_reader
from trunnion.store.factory import database_path
from trunnion.store.files import OUTPUT
from trunnion.store.outputs import PARTIAL
from trunnion.store.schema import check as check_schema
from trunnion.store.snapshot import Snapshot
from trunnion.store.trouble import Trouble

Access: TypeAlias = Literal["alone", "beside"]
"""Whether this process has the data directory to itself, or looks beside a running host."""

MEND_PAGES = "the indexes are made anew, or the whole file from its tables; what tables have lost is named afterwards"

MOST_OF_PAGES = 20

_run = msgspec.json.Decoder(Run)
_artifact = msgspec.json.Decoder(ArtifactInfo)


class Known(NamedTuple):
    """Ids of runs, as far as their rows could be read."""

    ended: set[str]
    live: set[str]
    doomed: set[str]


def examine(data_dir: Path, access: Access = "alone") -> Iterator[Trouble]:
    """Look at the pages, runs, streams and kept files of a data directory that has a database.

    Args:
        data_dir: the data directory.
        access: beside a host, files without a record are not looked for: a run may be about to record them.

    Raises:
        IncompatibleData: a newer version wrote it.
        Unavailable: it is a database of something else.
    """
    path, artifacts = database_path(data_dir), data_dir / "artifacts"
    try:
        with _reading(path, access) as connection:
            check_schema(connection, path)
            yield from _examined(connection, artifacts, access)
    except sqlite3.DatabaseError as error:
        yield _unreadable(f"{path}: {error}")


@contextmanager
def _reading(path: Path, access: Access) -> Iterator[sqlite3.Connection]:
    if access == "beside":
        with closing(connect_reader(path)) as connection:
            yield connection
        return
    snapshot = Snapshot(path)
    try:
        with closing(snapshot.connect()) as connection:
            yield connection
    finally:
        snapshot.close()


def _unreadable(text: str) -> Trouble:
    return Trouble("pages", text, mend=MEND_PAGES, is_fatal=True)


def _examined(connection: sqlite3.Connection, artifacts: Path, access: Access) -> Iterator[Trouble]:
    """Every check by itself: what one cannot read does not keep the others from looking."""
    connection.execute("BEGIN")
    try:
        known = Known(set(), set(), set())
        looks = {
            "pages": _pages(connection),
            "ended runs": _runs(connection, known),
            "live runs": _live(connection, known),
            "events": check_streams(connection, artifacts),
            "kept files": _artifacts(connection, artifacts),
        }
        unread = list[str]()
        for what, look in looks.items():
            yield from _named(what, look, unread)
        # Without the records nobody can tell which files have none.
        if access == "alone" and not unread:
            yield from _named("records of files", _orphans(connection, artifacts, known), unread)
    finally:
        connection.execute("ROLLBACK")


def _named(what: str, look: Iterator[Trouble], unread: list[str]) -> Iterator[Trouble]:
    """One check; if what it looks at cannot be read, that is a trouble by name, and noted."""
    try:
        yield from look
    except sqlite3.DatabaseError as error:
        unread.append(what)
        yield _unreadable(f"{what} cannot be read: {error}")
    except (TypeError, ValueError, OverflowError) as error:
        # SQLite gives whatever lies in a page, numbers where there were bytes among it.
        unread.append(what)
        yield _unreadable(f"{what} have rows that nobody wrote: {error}")


def _pages(connection: sqlite3.Connection) -> Iterator[Trouble]:
    try:
        rows: list[tuple[str]] = connection.execute(f"PRAGMA integrity_check({MOST_OF_PAGES})").fetchall()
    except sqlite3.DatabaseError as error:
        # Some damage ends that check; a smaller one may still say where it is.
        yield _unreadable(str(error))
        rows = connection.execute(f"PRAGMA quick_check({MOST_OF_PAGES})").fetchall()
    for (text,) in rows:
        if text != "ok":
            yield _unreadable(text.strip())._replace(is_fatal="index" not in text)


def _runs(connection: sqlite3.Connection, known: Known) -> Iterator[Trouble]:
    rows: Iterator[tuple[int, str, str, int, bytes]] = connection.execute("SELECT num, id, status, crc, doc FROM runs")
    for num, run_id, status, crc, doc in rows:
        known.ended.add(run_id)
        if wrong := _wrong_with_run(num, run_id, status, crc, doc):
            yield Trouble(
                "run",
                f"run {run_id}: {wrong}",
                num,
                "what its columns still say becomes its record; its arguments and result are lost",
            )


def _wrong_with_run(num: int, run_id: str, status: str, crc: int, doc: bytes) -> str:
    if zlib.crc32(doc) != crc:
        return "its record is not what was written (checksum)"
    try:
        run = _run.decode(doc)
    except msgspec.DecodeError as error:
        return f"its record cannot be read: {error}"
    if (run.num, run.id, run.status) != (num, run_id, status) or status not in TERMINAL:
        return f"its record is of run {run.id}, number {run.num}, {run.status}; its row says {num}, {status}"
    return ""


def _live(connection: sqlite3.Connection, known: Known) -> Iterator[Trouble]:
    rows: list[tuple[int, bytes]] = connection.execute("SELECT num, doc FROM live ORDER BY num").fetchall()
    for num, doc in rows:
        try:
            run = _run.decode(doc)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wrong = f"its record cannot be read: {error}"
        else:
            known.live.add(run.id)
            wrong = _wrong_with_live(num, run, known)
        if wrong:
            mend = "its record and its events go to lost+found; the run is lost"
            yield Trouble("live", f"the run that is number {num} and had not ended: {wrong}", num, mend, is_fatal=True)


def _wrong_with_live(num: int, run: Run, known: Known) -> str:
    if run.id in known.ended:
        return f"run {run.id} is on record as ended too"
    if run.num != num or run.status not in LIVE:
        return f"its record is of number {run.num}, {run.status}"
    return ""


def _artifacts(connection: sqlite3.Connection, folder: Path) -> Iterator[Trouble]:
    rows: Iterator[tuple[str, bytes]] = connection.execute("SELECT id, doc FROM artifacts ORDER BY rowid")
    for artifact_id, doc in rows:
        try:
            info = _artifact.decode(doc)
            size = (folder / info.run_id / info.id).stat().st_size
        except msgspec.DecodeError as error:
            yield Trouble("artifact", f"artifact {artifact_id}: its record cannot be read: {error}", artifact_id)
        except FileNotFoundError:
            yield Trouble("artifact", f"artifact {artifact_id} of run {info.run_id}: its file is missing", artifact_id)
        else:
            if size != info.size:
                text = f"artifact {artifact_id} of run {info.run_id}: {size} bytes where {info.size} were kept"
                yield Trouble("artifact", text, artifact_id)


def _orphans(connection: sqlite3.Connection, folder: Path, known: Known) -> Iterator[Trouble]:
    """Files that no record knows. Those of removed runs are about to go and are none."""
    known.doomed.update(run_id for (run_id,) in connection.execute("SELECT run_id FROM doomed"))
    kept = {(run_id, artifact_id) for run_id, artifact_id in connection.execute("SELECT run_id, id FROM artifacts")}
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        if entry.name in known.doomed or entry.name.endswith(PARTIAL):
            continue
        if entry.name not in known.ended and entry.name not in known.live:
            yield _orphan(entry.name, "a run that is not on record")
            continue
        for file in _entries(Path(entry.path)):
            if file.name != OUTPUT and (entry.name, file.name) not in kept:
                yield _orphan(f"{entry.name}/{file.name}", "not on record")


def _orphan(name: str, why: str) -> Trouble:
    return Trouble("orphan", f"artifacts/{name}: {why}", name, "it goes to lost+found")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
