"""Notices when the wall clock is set, tells of it, and keeps a time that does not believe every jump at once.

A clock that is wrong by a month makes every run a month old, and retention would remove the whole history. So ages are
judged by a time that leaves out a jump ahead until it has lasted for a day; if the clock is set back before, nothing
has happened. A jump back makes nothing older, so it is believed at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

from trunnion.kernel.clock import Clock, SystemClock
from trunnion.kernel.rarely import Tell
from trunnion.model.events import HOST_STREAM
from trunnion.store.base import Store

LOOK = 5.0
"""Seconds between two looks."""
JUMP = 10.0
"""Seconds by which the wall clock may go astray between two looks without having been set."""
DOUBT = 86_400.0
"""Seconds for which a jump ahead is not believed."""
REMEMBERED = 1000
"""Events of stream ``host`` by which a start judges what was before it."""


def doubts(times: Sequence[int], now: int) -> Iterator[tuple[float, float]]:
    """Jumps ahead that an earlier start of the host may have met less than a day ago, or that were made while none ran.

    What was a jump and what a quiet time cannot be told apart afterwards, so both are doubted.

    Args:
        times: of the last events on record, in their order; ``now`` follows them. All are UTC in microseconds.
        now: by the wall clock.

    Returns:
        For each how many seconds it is still to be doubted, and its length in seconds.
    """
    for before, after in pairwise((*times, now)):
        ahead, age = (after - before) / 1e6, (now - after) / 1e6
        if ahead > DOUBT and 0 <= age < DOUBT:
            yield DOUBT - age, ahead


class ClockWatch:
    """Compares the wall clock with one that nobody can set, which counts the time too in which a machine sleeps.

    On the loop only.

    Args:
        clock: has the wall clock.
        report: told of jumps.
        store: has the times of the last events.
    """

    def __init__(self, clock: Clock, report: Tell, store: Store) -> None:
        self._clock = clock
        self._report = report
        self._offset = self._seen()
        last = store.last_seq(HOST_STREAM)
        times = [event.ts for event in store.read_events(HOST_STREAM, max(0, last - REMEMBERED), REMEMBERED)]
        self._doubted = [(self._growing() + left, ahead) for left, ahead in doubts(times, clock.utc())]

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK)

    def believed(self) -> int:
        """UTC in microseconds to judge ages by: without jumps ahead that are younger than a day."""
        self.look()
        now = self._growing()
        self._doubted = [(until, ahead) for until, ahead in self._doubted if until > now]
        return self._clock.utc() - int(sum(ahead for _, ahead in self._doubted) * 1e6)

    def look(self) -> None:
        """Tell of a jump since the last look."""
        offset = self._seen()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) < JUMP:
            return
        if jump > 0:
            self._doubted.append((self._growing() + DOUBT, jump))
        else:
            self._undo(-jump)
        where = "ahead" if jump > 0 else "back"
        held = f"; nothing is removed for its age by the new time for {DOUBT / 3600:g} h" if jump > 0 else ""
        self._report(
            "clock.jumped",
            f"the wall clock was set {where} by {abs(jump):.0f} s{held}",
            facts={"seconds": round(jump, 3)},
        )

    def _undo(self, back: float) -> None:
        """A jump back takes away from doubted jumps ahead, from the last one on."""
        while self._doubted and back > 0:
            until, ahead = self._doubted.pop()
            if ahead > back:
                self._doubted.append((until, ahead - back))
            back -= ahead

    def _seen(self) -> float:
        return self._clock.utc() / 1e6 - self._growing()

    def _growing(self) -> float:
        """Of a clock that a test made, its own: it knows no sleep."""
        return (
            time.clock_gettime(time.CLOCK_BOOTTIME) if isinstance(self._clock, SystemClock) else self._clock.monotonic()
        )
