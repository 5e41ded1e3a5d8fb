"""What the process of an isolated handler says, taken as what it is: the wishes of somebody who may be anybody."""

from __future__ import annotations

import asyncio
import codecs
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from trunnion.isolation.wire import (
    RESULT_CAP,
    Answer,
    Block,
    Conceal,
    Emit,
    Figures,
    Flush,
    Frames,
    Garbled,
    Invoke,
    Keep,
    More,
    Order,
    Part,
    Piece,
    Progress,
    Raised,
    Returned,
    Said,
    Stopped,
    Text,
    pack,
    said_of,
)
from trunnion.kernel.context import Context
from trunnion.kernel.live import LiveRun, Outcome
from trunnion.kernel.outcome import failure, returned_encoded
from trunnion.model.errors import Busy, CommandFailed, ErrorInfo, InternalError, TrunnionError
from trunnion.model.json import Json, decode, encode

MAX_QUESTIONS: Final = 64
MAX_CHANNELS: Final = 64
MAX_UNANSWERED: Final = 256
"""Questions, refused ones included, whose answers the process has not taken; then it is heard no further."""

MAX_SECRETS: Final = 1 << 20
"""Characters of secrets one process may register."""

MAX_VALUES: Final = 1000
"""How many they may be: what searches for them is built anew, on the loop, after more have come."""

MAX_REFUSED: Final = 10_000
"""Things that are refused; a process that says more of them is ended."""

SLICE: Final = 0.01
"""Seconds for which a process is heard at a time; then others have the loop."""

RAW_CHANNEL: Final = "process"
"""Channel of what is written to the descriptors themselves: by C code, by programs the handler starts."""


class Trace(Exception):
    """A traceback from the process of an isolated handler."""


