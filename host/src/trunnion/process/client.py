"""The host's side of the keeper: one per host, closed last."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from trunnion.model.errors import Unavailable
from trunnion.process.causes import no_controller
from trunnion.process.child import OnStep, Process
from trunnion.process.delegation import Cgroups, Subtree, prepare
from trunnion.process.keeper import frames
from trunnion.process.keeper.cgroups import close as remove_root
from trunnion.process.link import Link
from trunnion.process.pipes import PipeReader, PipeWriter, output_pipe
from trunnion.process.spec import CONTROLLERS, Census, Owned, Spawn, group_limits, limit_pairs
from trunnion.process.surveying import Survey, survey

IDLE_MINDERS: Final = 4
_PACKAGE: Final = Path(__file__).resolve().parent.parent
_LEAVE: Final = 20.0

_BOOT: Final = """
import sys
for name, path in (("trunnion", sys.argv[1]), ("trunnion.process", sys.argv[1] + "/process")):
    sys.modules[name] = type(sys)(name)
    sys.modules[name].__path__ = [path]
from trunnion.process.keeper.main import main
main(int(sys.argv[2]), sys.argv[3])
"""
"""Starts the keeper's modules without the packages above them, which import half of the host."""


class Keeper:
    """Starts programs through a small process of its own, so that none outlives the host.

    That process forks *minders*; each looks after one program at a time and kills all that descends from it when
    told, when the program has ended, and when the host's end of its socket closes, be it by ``kill -9``.
    The first spawn starts the keeper's process, so a host that runs no program pays nothing for it. If that process
    itself is killed, the minders carry on, a guard above it takes its place as the last resort, and the next spawn
    starts a new one.

    Args:
        on_report: told in one line when the keeper had to be started again.
        cgroups: where trees may get cgroups; None for nowhere.
    """

    def __init__(self, on_report: Callable[[str], object] | None = None, cgroups: Cgroups | None = None) -> None:
        self._on_report = on_report
        self._cgroups = cgroups
        self._subtree: Subtree | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._former: list[subprocess.Popen[bytes]] = []
        self._generation = self._pid = 0
        self._socket: socket.socket | None = None
        self._closed = False
        self._idle: list[Link] = []
        self._alive: dict[Process, Link] = {}
        self._started = self._failed = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int:
        """Of the keeper's process, 0 when there is none; before the first program, that of its guard."""
        return self._pid or (self._server.pid if self._server else 0)

    @property
    def subtree(self) -> Subtree:
        """Where the trees get their cgroups; looked for when a first program is started."""
        return self._subtree or Subtree(why="no program was started yet")

    def _ready_subtree(self) -> Subtree:
        if self._subtree is None:
            self._subtree = prepare(self._cgroups) if self._cgroups else Subtree()
        return self._subtree

    async def start(self) -> None:
        """Start the keeper's process; also one that was closed.

        Raises:
            Unavailable: the system does not let us.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own = [str(_PACKAGE), str(theirs.fileno()), self._ready_subtree().root]
        words = [sys.executable, "-I", "-S", "-c", _BOOT, *own]
        with theirs:
            try:
                self._server = subprocess.Popen(  # noqa: ASYNC220 - once, and it returns after the exec
                    words,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            except OSError as error:
                ours.close()
                raise Unavailable(f"the keeper of child processes cannot be started: {error}") from error
        ours.setblocking(False)
        self._socket = ours
        self._closed = False

    async def close(self) -> None:
        """Kill every program with its descendants, wait until they are gone, and end the keeper's process."""
        self._closed = True
        processes = list(self._alive)
        for process in processes:
            process.kill()
        waits = [asyncio.ensure_future(process.wait()) for process in processes]
        if waits:
            await asyncio.wait(waits, timeout=_LEAVE)
        for process in processes:
            process.close()
        await self._end_server()
        if self._subtree is not None:
            remove_root(self._subtree.root)
            self._subtree = None

    async def spawn(self, spawn: Spawn, on_step: OnStep | None = None) -> Process:
        """Start a program and wait until it runs.

        Args:
            spawn: what to run.
            on_step: called on the loop with each step of a stop.

        Raises:
            SpawnFailed: it did not start; ``cause`` names why and ``permanent`` whether trying again is of use.
            Unavailable: the keeper is closed, cannot be started, or was killed at this moment.
        """
        self._refuse_limits(spawn)
        link = None
        try:
            link = await self._minder()
            process, far_ends = self._prepare(spawn, link, on_step)
        except OSError as error:
            if link is not None:
                link.close()
            raise Unavailable(f"no pipes for {spawn.argv[0]!r}: {error}; try again later") from error
        self._alive[process] = link
        try:
            link.request(("spawn", _request(spawn)), far_ends)
            _close_all(far_ends)
            await process.started()
        except BaseException:
            self._failed += 1
            process.close()
            raise
        self._started += 1
        if link.generation == self._generation:
            self._pid = process.keeper
        return process

    def census(self) -> Census:
        """What was started, failed, and is alive now."""
        return Census(self._started, self._failed, len(self._alive), len(self._alive) + len(self._idle))

    def owned(self) -> list[Owned]:
        """The programs that are alive."""
        return [process.owned() for process in self._alive if process.pid]

    def surveyor(self) -> Callable[[], Survey]:
        """A function that looks at every process of the system and counts what belongs to this keeper.

        Made on the loop; called in a thread, because the walk takes a while on a crowded machine.
        """
        busy = [owned.minder for owned in self.owned()]
        self._former = [server for server in self._former if server.poll() is None]
        guards = [server.pid for server in (self._server, *self._former) if server is not None]
        return partial(survey, guards, self._pid, busy, [link.minder for link in self._idle], self.subtree)

    def _refuse_limits(self, spawn: Spawn) -> None:
        """A limit nothing would keep is refused, never dropped."""
        wanted = {limit: name for limit, name in CONTROLLERS.items() if getattr(spawn.limits, limit) is not None}
        subtree = self._ready_subtree() if wanted else self.subtree
        missing = [limit for limit, name in wanted.items() if name not in subtree.controllers]
        if missing:
            self._failed += 1
            raise no_controller(spawn, missing[0], subtree.why)

    def _prepare(self, spawn: Spawn, link: Link, on_step: OnStep | None) -> tuple[Process, list[int]]:
        near: list[int] = []
        far: list[int] = []
        try:
            stdin_read, stdin_write = _input(spawn)
            far.append(stdin_read)
            near += [stdin_write] if stdin_write is not None else []
            for _ in range(1 if spawn.merge_stderr else 2):
                reader, writer = output_pipe()
                near.append(reader)
                far.append(writer)
            if spawn.merge_stderr:
                far.append(os.dup(far[-1]))
        except OSError:
            _close_all([*near, *far])
            raise
        stdin = PipeWriter(near.pop(0)) if stdin_write is not None else None
        readers = [PipeReader(descriptor) for descriptor in near]
        stderr = None if spawn.merge_stderr else readers[1]
        process = Process(spawn, link, (stdin, readers[0], stderr), self._on_end, on_step)
        return process, far

    async def _minder(self) -> Link:
        """An idle minder, or a new one from the keeper."""
        if self._closed:
            raise Unavailable("the keeper of child processes is closed")
        if self._socket is None:
            await self.start()
        while self._idle:
            link = self._idle.pop()
            if not link.closed:
                return link
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                await self._hand_over(theirs)
            except BaseException:
                ours.close()
                raise
        return Link(ours, self._generation)

    async def _hand_over(self, control: socket.socket) -> None:
        try:
            await self._send(control)
        except OSError:
            self._leave_server()
            await self.start()
            if self._on_report is not None:
                self._on_report("the keeper of child processes had ended and was started again")
            await self._send(control)

    async def _send(self, control: socket.socket) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [control.fileno()]))]
        while self._socket is not None:
            try:
                self._socket.sendmsg([b"m"], rights)
                return
            except BlockingIOError:
                await asyncio.sleep(0.001)

    def _leave_server(self) -> None:
        """The keeper is gone. Its guard stays with the minders that are at work."""
        if self._server is not None:
            self._former.append(self._server)
        self._server, self._pid = None, 0
        self._generation += 1
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for link in self._idle:
            link.close()
        self._idle.clear()

    async def _end_server(self) -> None:
        self._leave_server()
        for server in self._former:
            if not await _ends(server, _LEAVE):
                server.kill()
                await _ends(server, _LEAVE)
        self._former.clear()

    def _on_end(self, process: Process) -> None:
        link = self._alive.pop(process, None)
        if link is None or link.closed:
            return
        link.minder = process.minder
        link.on_report, link.on_lost = _ignored, lambda: self._forget(link)
        reusable = process.clean and link.generation == self._generation and not self._closed
        if reusable and len(self._idle) < IDLE_MINDERS:
            self._idle.append(link)
        else:
            link.close()

    def _forget(self, link: Link) -> None:
        if link in self._idle:
            self._idle.remove(link)


async def _ends(server: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for a child of ours without a thread and without SIGCHLD, which belongs to the loop."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(server.pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), timeout)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    server.wait()
    return True


def _ignored(_message: object) -> None:
    """What a minder still says after its program is gone, such as an answer to a late question."""


def _request(spawn: Spawn) -> dict[str, frames.Plain]:
    return {
        "argv": list(spawn.argv),
        "env": dict(spawn.env),
        "cwd": spawn.cwd,
        "umask": spawn.umask,
        "limits": list(limit_pairs(spawn.limits)),
        "group_limits": list(group_limits(spawn.limits)),
        "drain_grace": spawn.drain_grace,
    }


def _input(spawn: Spawn) -> tuple[int, int | None]:
    if spawn.stdin == "pipe":
        return os.pipe()
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
