"""Reading back what a store holds, at start and after a failed commit."""

from __future__ import annotations

import sqlite3

import msgspec

from trunnion.model.events import RUN_STREAM, run_stream
from trunnion.model.runs import Run
from trunnion.store.base import LiveRun
from trunnion.store.files import RunFiles
from trunnion.store.rows import SPILL_AFTER, Block, State

KEY_LIFE = 24 * 3600 * 1_000_000
"""How long an idempotency key counts, µs."""

_run = msgspec.json.Decoder(Run)


def load_state(connection: sqlite3.Connection, files: RunFiles) -> State:
    """The state as committed."""
    state = State(end_position(connection), _block(connection))
    state.nums = {run.id: run.num for run, _ in load_live(connection)}
    state.commands = dict(_pairs(connection, "SELECT id, num FROM commands"))
    state.streams = dict(_pairs(connection, "SELECT name, num FROM streams"))
    callers: list[tuple[str, str, int]] = connection.execute("SELECT principal, source, num FROM callers").fetchall()
    state.callers = {(principal, source): num for principal, source, num in callers}
    for run_id, num in state.nums.items():
        state.last[run_stream(run_id)] = last_of(connection, num)
        if size := files.output_size(run_id):
            state.output[run_id], state.text[run_id] = size, SPILL_AFTER
    for name, num in state.streams.items():
        state.last[name] = last_of(connection, num)
    return state


def load_live(connection: sqlite3.Connection) -> list[tuple[Run, bytes | None]]:
    """Live runs and their sealed secrets in order of number."""
    rows: list[tuple[bytes, bytes | None]] = connection.execute("SELECT doc, sealed FROM live ORDER BY num").fetchall()
    return [(_run.decode(doc), sealed) for doc, sealed in rows]


def live_runs(connection: sqlite3.Connection) -> list[LiveRun]:
    """Live runs as the kernel wants them at start."""
    return [LiveRun(run, sealed, last_of(connection, run.num)) for run, sealed in load_live(connection)]


def last_of(connection: sqlite3.Connection, stream: int) -> int:
    """The last event number a stream had, whether or not its events are still kept."""
    kept = number(
        connection, "SELECT coalesce((SELECT last FROM chunks WHERE stream = ? ORDER BY first DESC LIMIT 1), 0)", stream
    )
    floor = "SELECT coalesce((SELECT last FROM streams WHERE num = ?), 0)"
    return max(kept, number(connection, floor, stream)) if stream < 0 else kept


def stream_number(connection: sqlite3.Connection, stream: str) -> int | None:
    """The number of the stream of an ended run, or of a stream that is not a run's."""
    name, table = (stream, "streams WHERE name")
    if stream.startswith(RUN_STREAM):
        name, table = stream[len(RUN_STREAM) :], "runs WHERE id"
    row: tuple[int] | None = connection.execute(f"SELECT num FROM {table} = ?", (name,)).fetchone()  # noqa: S608
    return row[0] if row else None


def stream_name(connection: sqlite3.Connection, number: int) -> str:
    """The inverse of ``stream_number``, for live runs too."""
    if number < 0:
        query = "SELECT name FROM streams WHERE num = ?"
    else:
        query = (
            "SELECT id FROM runs WHERE num = ?1 UNION ALL SELECT CAST(doc AS TEXT) ->> 'id' FROM live WHERE num = ?1"
        )
    row: tuple[str] = connection.execute(query, (number,)).fetchone()
    return row[0] if number < 0 else run_stream(row[0])


def end_position(connection: sqlite3.Connection) -> int:
    """The newest commit position ever given, even where retention removed the newest chunk."""
    return number(
        connection,
        "SELECT max(coalesce((SELECT max(position) FROM chunks), 0),"
        " coalesce((SELECT value FROM meta WHERE key = 'position'), 0))",
    )


def last_num(connection: sqlite3.Connection) -> int:
    """The highest number a run ever had, even where retention removed that run."""
    return number(
        connection,
        "SELECT max(coalesce((SELECT max(num) FROM runs), 0), coalesce((SELECT max(num) FROM live), 0),"
        " coalesce((SELECT value FROM meta WHERE key = 'num'), 0))",
    )


def number(connection: sqlite3.Connection, query: str, *values: int | str) -> int:
    """The one number a query answers with."""
    row: tuple[int] = connection.execute(query, values).fetchone()
    return row[0]


def _pairs(connection: sqlite3.Connection, query: str) -> list[tuple[str, int]]:
    return connection.execute(query).fetchall()


def _block(connection: sqlite3.Connection) -> Block:
    marked = number(connection, "SELECT coalesce(max(last), 0) FROM marks")
    created = [run.created for run, _ in load_live(connection) if run.num > marked]
    ended: list[tuple[int]] = connection.execute("SELECT created FROM runs WHERE num > ?", (marked,)).fetchall()
    created += [time for (time,) in ended]
    return Block(marked, len(created), min(created, default=0), max(created, default=0))
