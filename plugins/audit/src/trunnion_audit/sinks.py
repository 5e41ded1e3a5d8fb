"""Further places for the record: each has a queue of its own, a deadline, and a state that is shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from trunnion import Json

MOST_WAITING = 4 << 20
"""Bytes that wait for a sink that is slow; what comes beyond is not sent there, and counted."""

SinkState: TypeAlias = Literal["well", "slow", "failing"]


class Sink(msgspec.Struct, frozen=True, kw_only=True):
    """A further place for the record.

    Attributes:
        name: shown to the operator.
        write: takes lines, each with its LF; has them where they belong when it returns.
        close: lets go of what it holds; None where there is nothing.
        stands_in: whether strict commands may go on with this copy alone while the file cannot be written.
        deadline: seconds one write may take; None takes ``[audit] sink_timeout``.
    """

    name: str
    write: Callable[[Sequence[bytes]], Awaitable[None]]
    close: Callable[[], Awaitable[None]] | None = None
    stands_in: bool = False
    deadline: float | None = None


class SinkFeed:
    """Feeds one sink in the background, and at once where it stands in for the file.

    Args:
        sink: the sink.
        patience: seconds one write may take where the sink does not say.
        report: told when it begins to fail, and when it is well again.

    Attributes:
        state: how it fares.
        unsent: lines it was not given, because too many waited or it failed.
    """

    def __init__(self, sink: Sink, patience: float, report: Callable[[str, str], None]) -> None:
        self.sink = sink
        self.state: SinkState = "well"
        self.reason = ""
        self.sent = self.unsent = 0
        self._deadline = sink.deadline or patience
        self._report = report
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()

    def offer(self, lines: Sequence[bytes]) -> None:
        """Send lines when it is their turn; nobody waits for it."""
        size = sum(map(len, lines))
        if self._bytes + size > MOST_WAITING:
            self.unsent += len(lines)
            return
        self._waiting.extend(lines)
        self._bytes += size
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._feed(), name=f"audit sink {self.sink.name}")

    async def take(self, lines: Sequence[bytes]) -> bool:
        """Send lines now; returns whether the sink has them."""
        async with self._one:
            return await self._write(lines)

    async def _feed(self) -> None:
        try:
            while self._waiting:
                lines = [self._waiting.popleft() for _ in range(min(256, len(self._waiting)))]
                self._bytes -= sum(map(len, lines))
                if not await self.take(lines):
                    self.unsent += len(lines)
        finally:
            self._task = None

    async def _write(self, lines: Sequence[bytes]) -> bool:
        try:
            async with asyncio.timeout(self._deadline):
                await self.sink.write(lines)
        except TimeoutError:
            self._fares("slow", f"did not take a record within {self._deadline:g} s")
            return False
        except Exception as error:
            self._fares("failing", f"{type(error).__name__}: {error}")
            return False
        self.sent += len(lines)
        self._fares("well", "")
        return True

    def _fares(self, state: SinkState, reason: str) -> None:
        if state != self.state:
            name = self.sink.name
            if state == "well":
                self._report("sink.healed", f"sink {name!r} of the audit takes records again")
            else:
                self._report("sink.failed", f"sink {name!r} of the audit {reason}; what it misses is counted")
        self.state, self.reason = state, reason

    def shown(self) -> dict[str, Json]:
        """How it fares, for operators."""
        return {
            "name": self.sink.name,
            "state": self.state,
            "reason": self.reason,
            "stands_in": self.sink.stands_in,
            "sent": self.sent,
            "unsent": self.unsent,
            "waiting": len(self._waiting),
        }

    async def close(self) -> None:
        """Give what waits one deadline more, then let go."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=self._deadline)
            if self._task is not None:
                self._task.cancel()
        if self.sink.close is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(self._deadline):
                    await self.sink.close()
