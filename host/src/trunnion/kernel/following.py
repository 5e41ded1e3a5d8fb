"""Following a stream in somebody's name, for as long as that is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import msgspec

from trunnion.access.policy import refusal
from trunnion.kernel.core import Kernel
from trunnion.kernel.entries import StreamEntry
from trunnion.kernel.eventlog import SLICE_EVENTS, StreamLog
from trunnion.kernel.masking import clean_event
from trunnion.kernel.wards import Judge, Ward
from trunnion.model.contributions import StreamSource
from trunnion.model.errors import NotFound, TrunnionError
from trunnion.model.events import GAP, META, NULL, Event
from trunnion.model.runs import Caller, Run

_FOR_ALL = (META, GAP)


def permission(kernel: Kernel, caller: Caller, stream: str, entry: StreamEntry, run: Run | None) -> Judge:
    """What says whether a stream may still be followed.

    Args:
        kernel: whose rules count.
        caller: who follows.
        stream: its name.
        entry: the family it was opened by; if there is another by then, that one counts.
        run: the one a run's stream belongs to.
    """

    def judge() -> int | None:
        current = kernel.registry.stream(stream) or entry
        decision = kernel.policy.decide(current.target_of(stream), caller)
        if not decision.allowed:
            raise refusal(decision, "stream", stream)
        if run is not None and not kernel.policy.may_see_run(run, caller):
            raise NotFound(f"there is no stream {stream!r}", {"stream": stream})
        return decision.until

    return judge


def as_told(batch: Sequence[Event], *, whole: bool) -> Sequence[Event]:
    """Events of stream ``host``. What operators are told there speaks of places, and of plugins, commands and runs that
    not everybody may know of; others learn that something was said, and when meta has changed.
    """
    return batch if whole else [event if event.kind in _FOR_ALL else _blank(event) for event in batch]


def _blank(event: Event) -> Event:
    return msgspec.structs.replace(event, by="host", text="for administrators", raw=NULL)


class Following:
    """One stream that is followed, wherever it lives.

    Args:
        kernel: the host.
        source: the family of the stream.
        stream: its name.
        end: the last event of a run that has ended.
        log: the log of a run that has just begun, and may have ended meanwhile.
    """

    def __init__(
        self, kernel: Kernel, source: StreamSource, stream: str, end: int = 0, log: StreamLog | None = None
    ) -> None:
        self._end = end
        self._log = log
        self._kernel = kernel
        self._source = source
        self._stream = stream
        self._scope: asyncio.Timeout | None = None

    def break_off(self, refusal: TrunnionError) -> None:
        """End the wait for the next batch; the ward says why."""
        log = self._log or self._kernel.log.logs.get(self._stream)
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())
        elif log is not None:
            log.wake()

    def batches(self, after: int, ward: Ward, *, live: bool) -> AsyncGenerator[Sequence[Event], None]:
        """Events after ``after`` in batches, until the stream ends.

        Raises:
            TrunnionError: the ward was refused.
        """
        source, stream = self._source, self._stream
        if source.follow is None or source.read is None:
            return self._kernel.follow(stream, after, live=live, ward=ward, end=self._end, log=self._log)
        return self._of_a_plugin(source.follow(stream, after) if live else _read_to_end(source, stream, after), ward)

    async def _of_a_plugin(
        self, batches: AsyncIterator[Sequence[Event]], ward: Ward
    ) -> AsyncGenerator[Sequence[Event], None]:
        """A plugin's own stream waits for whatever it likes, so the wait itself is cancelled when it is refused."""
        try:
            while ward.refusal is None:
                async with asyncio.timeout(None) as self._scope:
                    batch = await anext(batches)
                self._scope = None
                if ward.refusal is None:
                    yield [clean_event(event, self._kernel.redactor) for event in batch]
        except StopAsyncIteration:
            return
        except TimeoutError:
            if ward.refusal is None:
                raise
        finally:
            self._scope = None
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()
        if ward.refusal is not None:
            raise ward.refusal


async def _read_to_end(source: StreamSource, stream: str, after: int) -> AsyncIterator[Sequence[Event]]:
    while source.read is not None:
        batch = await source.read(stream, after, SLICE_EVENTS)
        if not batch:
            return
        after = batch[-1].seq
        yield batch
