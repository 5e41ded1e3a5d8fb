"""Delays for whoever fails to prove who they are, in a table that attackers cannot make grow."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from trunnion.model.errors import Busy

Key: TypeAlias = tuple[str, str]
"""A principal or the id of a token, and the door it was said at."""


class _Failures(msgspec.Struct):
    """Failures in a row, and until when the next attempt is refused (monotonic seconds)."""

    count: int = 0
    until: float = 0.0


class _Flood(msgspec.Struct):
    """Failures at one door, running off at a constant rate."""

    level: float = 0.0
    at: float = 0.0


class Throttle:
    """Counts failures for each key, and for each door.

    After ``FREE`` failures in a row a key is refused for one second, then two, four and so on. Many failures at
    one door, whatever the names, refuse those keys there that have never succeeded; who was let in before is
    not locked out by a flood, and is still held to the delays of their own key.

    Args:
        now: monotonic seconds.
        most: keys that are remembered; the one longest without failure goes first.
    """

    FREE = 5
    LONGEST = 60.0
    FLOOD = 100
    """Failures at one door before strangers are refused there; one is forgiven each second."""

    def __init__(self, now: Callable[[], float], most: int = 10_000) -> None:
        self._now = now
        self._most = most
        self._failures: OrderedDict[Key, _Failures] = OrderedDict()
        self._floods: dict[str, _Flood] = {}
        self._let_in: set[Key] = set()

    def __len__(self) -> int:
        return len(self._failures)

    def begin(self, key: Key) -> None:
        """An attempt begins. It counts as a failure until ``succeeded``, so that many at once are counted too.

        Raises:
            Busy: it comes too early; ``details["retry_after"]`` are the seconds to wait.
        """
        now = self._now()
        flood = self._flood(key[1], now)
        known = self._failures.get(key, _Failures())
        excess = 0.0 if key in self._let_in else flood.level - self.FLOOD + 1
        wait = max(known.until - now, excess)
        if wait > 0:
            raise Busy("too many failed attempts; wait, then try again", {"retry_after": math.ceil(wait)})
        known.count += 1
        if known.count >= self.FREE:
            known.until = now + min(self.LONGEST, 2.0 ** min(known.count - self.FREE, 16))
        self._failures[key] = known
        self._failures.move_to_end(key)
        flood.level += 1
        while len(self._failures) > self._most:
            self._failures.popitem(last=False)

    def succeeded(self, key: Key) -> None:
        """The attempt was good: everything counted against its key is forgotten."""
        if self._failures.pop(key, None) is not None:
            self._floods[key[1]].level -= 1
        self._let_in.add(key)

    def delayed(self, key: Key) -> bool:
        """Whether the last failure of a key has begun a delay."""
        known = self._failures.get(key)
        return known is not None and known.until > self._now()

    def forget(self, principal: str) -> None:
        """A principal or token is gone: its name is a stranger's again."""
        self._let_in = {key for key in self._let_in if key[0] != principal}

    def _flood(self, source: str, now: float) -> _Flood:
        flood = self._floods.setdefault(source, _Flood(at=now))
        flood.level = max(0.0, flood.level - (now - flood.at))
        flood.at = now
        return flood
