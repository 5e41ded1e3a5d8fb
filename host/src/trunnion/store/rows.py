"""One batch as the rows it becomes. Pure: preparing does no I/O and applying only executes.

Whoever prepares knows what is stored (``State``); whoever applies needs to know nothing, so it may be
another process.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from trunnion.model.events import RUN_STREAM, TEXT, Event
from trunnion.model.runs import Run
from trunnion.store import chunks
from trunnion.store.base import Batch, DocumentWrite

SPILL_AFTER: Final = 1 << 20
"""Characters of text a run keeps among its events; what follows goes to its output file."""

MARK_EVERY: Final = 256
"""Runs per block of ``marks``."""

Cell = int | str | bytes | None


class Rows(msgspec.Struct, array_like=True):
    """The rows of one commit by statement, and the output blocks to be written before it."""

    commands: list[tuple[int, str]] = []
    callers: list[tuple[int, str, str]] = []
    streams: list[tuple[int, str]] = []
    keys: list[tuple[str, str, str, str, str, int]] = []
    accepted: list[tuple[int, bytes, bytes | None]] = []
    changed: list[tuple[bytes, int]] = []
    chunks: list[tuple[int, int, int, int, int, int, int, bytes]] = []
    ended: list[tuple[int]] = []
    runs: list[tuple[int, str, int, int, str, int, int, str | None, str | None, int, int, bytes]] = []
    marks: list[tuple[int, int, int]] = []
    late: list[tuple[int, int, int]] = []
    artifacts: list[tuple[str, str, int, bytes]] = []
    removed: list[tuple[str, str]] = []
    documents: list[tuple[str, str, int, int, bytes]] = []
    resealed: list[tuple[bytes, int]] = []
    observers: list[tuple[int, str]] = []
    spills: list[tuple[str, int, list[bytes]]] = []
    over: list[str] = []


STATEMENTS: tuple[tuple[str, str], ...] = (
    ("commands", "INSERT INTO commands VALUES (?, ?)"),
    ("callers", "INSERT INTO callers VALUES (?, ?, ?)"),
    ("streams", "INSERT INTO streams (num, name) VALUES (?, ?)"),
    ("keys", "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?)"),
    ("accepted", "INSERT INTO live VALUES (?, ?, ?)"),
    ("changed", "UPDATE live SET doc = ? WHERE num = ?"),
    ("chunks", "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
    ("ended", "DELETE FROM live WHERE num = ?"),
    ("runs", "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    ("marks", "INSERT INTO marks VALUES (?, ?, ?)"),
    (
        "late",
        "UPDATE marks SET low = min(low, ?), high = max(high, ?)"
        " WHERE last = (SELECT min(last) FROM marks WHERE last >= ?)",
    ),
    ("artifacts", "INSERT INTO artifacts VALUES (?, ?, ?, ?)"),
    ("removed", "DELETE FROM documents WHERE owner = ? AND key = ?"),
    ("documents", "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)"),
    ("resealed", "UPDATE live SET sealed = ? WHERE num = ?"),
    ("observers", "UPDATE observers SET position = ? WHERE name = ?"),
)
"""What is executed for each list of ``Rows``, in this order."""


def apply(connection: sqlite3.Connection, rows: Rows) -> None:
    """Execute the rows inside the transaction that is open."""
    for name, statement in STATEMENTS:
        values: list[tuple[Cell, ...]] = getattr(rows, name)
        if values:
            connection.executemany(statement, values)


class Block:
    """The runs since the last mark: how many, and when the earliest and the latest was created."""

    def __init__(self, marked: int, count: int = 0, low: int = 0, high: int = 0) -> None:
        self.marked = marked
        self.count = count
        self.low = low
        self.high = high

    def add(self, run: Run, rows: Rows) -> None:
        """Count a run in; a full block becomes a mark. One that comes after its block widens the mark."""
        if run.num <= self.marked:
            rows.late.append((run.created, run.created, run.num))
            return
        self.low = min(self.low, run.created) if self.count else run.created
        self.high = max(self.high, run.created)
        self.count += 1
        if self.count >= MARK_EVERY:
            rows.marks.append((run.num, self.low, self.high))
            self.marked, self.count, self.high = run.num, 0, 0


class State:
    """What the next batch builds on. Preparing moves it ahead; after a failed commit it is loaded afresh.

    Attributes:
        position: the newest host-wide commit position.
        nums: live runs, id to number.
        last: the last event number of each live run's stream and of every other stream.
        commands, callers, streams: the numbers that stand for names.
        text: characters of text each live run emitted so far.
        output: bytes in the output file of each run that has one.
        block: see ``Block``.
    """

    def __init__(self, position: int, block: Block) -> None:
        self.position = position
        self.block = block
        self.nums: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.commands: dict[str, int] = {}
        self.callers: dict[tuple[str, str], int] = {}
        self.streams: dict[str, int] = {}
        self.text: dict[str, int] = {}
        self.output: dict[str, int] = {}


_encode = msgspec.json.Encoder().encode


def prepare(state: State, batch: Batch) -> Rows:
    """The rows of a batch.

    Raises:
        ValueError: the events of a stream are not gapless, or belong to a run that is not live.
        TypeError, ValueError: something cannot be encoded.
    """
    rows = Rows()
    fresh: dict[int, tuple[Run, bytes | None]] = {}
    changed: dict[int, Run] = {}
    for accept in batch.accepts:
        run = accept.run
        state.nums[run.id] = run.num
        state.block.add(run, rows)
        fresh[run.num] = (run, accept.sealed)
        if (key := accept.key) is not None:
            rows.keys.append((key.principal, key.key, key.run_id, key.command_id, key.args_digest, key.created))
    for run in batch.starts:
        if run.num in fresh:
            fresh[run.num] = (run, fresh[run.num][1])
        else:
            changed[run.num] = run
    for stream, events in batch.appends.items():
        if events:
            _append(state, rows, stream, events)
    for run in batch.finishes:
        # A run that came and went within one batch never has a row among the live ones.
        if fresh.pop(run.num, None) is None:
            changed.pop(run.num, None)
            rows.ended.append((run.num,))
        _finish(state, rows, run)
    rows.accepted = [(num, _encode(run), sealed) for num, (run, sealed) in fresh.items()]
    rows.changed = [(_encode(run), num) for num, run in changed.items()]
    rows.artifacts = [(info.id, info.run_id, info.size, _encode(info)) for info in batch.artifacts]
    if batch.documents:
        _change_documents(rows, batch.documents)
    if batch.sealed:
        rows.resealed = [(sealed, num) for num, sealed in batch.sealed.items()]
    return rows


def _change_documents(rows: Rows, writes: Sequence[DocumentWrite]) -> None:
    """Of several changes of one document the last one counts, so their order is of no further account."""
    for write in {(write.owner, write.key): write for write in writes}.values():
        if write.value is None:
            rows.removed.append((write.owner, write.key))
        else:
            rows.documents.append((write.owner, write.key, write.revision, write.updated, write.value))


def _finish(state: State, rows: Rows, run: Run) -> None:
    stream = RUN_STREAM + run.id
    last = state.last.pop(stream, 0)
    if state.output.pop(run.id, None) is not None:
        rows.over.append(run.id)
    state.text.pop(run.id, None)
    state.nums.pop(run.id, None)
    doc = _encode(run)
    rows.runs.append(
        (
            run.num,
            run.id,
            _command(state, rows, run.command_id),
            _caller(state, rows, run.principal, run.source),
            run.status,
            run.created,
            run.finished if run.finished is not None else run.created,
            run.session_id,
            run.parent_run_id,
            last,
            zlib.crc32(doc),
            doc,
        )
    )


def _command(state: State, rows: Rows, command_id: str) -> int:
    num = state.commands.get(command_id)
    if num is None:
        num = state.commands[command_id] = len(state.commands) + 1
        rows.commands.append((num, command_id))
    return num


def _caller(state: State, rows: Rows, principal: str, source: str) -> int:
    num = state.callers.get((principal, source))
    if num is None:
        num = state.callers[principal, source] = len(state.callers) + 1
        rows.callers.append((num, principal, source))
    return num


def _stream(state: State, rows: Rows, stream: str) -> int:
    """Runs' streams go by the run's number, others by negative ones."""
    if stream.startswith(RUN_STREAM):
        num = state.nums.get(stream[len(RUN_STREAM) :])
        if num is None:
            raise ValueError(f"events for {stream}, which is not the stream of a live run")
        return num
    num = state.streams.get(stream)
    if num is None:
        num = state.streams[stream] = -len(state.streams) - 1
        rows.streams.append((num, stream))
    return num


def _append(state: State, rows: Rows, stream: str, events: Sequence[Event]) -> None:
    number = _stream(state, rows, stream)
    first, last = events[0].seq, events[-1].seq
    known = state.last.get(stream, 0)
    if first != known + 1 or last - first + 1 != len(events):
        raise ValueError(f"events {first}..{last} ({len(events)}) of {stream} do not follow its last event {known}")
    state.last[stream] = last
    codec, amount = chunks.PLAIN, 0
    for event in events:
        if event.kind == TEXT:
            amount += len(event.text)
    if amount and number > 0:
        events, codec = _spill(state, rows, stream[len(RUN_STREAM) :], events, amount)
    data = chunks.encode(events)
    state.position += 1
    rows.chunks.append((state.position, number, first, last, events[-1].ts, codec, zlib.crc32(data), data))


def _spill(state: State, rows: Rows, run_id: str, events: Sequence[Event], amount: int) -> tuple[Sequence[Event], int]:
    """Past the first MiB of a run's text, of which these events bring ``amount``, move text to its output file."""
    state.text[run_id] = total = state.text.get(run_id, 0) + amount
    if total <= SPILL_AFTER:
        return events, chunks.PLAIN
    start = offset = state.output.get(run_id, 0)
    stored: list[Event] = []
    blocks = []
    for event in events:
        if event.kind == TEXT:
            block = event.text.encode()
            blocks.append(block)
            stored.append(chunks.spanned(event, offset, len(block)))
            offset += len(block)
        else:
            stored.append(event)
    state.output[run_id] = offset
    rows.spills.append((run_id, start, blocks))
    return stored, chunks.SPANS
