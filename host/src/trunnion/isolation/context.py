"""The context of a handler in a process of its own: the same words as ``kernel.context.Context``, said to the host."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Unpack

import msgspec

from trunnion.isolation.asking import Questions
from trunnion.isolation.content import pieces_of
from trunnion.isolation.pipe import Pipe
from trunnion.isolation.wire import (
    EMIT_TEXT_CAP,
    PIECE,
    TEXT_CAP,
    Block,
    Conceal,
    Emit,
    Figures,
    Flush,
    Invoke,
    Progress,
    Start,
    Text,
)
from trunnion.model.errors import Unavailable, stop_error
from trunnion.model.events import DATA, LEVELS, LOG, TABLE, event_word, handlers_data
from trunnion.model.json import Json, encode, valid_text
from trunnion.model.runs import ArtifactInfo
from trunnion.model.stats import Stats
from trunnion.model.tables import TableOptions, table_data

if TYPE_CHECKING:
    import asyncio

INTERVAL = 0.02
"""Seconds between two reports of progress or figures; the host keeps fewer still."""

LONGEST_HALF = 64 << 10
"""Characters of half a line that wait for its end."""

REFUSED = frozenset({
    "require", "spawn", "spawn_blocking", "wait_blocking", "byte_redactor", "redacted"
})  # fmt: skip
"""What a context in the host has and this one cannot have."""


class Context:
    """What an isolated handler gets; see ``trunnion.Context``, whose place it takes in this process.

    It has no ``require``, since objects of the host cannot be in two processes, and no ``spawn``: a child that
    outlives its parent belongs into the host.
    """

    def __init__(self, start: Start, pipe: Pipe, questions: Questions) -> None:
        self.run = start.run
        self.run_id = start.run.id
        self.command_id = start.run.command_id
        self.session_id = start.run.session_id
        self.attempt = start.run.attempt
        self.caller = start.caller
        self.deadline = start.deadline
        self.stats = Stats(self._stats_changed)
        self._pipe = pipe
        self._questions = questions
        self._stop: str | None = None
        self._stopped = threading.Event()
        self._cancel: Callable[[], object] | None = None
        self._half: dict[str, list[str]] = {}
        self._half_size = 0
        self._lock = threading.RLock()
        self._progress: tuple[float, Progress | None] = (0.0, None)
        self._figures: tuple[float, bool] = (0.0, False)

    def __getattr__(self, name: str) -> NoReturn:
        if name in REFUSED:
            raise Unavailable(
                f"ctx.{name} is not there in an isolated command: {self.command_id} runs in a process of its own, "
                "without the host's objects; use ctx.invoke, or a command that is not isolated"
            )
        raise AttributeError(f"the context of an isolated command has no {name!r}")

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the run, a copy."""
        return dict(self.run.labels)

    @property
    def principal(self) -> str:
        """Who asked."""
        return self.caller.principal

    # -- being stopped ----------------------------------------------------------------------------

    @property
    def cancelled(self) -> bool:
        """Whether the run should end; after ``executor.cancel_grace`` this process is killed."""
        return self._stop is not None

    def check(self) -> None:
        """Raise ``Cancelled``, ``DeadlineExceeded`` or ``Interrupted`` if the run should end."""
        if self._stop is not None:
            raise stop_error(self._stop, self.command_id)

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Sleep until the run should end or ``timeout`` seconds have passed."""
        return self._stopped.wait(timeout)

    def request_stop(self, reason: str) -> None:
        """The host says that the run should end."""
        with self._lock:
            self._stop = self._stop or reason
            self._stopped.set()
            if self._cancel is not None:
                self._cancel()

    def cancelling(self, task: asyncio.Task[object]) -> None:
        """Have the handler's task cancelled when the run should end."""
        loop = task.get_loop()
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._stop is not None:
                task.cancel()

    # -- output -----------------------------------------------------------------------------------

    def echo(self, *values: object, sep: str = " ", end: str = "\n") -> None:
        """Print to the run, as ``print`` does."""
        self.write(sep.join(map(str, values)) + end)

    def write(self, text: str, *, channel: str = "stdout") -> None:
        """Take text in any pieces. A piece without a line's end waits for one, or for what is said next."""
        event_word(channel)
        with self._lock:
            self._half.setdefault(channel, []).append(text)
            self._half_size += len(text)
            if "\n" in text or "\r" in text or self._half_size > LONGEST_HALF:
                self.hand_on()

    def hand_on(self) -> None:
        """Hand on half lines."""
        with self._lock:
            self._half_size = 0
            for channel, pieces in self._half.items():
                text = valid_text("".join(pieces))
                pieces.clear()
                for at in range(0, len(text), TEXT_CAP):
                    self._pipe.say(Text(text[at : at + TEXT_CAP], channel))

    def text(self, block: str, *, channel: str = "stdout", level: str = "info", cut: int = 0) -> None:
        """Add a block of whole lines."""
        event_word(channel), event_word(level)
        block = valid_text(block)
        with self._lock:
            self.hand_on()
            for at in range(0, len(block), TEXT_CAP):
                is_last = at + TEXT_CAP >= len(block)
                self._pipe.say(Block(block[at : at + TEXT_CAP], channel, level, cut if is_last else 0))

    def register_secrets(self, *values: str) -> None:
        """From now on these are secrets of the run."""
        self._pipe.say(Conceal(tuple(map(valid_text, values))))

    def log(self, message: str, level: str = "info", data: Json = None) -> None:
        """Add a log line."""
        self.emit(LOG, message, data, level=level if level in LEVELS else "info")

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far the work has come; of many in a row the last one counts."""
        encode([done, total, text])
        now, said = time.monotonic(), Progress(done, total, text)
        with self._lock:
            if now - self._progress[0] >= INTERVAL or done == total:
                self._progress = (now, None)
                self._say(said)
            else:
                self._progress = (self._progress[0], said)

    def table(
        self, rows: Sequence[Sequence[Json]], headers: Sequence[str] = (), title: str = "", **look: Unpack[TableOptions]
    ) -> None:
        """Add a table."""
        self.emit(TABLE, title, table_data(rows, headers, title, **look))

    def data(self, value: Json, text: str = "") -> None:
        """Add machine-readable data."""
        self.emit(DATA, text, value)

    def emit(self, kind: str, text: str = "", data: Json = None, level: str = "info", by: str = "handler") -> None:
        """Add an event of any kind but those of the host itself.

        Raises:
            ValueError: a kind only the host emits, no word for a kind, or too much data for one event.
            TypeError: the data has no form in JSON.
        """
        raw = bytes(handlers_data(kind, data))
        said = Emit(event_word(kind), valid_text(text[:EMIT_TEXT_CAP]), raw, event_word(level), event_word(by))
        self._say(said)

    async def flush(self) -> None:
        """Wait until everything emitted so far is on record."""
        self.finish()
        await self._questions.ask_async(Flush)

    def finish(self) -> None:
        """Hand on what is held back."""
        with self._lock:
            self.hand_on()
            if self._progress[1] is not None:
                self._pipe.say(self._progress[1])
                self._progress = (0.0, None)
            if self._figures[1]:
                self._say_figures()

    # -- files and nested runs --------------------------------------------------------------------

    async def artifact(
        self,
        name: str,
        content: bytes | Path | BinaryIO | Iterable[bytes] | AsyncIterable[bytes],
        media_type: str = "application/octet-stream",
    ) -> ArtifactInfo:
        """Keep a file with the run; it is read here and written by the host."""
        self.finish()
        if isinstance(content, AsyncIterable):
            return _info(await self._questions.keep_async(name, media_type, content))
        import asyncio

        return await asyncio.to_thread(self.artifact_blocking, name, content, media_type)

    def artifact_blocking(
        self,
        name: str,
        content: bytes | Path | BinaryIO | Iterable[bytes],
        media_type: str = "application/octet-stream",
    ) -> ArtifactInfo:
        """``artifact`` for sync handlers."""
        self.finish()
        return _info(self._questions.keep(name, media_type, pieces_of(content, PIECE)))

    async def invoke(self, command_id: str, /, *, timeout: float | None = None, **args: Json) -> Json:
        """Run another command as a child of this run and return its result; the host decides whether it may.

        Raises:
            TrunnionError: it was refused or did not succeed.
        """
        return await self._questions.ask_async(self._invocation(command_id, timeout, args))

    def invoke_blocking(self, command_id: str, /, *, timeout: float | None = None, **args: Json) -> Json:
        """``invoke`` for sync handlers."""
        return self._questions.ask(self._invocation(command_id, timeout, args))

    # -- inside -----------------------------------------------------------------------------------

    def _invocation(self, command_id: str, timeout: float | None, args: Mapping[str, Json]) -> Callable[[int], Invoke]:
        self.finish()
        encoded = encode(args)
        return lambda number: Invoke(number, command_id, encoded, timeout)

    def _say(self, said: Emit | Progress) -> None:
        with self._lock:
            self.hand_on()
            self._pipe.say(said)

    def _stats_changed(self) -> None:
        with self._lock:
            if time.monotonic() - self._figures[0] >= INTERVAL:
                self._say_figures()
            else:
                self._figures = (self._figures[0], True)

    def _say_figures(self) -> None:
        self._figures = (time.monotonic(), False)
        self._pipe.say(Figures(self.stats.snapshot()))


def _info(answer: Json) -> ArtifactInfo:
    return msgspec.convert(answer, ArtifactInfo)
