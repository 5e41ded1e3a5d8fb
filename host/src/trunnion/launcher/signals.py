"""Ctrl-C as something to wait for."""

from __future__ import annotations

import asyncio
import signal
from types import TracebackType

AT_ONCE = 1000
"""What SIGTERM counts for: nobody waits for more Ctrl-C than that."""


class Interrupts:
    """Counts SIGINT and SIGTERM while entered, instead of dying of them.

    Args:
        counting: whether they are counted from the beginning; until ``count_from_now`` is called,
            one of them cancels the task that entered.
    """

    def __init__(self, *, counting: bool = True) -> None:
        self.count = 0
        self._counting = counting
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def __enter__(self) -> Interrupts:
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        loop.add_signal_handler(signal.SIGINT, self._add, 1)
        loop.add_signal_handler(signal.SIGTERM, self._add, AT_ONCE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    @property
    def at_once(self) -> bool:
        """Whether one of them was SIGTERM."""
        return self.count >= AT_ONCE

    def count_from_now(self) -> None:
        """There is something now that an interrupt is about."""
        self._counting = True

    async def reached(self, count: int) -> None:
        """Wait until there were ``count`` of them."""
        event = asyncio.Event()
        self._waiting.append((count, event))
        self._tell()
        await event.wait()

    def _add(self, count: int) -> None:
        self.count += count
        if not self._counting and self._task is not None:
            self._task.cancel()
        self._tell()

    def _tell(self) -> None:
        for count, event in self._waiting:
            if self.count >= count:
                event.set()
        self._waiting = [entry for entry in self._waiting if not entry[1].is_set()]
