"""One started program, seen from the host."""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from trunnion.model.errors import Interrupted, Unavailable
from trunnion.process.causes import spawn_failed
from trunnion.process.keeper import frames
from trunnion.process.link import Link
from trunnion.process.pipes import PipeReader, PipeWriter
from trunnion.process.spec import Exit, Mechanism, Member, Owned, Spawn, Step

OnStep = Callable[[Step], object]


class Process:
    """A program with all its descendants, from its start until nothing of it is left.

    Made by ``Keeper.spawn``. As an async context manager it leaves nothing behind: whatever still runs
    at the end of the block is killed, and the pipes are closed.

    Attributes:
        pid: of the program itself, which leads a session and a process group of its own.
        start: its start time, clock ticks since boot.
        minder: pid of the process that looks after it.
        keeper: pid of the process that forked the minder.
        mechanism: what holds its tree together.
        stdin: None without a pipe.
        stderr: None when merged into stdout.
        steps: what was done to stop it, in order.
    """

    def __init__(
        self,
        spawn: Spawn,
        link: Link,
        pipes: tuple[PipeWriter | None, PipeReader, PipeReader | None],
        on_end: Callable[[Process], None],
        on_step: OnStep | None = None,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._born = loop.time()
        self.pid = 0
        self.start = 0
        self.minder = self.keeper = 0
        self.mechanism: Mechanism = "walk"
        self.steps: list[Step] = []
        self.stdin, self.stdout, self.stderr = pipes
        self._spawn = spawn
        self._link = link
        self._on_end = on_end
        self._on_step = on_step
        self._started: asyncio.Future[None] = loop.create_future()
        self._exited: asyncio.Future[Exit] = loop.create_future()
        self._gone: asyncio.Future[Exit] = loop.create_future()
        self._trees: list[asyncio.Future[list[Member]]] = []
        link.on_report, link.on_lost = self._on_report, self._on_lost

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self.ended:
                self.kill()
                await asyncio.wait([self._gone])
        finally:
            self.close()

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._gone.done()

    @property
    def clean(self) -> bool:
        """Whether it ended in the regular way, so that its minder can take another program."""
        return self._gone.done() and self._gone.exception() is None and self._gone.result().left == 0

    def owned(self) -> Owned:
        """What it is, for whoever counts."""
        age = round(self._loop.time() - self._born, 3)
        program, owner = self._spawn.argv[0], self._spawn.owner
        return Owned(self.pid, self.start, program, owner, age, self.minder, self.mechanism)

    async def started(self) -> None:
        """Wait until the program runs; ``Keeper.spawn`` has done so.

        Raises:
            SpawnFailed: it did not start.
            Unavailable: its minder ended first.
        """
        await asyncio.shield(self._started)

    async def exited(self) -> Exit:
        """Wait for the program itself; descendants may live on for their grace. Resource use is not in yet."""
        return await asyncio.shield(self._exited)

    async def wait(self) -> Exit:
        """Wait until the program and all its descendants are gone.

        Raises:
            Interrupted: its minder was killed, the end is not known; the keeper kills what was left.
        """
        return await asyncio.shield(self._gone)

    async def stop(self, grace: float, *, close_stdin: bool = True) -> Exit:
        """Stop politely, then by force: stdin closed, SIGTERM to all, after the grace SIGKILL to all that is left.

        Args:
            grace: seconds between the two; again with a shorter one hastens it.
            close_stdin: whether to begin with that.
        """
        if close_stdin and self.stdin is not None and self.stdin.descriptor is not None and not self.ended:
            self.stdin.close()
            self._note(Step("close_stdin", self._loop.time() - self._born, 1))
        self._link.command("stop", grace)
        return await self.wait()

    def kill(self) -> None:
        """SIGKILL the program and all its descendants; ``wait`` tells when they are gone."""
        if not self.ended:
            self._link.command("kill")

    def signal(self, number: int) -> None:
        """Send a signal to the program itself, if it still runs."""
        if not self.ended:
            self._link.command("signal", int(number))

    async def tree(self) -> list[Member]:
        """All its processes that are alive, itself first."""
        if self.ended:
            return []
        answer: asyncio.Future[list[Member]] = self._loop.create_future()
        self._trees.append(answer)
        self._link.command("tree")
        return await answer

    def close(self) -> None:
        """Close the pipes; a program that still runs is killed by its minder."""
        if not self.ended:
            self._link.close()
            self._on_lost()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def _on_report(self, message: frames.Message) -> None:
        name, *rest = message
        if name == "started":
            numbers = cast("tuple[int, int, int, int, bool]", rest)
            self.pid, self.start, self.minder, self.keeper, grouped = numbers
            self.mechanism = "cgroup" if grouped else "walk"
            self._started.set_result(None)
        elif name == "failed":
            self._fail(spawn_failed(self._spawn, *cast("tuple[str, int, str]", rest)))
        elif name == "step":
            self._note(Step(*cast("tuple[str, float, int]", rest)))
        elif name == "tree":
            members = [Member(pid, start) for pid, start in cast("list[tuple[int, int]]", rest[0])]
            _resolve(self._trees.pop(0), members)
        elif name == "exited":
            _resolve(self._exited, _exit_of(*cast("tuple[int | None, int | None, bool]", rest)))
        elif name == "gone":
            self._finish(*cast("tuple[int, int, float, float, int, str]", rest))

    def _note(self, step: Step) -> None:
        self.steps.append(step)
        if self._on_step is not None:
            self._on_step(step)

    def _finish(self, killed: int, left: int, user: float, system: float, max_rss: int, limit: str) -> None:
        ended = self._exited.result() if self._exited.done() else Exit(code=None, signal=None)
        self._settle(
            Exit(
                code=ended.code,
                signal=ended.signal,
                signal_name=ended.signal_name,
                core=ended.core,
                user_seconds=user,
                system_seconds=system,
                max_rss=max_rss,
                killed_tree=killed,
                left=left,
                limit=limit,
            )
        )

    def _on_lost(self) -> None:
        program = self._spawn.argv[0]
        if self._started.done():
            self._fail(Interrupted(f"the minder of {program!r} ended before it; the keeper kills what it left"))
        else:
            self._fail(Unavailable(f"cannot start {program!r}: its minder ended first; try again"))

    def _settle(self, result: Exit) -> None:
        _resolve(self._exited, result)
        _resolve(self._gone, result)
        self._leave()

    def _fail(self, error: Exception) -> None:
        for future in (self._started, self._exited, self._gone):
            if not future.done():
                future.set_exception(error)
                future.exception()
        self._leave()

    def _leave(self) -> None:
        for answer in self._trees:
            _resolve(answer, [])
        self._trees.clear()
        self._on_end(self)


def _resolve(future: asyncio.Future[list[Member]] | asyncio.Future[Exit], value: object) -> None:
    if not future.done():
        cast("asyncio.Future[object]", future).set_result(value)


def _exit_of(code: int | None, number: int | None, core: bool) -> Exit:
    return Exit(code=code, signal=number, signal_name=_signal_name(number), core=core)


def _signal_name(number: int | None) -> str:
    if number is None:
        return ""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signals.SIGRTMIN}" if number > signals.SIGRTMIN else f"signal {number}"
