"""A client for scripts and threads: the methods of ``trunnion_rpc.client.Client``, which return when they are done.

with Client.connect("grpcs://host:50051", tls=Tls(ca=…, cert=…, key=…)) as host:
    run = host.run(Invocation(command_id="device.plc1.write", args={"value": 3}))
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from trunnion import Event, Invocation, Json, Run, RunChanges, RunFilter
from trunnion.arguments import Completion
from trunnion.model.runs import ArtifactInfo, Page
from trunnion.model.uploads import UploadInfo
from trunnion.protocol.answers import MetaAnswer
from trunnion_rpc import client, content
from trunnion_rpc.client import HostInfo
from trunnion_rpc.content import ANY_TYPE
from trunnion_rpc.loop_thread import LoopThread
from trunnion_rpc.target import Tls


class Client:
    """A connection to a host, for any number of threads at once.

    Leave it with ``close()``, or as a context manager; a program may also end without. Ctrl-C ends the call that is
    waited for, and leaves the connection as it is. What calls raise, and how they survive a lost line, is said at
    ``trunnion_rpc.client.Client``.

    Args:
        target, token, patience, tls: see there.

    Attributes:
        files: artifacts and uploads.

    Raises:
        InvalidArguments: the target means nothing, or a file cannot be read.
    """

    def __init__(
        self, target: Path | str, *, token: str | None = None, patience: float = 30.0, tls: Tls | None = None
    ) -> None:
        async def made() -> client.Client:  # on the loop that it is used on
            return client.Client(target, token=token, patience=patience, tls=tls)

        self._thread = LoopThread("trunnion rpc client")
        try:
            self._client = self._thread.call(made)
        except BaseException:
            self._thread.close(_nothing)
            raise
        self.files = Files(self._thread, self._client.files)

    @classmethod
    def connect(
        cls, target: Path | str, *, token: str | None = None, patience: float = 30.0, tls: Tls | None = None
    ) -> Client:
        """Connect, and see that somebody answers.

        Raises:
            InvalidArguments: the target means nothing, or a file cannot be read.
            Unavailable: nobody does; it is not tried again.
            RemoteError: the host refuses.
        """
        made = cls(target, token=token, patience=patience, tls=tls)
        try:
            made._thread.call(made._client.greet)
        except BaseException:
            made.close()
            raise
        return made

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; runs go on unless they were tied to the call that started them. Calls under way fail."""
        self._thread.close(self._client.close)

    def host(self) -> HostInfo:
        """Which host answers, and whom it takes the client for."""
        return self._thread.call(self._client.host)

    # -- commands and queries ---------------------------------------------------------------------------

    def submit(self, invocation: Invocation) -> Run:
        """Start a run; returns once it is on record."""
        return self._thread.call(lambda: self._client.submit(invocation))

    def run(self, invocation: Invocation, *, cancel_on_disconnect: bool = False) -> Run:
        """Start a run and wait for its end; returns it, whatever became of it.

        Args:
            invocation: what is to be run.
            cancel_on_disconnect: cancel the run when the call ends before it, also by Ctrl-C or a lost line.
        """
        return self._thread.call(lambda: self._client.run(invocation, cancel_on_disconnect=cancel_on_disconnect))

    def query(
        self, query_id: str, args: Mapping[str, Json] | None = None, *, argv: Sequence[str] | None = None
    ) -> Json:
        """Ask a query."""
        return self._thread.call(lambda: self._client.query(query_id, args, argv=argv))

    def complete(self, command_id: str, words: Sequence[str], incomplete: str) -> list[Completion]:
        """What may come next on the command line of a command or query."""
        return self._thread.call(lambda: self._client.complete(command_id, words, incomplete))

    def meta(self, revision: str | None = None) -> MetaAnswer:
        """The description of everything visible; left out when ``revision`` is current."""
        return self._thread.call(lambda: self._client.meta(revision))

    # -- runs and streams -------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """A run as it is now."""
        return self._thread.call(lambda: self._client.get(run_id))

    def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """A run at its end, in so many seconds; None for as long as it takes."""
        return self._thread.call(lambda: self._client.wait(run_id, timeout))

    def list_runs(self, wanted: RunFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> Page:
        """One page of runs, newest first; what is large in one may be left out of it."""
        return self._thread.call(lambda: self._client.list_runs(wanted, limit=limit, cursor=cursor))

    def cancel(self, run_id: str) -> Run:
        """Ask for a run's end; returns once the wish is on record."""
        return self._thread.call(lambda: self._client.cancel(run_id))

    def follow_runs(self, wanted: RunFilter | None = None, *, after: str = "") -> Generator[RunChanges, None, None]:
        """Iterate over runs that changed; goes on after a lost line. What is large in a run may be left out of it."""
        return self._thread.each(lambda: self._client.follow_runs(wanted, after=after))

    def follow(self, stream: str, after: int = 0, *, live: bool = True) -> Generator[list[Event], None, None]:
        """Iterate over batches of a stream's events with ``seq > after``, without loss and without repetition.

        Ends after a run's last event, or at the present end when ``live`` is False.
        """
        return self._thread.each(lambda: self._client.follow(stream, after, live=live))


class Files:
    """Artifacts and uploads of a host; see ``trunnion_rpc.content.Files``. Made by the client."""

    def __init__(self, thread: LoopThread, files: content.Files) -> None:
        self._thread = thread
        self._files = files

    def info(self, artifact_id: str) -> ArtifactInfo:
        """What is known of a file kept with a run."""
        return self._thread.call(lambda: self._files.info(artifact_id))

    def read(self, artifact_id: str, offset: int = 0, length: int | None = None) -> Generator[bytes, None, None]:
        """Yield a range of a file kept with a run, in pieces; a lost line is taken up again where it broke."""
        return self._thread.each(lambda: self._files.read(artifact_id, offset, length))

    def upload(self, source: Path | bytes, *, name: str = "", media_type: str = ANY_TYPE) -> UploadInfo:
        """Bring a file; its ``handle`` is then a file argument.

        Args:
            source: a file, or its content.
            name: shown to people; a file's own where it is empty.
            media_type: what it is.
        """
        return self._thread.call(lambda: self._files.upload(source, name=name, media_type=media_type))

    def uploaded(self, upload_id: str) -> UploadInfo:
        """An upload as it is now."""
        return self._thread.call(lambda: self._files.uploaded(upload_id))

    def drop(self, upload_id: str) -> None:
        """Remove an upload."""
        self._thread.call(lambda: self._files.drop(upload_id))


async def _nothing() -> None:
    """There is no client to be closed."""
