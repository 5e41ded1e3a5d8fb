"""The configuration in force, and who goes by it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from trunnion.config.values import Config
from trunnion.kernel.reporting import Report
from trunnion.model.json import JsonObject

Swap: TypeAlias = Callable[[], None]
"""Puts something that was prepared in force. It must not raise."""

Prepare: TypeAlias = Callable[[JsonObject], Swap]
"""Judges a new section, raising ``TrunnionError`` where it cannot be used, and prepares what goes by it."""

Follow: TypeAlias = Callable[[JsonObject], None]


class Settings:
    """The one place that knows the configuration in force. On the host's loop only.

    Attributes:
        config: in force.
        generation: counts the configurations taken up since the start, which is the first.
        loaded_at: when the last one was taken up, microseconds since 1970.
        checks: look at a whole configuration that was read again, and raise where a start with it would fail.
        doubts: look at a configuration in force, and say in sentences what is no error but hardly meant.
    """

    def __init__(self, config: Config, now: int) -> None:
        self.config = config
        self.generation = 1
        self.loaded_at = now
        self.checks: list[Callable[[Config], None]] = []
        self.doubts: list[Callable[[Config], Iterable[str]]] = []
        self._prepare: list[tuple[str, Prepare]] = []
        self._followers: list[tuple[str, Follow]] = []

    def section(self, name: str) -> JsonObject:
        """A copy of one section as it is in force, empty for a plugin that declares no settings."""
        return copy.deepcopy(dict(self.config.values.get(name, {})))

    def consume(self, section: str, prepare: Prepare) -> None:
        """Have a part of the host go by a section: ``prepare`` is called whenever a live key of it has changed."""
        self._prepare.append((section, prepare))

    def follow(self, section: str, follow: Follow) -> Callable[[], None]:
        """Have somebody told of a section after each change of a live key in it.

        Returns:
            Ends it. Doing so twice is harmless.
        """
        entry = (section, follow)
        self._followers.append(entry)

        def end() -> None:
            self._followers = [other for other in self._followers if other is not entry]

        return end

    @property
    def consumed(self) -> frozenset[str]:
        """The sections a part of the host goes by."""
        return frozenset(section for section, _ in self._prepare)

    @property
    def following(self) -> int:
        """How many are told of changes."""
        return len(self._followers)

    def prepared(self, config: Config, sections: frozenset[str]) -> list[Swap]:
        """What has to be swapped for these sections to be as ``config`` says.

        Raises:
            TrunnionError: a section cannot be used; nothing has changed.
        """
        return [
            prepare(copy.deepcopy(dict(config.values[section])))
            for section, prepare in self._prepare
            if section in sections
        ]

    def adopt(self, config: Config, sections: frozenset[str], swaps: Sequence[Swap], now: int, report: Report) -> None:
        """Put a configuration in force in one step, then tell those who follow it."""
        for swap in swaps:
            swap()
        self.config = config
        self.generation += 1
        self.loaded_at = now
        for section, follow in list(self._followers):
            if section in sections:
                self._tell(section, follow, report)

    def _tell(self, section: str, follow: Follow, report: Report) -> None:
        try:
            follow(self.section(section))
        except Exception as error:
            text = f"a part of {section!r} could not follow its new settings; it may go by the old ones"
            report("config.follow.failed", text, error)
