"""What a handler gets: who asks, how long it may take, and where its output goes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Protocol, TypeVar, Unpack

import msgspec

from trunnion.access.streams import StreamRedactor, TextRedactor
from trunnion.kernel.file_writing import Content
from trunnion.kernel.output import LineBuffer
from trunnion.kernel.run_handle import RunHandle
from trunnion.kernel.sink import Sink
from trunnion.kernel.threads import waited_for
from trunnion.model.errors import stop_error
from trunnion.model.events import (
    COMMON_KINDS,
    DATA,
    LEVELS,
    LOG,
    NULL,
    PROGRESS,
    STATS,
    TABLE,
    TEXT,
    check_words,
    event_word,
    handlers_data,
)
from trunnion.model.json import Json, encode
from trunnion.model.runs import ArtifactInfo, Caller, Run
from trunnion.model.stats import Stats
from trunnion.model.tables import TableOptions, table_data

T = TypeVar("T")
PROGRESS_INTERVAL = 0.05
STATS_INTERVAL = 0.2
LONGEST_TEXT = 64 << 10
"""Characters of text one event carries; output is split, other text is cut."""

_making = threading.Lock()


class Nested(Protocol):
    """How a context starts nested runs; the executor implements it."""

    async def invoke(self, context: Context, command_id: str, args: Mapping[str, Json], timeout: float | None) -> Json:
        """Run a command as a child and return its result."""

    async def spawn(
        self, context: Context, command_id: str, args: Mapping[str, Json], timeout: float | None, detach: bool
    ) -> RunHandle:
        """Start a command as a child."""

    def require(self, context: Context, kind: type[T]) -> T:
        """The object of a type; from any thread."""

    async def keep_artifact(self, context: Context, name: str, content: Content, media_type: str) -> ArtifactInfo:
        """Keep a file with the run."""

    async def flush(self, context: Context) -> None:
        """Wait until everything emitted so far is on record."""


class Context:
    """The context of one run, given to handlers that ask for it.

    Output methods work from any thread. Methods that wait are coroutines for async handlers; each has a
    twin ending in ``_blocking`` for sync handlers, which run in a thread.

    Attributes:
        run: its row as it was when this attempt started; secret arguments are masked.
        run_id, command_id, session_id, attempt: of the run.
        caller: who asked, and through which doors.
        deadline: on the monotonic clock, seconds; None without one.
    """

    def __init__(
        self,
        run: Run,
        caller: Caller,
        sink: Sink,
        nested: Nested,
        loop: asyncio.AbstractEventLoop,
        deadline: float | None,
    ) -> None:
        self.run = run
        self.run_id = run.id
        self.command_id = run.command_id
        self.session_id = run.session_id
        self._labels = run.labels
        self.attempt = run.attempt
        self.caller = caller
        self.deadline = deadline
        self._sink = sink
        self._nested = nested
        self._loop = loop
        self._stop: str | None = None
        self._stopped: threading.Event | None = None
        self._stats: Stats | None = None
        self._buffers: dict[str, LineBuffer] = {}
        self._progress: tuple[float, msgspec.Raw | None] = (0.0, None)
        self._stats_at = 0.0

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the run, a copy."""
        return dict(self._labels)

    @property
    def stats(self) -> Stats:
        """Counters that are stored with the run."""
        if self._stats is None:
            with _making:
                if self._stats is None:
                    self._stats = Stats(self._stats_changed)
        return self._stats

    def figures(self) -> dict[str, float]:
        """The counters as they are now, empty where none was touched."""
        if self._stats is None:
            return {}
        clean = self._sink.redactor.text
        return {clean(name): figure for name, figure in self._stats.snapshot().items()}

    # -- being stopped ----------------------------------------------------------------------------

    @property
    def principal(self) -> str:
        """Who asked."""
        return self.caller.principal

    @property
    def cancelled(self) -> bool:
        """Whether the run should end: cancelled, out of time, or the host stops."""
        return self._stop is not None

    def check(self) -> None:
        """Raise if the run should end; call it now and then in long loops.

        Raises:
            Cancelled: it was cancelled, or the host stops.
            DeadlineExceeded: its time is over.
        """
        if self._stop is not None:
            raise stop_error(self._stop, self.command_id)

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Sleep, in a sync handler, until the run should end or ``timeout`` seconds have passed."""
        with _making:
            if self._stopped is None:
                self._stopped = threading.Event()
            if self._stop is not None:
                self._stopped.set()
        return self._stopped.wait(timeout)

    def request_stop(self, reason: str) -> None:
        """Tell the handler to end. For the executor."""
        if self._stop is None:
            with _making:
                self._stop = reason
            if self._stopped is not None:
                self._stopped.set()

    # -- output -----------------------------------------------------------------------------------

    def echo(self, *values: object, sep: str = " ", end: str = "\n") -> None:
        """Print to the run, as ``print`` does."""
        self.write(sep.join(map(str, values)) + end)

    def write(self, text: str, *, channel: str = "stdout") -> None:
        """Take text in any pieces; whole lines become events, a carriage return rewrites a line."""
        buffer = self._buffers.get(channel)
        if buffer is None:
            buffer = self._buffers[channel] = self._buffer(channel)
        buffer.write(text)

    def text(self, block: str, *, channel: str = "stdout", level: str = "info", cut: int = 0) -> None:
        """Add a block of whole lines, for callers that split lines themselves.

        Args:
            block: the lines with their ends.
            channel: which of several outputs they come from.
            level: debug, info, warning, error or critical.
            cut: bytes that its last line lost because it was too long; the event says so.
        """
        self._sink.text(block, channel=event_word(channel), level=event_word(level), cut=cut)

    def byte_redactor(self) -> StreamRedactor:
        """For one stream of bytes that goes on to ``text``: cuts this run's secrets, wherever its chunks end."""
        return StreamRedactor(self._sink.own)

    def redacted(self, text: str) -> str:
        """Text as the run would show it, for what is shortened before it is shown: half a secret is not recognised."""
        return self._sink.redactor.text(text)

    def register_secrets(self, *values: str) -> None:
        """From now on these are secrets of the run: they are cut from all it says, as its secret arguments are.

        Values shorter than four characters are not searched for.
        """
        self._sink.learn(values)

    def log(self, message: str, level: str = "info", data: Json = None) -> None:
        """Add a log line.

        Args:
            message: text.
            level: debug, info, warning, error or critical.
            data: machine-readable facts beside it.
        """
        self.emit(LOG, message, data, level=level if level in LEVELS else "info")

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far the work has come; at most 20 a second are kept, the last one always."""
        if len(text) > LONGEST_TEXT:
            text = self._shortened(text)
        raw = msgspec.Raw(encode({"done": done, "total": total, "text": text}))
        now = time.monotonic()
        if now - self._progress[0] >= PROGRESS_INTERVAL or done == total:
            self._progress = (now, None)
            self._sink.emit(PROGRESS, text, raw)
        else:
            self._progress = (self._progress[0], raw)

    def table(
        self, rows: Sequence[Sequence[Json]], headers: Sequence[str] = (), title: str = "", **look: Unpack[TableOptions]
    ) -> None:
        """Add a table.

        Args:
            rows: cells of any JSON value; short rows are padded.
            headers: of the columns; cells beyond them are shown below empty ones.
            title: above the table.
            look: how it is drawn on a terminal: ``align``, ``wrap``, ``indent``, ``title_indent``, ``rule``, ``gap``
                and ``extra``, as ``trunnion.rendering.TableLook`` has them.

        Raises:
            ValueError: an option of the look is none there is; the message names it.
            TypeError: it is of another type, or there is none of that name.
        """
        self.emit(TABLE, title, table_data(rows, headers, title, **look))

    def data(self, value: Json, text: str = "") -> None:
        """Add machine-readable data."""
        self.emit(DATA, text, value)

    def emit(self, kind: str, text: str = "", data: Json = None, level: str = "info", by: str = "handler") -> None:
        """Add an event of any kind but those of the host itself: ``state``, ``gap`` and ``ask``.

        Raises:
            ValueError: a kind only the host emits, no word for a kind, or too much data for one event.
            TypeError: the data has no form in JSON.
        """
        common = kind in COMMON_KINDS
        raw = NULL if common and data is None else handlers_data(kind, data)
        if len(text) > LONGEST_TEXT:
            text = self._shortened(text)
        if not (common and by == "handler" and level in LEVELS):
            check_words(kind, level, by)
        self._sink.emit(kind, text, raw, level, by)

    def finish_output(self) -> None:
        """Hand on half lines and held-back progress. For the executor, when the handler has returned."""
        self._sink.last_words()
        for buffer in list(self._buffers.values()):  # threads that were left behind may begin others
            buffer.finish()
        held = self._progress[1]
        if held is not None:
            self._progress = (0.0, None)
            self._sink.emit(PROGRESS, "", held)

    def outlive(self) -> None:
        """The run is tried again: what is still said in the name of this attempt is dropped. For the executor."""
        self._sink = self._sink.closed_twin()

    async def flush(self) -> None:
        """Wait until everything emitted so far, but for a last part that is held, is on record; paces a handler."""
        await self._nested.flush(self)

    async def artifact(self, name: str, content: Content, media_type: str = "application/octet-stream") -> ArtifactInfo:
        """Keep a file with the run.

        Args:
            name: shown to people; not a path.
            content: bytes, a file to copy, an open binary file, or an (async) iterable of bytes: what comes in
                pieces is written as it comes and never in memory as a whole.
            media_type: what it is; never used to decide how to run it.

        Raises:
            InvalidArguments: it cannot be read, or would be larger than ``bytes.max_artifact`` or, with what the
                run keeps already, than ``bytes.max_run_artifacts``; nothing of it is kept.
            Unavailable: the disk is full, or the run has ended.
        """
        return await self._nested.keep_artifact(self, name, content, media_type)

    def artifact_blocking(
        self, name: str, content: Content, media_type: str = "application/octet-stream"
    ) -> ArtifactInfo:
        """``artifact`` for sync handlers."""
        return self._blocking(self.artifact(name, content, media_type))

    # -- what others provide ----------------------------------------------------------------------

    def require(self, kind: type[T]) -> T:
        """The object of a type that a plugin, the host or the embedding program provides.

        It is the same object for every run of this host, but for the host's own per-plugin types, of which each
        plugin has its own. From any thread.

        Raises:
            Unavailable: nobody provides it, or it could not be opened; the message says why.
        """
        return self._nested.require(self, kind)

    # -- nested runs ------------------------------------------------------------------------------

    async def invoke(self, command_id: str, /, *, timeout: float | None = None, **args: Json) -> Json:
        """Run another command as a child of this run and return its result.

        The child keeps principal and doors, ends with this run, and inherits its deadline and lock.

        Raises:
            TrunnionError: it was refused or did not succeed.
        """
        return await self._nested.invoke(self, command_id, args, timeout)

    def invoke_blocking(self, command_id: str, /, *, timeout: float | None = None, **args: Json) -> Json:
        """``invoke`` for sync handlers."""
        return self._blocking(self._nested.invoke(self, command_id, args, timeout))

    async def spawn(
        self, command_id: str, /, *, timeout: float | None = None, detach: bool = False, **args: Json
    ) -> RunHandle:
        """Start another command without waiting for it.

        With ``detach`` the child outlives this run and inherits neither its lock nor its deadline.
        """
        return await self._nested.spawn(self, command_id, args, timeout, detach)

    def spawn_blocking(
        self, command_id: str, /, *, timeout: float | None = None, detach: bool = False, **args: Json
    ) -> RunHandle:
        """``spawn`` for sync handlers; wait for it with ``wait_blocking``."""
        return self._blocking(self._nested.spawn(self, command_id, args, timeout, detach))

    def wait_blocking(self, handle: RunHandle) -> Run:
        """Wait for a spawned run's end in a sync handler."""
        return self._blocking(handle.wait())

    # -- inside -----------------------------------------------------------------------------------

    def _shortened(self, text: str) -> str:
        text = self._sink.redactor.text(text)  # before it is cut: half a secret would not be recognised
        left_out = len(text) - LONGEST_TEXT
        return text if left_out <= 0 else f"{text[:LONGEST_TEXT]}… ({left_out} more characters)"

    def _blocking(self, coroutine: Coroutine[None, None, T]) -> T:
        return waited_for(coroutine, self._loop)

    def _buffer(self, channel: str) -> LineBuffer:
        level = "warning" if event_word(channel) == "stderr" else "info"

        def update(line: str) -> None:
            self._sink.emit(TEXT, line, msgspec.Raw(encode({"update": True, "channel": channel})), level)

        def lines(block: str) -> None:
            self._sink.text(block, channel=channel, level=level)

        return LineBuffer(lines, update, TextRedactor(self._sink.own))

    def _stats_changed(self) -> None:
        now = time.monotonic()
        if now - self._stats_at >= STATS_INTERVAL:
            self._stats_at = now
            self.emit(STATS, "", self.stats.snapshot(), by="host")
