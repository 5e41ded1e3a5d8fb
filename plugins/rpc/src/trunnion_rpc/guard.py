"""What stands before every method: who calls, how much they have under way, whether it is a message at all.

Nothing of a method happens before that, and nothing a method raises goes out but as a refusal with a name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import NamedTuple, TypeAlias, TypeVar

import trunnion_rpc.quiet  # noqa: F401  # isort: skip
import grpc
from google.protobuf.message import DecodeError, Message

from trunnion import DeadlineExceeded, ErrorInfo, InvalidArguments, TrunnionError
from trunnion_rpc.call import Call, Shared, log
from trunnion_rpc.errors import Refusal
from trunnion_rpc.identity import Known
from trunnion_rpc.nonsense import NotReadable
from trunnion_rpc.pause import TooMuch

R = TypeVar("R", bound=Message)
T = TypeVar("T")
MARGIN = 5.0
"""Seconds beyond the longest wait after which a call is given up: one that waits for a run ends its wait itself."""

LARGE = 16 << 10
"""Bytes of an answer beyond which the call is under way until the client takes it: gRPC has it in memory so long."""

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


class Unary(NamedTuple):
    """A method with one request and one answer, both encoded; see ``unary``."""

    perform: Callable[[Call, bytes], Awaitable[bytes]]


class Downward(NamedTuple):
    """A method with one request and any number of answers; see ``downward``."""

    perform: Callable[[Call, bytes], AsyncGenerator[bytes, None]]


class Upward(NamedTuple):
    """A method with any number of requests and one answer; see ``upward``."""

    perform: Callable[[Call, AsyncIterator[bytes]], Awaitable[bytes]]


class Duplex(NamedTuple):
    """A method with any number of requests and answers; see ``duplex``."""

    perform: Callable[[Call, AsyncIterator[bytes]], AsyncGenerator[bytes, None]]


Method: TypeAlias = Unary | Downward | Upward | Duplex


def unary(kind: type[R], perform: Callable[[Call, R], Awaitable[Message]]) -> Unary:
    """A method with one request, of a kind, and one answer."""

    async def performed(call: Call, data: bytes) -> bytes:
        return (await perform(call, parsed(kind, data))).SerializeToString()

    return Unary(performed)


def downward(kind: type[R], perform: Callable[[Call, R], AsyncGenerator[bytes, None]]) -> Downward:
    """A method with one request, of a kind, and any number of encoded answers."""
    return Downward(lambda call, data: perform(call, parsed(kind, data)))


def upward(kind: type[R], perform: Callable[[Call, AsyncIterator[R]], Awaitable[Message]]) -> Upward:
    """A method with any number of requests, all of a kind, and one answer."""

    async def performed(call: Call, data: AsyncIterator[bytes]) -> bytes:
        return (await perform(call, _all_parsed(kind, data))).SerializeToString()

    return Upward(performed)


def duplex(kind: type[R], perform: Callable[[Call, AsyncIterator[R]], AsyncGenerator[bytes, None]]) -> Duplex:
    """A method with any number of requests, all of a kind, and of encoded answers."""
    return Duplex(lambda call, data: perform(call, _all_parsed(kind, data)))


class Guard(grpc.GenericRpcHandler):
    """The methods of a service, guarded.

    Args:
        shared: what all calls share.
        identity: says who calls.
        service: its full name.
        methods: by name.
    """

    def __init__(self, shared: Shared, identity: Known, service: str, methods: Mapping[str, Method]) -> None:
        self._shared = shared
        self._identity = identity
        self._handlers = {f"/{service}/{name}": self._handler(name, method) for name, method in methods.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a call; None where there is no such method."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, name: str, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        """To gRPC each is a method that takes any number of requests, as bytes.

        Otherwise it would read the one request before it asks us anything, for as long as that takes, whoever it is.
        """
        if isinstance(method, Unary | Upward):
            one = method

            async def answer(data: AsyncIterator[bytes], context: Context) -> bytes:
                asked = self._unary(name, one, context) if isinstance(one, Unary) else self._upward(one, data, context)
                return await self._refusing(name, context, asked)

            return grpc.stream_unary_rpc_method_handler(answer)
        many = method

        async def send(data: AsyncIterator[bytes], context: Context) -> None:
            sent = self._duplex(many, data, context) if isinstance(many, Duplex) else self._downward(many, context)
            await self._refusing(name, context, sent)

        return grpc.stream_stream_rpc_method_handler(send)

    # -- the four kinds -------------------------------------------------------------------------------

    async def _unary(self, name: str, method: Unary, context: Context) -> bytes:
        call = await self._call(context)
        settings, arrived = self._shared.settings, False
        limit = asyncio.timeout(settings.request_timeout)
        try:
            with self._shared.calls.one(call.caller.principal) as one:
                async with limit:
                    data = _whole(await context.read())
                    arrived = True
                    limit.reschedule(asyncio.get_running_loop().time() + settings.max_wait + MARGIN)
                    answer = self._fitting(await method.perform(call, data))
                if len(answer) > LARGE:
                    one.keep_for(asyncio.current_task())
                return answer
        except NotReadable as error:
            self._unreadable(call, error)
            raise
        except TimeoutError:
            if not limit.expired():
                raise
            if not arrived:
                raise _late(settings.request_timeout) from None
            raise DeadlineExceeded(f"{name} was not answered in time; what it started goes on") from None

    async def _downward(self, method: Downward, context: Context) -> None:
        call = await self._call(context)
        with self._shared.streams.one(call.caller.principal):
            data = await self._request(context)
            with self._counted(call):
                await _sent(method.perform(call, data), context)

    async def _upward(self, method: Upward, data: AsyncIterator[bytes], context: Context) -> bytes:
        call = await self._call(context)
        with self._shared.streams.one(call.caller.principal), self._counted(call):
            return await method.perform(call, data)

    async def _duplex(self, method: Duplex, data: AsyncIterator[bytes], context: Context) -> None:
        call = await self._call(context)
        with self._shared.streams.one(call.caller.principal), self._counted(call):
            await _sent(method.perform(call, self._still(data, context)), context)

    async def _still(self, data: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """Requests, for as long as they come from somebody who is known; those before do not vouch for the next."""
        async for piece in data:
            await self._call(context)
            yield piece

    # -- what all have in common ----------------------------------------------------------------------

    async def _call(self, context: Context) -> Call:
        """Who calls; before anything they send is read."""
        caller = await self._identity.caller(context.invocation_metadata() or (), context.peer())
        self._shared.nonsense.require_sense(caller.principal)
        return Call(caller, self._shared)

    @contextmanager
    def _counted(self, call: Call) -> Iterator[None]:
        """What cannot be read counts against whoever sent it, and is on record."""
        try:
            yield
        except NotReadable as error:
            self._unreadable(call, error)
            raise

    def _unreadable(self, call: Call, error: NotReadable) -> None:
        self._shared.nonsense.count(call.caller.principal)
        self._shared.host.turned_down("message", error, call.caller)

    async def _request(self, context: Context) -> bytes:
        """The one request of a call."""
        seconds = self._shared.settings.request_timeout
        try:
            async with asyncio.timeout(seconds):
                return _whole(await context.read())
        except TimeoutError:
            raise _late(seconds) from None

    def _fitting(self, answer: bytes) -> bytes:
        most = self._shared.settings.max_message_bytes
        if len(answer) > most:
            raise InvalidArguments(
                f"the answer has {len(answer)} bytes, a message {most} at most: ask for less at a time"
            )
        return answer

    async def _refusing(self, name: str, context: Context, work: Awaitable[T]) -> T:
        """The result of some work. Whatever it raises becomes the status of the call."""
        try:
            return await work
        except asyncio.CancelledError:
            if (lost := self._identity.lost(context.peer())) is None:
                raise
            refusal = Refusal(lost.info)
        except TooMuch as error:
            await self._shared.pause.hold(error)
            refusal = Refusal(error.info)
        except TrunnionError as error:
            refusal = Refusal(self._shared.host.shown(error))
        except Exception:
            if context.done():
                raise asyncio.CancelledError from None  # the client went away while it was being answered
            log.exception("defect while answering %s", name)
            refusal = Refusal(ErrorInfo("internal", f"{name} failed; the host's log says why"))
        await context.abort(refusal.status, refusal.text, refusal.trailers)


def _whole(data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    raise InvalidArguments("the call came without its request")


def _late(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"the request had not arrived after {seconds:g} seconds")


async def _sent(messages: AsyncGenerator[bytes, None], context: Context) -> None:
    """Write messages as fast as they are taken."""
    async with aclosing(messages):
        async for message in messages:
            await context.write(message)


async def _all_parsed(kind: type[R], data: AsyncIterator[bytes]) -> AsyncIterator[R]:
    async for piece in data:
        yield parsed(kind, piece)


def parsed(kind: type[R], data: bytes) -> R:
    """A message.

    Raises:
        NotReadable: it is none of this kind.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        raise NotReadable(f"the request is no {kind.DESCRIPTOR.full_name}") from None
