"""What a client of a host can do, whichever way it reaches it; and how distributions offer further ways.

The launcher and shells know a host by this alone. Over the socket of the data directory it is ``client.Client``; for
hosts elsewhere a distribution names a ``Connector`` in the entry-point group ``trunnion.connectors.v1``, by the scheme
of the URLs it is for. Nothing of it is imported before such a URL is given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from trunnion.model.events import Event
from trunnion.model.json import Json
from trunnion.model.runs import ArtifactInfo, Invocation, LocalDoor, Run
from trunnion.model.uploads import UploadInfo
from trunnion.protocol.answers import Hello, MetaAnswer, Whoami

if TYPE_CHECKING:
    from trunnion.arguments import Completion

GROUP = "trunnion.connectors.v1"
"""The entry-point group; its name carries the contract's generation."""


class HostClient(Protocol):
    """A connection to a host.

    When the line is lost, calls under way fail with ``Unavailable`` and the next call connects again; ``follow`` goes
    on by itself. Of a host that was not reached at all, so that it cannot have heard what was asked, the error's
    details have a ``path`` or a ``url``. What the host refuses is raised as a ``RemoteError`` with the host's own code.
    """

    async def hello(self) -> Hello:
        """Reach the host; it answers who it is."""
        ...

    async def whoami(self) -> Whoami:
        """Who the host takes the client for."""
        ...

    async def submit(self, invocation: Invocation, *, follow: bool = False) -> Run:
        """Start a run; returns once it is on record.

        Args:
            invocation: what is to be done; with an idempotency key it may be asked for again after a lost line.
            follow: whether ``follow`` and ``wait`` will be called right away, or else ``look_away``.
        """
        ...

    async def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """A run at its end; ``deadline_exceeded`` after ``timeout`` seconds."""
        ...

    async def cancel(self, run_id: str) -> Run:
        """Ask for a run's end; returns once the request is on record."""
        ...

    async def query(
        self, query_id: str, args: Mapping[str, Json] | None = None, *, argv: Sequence[str] | None = None
    ) -> Json:
        """Ask a query."""
        ...

    async def complete(self, command_id: str, words: Sequence[str], incomplete: str) -> list[Completion]:
        """What may stand in place of ``incomplete`` after ``words``."""
        ...

    async def meta(self, revision: str | None = None) -> MetaAnswer:
        """The descriptor of everything visible; left out when ``revision`` is current."""
        ...

    def follow(self, stream: str, after: int = 0, *, live: bool = True) -> AsyncGenerator[list[Event], None]:
        """Iterate over batches of a stream's events with ``seq > after``, without loss and without repetition.

        Ends after a run's last event, or at the present end when ``live`` is False.
        """
        ...

    def look_away(self, run_id: str) -> None:
        """Want no more of a run that ``submit`` was to follow and nobody has followed; it goes on."""
        ...

    async def close(self) -> None:
        """Disconnect; runs go on."""
        ...


class FarClient(HostClient, Protocol):
    """A connection to a host that does not see this machine's files: they are brought to it and fetched from it.

    Files of this machine that are arguments of a call are brought before it, so that a call is said in the same way.
    """

    async def bring(self, file: Path, media_type: str) -> UploadInfo:
        """Copy a file to the host; the ``handle`` is then a file argument.

        Raises:
            OSError: it cannot be read.
        """
        ...

    async def artifact(self, artifact_id: str) -> ArtifactInfo:
        """What is known of a file kept with a run."""
        ...

    def read(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Iterate over the pieces of a file kept with a run."""
        ...


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A host elsewhere, and what is shown to it.

    Attributes:
        url: where it is, such as ``grpcs://plant.example:50051``.
        token: an API token, None for none. It is shown in no message.
        ca: the file of certificates by which the host is known, None for those the system trusts.
        cert, key: the files of this client's own certificate and its key, None for none.
        server_name: the name the host's certificate is for, if that is not the one in the URL.
    """

    url: str
    token: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    @property
    def scheme(self) -> str:
        """What the URL begins with."""
        return self.url.partition(":")[0]

    @property
    def place(self) -> str:
        """The URL without its scheme, for people."""
        return self.url.partition(":")[2].removeprefix("//")

    def __repr__(self) -> str:
        return f"Destination({self.url!r})"


@runtime_checkable
class Connector(Protocol):
    """What an entry point of the group names."""

    def __call__(self, to: Destination, *, patience: float, door: LocalDoor) -> FarClient:
        """A client, not connected yet. It is called and used in a running loop.

        Args:
            to: the host.
            patience: seconds ``follow`` tries to reach it again.
            door: what the client is, ``tty`` for a shell.

        Raises:
            InvalidArguments: the destination cannot be one.
        """
        ...
