"""Named moments in the life of a run at which a host dies: ``DIE_AT`` in its environment, the
``DIE_AFTER``-th time it is reached.

The host itself knows nothing of them: each is put round the very call it is named after, in the process that is to die.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from trunnion.kernel import state_migration
from trunnion.kernel.gates import Gates
from trunnion.protocol.server import Peer
from trunnion.store import database, schema
from trunnion.store.base import Batch, Done
from trunnion.store.sqlite import SqliteStore


class Countdown:
    """Dies when it has been reached often enough."""

    def __init__(self) -> None:
        self.left = int(os.environ.get("DIE_AFTER", "1"))

    def reached(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def intent(point: Countdown) -> None:
    """The gates have let it pass, and what they wrote is on the disk."""
    admit = Gates.admit

    async def then_die(self: Gates, admission: object) -> object:
        hold = await admit(self, admission)  # type: ignore[arg-type]
        point.reached()
        return hold

    Gates.admit = then_die  # type: ignore[method-assign, assignment]


def committed(holds: Callable[[Batch], object]) -> Callable[[Countdown], None]:
    """A batch of a kind is on record, and nobody has been told of it."""

    def install(point: Countdown) -> None:
        commit = SqliteStore.commit

        def then_die(self: SqliteStore, batch: Batch, done: Done) -> None:
            def told(error: Exception | None) -> None:
                if error is None and holds(batch):
                    point.reached()
                done(error)

            commit(self, batch, told)

        SqliteStore.commit = then_die  # type: ignore[method-assign]

    return install


def has_output(batch: Batch) -> bool:
    """Whether a batch holds what a handler said."""
    runs = [events for stream, events in batch.appends.items() if stream.startswith("run/")]
    return any(event.kind == "text" for events in runs for event in events)


def terminal(point: Countdown) -> None:
    """The end of a run has left for a follower."""
    write = Peer.write

    def then_die(self: Peer, message: bytes) -> None:
        write(self, message)
        if b'"stream"' in message and b'"kind":"state"' in message and b'"status":"succeeded"' in message:
            once_sent(self)

    def once_sent(peer: Peer) -> None:
        # What the socket has taken reaches the follower, whatever becomes of this process.
        if peer._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_soon(once_sent, peer)
        else:
            point.reached()

    Peer.write = then_die  # type: ignore[method-assign]


def handler(point: Countdown) -> None:
    """A handler has begun: its effect is there, and it has said nothing yet."""
    write = os.write

    def then_die(fd: int, data: bytes) -> int:
        written = write(fd, data)
        if str(Path(f"/proc/self/fd/{fd}").readlink()) == os.environ["FAULTS_EFFECTS"]:
            point.reached()
        return written

    os.write = then_die


def migration(point: Countdown) -> None:
    """Every statement of a migration of the database, before and after each step of keeping its copy, and its end."""
    migrate = database.migrate

    def then_die(connection: sqlite3.Connection, *args: Any) -> None:
        connection.set_trace_callback(lambda _: point.reached())
        migrate(connection, *args)
        connection.set_trace_callback(None)
        point.reached()

    database.migrate = then_die
    around_copies(schema, point)


def documents(point: Countdown) -> None:
    """Before and after each commit of changed documents, and each step of keeping their copy."""
    commit = SqliteStore.commit

    def then_die(self: SqliteStore, batch: Batch, done: Done) -> None:
        if batch.documents:
            point.reached()
        commit(self, batch, lambda error: (point.reached() if batch.documents else None, done(error))[1])

    SqliteStore.commit = then_die  # type: ignore[method-assign]
    around_copies(state_migration, point)


def around_copies(module: ModuleType, point: Countdown) -> None:
    """Before and after what makes a copy last: each sync, and giving it its name."""

    def around(whole: Callable[..., Any]) -> Callable[..., Any]:
        def then_die(*args: Any) -> Any:
            point.reached()
            result = whole(*args)
            point.reached()
            return result

        return then_die

    module.sync_file = around(module.sync_file)  # type: ignore[attr-defined]
    replace = Path.replace
    Path.replace = lambda own, to: (around(replace) if own.suffix == ".partial" else replace)(own, to)  # type: ignore


POINTS: dict[str, Callable[[Countdown], None]] = {
    "intent": intent,
    "accepted": committed(lambda batch: batch.accepts),
    "handler": handler,
    "event": committed(has_output),
    "outcome": committed(lambda batch: batch.finishes),
    "terminal": terminal,
    "migration": migration,
    "documents": documents,
}


def die_at() -> None:
    """Die at the point that ``DIE_AT`` names."""
    if point := os.environ.get("DIE_AT"):
        POINTS[point](Countdown())
