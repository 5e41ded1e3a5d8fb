"""One client's connection, without a transport: messages come in, messages go out.

Calls run side by side, each in its own task. What the client does not read is held back at the
source: a subscription stops pulling from its cursor, so a slow client costs a bounded buffer and
nobody else anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from trunnion.model.errors import Busy, Conflict, ErrorInfo, InvalidArguments, NotFound, TrunnionError
from trunnion.model.events import run_stream
from trunnion.protocol.messages import (
    Call,
    CallId,
    EventEncoder,
    ended_frame,
    error_frame,
    parse_call,
    result_frame,
)
from trunnion.protocol.methods import Reply, dispatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from trunnion.kernel.handle import HostHandle
    from trunnion.kernel.live import Begun
    from trunnion.model.events import Event
    from trunnion.model.runs import Caller, Invocation, LocalDoor, Run

log = logging.getLogger("trunnion.protocol")


class Limits(msgspec.Struct, frozen=True):
    """What one connection may take.

    Attributes:
        message_bytes: the largest message a client may send.
        pending_calls: calls not yet answered.
        subscriptions: open subscriptions.
        tied_runs: runs that are to be cancelled when the client goes away.
        soft_buffer: unsent bytes above which subscriptions pause.
        hard_buffer: unsent bytes above which answers wait, and the client is not read from.
        frame_bytes: roughly the largest batch of events in one message.
    """

    message_bytes: int = 4 << 20
    pending_calls: int = 1024
    subscriptions: int = 1024
    tied_runs: int = 1024
    soft_buffer: int = 256 << 10
    hard_buffer: int = 4 << 20
    frame_bytes: int = 128 << 10

    def __post_init__(self) -> None:
        if self.hard_buffer < self.soft_buffer:
            raise ValueError("hard_buffer must not be smaller than soft_buffer")


class Outlet(Protocol):
    """Where messages go."""

    def write(self, message: bytes) -> None:
        """Send one message, or keep it until it can be sent; after the connection's end, drop it."""

    async def room(self, limit: int) -> None:
        """Return once at most ``limit`` bytes wait to be sent, or the connection has ended."""


class Accepted(NamedTuple):
    """A run that was submitted.

    Attributes:
        run: as it was accepted.
        subscription: on which its events and its end are sent; ``""`` for none.
        start: begins to send them, once the client knows the subscription.
    """

    run: Run
    subscription: str = ""
    start: Callable[[], None] | None = None


