"""The way of launcher and shell to a host over gRPC, which ``--connect`` gives them.

It behaves as the connection over the host's own socket does: a call fails at once when the line is lost, and streams go
on by themselves. Files of this machine that are arguments are brought before the call.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from trunnion import ErrorInfo, Event, Invocation, Json, Run, TrunnionError, Unavailable
from trunnion.arguments import Completion
from trunnion.model.runs import ArtifactInfo, LocalDoor
from trunnion.model.uploads import UploadInfo
from trunnion.protocol.answers import Hello, MetaAnswer, Whoami
from trunnion.protocol.client_errors import RemoteError
from trunnion.protocol.clients import Destination, FarClient
from trunnion_rpc.bringing import Bringing
from trunnion_rpc.client import Client
from trunnion_rpc.errors import AWAY, NOT_REACHED
from trunnion_rpc.target import SECURE, Tls

T = TypeVar("T")
GENERATION = 1
"""Of the protocol on this line, ``trunnion.v1``."""


def connect(to: Destination, *, patience: float, door: LocalDoor) -> FarClient:
    """See ``trunnion.protocol.clients.Connector``. Whatever the client is, its runs come by ``rpc``.

    Raises:
        InvalidArguments: the destination cannot be one.
    """
    files = (to.ca, to.cert, to.key, to.server_name)
    tls = Tls(*files) if to.url.startswith(SECURE) or any(files) else None
    client = Client(to.url, token=to.token, patience=patience, tls=tls, insist=False)
    return Connection(to.url, client, shows_nothing=to.token is None and to.cert is None)


class Connection:
    """See ``trunnion.protocol.clients.FarClient``.

    Args:
        url: of the host, for messages.
        client: to it, which does not insist.
        shows_nothing: whether the host is told nothing of who calls.
    """

    def __init__(self, url: str, client: Client, *, shows_nothing: bool = False) -> None:
        self._url = url
        self._shows_nothing = shows_nothing
        self._client = client
        self._bringing = Bringing(client)

    async def close(self) -> None:
        """Disconnect; runs go on."""
        await self._client.close()

    async def hello(self) -> Hello:
        """Reach the host; it answers who it is."""
        info = await self._reached(self._client.host())
        return Hello(GENERATION, info.host_id, info.boot_id, info.version)

    async def whoami(self) -> Whoami:
        """Who the host takes the client for."""
        info = await self._reached(self._client.host())
        return Whoami(info.principal, info.source, info.role)

    # -- commands and queries ---------------------------------------------------------------------------

    async def submit(self, invocation: Invocation, *, follow: bool = False) -> Run:
        """Start a run; returns once it is on record."""
        wish = await self._reached(self._bringing.before(invocation))
        try:
            run = await self._reached(self._client.submit(wish))
        except Unavailable:
            raise  # it may be asked for again, with what was brought
        except TrunnionError:
            await self._bringing.in_vain(wish)
            raise
        self._bringing.done(wish)
        return run

    async def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """A run at its end."""
        return await self._reached(self._client.wait(run_id, timeout))

    async def cancel(self, run_id: str) -> Run:
        """Ask for a run's end; returns once the request is on record."""
        return await self._reached(self._client.cancel(run_id))

    async def query(
        self, query_id: str, args: Mapping[str, Json] | None = None, *, argv: Sequence[str] | None = None
    ) -> Json:
        """Ask a query."""
        return await self._reached(self._bringing.query(query_id, args, argv))

    async def complete(self, command_id: str, words: Sequence[str], incomplete: str) -> list[Completion]:
        """What may stand in place of ``incomplete`` after ``words``."""
        return await self._reached(self._client.complete(command_id, words, incomplete))

    async def meta(self, revision: str | None = None) -> MetaAnswer:
        """The descriptor of everything visible; left out when ``revision`` is current."""
        answer = await self._reached(self._client.meta(revision))
        self._bringing.take(answer)
        return answer

    # -- streams and files ------------------------------------------------------------------------------

    def follow(self, stream: str, after: int = 0, *, live: bool = True) -> AsyncGenerator[list[Event], None]:
        """Iterate over batches of a stream's events; a lost line is taken up again where it broke."""
        return self._each(self._client.follow(stream, after, live=live))

    def look_away(self, run_id: str) -> None:
        """Nothing is sent before somebody follows."""

    async def bring(self, file: Path, media_type: str) -> UploadInfo:
        """Copy a file to the host."""
        return await self._reached(self._client.files.upload(file, media_type=media_type))

    async def artifact(self, artifact_id: str) -> ArtifactInfo:
        """What is known of a file kept with a run."""
        return await self._reached(self._client.files.info(artifact_id))

    def read(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Iterate over the pieces of a file kept with a run; a lost line is taken up again where it broke."""
        return self._each(self._client.files.read(artifact_id))

    # -- inside -----------------------------------------------------------------------------------------

    async def _reached(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except Unavailable as error:
            raise self._named(error) from None
        except RemoteError as error:
            if error.code != "unauthenticated" or not self._shows_nothing:
                raise
            raise RemoteError(ErrorInfo(error.code, self._who_are_you, error.details)) from None

    async def _each(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        async with aclosing(items):
            while True:
                try:
                    item = await self._reached(anext(items))
                except StopAsyncIteration:
                    return
                yield item

    @property
    def _who_are_you(self) -> str:
        return (
            f"the host at {self._url} wants to know who you are: put an API token into $TRUNNION_TOKEN, or into a file "
            "for --token-file"
        )

    def _named(self, error: Unavailable) -> Unavailable:
        """The same with the host's name. Only of what was certainly not heard the details say so, by the URL."""
        reason = error.message.removeprefix(AWAY)
        if any(sign in reason for sign in NOT_REACHED):
            why = reason.rpartition(": ")[2].rstrip(")]") if reason.startswith(NOT_REACHED) else reason
            return Unavailable(f"cannot reach a host at {self._url}: {why}", {"url": self._url})
        return Unavailable(f"the line to the host at {self._url} was lost: {reason}")
