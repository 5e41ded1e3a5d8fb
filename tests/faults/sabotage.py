"""A host with one defence taken out, so that the checks are known to fail when they should.

python sabotage.py DEFENCE[,DEFENCE] TRUNNION_ARGUMENTS...
"""

from __future__ import annotations

import sys

from points import die_at
from sabotage_doors import close_no_more, make_no_room
from sabotage_plugins import let_plugins_through, load_first, take_half
from sabotage_rpc import read_nonsense, see_no_frames, set_no_limits, wait_for_requests
from sabotage_streams import forget_gaps, never_hold_back, snapshot_first, tell_each_anew

from trunnion.kernel.recovery import Recovery
from trunnion.launcher.main import main
from trunnion.store.base import Batch, Done
from trunnion.store.sqlite import SqliteStore


def answer_early() -> None:
    """Say that a batch is on record when it is merely about to be."""
    commit = SqliteStore.commit
    waiting: list[Batch] = []

    def put(store: SqliteStore) -> None:
        while waiting:
            commit(store, waiting.pop(0), lambda error: None)

    def early(self: SqliteStore, batch: Batch, done: Done) -> None:
        if len(waiting) >= 20 or not batch:
            put(self)
        waiting.append(batch)
        done(None)

    close = SqliteStore.close

    def flushed(self: SqliteStore) -> None:
        put(self)
        close(self)

    SqliteStore.commit = early  # type: ignore[method-assign]
    SqliteStore.close = flushed  # type: ignore[method-assign]


def leave_running() -> None:
    """Take nothing up at start."""
    Recovery.recover = lambda self: {}  # type: ignore[method-assign]


def forget_keys() -> None:
    """Know no idempotency key of an earlier host."""
    SqliteStore.find_key = lambda self, principal, key: None  # type: ignore[method-assign]


def run_again() -> None:
    """Queue what was running once more, retry or not."""
    Recovery._retried = _requeued  # type: ignore[method-assign]


def _requeued(self: Recovery, live: object) -> bool:
    live.move("pending", started=None)  # type: ignore[attr-defined]
    return True


def forget_cancels() -> None:
    """Take up cancelled runs as if nobody had cancelled them."""
    import msgspec

    judge = Recovery._judge

    def forgetful(self: Recovery, live: object, **_: bool) -> str:
        live.run = msgspec.structs.replace(live.run, cancel_requested_at=None, status="pending")  # type: ignore[attr-defined]
        return judge(self, live, lost_parent=False, unreadable=False)  # type: ignore[arg-type]

    Recovery._judge = forgetful  # type: ignore[method-assign, assignment]


def end_twice() -> None:
    """Say the end of a run twice."""
    from trunnion.kernel import ending

    say = ending._say_end

    def twice(live: object) -> None:
        say(live)  # type: ignore[arg-type]
        say(live)  # type: ignore[arg-type]

    ending._say_end = twice


def act_first() -> None:
    """Let the gates be asked for form's sake, while the handler is at work."""
    import asyncio

    from trunnion.kernel.gates import Gates

    admit = Gates.admit
    asked: set[asyncio.Task[object]] = set()

    async def later(self: Gates, admission: object) -> None:
        await asyncio.sleep(0.5)
        await admit(self, admission)  # type: ignore[arg-type]

    async def at_once(self: Gates, admission: object) -> None:
        asked.add(asyncio.get_running_loop().create_task(later(self, admission)))

    Gates.admit = at_once  # type: ignore[method-assign, assignment]


def migrate_unguarded() -> None:
    """Bring the database to its version statement by statement."""
    from trunnion.store import schema

    def bare(connection: object, step: object, number: int) -> None:
        connection.execute(f"PRAGMA user_version = {number}")  # type: ignore[attr-defined]
        step(connection)  # type: ignore[operator]

    schema._step = bare


def keep_no_copy() -> None:
    """Migrate without keeping what was there."""
    from trunnion.store import schema

    schema._keep_backup = lambda connection, target: None


def version_apart() -> None:
    """Put the version of a plugin's documents on record after the documents."""
    from trunnion.kernel.documents import OwnDocuments

    change = OwnDocuments.change

    async def in_two(self: OwnDocuments, values: object, version: int | None = None, **rest: object) -> object:
        done = await change(self, values, **rest)  # type: ignore[arg-type]
        return done if version is None else await change(self, {}, version=version)

    OwnDocuments.change = in_two  # type: ignore[method-assign, assignment]


def look_away() -> None:
    """Take a door that is gone for one that is open."""
    from trunnion.kernel.parts import Part, Parts

    async def pretend(self: Parts, part: Part, *_: object) -> bool:
        part.status = "ready"
        return False

    Parts._again = pretend  # type: ignore[method-assign]


