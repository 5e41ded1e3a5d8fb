"""What to run and what became of it: plain data of the keeper's client."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from trunnion.model.errors import Unavailable


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Resource limits; None leaves one alone.

    The first six bind each process by itself, hard and soft alike, see setrlimit(2). The last three bind a program
    together with all its descendants. They need a cgroup with the controller named, and a program that asks for one is
    refused where there is none: see ``host.cgroup``.

    Attributes:
        cpu_seconds: processor time; SIGKILL follows.
        address_space: bytes of address space.
        open_files: one more than the highest descriptor.
        file_size: bytes any file may be written to.
        processes: processes of the same user, system-wide; it does not bind root.
        core: bytes of a core dump, 0 for none.
        memory: bytes of memory of the whole tree, without swap; past it the whole tree is killed (controller memory).
        cpus: processors the whole tree may keep busy, such as 0.5; past it the tree is slowed down (controller cpu).
        tasks: processes and threads of the whole tree; past it no fork succeeds (controller pids).
    """

    cpu_seconds: int | None = None
    address_space: int | None = None
    open_files: int | None = None
    file_size: int | None = None
    processes: int | None = None
    core: int | None = None
    memory: Annotated[int, msgspec.Meta(ge=1)] | None = None
    cpus: Annotated[float, msgspec.Meta(ge=0.01)] | None = None
    tasks: Annotated[int, msgspec.Meta(ge=1)] | None = None


_LIMITS: Final = {
    "cpu_seconds": resource.RLIMIT_CPU,
    "address_space": resource.RLIMIT_AS,
    "open_files": resource.RLIMIT_NOFILE,
    "file_size": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
    "core": resource.RLIMIT_CORE,
}
_FILES: Final = {"memory.max": "memory", "cpu.max": "cpus", "pids.max": "tasks"}
LIMIT_NAMES: Final = {**{str(number): name for name, number in _LIMITS.items()}, **_FILES}
CONTROLLERS: Final = {"memory": "memory", "cpus": "cpu", "tasks": "pids"}
"""Limit -> the controller of cgroup v2 that keeps it."""

_PERIOD: Final = 100_000


def limit_pairs(limits: Limits) -> list[tuple[int, int]]:
    """The limits that are set, as (resource number, value)."""
    chosen = ((number, getattr(limits, name)) for name, number in _LIMITS.items())
    return [(number, value) for number, value in chosen if value is not None]


def group_limits(limits: Limits) -> list[tuple[str, str]]:
    """The limits of the whole tree that are set, as files of its cgroup and their content."""
    files: list[tuple[str, str]] = []
    if limits.memory is not None:
        files += [("memory.max", str(limits.memory)), ("memory.swap.max", "0"), ("memory.oom.group", "1")]
    if limits.cpus is not None:
        files.append(("cpu.max", f"{round(limits.cpus * _PERIOD)} {_PERIOD}"))
    if limits.tasks is not None:
        files.append(("pids.max", str(limits.tasks)))
    return files


class Spawn(msgspec.Struct, frozen=True, kw_only=True):
    """One program to start. Nothing is inherited from the host but what stands here.

    Attributes:
        argv: the words, the first being the program; one without ``/`` is looked up in the PATH of ``env``.
        env: the whole environment.
        cwd: working directory, absolute.
        stdin: ``pipe`` gives ``Process.stdin``, ``null`` an empty input.
        merge_stderr: whether stderr goes into the stdout pipe, in order.
        umask: None keeps the host's at its start.
        drain_grace: seconds that descendants get to end by themselves after the leader has.
        owner: whose it is, such as a run's id, for ``Keeper.owned``.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    cwd: str = "/"
    stdin: Literal["null", "pipe"] = "null"
    merge_stderr: bool = False
    limits: Limits = Limits()
    umask: int | None = None
    drain_grace: float = 1.0
    owner: str = ""

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("argv is empty: it needs at least the program")
        if any("\0" in text for text in (*self.argv, *self.env, *self.env.values(), self.cwd)):
            raise ValueError("a program's words, environment and directory cannot contain a NUL character")
        if any("=" in name or not name for name in self.env):
            raise ValueError("the name of an environment variable is empty or contains '='")


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended.

    Attributes:
        code: exit status, None if a signal ended it.
        signal: number of that signal, None if it exited.
        signal_name: such as ``SIGTERM``, empty if it exited.
        core: whether a core was dumped.
        user_seconds, system_seconds: processor time of the program and of all descendants that were waited for.
        max_rss: bytes, the largest of them; some 10 MB are the floor, being the minder's own at the fork.
        killed_tree: how many processes had to be sent SIGKILL.
        left: how many could not be killed within the time allowed, normally 0.
        limit: which limit of the whole tree it ran into: ``memory`` (it was killed for it), ``tasks`` (a fork failed
            for it), empty for neither.
    """

    code: int | None
    signal: int | None
    signal_name: str = ""
    core: bool = False
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    max_rss: int = 0
    killed_tree: int = 0
    left: int = 0
    limit: str = ""

    @property
    def ok(self) -> bool:
        """Whether it exited with status 0."""
        return self.code == 0


class Step(msgspec.Struct, frozen=True):
    """One step of a stop.

    Attributes:
        name: ``close_stdin``, ``terminate`` (SIGTERM and SIGCONT) or ``kill`` (SIGKILL).
        seconds: since the program was started.
        processes: how many it was meant for.
    """

    name: str
    seconds: float
    processes: int


class Member(msgspec.Struct, frozen=True):
    """One process of a tree; ``start`` (clock ticks since boot) tells it from a later one of the same pid."""

    pid: int
    start: int


Mechanism: TypeAlias = Literal["cgroup", "walk"]
"""What holds a tree together: a cgroup of its own, or a subreaper above it and walks over ``/proc``."""


class Census(msgspec.Struct, frozen=True):
    """What the keeper has done so far: programs started and not started, alive now, minders idle and busy."""

    started: int
    failed: int
    alive: int
    minders: int


class Owned(msgspec.Struct, frozen=True):
    """A program that is alive: who owns it, since how many seconds it runs, and what holds its tree together.

    ``pid`` and ``start`` (clock ticks since boot) are those of the program, ``minder`` is the pid that looks after it.
    """

    pid: int
    start: int
    program: str
    owner: str
    age: float
    minder: int
    mechanism: Mechanism


class SpawnFailed(Unavailable):
    """A program did not start.

    ``details`` has ``cause`` (one of missing, not_executable, is_directory, bad_interpreter, bad_format, bad_cwd,
    bad_limits, too_long, no_resources, denied, other), ``path``, ``errno`` and ``permanent``: whether
    another attempt without a change would fail the same way.
    """

    @property
    def cause(self) -> str:
        """One of the causes above."""
        return str(self.details.get("cause", "other"))

    @property
    def permanent(self) -> bool:
        """Whether trying again is of no use until somebody changes something."""
        return bool(self.details.get("permanent", False))
