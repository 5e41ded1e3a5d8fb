"""A client's connection: calls of the service by name, and what fails as the host's own errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias, TypeVar

import trunnion_rpc.quiet  # noqa: F401  # isort: skip
import grpc
import grpc.aio
from google.protobuf.message import Message

from trunnion import InvalidArguments, TrunnionError, Unauthenticated, Unavailable
from trunnion.protocol import address
from trunnion_rpc.answers import message_of
from trunnion_rpc.errors import error_of
from trunnion_rpc.header import HEADER
from trunnion_rpc.target import Target, Tls, target_of

R = TypeVar("R", bound=Message)
Stamp: TypeAlias = tuple[tuple[int, int, int], ...]
SERVICE = "trunnion.v1.RuntimeService"
LARGEST = 256 << 20
"""Bytes of the largest message a host can be configured to send."""

OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST),
    ("grpc.max_send_message_length", LARGEST),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # which is how long a connection may take until it is there
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
]


DIRECT = ("grpc.enable_http_proxy", 0)
"""Whatever ``http_proxy`` says: this machine is another one for a proxy, which would be shown the token."""

_HINTS = {
    "Unwrap failed": "it ended TLS, so it refuses the certificate that was shown, or wants one; "
    "its record says why: trunnion follow host/access",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not by an authority in the file `ca`",
    "Hostname Verification": "its certificate is for another name; connect to that one, or give it as `server_name`",
    "create security handshaker": "`cert` and `key` are not a certificate in PEM and the key that belongs to it, "
    "or `ca` is no certificate",
}
"""Part of what gRPC says of TLS -> what it means."""

LAST_WORDS = 60.0
"""Seconds for the calls on a channel that another one, with newer certificates, has taken the place of."""


class Line:
    """A connection of gRPC. Made on the loop that it is used on.

    Args:
        target: where to; see ``target_of``.
        token: shown with every call; None where a certificate, or the owner's own socket, says who it is.
        tls: how it is secured.

    Raises:
        InvalidArguments: the target means nothing, a file cannot be read, or the token can be none.
    """

    def __init__(self, target: Path | str, token: str | None = None, tls: Tls | None = None) -> None:
        self._target = target_of(target, tls)
        self._stack = ExitStack()
        self._metadata = ((HEADER, f"Bearer {_sendable(token)}"),) if token is not None else ()
        self._leaving: set[asyncio.Task[None]] = set()
        self._lost = False
        self._stamp = stamp_of(self._target)
        self._current = self._opened()

    def _opened(self) -> grpc.aio.Channel:
        place, tls = self._target
        if isinstance(place, Path):
            # The folder stays open as long as the channel, which connects again and again by the same spelling.
            return grpc.aio.insecure_channel(f"unix:{self._stack.enter_context(address.short(place))}", options=OPTIONS)
        options = [*OPTIONS, DIRECT] if self._target.is_here else OPTIONS
        if tls is None:
            return grpc.aio.insecure_channel(place, options=options)
        return grpc.aio.secure_channel(place, _credentials(tls), options=[*options, *_named(tls)])

    @property
    def _channel(self) -> grpc.aio.Channel:
        """The channel for the next call: another one when the line was lost and there are newer certificates."""
        if self._lost and (stamp := stamp_of(self._target)) != self._stamp:
            try:
                renewed = self._opened()
            except InvalidArguments:  # they are being exchanged just now
                return self._current
            leaving = asyncio.get_running_loop().create_task(self._current.close(LAST_WORDS))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            self._current, self._stamp, self._lost = renewed, stamp, False
        return self._current

    def _failure(self, error: grpc.aio.AioRpcError) -> TrunnionError:
        found = error_of(error)
        if found.code == Unauthenticated.code and stamp_of(self._target) != self._stamp:
            found = Unavailable("the certificate that was shown does not count any more; there is a newer one")
        self._lost = isinstance(found, Unavailable)
        hint = next((hint for part, hint in _HINTS.items() if part in found.message), "") if self._lost else ""
        return Unavailable(f"the host cannot be reached: {hint} ({error.details()})") if hint else found

    async def close(self) -> None:
        """Disconnect; what was started goes on."""
        await self._current.close()
        for task in tuple(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        self._stack.close()

    async def ask(self, method: str, request: Message, kind: type[R], timeout: float | None = None) -> R:
        """Make a call with one request and one answer.

        Args:
            method: its name.
            request: what is asked.
            kind: of the answer.
            timeout: seconds.

        Raises:
            RemoteError: the host refused, or answers what makes no sense.
            Unavailable: it cannot be reached, or the line was lost.
        """
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}", request_serializer=_encoded, response_deserializer=bytes
        )
        try:
            return message_of(kind, await call(request, timeout=timeout, metadata=self._metadata))
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from None

    async def listen(self, method: str, request: Message, kind: type[R]) -> AsyncGenerator[R, None]:
        """Make a call with many answers.

        Raises:
            RemoteError: the host refused, ended it, or answers what makes no sense.
            Unavailable: it cannot be reached, or the line was lost.
        """
        call = self._channel.unary_stream(
            f"/{SERVICE}/{method}", request_serializer=_encoded, response_deserializer=bytes
        )(request, metadata=self._metadata)
        try:
            async for answer in call:
                yield message_of(kind, answer)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from None
        finally:
            call.cancel()

    async def bring(self, method: str, requests: AsyncIterator[Message], kind: type[R]) -> R:
        """Make a call with many requests and one answer.

        Raises:
            RemoteError: the host refused, or answers what makes no sense.
            Unavailable: it cannot be reached, or the line was lost.
        """
        call = self._channel.stream_unary(
            f"/{SERVICE}/{method}", request_serializer=_encoded, response_deserializer=bytes
        )
        try:
            return message_of(kind, await call(requests, metadata=self._metadata))
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from None


def _sendable(token: str) -> str:
    """A token, seen to be one that can be sent; what it is instead is not told, for it may be most of one."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidArguments("the token is none: that is one word, without the line end that a file has behind it")
    return token


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.cert))


def _named(tls: Tls) -> Sequence[tuple[str, str]]:
    return () if tls.server_name is None else (("grpc.ssl_target_name_override", tls.server_name),)


def _read(path: Path | None) -> bytes | None:
    """The content of a file.

    Raises:
        InvalidArguments: it cannot be read.
    """
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise InvalidArguments(f"cannot read {path}: {error.strerror}") from None


def stamp_of(target: Target) -> Stamp:
    """What changes with the certificates of a target; of a file that is not there, nothing."""
    made = []
    for path in target.tls.files if target.tls is not None else ():
        try:
            found = path.stat()
        except OSError:
            continue
        made.append((found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(made)


def _encoded(message: Message) -> bytes:
    return message.SerializeToString()
