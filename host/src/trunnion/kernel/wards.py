"""Wards: what stays open in somebody's name, a followed stream or a wait, and is judged again when rules change.

Whatever may take a permission away - another directory, a changed set of streams, a token that expires - has
every ward judged at once. One that is refused is interrupted with the refusal; while nothing changes, a ward
costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from trunnion.kernel.clock import Clock, Timer
from trunnion.model.errors import TrunnionError

Judge: TypeAlias = Callable[[], "int | None"]
Interrupt: TypeAlias = Callable[[TrunnionError], None]
LOOK_AGAIN = 60.0
"""Seconds after which a token's expiry is looked at again at the latest: the wall clock may have been set."""


class Ward:
    """One open thing; a context manager, in which it is judged again.

    Attributes:
        refusal: why it may not go on, None while it may.
    """

    __slots__ = ("_interrupt", "_judge", "_timer", "_wards", "refusal")

    def __init__(self, wards: Wards, judge: Judge, interrupt: Interrupt) -> None:
        self.refusal: TrunnionError | None = None
        self._wards = wards
        self._judge = judge
        self._interrupt = interrupt
        self._timer: Timer | None = None

    def __enter__(self) -> Ward:
        return self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self) -> Ward:
        """Judge it from now on, for the first time at once."""
        self._wards.open.add(self)
        self.look()
        return self

    def end(self) -> None:
        """It is closed."""
        self._wards.open.discard(self)
        self._disarm()

    def look(self) -> None:
        """Judge it again."""
        self._disarm()
        try:
            until = self._judge()
        except TrunnionError as refusal:
            self.refusal = refusal
            self._wards.open.discard(self)
            self._interrupt(refusal)
            return
        if until is not None:
            self._timer = self._wards.clock.call_later(self._wards.seconds_to(until), self.look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Wards:
    """Everything that is open."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.open: set[Ward] = set()
        self._due = False

    def ward(self, judge: Judge, interrupt: Interrupt) -> Ward:
        """Something that is to be judged whenever rules change.

        Args:
            judge: raises the refusal, or returns the time (UTC microseconds) at which it must be asked again.
            interrupt: called once, with the refusal.
        """
        return Ward(self, judge, interrupt)

    def look_again(self) -> None:
        """Judge everything that is open, now."""
        for ward in list(self.open):
            ward.look()

    def look_soon(self) -> None:
        """Judge everything that is open once this turn of the loop is over."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._look_due)

    def _look_due(self) -> None:
        self._due = False
        self.look_again()

    def seconds_to(self, until: int) -> float:
        """How long to wait for a time of the wall clock, at most ``LOOK_AGAIN``."""
        return min(LOOK_AGAIN, max(0.0, (until - self.clock.utc()) / 1e6))
