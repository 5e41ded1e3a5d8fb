"""Frontends and daemons: started in order, watched, started again or given up, stopped in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from trunnion.kernel.reporting import Report
from trunnion.model.contributions import CrashPolicy, Ready, Serve
from trunnion.model.errors import Conflict, InvalidConfig

PartStatus: TypeAlias = Literal["starting", "ready", "restarting", "stopped", "failed"]
FIRST_DELAY = 0.5
MAX_DELAY = 60.0
HEALTHY = 60.0
"""Seconds of service after which an earlier crash is forgiven."""
INTENSITY = 5
"""Crashes in a row, none followed by healthy service, after which a part is given up."""
STOP_GRACE = 5.0


class Part(msgspec.Struct, kw_only=True):
    """One frontend or daemon and how it fares."""

    owner: str
    name: str
    kind: Literal["frontend", "daemon"]
    run: Serve
    after: tuple[str, ...]
    on_crash: CrashPolicy
    start_timeout: float
    source: str
    status: PartStatus = "starting"
    address: str = ""
    crashes: int = 0
    reason: str = ""


class Parts:
    """Runs all parts.

    Args:
        serve: calls a part's coroutine with the handle made for it.
        fatal: told that the host cannot go on, and why.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        serve: Callable[[Part, Ready], Awaitable[None]],
        report: Report,
        fatal: Callable[[str], None],
    ) -> None:
        self.parts = in_order(parts)
        self._serve = serve
        self._report = report
        self._fatal = fatal
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    async def start(self) -> None:
        """Start each part, once those it comes after are ready; one that fails does not hold the others up."""
        for part in self.parts:
            ready = asyncio.Event()
            task = asyncio.get_running_loop().create_task(self._watch(part, ready), name=f"{part.kind} {part.name}")
            self._tasks[part.name] = task
            await self._until_ready(part, ready, task)

    async def _until_ready(self, part: Part, ready: asyncio.Event, task: asyncio.Task[None]) -> None:
        waiter = asyncio.get_running_loop().create_task(ready.wait())
        done, _ = await asyncio.wait({waiter, task}, timeout=part.start_timeout, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if not done:
            part.status, part.reason = "failed", f"not ready within {part.start_timeout:g} s"
            task.cancel()
            self._gone(part, None)

    async def stop(self) -> None:
        """Stop all parts, the last started first; one that does not end is left behind and named."""
        self._stopping = True
        for part in reversed(self.parts):
            task = self._tasks.get(part.name)
            if task is None or task.done():
                continue
            task.cancel()
            _, left = await asyncio.wait({task}, timeout=STOP_GRACE)
            if left:
                self._report(
                    "part.stuck", f"{part.kind} {part.name!r} of {part.owner!r} did not stop in {STOP_GRACE:g} s"
                )
            part.status = "stopped"

    # -- one part ---------------------------------------------------------------------------------

    async def _watch(self, part: Part, ready: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()

            def is_ready(address: str = "") -> None:
                part.address, part.status, part.reason = address, "ready", ""
                ready.set()

            error: BaseException | None = None
            try:
                await self._serve(part, is_ready)
            except asyncio.CancelledError as caught:
                task = asyncio.current_task()
                if self._stopping or task is None or task.cancelling():
                    raise
                error = caught
            except (Exception, SystemExit, KeyboardInterrupt) as caught:
                error = caught
            if loop.time() - started >= HEALTHY:
                part.crashes = 0
            if not await self._again(part, error, ready):
                return

    async def _again(self, part: Part, error: BaseException | None, ready: asyncio.Event) -> bool:
        """Whether to start it again, after the pause that is due."""
        if error is None:
            part.status = "stopped"
            return False
        part.crashes += 1
        part.reason = f"{type(error).__name__}: {error}"
        # What stands in the way stands there the next time too; nobody should wait for that.
        if part.on_crash != "restart" or part.crashes > INTENSITY or isinstance(error, Conflict | InvalidConfig):
            part.status = "failed"
            self._gone(part, error)
            return False
        part.status = "restarting"
        if part.kind == "frontend":
            # What stands in the way of one door must not keep the others shut; what comes after a daemon needs it.
            ready.set()
        delay = min(MAX_DELAY, FIRST_DELAY * 2 ** (part.crashes - 1))
        self._report(
            "part.crashed", f"{part.kind} {part.name!r} crashed, started again in {delay:g} s: {part.reason}", error
        )
        await asyncio.sleep(delay)
        return True

    def _gone(self, part: Part, error: BaseException | None) -> None:
        self._report("part.failed", f"{part.kind} {part.name!r} of {part.owner!r} failed: {part.reason}", error)
        if part.on_crash == "fatal":
            self._fatal(f"{part.kind} {part.name!r} failed: {part.reason}")


def in_order(parts: Sequence[Part]) -> list[Part]:
    """Daemons before frontends, each after those it names, else by name; a circle is broken by name."""
    left = sorted(parts, key=lambda part: (part.kind == "frontend", part.name))
    known, placed, result = {part.name for part in left}, set[str](), list[Part]()
    while left:
        free = [p for p in left if all(name in placed or name not in known for name in p.after)]
        following = free[0] if free else left[0]
        left.remove(following)
        placed.add(following.name)
        result.append(following)
    return result
