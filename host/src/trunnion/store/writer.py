"""The writer process: commits what the host sends, with the disk's word for each group.

``python -m trunnion.store.writer DATABASE ARTIFACTS BATCH_FD REQUEST_FD``, started by ``PowerStore``.
It ends when the host's end of the batch socket closes, however the host ended.
"""

from __future__ import annotations

import signal
import socket
import sqlite3
import sys
import threading
import time
from pathlib import Path

from trunnion.model.errors import TrunnionError
from trunnion.store import rows as prepared
from trunnion.store import wire
from trunnion.store.base import DiskFull
from trunnion.store.connections import Pool, connect_reader, failure, unavailable
from trunnion.store.database import Database
from trunnion.store.files import RunFiles
from trunnion.store.retention import Retention
from trunnion.store.state import KEY_LIFE, number
from trunnion.store.upkeep import Upkeep

BATCH = "batch"
"""Key in ``meta`` of the last batch committed: what makes sending one twice harmless."""


def _oldest_key() -> int:
    return time.time_ns() // 1000 - KEY_LIFE


class Writer:
    """Commits batches in groups and answers in order.

    Args:
        path: the database; its directory exists.
        artifacts: the folder for long output and kept files.
    """

    def __init__(self, path: Path, artifacts: Path) -> None:
        self._path = path
        self._database = Database(path, RunFiles(artifacts, sync=True), "FULL")
        self._pool = Pool(lambda: connect_reader(path))
        self._upkeep = Upkeep(self._database, self._pool, _oldest_key)
        self._retention = Retention(self._database, self._upkeep.pruned)
        self._last = 0
        self._failed: tuple[int, wire.Failure] | None = None

    def open(self) -> int:
        """Open the database; the number of the last batch in it."""
        self._database.open()
        try:
            self._retention.finish_removals()
            query = "SELECT coalesce((SELECT value FROM meta WHERE key = ?), 0)"
            self._last = number(self._database.connection, query, BATCH)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error, self._path) from error
        self._upkeep.start()
        return self._last

    def close(self) -> None:
        """Flush and close."""
        self._upkeep.stop()
        self._pool.close()
        self._database.close()

    def commit(self, group: list[wire.Sent]) -> list[wire.Answer]:
        """Commit a group as one transaction, or one by one if that fails."""
        todo = [batch for batch in group if batch.number > self._last and not self._is_lost(batch)]
        if todo and self._try(todo) is None:
            todo = []
        answers = []
        for batch in group:
            if batch in todo and not self._is_lost(batch) and (error := self._try([batch])) is not None:
                self._failed = (batch.round, wire.failed(error))
            lost = self._failed[1] if self._failed is not None and self._is_lost(batch) else None
            answers.append(wire.Answer(batch.number, lost))
        return answers

    def _is_lost(self, batch: wire.Sent) -> bool:
        """Whether it built on one that failed."""
        return self._failed is not None and batch.round <= self._failed[0] and batch.number > self._last

    def _try(self, group: list[wire.Sent]) -> Exception | None:
        try:
            self._write(group)
        except Exception as error:
            meaning = failure(error, self._path)
            if isinstance(meaning, DiskFull):
                self._upkeep.disk_full()
            return meaning
        self._last = group[-1].number
        for batch in group:
            self._upkeep.wrote(batch.rows)
        return None

    def _write(self, group: list[wire.Sent]) -> None:
        self._database.files.write([spill for batch in group for spill in batch.rows.spills])
        self._database.files.settle((row[1], row[0]) for batch in group for row in batch.rows.artifacts)
        with self._database.transaction() as connection:
            for batch in group:
                prepared.apply(connection, batch.rows)
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (BATCH, group[-1].number))
        for batch in group:
            self._database.end_outputs(batch.rows)

    def answer(self, asked: wire.Request) -> wire.Reply:
        """Do what is asked beside the batches."""
        try:
            if asked.verb == "remove":
                return wire.Reply([self._retention.remove(asked.run_ids)])
            if asked.verb == "cut":
                self._retention.cut(asked.text, asked.last)
                return wire.Reply()
            return wire.Reply([self._database.observer_position(asked.text)])
        except (sqlite3.Error, OSError) as error:
            return wire.Reply(failed=wire.failed(failure(error, self._path)))


def serve(writer: Writer, batches: socket.socket, requests: socket.socket) -> None:
    """Say how far the database is, then commit until the host closes the socket."""
    try:
        batches.sendall(wire.frame(wire.Answer(writer.open())))
    except TrunnionError as error:
        batches.sendall(wire.frame(wire.Answer(0, wire.failed(error))))
        return
    threading.Thread(target=_serve_requests, args=(writer, requests), daemon=True).start()
    splitter = wire.Splitter()
    try:
        while piece := batches.recv(1 << 20):
            # All that came while the last group was written is the next one.
            group = [wire.sent.decode(data) for data in splitter.feed(piece)]
            if group:
                batches.sendall(b"".join([wire.frame(answer) for answer in writer.commit(group)]))
    except (BrokenPipeError, ConnectionResetError):
        # The host is gone; what it sent is committed and nobody waits for the answer.
        return
    finally:
        writer.close()


def _serve_requests(writer: Writer, requests: socket.socket) -> None:
    splitter = wire.Splitter()
    while piece := requests.recv(1 << 16):
        for data in splitter.feed(piece):
            requests.sendall(wire.frame(writer.answer(wire.request.decode(data))))


def main(path: str, artifacts: str, batch_fd: str, request_fd: str) -> None:
    """Entry of the process. Signals meant for the host do not end it; the host's end does."""
    for number_ in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number_, signal.SIG_IGN)
    with socket.socket(fileno=int(batch_fd)) as batches, socket.socket(fileno=int(request_fd)) as requests:
        serve(Writer(Path(path), Path(artifacts)), batches, requests)


if __name__ == "__main__":
    main(*sys.argv[1:])
