"""What a test holds of a running host: one caller at one door, and the questions a test asks."""

from __future__ import annotations

import asyncio

from trunnion.host import Host
from trunnion.kernel.observers import ObserverPump
from trunnion.kernel.run_handle import result_of
from trunnion.kernel.threads import in_thread
from trunnion.model.events import TEXT, Event, run_stream
from trunnion.model.json import Json, decode
from trunnion.model.runs import Caller, Invocation, Role, Run
from trunnion.testing.clock import FakeClock

PATIENCE = 30.0
"""Seconds by the machine's clock that a test waits for a run."""

LOOK = 0.005
"""Seconds between two looks at how far an observer is."""

TESTER = Caller("tester", "cli", "admin")


class Harness:
    """A host as one caller sees it.

    Args:
        host: a running host.
        caller: in whose name, by which door and in which role everything is asked.
        clock: the clock the host goes by, if it is a fake one.
        patience: seconds by the machine's clock until waiting for a run is given up.

    Attributes:
        host: the host itself, for what is not here.
        caller: who asks.
    """

    def __init__(
        self, host: Host, caller: Caller = TESTER, clock: FakeClock | None = None, patience: float = PATIENCE
    ) -> None:
        self.host = host
        self.caller = caller
        self._clock = clock
        self._patience = patience
        self._door = host.door(caller.source)

    def as_principal(self, name: str, role: Role = "operator", source: str = "cli") -> Harness:
        """The same host as somebody else sees it.

        Args:
            name: the principal.
            role: the highest role it has.
            source: the door it comes by; all but ``cli`` and ``tty`` are remote and need ``expose``.
        """
        return Harness(self.host, Caller(name, source, role), self._clock, self._patience)

    async def submit(self, command_id: str, /, **args: Json) -> Run:
        """Start a run; returns once it is on record.

        Raises:
            TrunnionError: it was refused.
        """
        return await self.ask(Invocation(command_id=command_id, args=dict(args)))

    async def ask(self, invocation: Invocation) -> Run:
        """Start a run with all that can be asked for: a line, a key, a deadline.

        Raises:
            TrunnionError: it was refused.
        """
        return await self._door.submit(self.caller, invocation)

    async def wait(self, run: Run | str) -> Run:
        """A run at its end.

        Raises:
            DeadlineExceeded: it did not end while the test was patient; it goes on.
        """
        return await self._door.wait(self.caller, _id_of(run), self._patience)

    async def invoke(self, command_id: str, /, **args: Json) -> Run:
        """Run a command to its end, whatever end that is.

        Raises:
            TrunnionError: it was refused.
        """
        run = await self.submit(command_id, **args)
        return run if run.ended else await self.wait(run)

    async def result(self, command_id: str, /, **args: Json) -> Json:
        """Run a command and return its result.

        Raises:
            TrunnionError: it was refused, or the error of the run.
        """
        return result_of(await self.invoke(command_id, **args))

    async def cancel(self, run: Run | str) -> Run:
        """Have a run cancelled; ``wait`` for its end."""
        return await self._door.cancel(self.caller, _id_of(run))

    async def events(self, run: Run | str) -> list[Event]:
        """All events of a run, once it has ended.

        Raises:
            TimeoutError: it did not end while the test was patient.
        """
        async with asyncio.timeout(self._patience):
            batches = self._door.follow(self.caller, run_stream(_id_of(run)))
            return [event async for batch in batches for event in batch]

    async def texts(self, run: Run | str) -> str:
        """All a run printed and echoed, once it has ended; a line that was rewritten in place only as it ended."""
        events = await self.events(run)
        return "".join(e.text for e in events if e.kind == TEXT and not _is_update(e))

    async def query(self, query_id: str, /, **args: Json) -> Json:
        """Answer a query.

        Raises:
            TrunnionError: it was refused, took too long, or failed.
        """
        return await self._door.query(self.caller, query_id, args)

    async def meta(self) -> dict[str, Json]:
        """Everything the caller can see, as one document."""
        document = decode(self._door.meta(self.caller).body)
        assert isinstance(document, dict)
        return document

    async def settle(self) -> None:
        """Return once every observer has taken all that is on record.

        Raises:
            TimeoutError: one did not while the test was patient; the message says what it raised last.
        """
        for pump in self.host.kernel.observers:
            try:
                async with asyncio.timeout(self._patience):
                    await self._taken(pump)
            except TimeoutError:
                said = pump.state.last_error or "it does not return"
                raise TimeoutError(f"observer {pump.observer.name!r} has not taken everything: {said}") from None

    async def _taken(self, pump: ObserverPump) -> None:
        """Look until nothing is left that the host's own pump has still to hand on."""
        kernel = self.host.kernel
        # Nobody is told how far an observer is, so there is nothing to wait for.
        while await in_thread(kernel.readers, lambda: kernel.store.read_commits(pump.state.position, 1)):  # noqa: ASYNC110
            await asyncio.sleep(LOOK)

    async def advance(self, seconds: float) -> None:
        """Let time pass on the fake clock, and let what became due begin.

        Raises:
            TypeError: the host goes by the machine's clock.
        """
        if self._clock is None:
            raise TypeError("this host goes by the machine's clock: give it clock=FakeClock()")
        self._clock.advance(seconds)
        await asyncio.sleep(0)


def _id_of(run: Run | str) -> str:
    return run if isinstance(run, str) else run.id


def _is_update(event: Event) -> bool:
    data = event.data
    return isinstance(data, dict) and "update" in data
