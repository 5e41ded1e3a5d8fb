"""Questions of the process to its host, and the answers."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from trunnion.isolation.pipe import Pipe
from trunnion.isolation.wire import PIECE, Answer, Keep, More, Piece, Said
from trunnion.model.errors import InternalError, error_from_info
from trunnion.model.json import Json, decode

if TYPE_CHECKING:
    import asyncio


class Question:
    """One question that was asked. Answers come in the listening thread; whoever asked takes them in its own."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._arrived = threading.Condition()
        self._replies: deque[Answer | More] = deque()
        self._wake: Callable[[], object] = self._nobody_to_wake

    def _nobody_to_wake(self) -> None:
        """Whoever waits does so for ``_arrived``."""

    def reply(self, order: Answer | More) -> None:
        """The host replied."""
        with self._arrived:
            self._replies.append(order)
            self._arrived.notify()
            self._wake()

    def taken(self) -> Answer | More:
        """Wait for the next reply, in a thread."""
        with self._arrived:
            while not self._replies:
                self._arrived.wait()
            return self._replies.popleft()

    async def awaited(self) -> Answer | More:
        """Wait for the next reply, in a coroutine."""
        import asyncio

        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        with self._arrived:
            self._wake = lambda: _wake(loop, woken)
            if self._replies:
                return self._replies.popleft()
        await woken
        return self._replies.popleft()


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Questions:
    """All questions that are open."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._open: dict[int, Question] = {}
        self._last = 0
        self._lock = threading.Lock()

    def reply(self, order: Answer | More) -> None:
        """The host replied to one of them; one that is closed by now needs no reply."""
        question = self._open.get(order.number)
        if question is not None:
            question.reply(order)

    def ask(self, make: Callable[[int], Said]) -> Json:
        """Ask and wait for the answer, in a thread.

        Raises:
            TrunnionError: the answer is an error.
        """
        question = self._new()
        try:
            self._pipe.say(make(question.number))
            return _answer(question.taken())
        finally:
            self._open.pop(question.number, None)

    async def ask_async(self, make: Callable[[int], Said]) -> Json:
        """``ask`` in a coroutine."""
        question = self._new()
        try:
            self._pipe.say(make(question.number))
            return _answer(await question.awaited())
        finally:
            self._open.pop(question.number, None)

    def keep(self, name: str, media_type: str, pieces: Iterator[bytes]) -> Json:
        """Have a file kept whose pieces are made as they are wanted, in a thread."""
        question = self._new()
        self._pipe.say(Keep(question.number, name, media_type))
        parts = _parts(pieces)
        try:
            while isinstance(reply := question.taken(), More):
                self._pipe.say(Piece(question.number, next(parts, b"")))
        except BaseException:
            self._pipe.say(Piece(question.number, None))
            raise
        finally:
            self._open.pop(question.number, None)
        return _answer(reply)

    async def keep_async(self, name: str, media_type: str, pieces: AsyncIterable[bytes]) -> Json:
        """``keep`` in a coroutine."""
        question = self._new()
        self._pipe.say(Keep(question.number, name, media_type))
        parts = _each_part(pieces)
        try:
            while isinstance(reply := await question.awaited(), More):
                self._pipe.say(Piece(question.number, await anext(parts, b"")))
        except BaseException:
            self._pipe.say(Piece(question.number, None))
            raise
        finally:
            self._open.pop(question.number, None)
        return _answer(reply)

    def _new(self) -> Question:
        with self._lock:
            self._last += 1
            question = self._open[self._last] = Question(self._last)
        return question


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in parts that fit a frame, none of them empty: an empty one is the end."""
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), PIECE):
            yield bytes(view[start : start + PIECE])


async def _each_part(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        for part in _parts(iter([piece])):
            yield part


def _answer(reply: Answer | More) -> Json:
    if isinstance(reply, More):
        raise InternalError("the host wants more of what is no file")
    if reply.error is not None:
        raise error_from_info(reply.error)
    return decode(reply.value)
