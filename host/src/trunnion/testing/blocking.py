"""The harness for tests that are plain functions."""

from __future__ import annotations

from trunnion.host import Host
from trunnion.host_thread import HostThread
from trunnion.model.events import Event
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Invocation, Role, Run
from trunnion.testing.harness import Harness


class BlockingHarness:
    """``Harness`` for a host whose loop runs in a thread of its own; every call waits.

    Args:
        thread: where the host runs.
        harness: what is asked on its loop.
    """

    def __init__(self, thread: HostThread, harness: Harness) -> None:
        self._thread = thread
        self._harness = harness

    @property
    def host(self) -> Host:
        """The host itself, for use on its own loop."""
        return self._harness.host

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self._harness.caller

    def as_principal(self, name: str, role: Role = "operator", source: str = "cli") -> BlockingHarness:
        """The same host as somebody else sees it; as ``Harness.as_principal``."""
        return BlockingHarness(self._thread, self._harness.as_principal(name, role, source))

    def submit(self, command_id: str, /, **args: Json) -> Run:
        """Start a run; as ``Harness.submit``."""
        return self._thread.call(lambda: self._harness.submit(command_id, **args))

    def ask(self, invocation: Invocation) -> Run:
        """Start a run with all that can be asked for; as ``Harness.ask``."""
        return self._thread.call(lambda: self._harness.ask(invocation))

    def wait(self, run: Run | str) -> Run:
        """A run at its end; as ``Harness.wait``."""
        return self._thread.call(lambda: self._harness.wait(run))

    def invoke(self, command_id: str, /, **args: Json) -> Run:
        """Run a command to its end; as ``Harness.invoke``."""
        return self._thread.call(lambda: self._harness.invoke(command_id, **args))

    def result(self, command_id: str, /, **args: Json) -> Json:
        """Run a command and return its result; as ``Harness.result``."""
        return self._thread.call(lambda: self._harness.result(command_id, **args))

    def cancel(self, run: Run | str) -> Run:
        """Have a run cancelled; as ``Harness.cancel``."""
        return self._thread.call(lambda: self._harness.cancel(run))

    def events(self, run: Run | str) -> list[Event]:
        """All events of a run, once it has ended; as ``Harness.events``."""
        return self._thread.call(lambda: self._harness.events(run))

    def texts(self, run: Run | str) -> str:
        """All a run printed and echoed; as ``Harness.texts``."""
        return self._thread.call(lambda: self._harness.texts(run))

    def query(self, query_id: str, /, **args: Json) -> Json:
        """Answer a query; as ``Harness.query``."""
        return self._thread.call(lambda: self._harness.query(query_id, **args))

    def meta(self) -> dict[str, Json]:
        """Everything the caller can see; as ``Harness.meta``."""
        return self._thread.call(self._harness.meta)

    def settle(self) -> None:
        """Return once every observer is up to date; as ``Harness.settle``."""
        self._thread.call(self._harness.settle)

    def advance(self, seconds: float) -> None:
        """Let time pass on the fake clock; as ``Harness.advance``."""
        self._thread.call(lambda: self._harness.advance(seconds))
