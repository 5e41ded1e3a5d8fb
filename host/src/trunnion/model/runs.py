"""Invocations and runs: what was asked, and what became of it."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

from trunnion.model.errors import ErrorInfo
from trunnion.model.json import Json
from trunnion.model.status import TERMINAL, Status

Role: TypeAlias = Literal["viewer", "operator", "admin"]
ROLES: dict[Role, int] = {"viewer": 1, "operator": 2, "admin": 3}

LOCAL_SOURCES: frozenset[str] = frozenset({"cli", "tty", "command"})
"""Doors only the owner of the data directory can reach; every other source is remote."""

LocalDoor: TypeAlias = Literal["cli", "tty"]
LOCAL_DOORS: tuple[LocalDoor, ...] = get_args(LocalDoor)
"""What a client of the local socket can be: single calls of the launcher and of programs, or a shell."""


class Caller(msgspec.Struct, frozen=True):
    """Who speaks and through which door. Only the host's own door handles make one.

    Attributes:
        principal: the name of the person or program, ``system:<plugin>`` for a plugin itself.
        source: the door: cli, tty, rpc, web, schedule, agent, command, ``system:<plugin>``.
        role: the highest role this principal has at this door.
        chain: the sources behind this one, outermost first (a web call that started a run that
            invokes another: ``("web", "command")``).
        credential: what proved who it is: ``password:<mark>``, ``token:<id>``. Policy then asks what the principal
            may do now. Empty for the owner of the data directory and for plugins, whose role is ``role``.
    """

    principal: str
    source: str
    role: Role = "admin"
    chain: tuple[str, ...] = ()
    credential: str = ""


class Invocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client asks for. Intent only: ids, principal, source and lock key are the host's.

    Exactly one of ``args``, ``argv`` and ``line`` is used; none means no arguments.

    Attributes:
        command_id: dotted name or alias; with ``line`` it may be empty, the line then names it.
        args: arguments by name.
        argv: arguments as a list of words, parsed like a command line.
        line: one raw line, split by the host's one splitter.
        timeout: seconds the run may take from acceptance, waiting in a lane included.
        deadline_at: UTC µs after which the run must have ended; the earlier of the two counts.
        idempotency_key: a second invocation with the same key joins the first one's run.
        revision: the command's revision the client has seen; a mismatch is ``stale_meta``.
        not_before: UTC µs before which the run must not start.
        cwd: the folder a local client is in; relative paths in file arguments are relative to it.
    """

    command_id: str = ""
    args: dict[str, Json] | None = None
    argv: tuple[str, ...] | None = None
    line: str | None = None
    timeout: float | None = None
    deadline_at: int | None = None
    idempotency_key: str | None = None
    session_id: str | None = None
    labels: dict[str, str] = {}
    revision: str | None = None
    not_before: int | None = None
    cwd: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution, as stored and shown. Times are UTC, microseconds since 1970.

    Attributes:
        num: the store's number of the run, ascending in order of acceptance.
        args: redacted arguments; secret ones are only in the store's sealed column.
        credential: as in ``Caller``.
        decision: the rule that allowed it.
        args_digest: keyed or plain sha256 over the canonical arguments, where a key or a gate needs it.
        detached: whether it outlives its parent.
        owner: the host_id of the host that holds it while it is live.
        cwd: the folder the caller said it was in, for commands that are ``local``.
        stats: counters the handler added with ``ctx.stats``.
        result: JSON result; one larger than the cap is an artifact and named here.
        last_seq: the last event number of its stream, once it has ended.
    """

    id: str
    num: int
    command_id: str
    command_revision: str
    status: Status
    created: int
    principal: str
    source: str
    chain: tuple[str, ...] = ()
    role: Role = "admin"
    credential: str = ""
    category: str = ""
    args: dict[str, Json] = {}
    args_digest: str = ""
    decision: str = ""
    session_id: str | None = None
    parent_run_id: str | None = None
    rerun_of: str | None = None
    detached: bool = False
    depth: int = 0
    labels: dict[str, str] = {}
    attempt: int = 1
    owner: str = ""
    lock_key: str | None = None
    idempotency_key: str | None = None
    not_before: int | None = None
    deadline_at: int | None = None
    cancel_requested_at: int | None = None
    started: int | None = None
    finished: int | None = None
    cwd: str | None = None
    stats: dict[str, float] = {}
    result: Json = None
    error: ErrorInfo | None = None
    last_seq: int = 0

    @property
    def ended(self) -> bool:
        """Whether the run has reached a terminal status."""
        return self.status in TERMINAL


class ArtifactInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file kept with a run.

    Attributes:
        size: bytes.
        sha256: hex digest of the content.
        media_type: what the maker said it is; never used to decide how to execute it.
    """

    id: str
    run_id: str
    name: str
    size: int
    sha256: str
    media_type: str = "application/octet-stream"
    created: int = 0


class Page(msgspec.Struct, frozen=True):
    """One page of a list: ``next`` is the cursor of the following page, None at the end."""

    items: list[Run]
    next: str | None = None


class RunChanges(msgspec.Struct, frozen=True):
    """Runs that changed, each as it is now.

    Attributes:
        cursor: where to go on after them.
        reset: whether it cannot be told what changed before: ``runs`` are then all that have not ended.
    """

    runs: list[Run]
    cursor: str
    reset: bool = False


class RunFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which runs a list shows; every field narrows. ``command`` may end in ``*`` (a prefix)."""

    status: tuple[Status, ...] = ()
    command: str | None = None
    principal: str | None = None
    source: str | None = None
    session_id: str | None = None
    parent_run_id: str | None = None
    created_after: int | None = None
    created_before: int | None = None
