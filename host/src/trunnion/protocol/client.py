"""The client's side of the envelope, for asyncio programs: typed calls, and streams that survive a lost line."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import msgspec

from trunnion.model.errors import ErrorInfo, Unavailable
from trunnion.model.events import Event, run_stream
from trunnion.model.json import Json, decode
from trunnion.model.runs import Invocation, LocalDoor, Run
from trunnion.protocol import address
from trunnion.protocol.answers import Followed, Hello, MetaAnswer, Subscribed, Whoami
from trunnion.protocol.client_errors import RemoteError, no_host
from trunnion.protocol.feeds import Behind, Feed, Gone
from trunnion.protocol.messages import (
    CallId,
    Failure,
    Notice,
    Result,
    StreamData,
    call_frame,
    parse_answer,
)

if TYPE_CHECKING:
    from trunnion.arguments import Completion

T = TypeVar("T")
CHUNK = 256 << 10
ENDS = 64
"""How many ends of runs are remembered that were told without being asked for."""

PAUSE = 0.05
"""Seconds before the first attempt to reconnect; doubles up to one second."""


class Client:
    """A connection to the host of one data directory.

    Make one with ``await Client.connect(path)``; leave it with ``await client.close()`` or as a context
    manager. When the line is lost, calls under way fail with ``Unavailable`` and the next call connects
    again; ``follow`` goes on by itself.

    Args:
        path: the host's socket.
        patience: seconds ``follow`` tries to reconnect before it gives up.
        door: what the client is, ``tty`` for a shell; the host stamps the runs it starts so. Each new line begins
            with it; a host that refuses it is left, and the calls on that line fail for its reason.
    """

    def __init__(self, path: Path, *, patience: float = 30.0, door: LocalDoor = "cli") -> None:
        self.path = path
        self._patience = patience
        self._greeting = {} if door == "cli" else {"door": door}
        self._greeted: CallId | None = None
        self._ids = itertools.count(1)
        self._calls: dict[CallId, asyncio.Future[msgspec.Raw]] = {}
        self._feeds: dict[str, Feed] = {}
        self._early: dict[str, Feed] = {}
        self._begun: dict[str, str] = {}
        self._subscribing = 0
        self._losses = 0
        self._over: dict[str, Run] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path, *, patience: float = 30.0, door: LocalDoor = "cli") -> Client:
        """Connect and greet.

        Raises:
            Unavailable: no host serves the socket.
            RemoteError: it refuses, for instance because it speaks another protocol.
        """
        client = cls(path, patience=patience, door=door)
        try:
            await client.hello()
        except BaseException:
            await client.close()
            raise
        return client

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect; runs started over this connection go on unless they were tied to it."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])

    # -- calls ------------------------------------------------------------------------------------

    async def call(self, method: str, params: Mapping[str, object] | None = None) -> Json:
        """Call a method, or a command or query by its id; returns plain data.

        Raises:
            RemoteError: the host refused, or what was asked for failed.
            Unavailable: no host serves the socket, or the line was lost before the answer.
        """
        return decode(await self._call(method, params or {}))

    async def hello(self) -> Hello:
        """Greet; the host answers who it is."""
        return await self._typed(Hello, "hello", self._greeting)

    async def whoami(self) -> Whoami:
        """Who the host takes the client for."""
        return await self._typed(Whoami, "whoami", {})

    async def submit(self, invocation: Invocation, *, cancel_on_disconnect: bool = False, follow: bool = False) -> Run:
        """Start a run; returns once it is on record.

        Args:
            invocation: what is to be done.
            cancel_on_disconnect: cancel the run when this client goes away before its end.
            follow: have its events and its end sent as they come, for the next ``follow`` of its stream and ``wait``
                behind that; ``look_away`` if nobody will call those.
        """
        params = {**msgspec.structs.asdict(invocation), "cancel_on_disconnect": cancel_on_disconnect}
        if not follow:
            return await self._typed(Run, "command.submit", params)
        with self._to_subscribe() as is_lost:
            answer = await self._call("command.submit", {**params, "follow": True})
        run = msgspec.json.decode(answer, type=Run)
        if (name := msgspec.json.decode(answer, type=Followed).subscription) and not is_lost():
            self._begun[run_stream(run.id)] = name
        return run

    async def run(self, invocation: Invocation, *, cancel_on_disconnect: bool = False) -> Run:
        """Start a run and wait for its end; returns it, whatever became of it."""
        params = {**msgspec.structs.asdict(invocation), "cancel_on_disconnect": cancel_on_disconnect}
        return await self._typed(Run, "command.run", params)

    async def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """Wait for a run's end, for ``timeout`` seconds at most."""
        if (ended := self._over.pop(run_id, None)) is not None:
            return ended
        return await self._typed(Run, "run.wait", {"run_id": run_id, "timeout": timeout})

    async def cancel(self, run_id: str) -> Run:
        """Ask for a run's end; returns once the request is on record."""
        return await self._typed(Run, "run.cancel", {"run_id": run_id})

    async def query(
        self, query_id: str, args: Mapping[str, Json] | None = None, *, argv: Sequence[str] | None = None
    ) -> Json:
        """Ask a query."""
        return await self.call("query", {"query_id": query_id, "args": args, "argv": argv})

    async def complete(self, command_id: str, words: Sequence[str], incomplete: str) -> list[Completion]:
        """What may stand in place of ``incomplete`` after ``words``."""
        from trunnion.arguments import Completion

        params = {"command_id": command_id, "words": words, "incomplete": incomplete}
        return await self._typed(list[Completion], "command.complete", params)

    async def meta(self, revision: str | None = None) -> MetaAnswer:
        """Get the descriptor of everything visible; left out when ``revision`` is current."""
        return await self._typed(MetaAnswer, "meta.get", {"revision": revision})

    async def _typed(self, kind: type[T], method: str, params: Mapping[str, object]) -> T:
        return msgspec.json.decode(await self._call(method, params), type=kind)

    async def _call(self, method: str, params: Mapping[str, object]) -> msgspec.Raw:
        writer = await self._connected()
        call_id = next(self._ids)
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = future
        try:
            writer.write(call_frame(call_id, method, params) + b"\n")
            await self._flush(writer)
            return await future
        except asyncio.CancelledError:
            # Unless it was answered the host would go on with what nobody waits for.
            if writer is self._writer and (future.cancelled() or not future.done()):
                writer.write(call_frame(next(self._ids), "rpc.cancel", {"id": call_id}) + b"\n")
            raise
        finally:
            self._calls.pop(call_id, None)

    async def _flush(self, writer: asyncio.StreamWriter) -> None:
        # A lost line is told by the reader, to every call alike.
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    # -- streams ----------------------------------------------------------------------------------

    async def follow(self, stream: str, after: int = 0, *, live: bool = True) -> AsyncGenerator[list[Event], None]:
        """Iterate over batches of a stream's events with ``seq > after``.

        Ends after a run's last event, or at the present end when ``live`` is False. A lost line is
        taken up again where it broke, without loss and without repetition.

        Raises:
            RemoteError: the stream is not there, or may not be read.
            Unavailable: no host came back within the client's patience.
        """
        pause = PAUSE
        lost_at: float | None = None
        while True:
            try:
                async with contextlib.aclosing(self._subscribe(stream, after, live)) as messages:
                    async for data in messages:
                        pause, lost_at = PAUSE, None
                        if data.events:
                            after = data.events[-1].seq
                            yield data.events
                return
            except Behind:
                continue
            except Unavailable:
                now = asyncio.get_running_loop().time()
                lost_at = now if lost_at is None else lost_at
                if now - lost_at >= self._patience:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    def look_away(self, run_id: str) -> None:
        """Have no more sent of a run that ``submit`` was to follow and nobody has followed; it goes on."""
        name = self._begun.pop(run_stream(run_id), "")
        if name:
            feed = self._feeds[name] = self._early.pop(name, Feed())
            self._leave(name, feed)

    async def _subscribe(self, stream: str, after: int, live: bool) -> AsyncGenerator[StreamData, None]:
        name = self._begun.pop(stream, "") if live and not after else ""
        if not name:
            params = {"stream": stream, "after": after, "live": live}
            with self._to_subscribe() as is_lost:
                name = (await self._typed(Subscribed, "stream.subscribe", params)).subscription
            if is_lost():
                raise self._gone()
        feed = self._early.pop(name, None) or Feed()
        self._feeds[name] = feed
        ended = False
        try:
            while not ended:
                data = await feed.get()
                ended = data.ended
                self._note_end(data.run)
                if data.error is not None:
                    raise RemoteError(data.error)
                yield data
        except Gone:
            raise self._gone() from None
        finally:
            if ended or self._feeds.get(name) is not feed:
                self._feeds.pop(name, None)
            else:
                self._leave(name, feed)

    @contextlib.contextmanager
    def _to_subscribe(self) -> Iterator[Callable[[], bool]]:
        """While entered, events may come of a subscription whose name is not known yet.

        What is entered says whether the line was lost right behind the answer, and the subscription with it.
        """
        losses = self._losses
        self._subscribing += 1
        try:
            yield lambda: self._losses > losses
        finally:
            self._subscribing -= 1

    def _leave(self, name: str, feed: Feed) -> None:
        """Want no more of a subscription. Nobody waits for the host to notice: it may be busy, and who leaves is not.

        Until it has, what still comes is dropped.
        """
        feed.behind = True
        writer = self._writer
        if writer is None:
            self._feeds.pop(name, None)
            return
        call_id = next(self._ids)
        left: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        left.add_done_callback(partial(self._left, name))
        self._calls[call_id] = left
        writer.write(call_frame(call_id, "stream.unsubscribe", {"subscription": name}) + b"\n")

    def _left(self, name: str, answer: asyncio.Future[msgspec.Raw]) -> None:
        self._feeds.pop(name, None)
        if not answer.cancelled():
            answer.exception()  # a line that is lost has no subscriptions either

    def _note_end(self, run: Run | None) -> None:
        """Remember the end of a run until it is waited for; of too many the first are forgotten."""
        if run is not None:
            self._over[run.id] = run
            for run_id in list(self._over)[:-ENDS]:
                del self._over[run_id]

    # -- the line ---------------------------------------------------------------------------------

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                try:
                    with address.short(self.path) as spelling:
                        reader, self._writer = await asyncio.open_unix_connection(spelling)
                except OSError as error:
                    raise no_host(self.path, error) from None
                self._reading = asyncio.create_task(self._read(reader, self._writer), name="trunnion client")
                self._greet(self._writer)
            return self._writer

    def _greet(self, writer: asyncio.StreamWriter) -> None:
        """Say first what the client is, where that matters. The host takes calls in order: nobody waits for this."""
        if self._greeting:
            self._greeted = next(self._ids)
            writer.write(call_frame(self._greeted, "hello", self._greeting) + b"\n")

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts: list[bytes] = []
        farewell: ErrorInfo | None = None
        try:
            while chunk := await reader.read(CHUNK):
                head, *rest = chunk.split(b"\n")
                parts.append(head)
                if rest:
                    for line in (b"".join(parts), *rest[:-1]):
                        farewell = self._take(line) or farewell
                    parts = [rest[-1]]
        except ConnectionError:
            pass
        finally:
            self._lost(farewell)
            writer.close()

    def _take(self, line: bytes) -> ErrorInfo | None:
        answer = parse_answer(line)
        match answer:
            case Result():
                self._settle(answer.id, answer.result, None)
            case Failure():
                error = ErrorInfo(answer.code, answer.message, answer.details)
                if answer.id == self._greeted and self._writer is not None:
                    self._writer.close()  # what is still asked on this line would be stamped otherwise
                    return error
                if answer.id is None:
                    return error
                self._settle(answer.id, None, error)
            case Notice(event="stream"):
                data = msgspec.json.decode(answer.data, type=StreamData)
                self._feed_of(data).put(data)
        return None

    def _feed_of(self, data: StreamData) -> Feed:
        """Where a message belongs; one of a subscription nobody knows ends that: whoever asked for it gave up."""
        name = data.subscription
        if (feed := self._feeds.get(name)) is not None:
            return feed
        if self._subscribing or name in self._begun.values():
            return self._early.setdefault(name, Feed())
        feed = self._early.pop(name, Feed())
        if not data.ended:
            self._feeds[name] = feed
            self._leave(name, feed)
        return feed

    def _settle(self, call_id: CallId | None, result: msgspec.Raw | None, error: ErrorInfo | None) -> None:
        future = self._calls.pop(call_id, None) if call_id is not None else None
        if future is None or future.done():
            return
        if error is not None:
            future.set_exception(RemoteError(error))
        elif result is not None:
            future.set_result(result)

    def _lost(self, farewell: ErrorInfo | None) -> None:
        self._writer = None
        self._losses += 1
        calls, self._calls = self._calls, {}
        feeds, self._feeds, self._early, self._begun = self._feeds, {}, {}, {}
        for future in calls.values():
            if not future.done():
                future.set_exception(RemoteError(farewell) if farewell else self._gone())
        for feed in feeds.values():
            feed.put(None)

    def _gone(self) -> Unavailable:
        return Unavailable(f"the host at {self.path} closed the connection")
