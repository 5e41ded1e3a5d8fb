"""What only the host as a whole can do; ``host.py`` implements it."""

from __future__ import annotations

from typing import Protocol

from trunnion.model.json import Json


class HostControl(Protocol):
    """The host, as far as its own commands need it."""

    async def drain(self) -> None:
        """Finish what runs, start nothing new, then stop.

        Runs that wait stay on record and go on when a host starts on this data directory again.
        """

    def describe_config(self) -> list[dict[str, Json]]:
        """Every setting with its value, where it came from, and when a change takes effect; secrets masked."""

    def check_config(self) -> dict[str, Json]:
        """Read the configuration again and say whether a start with it would succeed."""

    def describe(self) -> dict[str, Json]:
        """Facts about this host for ``host.status``."""
