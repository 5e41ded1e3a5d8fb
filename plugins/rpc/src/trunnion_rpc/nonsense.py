"""Whoever sends what is no message, again and again, is not listened to for a while."""

from __future__ import annotations

import math
from collections.abc import Callable

from trunnion import InvalidArguments
from trunnion_rpc.pause import TooMuch

FREE = 20
"""Unreadable requests of one principal before more of anything they send is refused unread."""

PER_SECOND = 1.0
"""How many of them are forgiven each second."""

PAUSE = 1.0
"""Seconds until a refusal for that is told."""


class NotReadable(InvalidArguments):
    """A request that is no message of its kind."""


class Nonsense:
    """Counts the requests of each principal that could not be read; they run off at a constant rate.

    No correct client sends any. What reads them costs little, but one that goes on and on takes the place of others.
    Of nobody in particular, who may be anybody, nothing is counted.

    Args:
        now: monotonic seconds.
        tell: called with a principal who is not listened to from now on.
    """

    def __init__(self, now: Callable[[], float], tell: Callable[[str], None]) -> None:
        self._now = now
        self._tell = tell
        self._levels: dict[str, tuple[float, float]] = {}
        self._told: set[str] = set()

    def __len__(self) -> int:
        """How many principals something is remembered of."""
        return len(self._levels)

    def require_sense(self, principal: str) -> None:
        """See to it that nothing is read of those who sent too much nonsense.

        Raises:
            TooMuch: ``details["retry_after"]`` are the seconds to wait.
        """
        if not self._levels:
            return
        level = self._level(principal)
        if level > FREE - 1:
            wait = math.ceil((level - FREE + 1) / PER_SECOND)
            raise TooMuch(f"too many requests of {principal} could not be read; wait", PAUSE, wait)

    def count(self, principal: str) -> None:
        """A request turned out to be unreadable."""
        if not principal:
            return
        level = self._level(principal) + 1
        self._levels[principal] = level, self._now()
        if level > FREE - 1 and principal not in self._told:
            self._told.add(principal)
            self._tell(principal)

    def _level(self, principal: str) -> float:
        """What is not forgiven yet; whoever has nothing left is forgotten."""
        level, since = self._levels.get(principal, (0.0, 0.0))
        left = level - (self._now() - since) * PER_SECOND
        if left > 0:
            return left
        self._levels.pop(principal, None)
        self._told.discard(principal)
        return 0.0