def steal_socket() -> None:
    """Have somebody else listen at the host's socket, right after the host found that nobody does."""
    import socket
    from pathlib import Path

    from trunnion.protocol import address

    clear = address.clear
    thieves: list[socket.socket] = []

    def stolen(path: Path) -> None:
        clear(path)
        if not thieves:
            thieves.append(socket.socket(socket.AF_UNIX))
            with address.short(path) as place:
                thieves[0].bind(place)
            thieves[0].listen()

    address.clear = stolen


def share_the_process() -> None:
    """Run isolated handlers where all others run."""
    from trunnion.kernel import entries

    entries.place_of = lambda handler: None  # type: ignore[assignment, return-value]


def end_in_two() -> None:
    """Put the last event of a run on record before its row, and die in between."""
    import os
    import signal

    commit = SqliteStore.commit

    def halved(self: SqliteStore, batch: Batch, done: Done) -> None:
        if batch.finishes:
            commit(self, Batch(appends=batch.appends), lambda error: None)
            os.kill(os.getpid(), signal.SIGKILL)
        commit(self, batch, done)

    SqliteStore.commit = halved  # type: ignore[method-assign]


def interrupt_nobody() -> None:
    """Leave at the end of the grace, whoever is still at work."""
    from trunnion.kernel.core import Kernel

    Kernel.interrupt = lambda self: None  # type: ignore[method-assign]
    Kernel.give_up = lambda self, *, dying=False: None  # type: ignore[method-assign]


def share_the_data() -> None:
    """Take no lock on the data directory; the database's own is left, and told sooner."""
    import fcntl
    from types import SimpleNamespace

    from trunnion.config import data_dir
    from trunnion.store import database

    names = {name: value for name, value in vars(fcntl).items() if name.isupper()}
    data_dir.fcntl = SimpleNamespace(**names, flock=lambda fd, how: None)  # type: ignore[attr-defined]
    database.WRITER_TIMEOUT = 0.5


def keep_no_reserve() -> None:
    """Have nothing to give back when the disk is full."""
    from trunnion.store.files import Ballast

    Ballast.restore = lambda self: True  # type: ignore[method-assign]
    Ballast.release = lambda self: False  # type: ignore[method-assign]


def show_secrets() -> None:
    """Cut nothing from what is shown, and mask no argument."""
    from trunnion.access.redaction import Redactor
    from trunnion.access.streams import StreamRedactor
    from trunnion.kernel import admission

    for name in ("text", "encoded", "raw"):
        setattr(Redactor, name, lambda self, given: given)
    StreamRedactor.feed = lambda self, data: data  # type: ignore[method-assign]
    admission.mask = lambda args, secrets: dict(args)  # type: ignore[attr-defined]


def keep_all_output() -> None:
    """Let a run say as much as it likes."""
    from trunnion.kernel.capping import Cap

    Cap.takes = lambda self, size, lines=1: True  # type: ignore[method-assign]


def die_rotating() -> None:
    """Be killed at one moment of a change of the key: DIE_AT."""
    import os
    import signal

    from trunnion.access.sealing import Sealer
    from trunnion.kernel.secrets import SecretStore

    owner, name = {
        "begun": (Sealer, "begin_rotation"),
        "documents": (SecretStore, "_seal_documents_anew"),
        "runs": (SecretStore, "_seal_runs_anew"),
        "finished": (Sealer, "finish_rotation"),
    }[os.environ["DIE_AT"]]
    whole = getattr(owner, name)

    def die(self: object) -> None:
        whole(self)
        os.kill(os.getpid(), signal.SIGKILL)

    async def die_later(self: object) -> None:
        await whole(self)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, die if owner is Sealer else die_later)


def trust_any_key() -> None:
    """Take a key that every user can read for one that nobody else has read."""
    from trunnion.access import key_file

    key_file._refuse_open_to_others = lambda path, status: None


DEFENCES = {
    function.__name__: function
    for function in (
        answer_early,
        share_the_process,
        leave_running,
        forget_keys,
        run_again,
        forget_cancels,
        end_twice,
        act_first,
        migrate_unguarded,
        keep_no_copy,
        version_apart,
        look_away,
        steal_socket,
        end_in_two,
        interrupt_nobody,
        share_the_data,
        keep_no_reserve,
        show_secrets,
        keep_all_output,
        die_rotating,
        die_at,
        forget_gaps,
        never_hold_back,
        snapshot_first,
        tell_each_anew,
        close_no_more,
        make_no_room,
        let_plugins_through,
        load_first,
        take_half,
        trust_any_key,
        read_nonsense,
        see_no_frames,
        set_no_limits,
        wait_for_requests,
    )
}

if __name__ == "__main__":
    for name in sys.argv.pop(1).split(","):
        if name != "none":
            DEFENCES[name]()
    main()
