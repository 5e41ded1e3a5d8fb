"""A client's connection: calls of the service by name, and what fails as the host's own errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import trunnion_rpc.quiet  # noqa: F401  # isort: skip
import grpc
import grpc.aio
from google.protobuf.message import Message

from trunnion.protocol import address
from trunnion_rpc.errors import error_of
from trunnion_rpc.identity import HEADER

R = TypeVar("R", bound=Message)
SERVICE = "trunnion.v1.RuntimeService"
LARGEST = 256 << 20
"""Bytes of the largest message a host can be configured to send."""

OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST),
    ("grpc.max_send_message_length", LARGEST),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
]


class Line:
    """One channel of gRPC. Made on the loop that it is used on.

    Args:
        target: the host's socket, or an address and port.
        token: shown with every call; None on a socket that only the host's owner can reach.
    """

    def __init__(self, target: Path | str, token: str | None = None) -> None:
        self._stack = ExitStack()
        self._metadata = ((HEADER, f"Bearer {token}"),) if token is not None else ()
        # The folder stays open as long as the channel, which connects again and again by the same spelling.
        spelled = f"unix:{self._stack.enter_context(address.short(target))}" if isinstance(target, Path) else target
        self._channel = grpc.aio.insecure_channel(spelled, options=OPTIONS)

    async def close(self) -> None:
        """Disconnect; what was started goes on."""
        await self._channel.close()
        self._stack.close()

    async def ask(self, method: str, request: Message, kind: type[R], timeout: float | None = None) -> R:
        """Make a call with one request and one answer.

        Args:
            method: its name.
            request: what is asked.
            kind: of the answer.
            timeout: seconds.

        Raises:
            RemoteError: the host refused.
            Unavailable: it cannot be reached, or the line was lost.
        """
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}", request_serializer=_encoded, response_deserializer=kind.FromString
        )
        try:
            return await call(request, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None

    async def listen(self, method: str, request: Message, kind: type[R]) -> AsyncGenerator[R, None]:
        """Make a call with many answers.

        Raises:
            RemoteError: the host refused, or ended it.
            Unavailable: it cannot be reached, or the line was lost.
        """
        call = self._channel.unary_stream(
            f"/{SERVICE}/{method}", request_serializer=_encoded, response_deserializer=kind.FromString
        )(request, metadata=self._metadata)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None
        finally:
            call.cancel()

    async def bring(self, method: str, requests: AsyncIterator[Message], kind: type[R]) -> R:
        """Make a call with many requests and one answer.

        Raises:
            RemoteError: the host refused.
            Unavailable: it cannot be reached, or the line was lost.
        """
        call = self._channel.stream_unary(
            f"/{SERVICE}/{method}", request_serializer=_encoded, response_deserializer=kind.FromString
        )
        try:
            return await call(requests, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None


def _encoded(message: Message) -> bytes:
    return message.SerializeToString()