class Connection:
    """What a door does with one client.

    Args:
        host: the door's handle.
        caller: who the client is; found out by the transport, never told by the client.
        outlet: the transport's sending side.
        encoder: shared by the connections of one door.
    """

    def __init__(
        self,
        host: HostHandle,
        caller: Caller,
        outlet: Outlet,
        *,
        limits: Limits | None = None,
        encoder: EventEncoder | None = None,
    ) -> None:
        self.host = host
        self.door = host.door
        self.caller = caller
        self.limits = limits or Limits()
        self._outlet = outlet
        self._encoder = encoder or EventEncoder()
        self._calls: dict[CallId, asyncio.Task[None]] = {}
        self._cancellable: set[CallId] = set()
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._subscribed = 0
        self._tied: set[str] = set()
        self._background: set[asyncio.Task[Accepted] | asyncio.Task[Run]] = set()
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing is under way for this client."""
        return not self._calls and not self._subscriptions and not self._tied

    def receive(self, message: bytes) -> None:
        """Take one whole message and start what it asks for; refusals are answered at once."""
        call_id: CallId | None = None
        try:
            if len(message) > self.limits.message_bytes:
                raise InvalidArguments(f"a message may have {self.limits.message_bytes} bytes at most")
            call = parse_call(message)
            call_id = call.id
            self._admit(call)
        except TrunnionError as error:
            self.host.turned_down("message", error, self.caller)
            named = error.details.get("id")
            if call_id is None and isinstance(named, str | int):
                call_id = named
            self._outlet.write(error_frame(call_id, self.host.shown(error)))
            return
        self._calls[call.id] = asyncio.create_task(self._answer(call), name=f"rpc {call.method}")

    def come_by(self, source: LocalDoor) -> None:
        """The client says which kind of local client it is: what it asks for from now on is stamped so.

        Raises:
            InvalidArguments: this connection does not come by a local door.
        """
        if source != self.door.source:
            self.door = self.host.local_door(source)
            self.caller = msgspec.structs.replace(self.caller, source=source)

    def close(self) -> None:
        """The client is gone: its calls and subscriptions end, its runs go on unless they were tied to it."""
        if self._closed:
            return
        self._closed = True
        for task in (*self._calls.values(), *self._subscriptions.values()):
            task.cancel()
        for run_id in self._tied:
            self._keep(asyncio.create_task(self._cancel(run_id), name=f"cancel {run_id}"))

    # -- calls ------------------------------------------------------------------------------------

    def _admit(self, call: Call) -> None:
        if call.id in self._calls:
            raise Conflict(f"call id {call.id!r} is still in use; choose another")
        if len(self._calls) >= self.limits.pending_calls:
            raise Busy(f"{self.limits.pending_calls} calls are pending on this connection; wait for answers")

    async def _answer(self, call: Call) -> None:
        reply: Reply | None = None
        try:
            reply, frame = await self._perform(call)
            await self._outlet.room(self.limits.hard_buffer)
            self._outlet.write(frame)
        finally:
            del self._calls[call.id]
        if reply is not None and reply.then is not None:
            reply.then()

    async def _perform(self, call: Call) -> tuple[Reply | None, bytes]:
        deadline = asyncio.timeout(call.timeout)
        self._cancellable.add(call.id)
        try:
            async with deadline:
                reply = await dispatch(self, call)
            return reply, result_frame(call.id, reply.result)
        except TrunnionError as error:
            return None, error_frame(call.id, self.host.shown(error))
        except asyncio.CancelledError:
            if self._closed:
                raise
            return None, error_frame(call.id, ErrorInfo("cancelled", "the call was cancelled by rpc.cancel"))
        except TimeoutError:
            if not deadline.expired():
                return None, self._defect(call)
            text = f"{call.method} was not answered within {call.timeout:g} s; what it started goes on"
            return None, error_frame(call.id, ErrorInfo("deadline_exceeded", text))
        except Exception:
            return None, self._defect(call)
        finally:
            self._cancellable.discard(call.id)

    def _defect(self, call: Call) -> bytes:
        log.exception("defect while answering %s", call.method)
        return error_frame(call.id, ErrorInfo("internal", f"{call.method} failed; the host's log says why"))

    def cancel_call(self, call_id: CallId) -> bool:
        """Stop waiting for a call, which is then answered ``cancelled``; False if it is not under way."""
        if call_id not in self._cancellable:
            return False
        self._cancellable.discard(call_id)
        return self._calls[call_id].cancel()

    # -- runs that end with the client ------------------------------------------------------------

    async def submit(self, invocation: Invocation, *, tied: bool, follow: bool = False) -> Accepted:
        """Submit for this client. Once begun it is completed, even if the client stops waiting.

        Args:
            invocation: what the client asks for.
            tied: whether the run is cancelled when the client goes away.
            follow: whether its events and its end are to be sent.

        Raises:
            Busy: too many runs are tied to this connection.
        """
        if tied and len(self._tied) >= self.limits.tied_runs:
            raise Busy(f"{self.limits.tied_runs} runs are tied to this connection already")
        task = asyncio.create_task(self._submit(invocation, tied, follow), name=f"submit {invocation.command_id}")
        self._keep(task)
        return await asyncio.shield(task)

    async def _submit(self, invocation: Invocation, tied: bool, follow: bool) -> Accepted:
        begun = await self.door.begin(self.caller, invocation) if follow else None
        run = begun.run if begun is not None else await self.door.submit(self.caller, invocation)
        if tied and self._closed:
            return Accepted(await self._cancel(run.id) or run)
        if tied:
            self._tied.add(run.id)
        if begun is None or self._closed or (run.ended and not run.last_seq):
            return Accepted(run)
        return self._look_on(begun)

    async def _cancel(self, run_id: str) -> Run:
        return await self.door.cancel(self.caller, run_id)

    def _keep(self, task: asyncio.Task[Accepted] | asyncio.Task[Run]) -> None:
        self._background.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[Accepted] | asyncio.Task[Run]) -> None:
        self._background.discard(task)
        if self._closed and not task.cancelled() and task.exception() is not None:
            log.warning("%s for a client that is gone: %s", task.get_name(), task.exception())

    def untie(self, run_id: str) -> None:
        """The run has ended; the client's going away no longer matters to it."""
        self._tied.discard(run_id)

    # -- subscriptions ----------------------------------------------------------------------------

    def subscribe(
        self, stream: str, batches: AsyncIterator[Sequence[Event]], begun: Begun | None = None
    ) -> tuple[str, Callable[[], None]]:
        """Reserve a subscription; the function returned starts it, once the client knows its id.

        Args:
            stream: what is followed.
            batches: its events.
            begun: the run it is of, if the last message is to tell of its end.

        Raises:
            Busy: this connection has as many as it may.
        """
        if len(self._subscriptions) >= self.limits.subscriptions:
            raise Busy(f"{self.limits.subscriptions} subscriptions are open on this connection; end one first")
        self._subscribed += 1
        name = f"s{self._subscribed}"

        def start() -> None:
            if not self._closed:
                pump = self._pump(name, stream, batches, begun)
                self._subscriptions[name] = asyncio.create_task(pump, name=f"subscription {stream}")

        return name, start

    def _look_on(self, begun: Begun) -> Accepted:
        """Follow a run from its beginning to its end; where no subscription is left it has begun all the same."""
        stream = run_stream(begun.run.id)
        with contextlib.suppress(Busy):
            batches = self.door.follow(self.caller, stream, begun=begun)
            return Accepted(begun.run, *self.subscribe(stream, batches, begun))
        return Accepted(begun.run)

    def unsubscribe(self, name: str) -> None:
        """End a subscription; nothing of it is sent afterwards.

        Raises:
            NotFound: there is none of that name.
        """
        task = self._subscriptions.pop(name, None)
        if task is None:
            raise NotFound(f"no subscription {name!r} is open on this connection")
        task.cancel()

    async def _pump(self, name: str, stream: str, batches: AsyncIterator[Sequence[Event]], begun: Begun | None) -> None:
        failure, run = None, None
        try:
            async for batch in batches:
                for frame in self._encoder.frames(name, stream, batch, self.limits.frame_bytes):
                    await self._outlet.room(self.limits.soft_buffer)
                    self._outlet.write(frame)
            if begun is not None:
                run = await self.door.wait(self.caller, begun.run.id, begun=begun)
        except TrunnionError as error:
            failure = self.host.shown(error)
        except Exception:
            log.exception("defect while following %s", stream)
            failure = ErrorInfo("internal", f"following {stream} failed; the host's log says why")
        finally:
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()
        self._subscriptions.pop(name, None)
        self._outlet.write(ended_frame(name, stream, failure, run))
