"""What only the host as a whole can do; ``host.py`` implements it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trunnion.model.json import Json
from trunnion.model.retention import Rule


class HostControl(Protocol):
    """The host, as far as its own commands need it."""

    async def drain(self) -> None:
        """Finish what runs, start nothing new, then stop.

        Runs that wait stay on record and go on when a host starts on this data directory again.
        """

    def describe(self) -> dict[str, Json]:
        """Facts about this host for ``host.status``."""


class ConfigControl(Protocol):
    """The configuration of a running host."""

    async def reload(self) -> dict[str, Json]:
        """Put the configuration in force as file, environment and flags say now.

        Settings that may change while the host runs do so at once; the others are named under ``restart``. If
        anything is wrong, all of it is named and everything stays as it is.
        """

    def describe(self) -> list[dict[str, Json]]:
        """Every setting with its value, where it came from, and when a change takes effect; secrets masked."""

    def retention(self) -> Sequence[Rule]:
        """How long ended runs are kept, as the configuration in force says."""

    def check(self) -> dict[str, Json]:
        """Read the configuration again and say whether a start with it would succeed. From any thread."""

    def state(self) -> dict[str, Json]:
        """Which configuration is in force, and what of a later one waits for the next start."""
