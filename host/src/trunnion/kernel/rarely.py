"""Saying what may happen a thousand times a second: at once, then only how often it has happened since."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.model.json import JsonObject

PAUSE = 10.0
"""Seconds between two reports of the same thing."""
MOST = 100
"""Things that are told apart within a pause; the others are told as one."""


class Tell(Protocol):
    """Takes a report with its facts; ``HostLog.report`` is one."""

    def __call__(
        self, code: str, text: str, error: BaseException | None = None, *, facts: JsonObject | None = None
    ) -> None:
        """Tell it."""


class _Again(msgspec.Struct):
    """What has happened again: how often, and the sentence for that."""

    text: Callable[[int], str]
    facts: JsonObject
    count: int = 0


class Rarely:
    """Reports each thing at most once in ``PAUSE`` seconds. On the loop only.

    Args:
        report: is told.
        clock: measures the pauses.
    """

    def __init__(self, report: Tell, clock: Clock) -> None:
        self._report = report
        self._clock = clock
        self._since: dict[tuple[str, Hashable], _Again] = {}

    def say(
        self,
        code: str,
        key: Hashable,
        text: str,
        again: Callable[[int], str],
        *,
        facts: JsonObject,
        error: BaseException | None = None,
    ) -> None:
        """Report something, or count it where the same was reported a moment ago.

        Args:
            code: stable, of the report.
            key: what makes two of this code the same.
            text: the sentence for now.
            again: makes the sentence for later out of how often it happened meanwhile.
            facts: go with the event; those of the last time go with the later one, and the ``count``.
            error: behind it; its traceback goes to the log.
        """
        place = (code, key if len(self._since) < MOST or (code, key) in self._since else None)
        known = self._since.get(place)
        if known is not None:
            known.text, known.facts, known.count = again, facts, known.count + 1
            return
        self._report(code, text, error, facts=facts)
        self._pause(place, again)

    def _pause(self, place: tuple[str, Hashable], again: Callable[[int], str]) -> None:
        self._since[place] = _Again(again, {})
        self._clock.call_later(PAUSE, lambda: self._over(place))

    def _over(self, place: tuple[str, Hashable]) -> None:
        seen = self._since.pop(place)
        if seen.count:
            self._report(place[0], seen.text(seen.count), facts={**seen.facts, "count": seen.count})
            self._pause(place, seen.text)