class Talk:
    """One conversation. What arrives is decoded while the run has room for more, and waits in the pipe otherwise.

    Args:
        live: the run.
        context: what the handler would have been given in this process; the talk only ever does what that can do.
        send: sends bytes to the process and waits until they are on their way.
        row_bytes: a larger result stays encoded.

    Attributes:
        outcome: how the handler came to its end, once that was said.
        trace: the traceback that came with it.
        refused: how much was said that could not be understood, or was not allowed, or came after the end.
        broken: why nothing more can be understood.
        paced: whether it stops while the run has no room.
    """

    def __init__(
        self, live: LiveRun, context: Context, send: Callable[[bytes], Awaitable[None]], row_bytes: int
    ) -> None:
        self._live = live
        self._context = context
        self._send = send
        self._row_bytes = row_bytes
        self._frames = Frames()
        self._raw = codecs.getincrementaldecoder("utf-8")("replace")
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._files: dict[int, asyncio.Queue[bytes | None]] = {}
        self._channels: set[str] = set()
        self._secrets = 0
        self._values = 0
        self._late = False
        self._result = bytearray()
        self.outcome: Outcome | None = None
        self.trace: str | None = None
        self.refused = 0
        self.broken = ""
        self.paced = True

    # -- hearing ----------------------------------------------------------------------------------

    def hear(self, data: bytes) -> None:
        """Take what came; what there is no room for stays undone until ``go_on``."""
        if not self.broken:
            self._frames.feed(data)
            self.go_on()

    def hear_raw(self, data: bytes) -> None:
        """Take what was written to the descriptors themselves."""
        text = self._raw.decode(data)
        if text:
            self._context.write(text, channel=RAW_CHANNEL)

    def go_on(self) -> None:
        """Take what waits, as long as the run has room, and for a moment only."""
        until, self._late = time.monotonic() + SLICE, False
        try:
            while not (self.broken or self.waits) and (body := self._frames.next()) is not None:
                self._hear_frame(body)
                self._late = time.monotonic() >= until
        except Garbled as error:
            self.broken = error.message

    @property
    def waits(self) -> bool:
        """Whether something waits: for room, for the process to listen, or for others to have their turn."""
        if not self.paced or self.broken:
            return False
        return self._late or self._live.sink.full or len(self._tasks) > MAX_UNANSWERED

    async def room(self) -> None:
        """Wait a while for what ``waits`` waits for."""
        if len(self._tasks) > MAX_UNANSWERED:
            await asyncio.wait(list(self._tasks.values()), return_when=asyncio.FIRST_COMPLETED)
        elif self._live.sink.full:
            await self._context.flush()
        else:
            await asyncio.sleep(0)

    def _hear_frame(self, body: bytearray) -> None:
        if self.outcome is not None:
            self._refuse()
            return
        try:
            self._take(said_of(body))
        except Garbled:
            raise
        except Exception:  # whatever it is, it is the process's doing and concerns nobody else
            self._refuse()

    def _refuse(self) -> None:
        self.refused += 1
        if self.refused > MAX_REFUSED:
            raise Garbled(f"more than {MAX_REFUSED} things that had to be refused")

    def _take(self, said: Said) -> None:
        context = self._context
        match said:
            case Text():
                context.write(said.text, channel=self._channel(said.channel))
            case Block():
                context.text(said.text, channel=self._channel(said.channel), level=said.level, cut=max(0, said.cut))
            case Emit():
                context.emit(said.kind, said.text, decode(said.data), said.level, said.by)
            case Progress():
                context.progress(said.done, said.total, said.text)
            case Figures():
                context.stats.take(said.figures)
            case Conceal():
                self._conceal(said.values)
            case Invoke() | Flush() | Keep():
                self._asked(said)
            case Piece():
                self._files[said.number].put_nowait(said.data)
            case _:
                self._take_end(said)

    def _take_end(self, said: Part | Returned | Raised | Stopped) -> None:
        if isinstance(said, Part):
            if len(self._result) + len(said.data) > RESULT_CAP:
                raise Garbled(f"a result of more than {RESULT_CAP} bytes")
            self._result += said.data
        elif isinstance(said, Returned):
            self.outcome = self._returned()
        elif isinstance(said, Raised):
            self.outcome = Outcome(error=self._failure(said))
            self.trace = said.trace
        else:
            self.outcome = Outcome(stopped=True)

    def _returned(self) -> Outcome:
        if not self._result:
            return Outcome()
        redactor = self._live.sink.redactor
        try:
            encoded = encode(decode(bytes(self._result)))  # so that it is JSON, and what the host itself would write
        except Exception as error:
            return Outcome(error=ErrorInfo("internal", f"the result is not JSON: {type(error).__name__}"))
        return returned_encoded(encoded, redactor.values_only if self._live.ephemeral else redactor, self._row_bytes)

    def _failure(self, said: Raised) -> ErrorInfo:
        redactor = self._live.sink.redactor
        if said.unfit:
            return failure(said.code, said.message, {"details": redactor.text(said.unfit)[:1000]}, redactor)
        details = decode(said.details)
        return failure(said.code, said.message, details if isinstance(details, dict) else {}, redactor)

    def _channel(self, name: str) -> str:
        self._channels.add(name)
        if len(self._channels) > MAX_CHANNELS:
            self._channels.discard(name)
            raise Busy(f"a run has at most {MAX_CHANNELS} channels")
        return name

    def _conceal(self, values: tuple[str, ...]) -> None:
        self._secrets += sum(map(len, values)) + len(values)
        self._values += len(values)
        if self._secrets > MAX_SECRETS or self._values > MAX_VALUES:  # to go on without them would be to show them
            raise Garbled(f"more secrets than {MAX_VALUES}, or than {MAX_SECRETS} characters of them")
        self._context.register_secrets(*values)

    # -- questions --------------------------------------------------------------------------------

    def _asked(self, said: Invoke | Flush | Keep) -> None:
        if not self.paced:
            return  # the process is gone, and nobody waits for the answer
        if said.number in self._tasks:
            raise Busy(f"question {said.number} is open")
        full = len(self._tasks) >= MAX_QUESTIONS
        if isinstance(said, Keep) and not full:
            self._files[said.number] = asyncio.Queue(2)
        work = self._answer(said, self._refusal if full else self._answer_to)
        task = asyncio.get_running_loop().create_task(work, name=f"run {self._live.id} asks")
        self._tasks[said.number] = task
        task.add_done_callback(lambda _: self._closed(said.number))

    def _closed(self, number: int) -> None:
        self._tasks.pop(number, None)
        self._files.pop(number, None)

    async def _refusal(self, _said: Invoke | Flush | Keep) -> Json:
        raise Busy(f"a process may have {MAX_QUESTIONS} questions open")

    async def _answer_to(self, said: Invoke | Flush | Keep) -> Json:
        if isinstance(said, Flush):
            await self._context.flush()
            return None
        if isinstance(said, Keep):
            info = await self._context.artifact(said.name, self._pieces(said.number), said.media_type)
            return decode(encode(info))
        args = decode(said.args)
        if not isinstance(args, dict):
            raise InternalError("arguments are an object")
        return await self._context.invoke(said.command_id, timeout=said.timeout, **args)

    async def _pieces(self, number: int) -> AsyncIterator[bytes]:
        queue = self._files[number]
        while True:
            await self._tell(More(number))
            piece = await queue.get()
            if piece is None:
                raise CommandFailed("the file was given up")
            if not piece:
                return
            yield piece

    async def _answer(
        self, said: Invoke | Flush | Keep, work: Callable[[Invoke | Flush | Keep], Awaitable[Json]]
    ) -> None:
        number = said.number
        try:
            answer = Answer(number, encode(await work(said)))
        except TrunnionError as error:
            answer = Answer(number, error=error.info)
        except Exception as error:
            answer = Answer(number, error=ErrorInfo("internal", f"{type(error).__name__}: {error}"))
        await self._tell(answer)

    async def _tell(self, order: Order) -> None:
        await self._send(pack(order))

    async def end(self) -> None:
        """The process is gone: take what it left, which is little; nothing it asked for is of use any more."""
        self.paced = False
        self.go_on()
        if self._frames.held and not self.broken:
            self.refused += 1
        text = self._raw.decode(b"", final=True)
        if text:
            self._context.write(text, channel=RAW_CHANNEL)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
