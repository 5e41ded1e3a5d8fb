"""The one writer of the terminal: whole lines above, what is drawn live below, a frame at a time.

Lines are collected and written at most some thirty times a second, the first ones of a quiet time at once. While
somebody types, the prompt is taken away, the lines are written and the prompt is drawn again, so that what is typed
stays whole whatever comes. Of a great backlog a frame takes only a part, and between two frames keys are served.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

FRAME = 1 / 30
"""Seconds between two frames while there is more than one to write."""

FRAME_SIZE, LEAST_SIZE = 256 << 10, 4 << 10
"""What one frame takes of a backlog, characters: at most, and at least."""

WRITING = 0.01
"""Seconds that writing one frame of a backlog should take: a key that is pressed meanwhile waits for its end."""

BACKLOG = 1 << 20
"""Characters that may wait before whoever makes more of them has to."""

CLEAR_LINE = "\r\x1b[K"


class Above(Protocol):
    """A prompt that makes room: it takes itself away, has lines written and draws itself again."""

    @property
    def ready(self) -> bool:
        """Whether it can do so just now: it is on the screen."""

    def above(self, text: str) -> None:
        """Write whole lines above it; without any, only draw again what has changed around it."""


class Display:
    """Everything the shell shows goes through here.

    Args:
        write: writes to the terminal and flushes.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._waiting: deque[str] = deque()
        self._size = 0
        self._live: dict[str, str] = {}
        self._front = ""
        self._drawn = ""
        self._next = 0.0
        self._most = LEAST_SIZE
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._prompt: Above | None = None

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

    def front(self, text: str) -> None:
        """Draw a line below what was written, in place of the last one; ``""`` takes it away."""
        if text != self._front:
            self._front = text
            self._schedule()

    def live(self, key: str, text: str) -> None:
        """What a run in the background is at, for the bar below the prompt; ``""`` for nothing any more."""
        if text == self._live.get(key, ""):
            return
        if text:
            self._live[key] = text
        else:
            self._live.pop(key, None)
        self._schedule()

    @property
    def lives(self) -> list[str]:
        """What runs in the background are at."""
        return list(self._live.values())

    async def room(self) -> None:
        """Return once no more waits than can be written soon."""
        await self._room.wait()

    @contextlib.contextmanager
    def asking(self, prompt: Above) -> Iterator[None]:
        """While entered, the terminal is the prompt's: lines are written above it, or wait while it is not ready."""
        self.flush()
        before, self._prompt = self._prompt, prompt
        try:
            yield
        finally:
            self._prompt = before
            self._schedule()  # what was to be drawn below meanwhile

    def flush(self) -> None:
        """Write all that waits, and draw nothing below it."""
        self._front = ""
        while self._waiting:
            self._draw(self._take())
        self._draw("")

    def _schedule(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._next, loop.time()), self._frame)

    def _frame(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._prompt is not None and not self._prompt.ready:
            self._next = loop.time() + FRAME
            self._schedule()
            return
        began, text = loop.time(), self._take()
        if self._prompt is not None:
            self._prompt.above(text)
        else:
            self._draw(text)
        self._learn(len(text), loop.time() - began)
        # A backlog goes on once keys were served; else what comes little by little is collected for a frame.
        self._next = loop.time() + (0.0 if self._waiting else FRAME)
        if self._waiting:
            self._schedule()

    def _take(self) -> str:
        """The next frame: whole lines, as many as ``_most`` allows, and one at least."""
        pieces: list[str] = []
        size = 0
        while self._waiting and size < self._most:
            piece = self._waiting.popleft()
            end = piece.find("\n", self._most - size - 1) + 1
            if 0 < end < len(piece):
                self._waiting.appendleft(piece[end:])
                piece = piece[:end]
            pieces.append(piece)
            size += len(piece)
        self._size -= size
        if self._size <= BACKLOG // 2:
            self._room.set()
        return "".join(pieces)

    def _learn(self, size: int, took: float) -> None:
        """Let the next frame be as large as the terminal takes in its time. A small one says nothing of that."""
        if size >= self._most // 2:
            self._most = min(FRAME_SIZE, max(LEAST_SIZE, int(size * WRITING / max(took, 1e-6))))

    def _draw(self, text: str) -> None:
        if not text and self._front == self._drawn:
            return
        clear = CLEAR_LINE if self._drawn else ""
        self._drawn = self._front
        self._write(clear + text + self._front)
