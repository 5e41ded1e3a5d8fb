"""A host for programs without a loop: every call waits, from any thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TypedDict, Unpack

from trunnion.host import Host, HostOptions
from trunnion.host_thread import HostThread
from trunnion.kernel.clock import Clock
from trunnion.kernel.door import Door
from trunnion.model.commands import Command, Query
from trunnion.model.contributions import Frontend
from trunnion.model.errors import Unavailable
from trunnion.model.events import Event
from trunnion.model.json import Json, decode
from trunnion.model.runs import Invocation, Run


class HostArguments(TypedDict, total=False):
    """What ``Host`` takes beside its options."""

    plugins: Mapping[str, object] | Sequence[object]
    discovery: bool
    commands: Iterable[Command | Callable[..., object]]
    queries: Iterable[Query]
    provide: Iterable[object]
    frontends: Sequence[str | Frontend] | None
    environ: Mapping[str, str] | None
    clock: Clock | None


class BlockingHost:
    """``with BlockingHost(...) as host``: a host whose loop runs in a thread of its own.

    Calls come from any thread, many at once, with or without a loop running there. They wait in the calling thread
    and raise what the host raises; after the block, and in the host's own loop, they are refused. Everything is
    done in the name of the user the program runs as. Leaving the block stops the host; Ctrl-C meanwhile makes it
    wait for nothing any more.

    Args:
        options: as for ``Host``.
        **arguments: as for ``Host``.

    Attributes:
        host: the host itself, for use on its own loop.
    """

    def __init__(self, options: HostOptions | None = None, **arguments: Unpack[HostArguments]) -> None:
        self.host = Host(options, **arguments)
        self._thread = HostThread(self.host)

    def __enter__(self) -> BlockingHost:
        """Start.

        Raises:
            TrunnionError: it cannot; nothing is left behind.
        """
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.end()

    def run_until_stopped(self) -> None:
        """Wait until somebody wants the host to stop, such as ``host.drain``."""
        self._thread.call(self.host.run_until_stopped)

    def run(self, command_id: str, /, *, timeout: float | None = None, **args: Json) -> Json:
        """Run a command and return its result.

        Args:
            command_id: dotted name.
            timeout: seconds it may take.
            **args: its arguments.

        Raises:
            TrunnionError: it was refused, or the run's own error.
        """
        return self._thread.call(lambda: self.host.run(command_id, timeout=timeout, **args))

    def reload(self) -> dict[str, Json]:
        """Put the configuration in force as file, environment and overrides say now; as ``Host.reload``.

        Raises:
            InvalidConfig: something is wrong with it, and everything stays as it is.
        """
        return self._thread.call(self.host.reload)

    def submit(self, invocation: Invocation | str, /, **args: Json) -> Run:
        """Start a run; returns once it is on record.

        Args:
            invocation: all that can be asked for, or just the command's dotted name.
            **args: the arguments, where just a name is given.

        Raises:
            TrunnionError: it was refused.
        """
        asked = invocation if isinstance(invocation, Invocation) else Invocation(command_id=invocation, args=args)
        return self._thread.call(lambda: self._door.submit(self.host.caller, asked))

    def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """The run once it has ended.

        Raises:
            NotFound: there is none.
            DeadlineExceeded: it has not ended within ``timeout`` seconds; it goes on.
        """
        return self._thread.call(lambda: self._door.wait(self.host.caller, run_id, timeout))

    def cancel(self, run_id: str) -> Run:
        """Have a run cancelled; the wish is on record when this returns.

        Raises:
            NotFound: there is none.
        """
        return self._thread.call(lambda: self._door.cancel(self.host.caller, run_id))

    def query(self, query_id: str, /, **args: Json) -> Json:
        """Answer a query.

        Raises:
            TrunnionError: it was refused, took too long, or failed.
        """
        return self._thread.call(lambda: self._door.query(self.host.caller, query_id, args))

    def follow(self, stream: str, after: int = 0, *, live: bool = True) -> Iterator[Event]:
        """Iterate over committed events after ``after``; a run's stream ends with the run.

        Args:
            stream: ``run/<id>`` or any other.
            after: number of the last event that is known.
            live: whether to wait for more where the stream ends now.

        Raises:
            NotFound: there is no such stream.
            Unavailable: the host stops meanwhile.
        """
        batches = self._thread.call(lambda: self._followed(stream, after, live=live))
        try:
            while (batch := self._thread.call(lambda: _following(batches))) is not None:
                yield from batch
        finally:
            with suppress(Unavailable):
                self._thread.call(lambda: _let_go(batches))

    def meta(self) -> Json:
        """Everything there is, as one document."""
        return self._thread.call(self._meta)

    # -- on the loop ------------------------------------------------------------------------------

    @property
    def _door(self) -> Door:
        return self.host.door(self.host.caller.source)

    async def _followed(self, stream: str, after: int, *, live: bool) -> AsyncIterator[Sequence[Event]]:
        return self._door.follow(self.host.caller, stream, after, live=live)

    async def _meta(self) -> Json:
        return decode(self._door.meta(self.host.caller).body)


async def _following(batches: AsyncIterator[Sequence[Event]]) -> Sequence[Event] | None:
    return await anext(batches, None)


async def _let_go(batches: AsyncIterator[Sequence[Event]]) -> None:
    close = getattr(batches, "aclose", None)
    if close is not None:
        await close()
