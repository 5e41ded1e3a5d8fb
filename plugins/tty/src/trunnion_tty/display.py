"""The one writer of the terminal: whole lines above, what is drawn live below, a frame at a time.

Lines are collected and written at most some thirty times a second, the first ones of a quiet time at once. While
somebody types, the prompt is taken away, the lines are written and the prompt is drawn again, so that what is typed
stays whole whatever comes. Of a great backlog a frame takes only a part, and between two frames keys are served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

FRAME = 1 / 30
"""Seconds between two frames while there is more than one to write."""

FRAME_BYTES = 256 << 10
"""Roughly what one frame takes of a backlog, characters."""

BACKLOG = 1 << 20
"""Characters that may wait before whoever makes more of them has to."""

CLEAR_LINE = "\r\x1b[K"


class Above(Protocol):
    """A prompt that makes room: it takes itself away, has the lines written and draws itself again."""

    def above(self, text: str) -> bool:
        """Write whole lines above; False if nobody is being asked for a line just now."""


class Display:
    """Everything the shell shows goes through here.

    Args:
        write: writes to the terminal and flushes.
        draws: whether a line may be drawn and rewritten; without it what is live is not shown.
    """

    def __init__(self, write: Callable[[str], None], *, draws: bool = True) -> None:
        self._write = write
        self._draws = draws
        self._waiting: deque[str] = deque()
        self._size = 0
        self._live: dict[str, str] = {}
        self._drawn = ""
        self._next = 0.0
        self._timer: asyncio.Handle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.prompt: Above | None = None

    def put(self, text: str) -> None:
        """Show whole lines in the next frame."""
        if not text:
            return
        lines = text if text.endswith("\n") else text + "\n"
        self._waiting.append(lines)
        self._size += len(lines)
        if self._size > BACKLOG:
            self._room.clear()
        self._schedule()

    def live(self, key: str, text: str) -> None:
        """Draw a line below what was written, in place of the one under this key; ``""`` takes it away."""
        if self._live.get(key, "") == text:
            return
        if text:
            self._live[key] = text
        else:
            self._live.pop(key, None)
        self._schedule()

    @property
    def lives(self) -> list[str]:
        """What is live now, for who draws it elsewhere."""
        return list(self._live.values())

    async def room(self) -> None:
        """Return once no more waits than can be written soon."""
        await self._room.wait()

    def flush(self) -> None:
        """Write all that waits now."""
        while self._waiting:
            self._frame()
        self._frame()

    def _schedule(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        delay = self._next - loop.time()
        self._timer = loop.call_later(delay, self._frame) if delay > 0 else loop.call_soon(self._frame)

    def _frame(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = self._take()
        prompted = self.prompt is not None and self.prompt.above(text)
        if not prompted:
            self._draw(text)
        elif self._drawn:
            self._drawn = ""
        loop = asyncio.get_running_loop()
        # A backlog goes on as soon as keys were served; else whoever writes little by little is collected for a frame.
        self._next = loop.time() + (0.0 if self._waiting else FRAME)
        if self._waiting:
            self._timer = loop.call_later(0.001, self._frame)

    def _take(self) -> str:
        pieces: list[str] = []
        size = 0
        while self._waiting and size < FRAME_BYTES:
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        self._size -= size
        if self._size <= BACKLOG // 2:
            self._room.set()
        return "".join(pieces)

    def _draw(self, text: str) -> None:
        live = next(reversed(self._live.values()), "") if self._draws else ""
        if not text and live == self._drawn:
            return
        clear = CLEAR_LINE if self._drawn else ""
        self._drawn = live
        self._write(clear + text + live)
