"""From where TLS fails again and again, nobody is let into it for a while: each attempt costs the host a signature."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

FREE = 30
"""Failures of one address before it is hung up on at once."""

PER_SECOND = 1.0
"""How many of them are forgiven each second."""

MOST = 4096
"""Addresses that are remembered; beyond that the one that has failed longest ago is forgotten."""


class Knocks:
    """Counts failures by address; they run off at a constant rate, and whoever gets in is forgiven all.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._levels: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        """How many addresses something is remembered of."""
        return len(self._levels)

    def welcome(self, address: str) -> bool:
        """Whether an address may try."""
        return not self._levels or self._level(place_of(address)) <= FREE - 1

    def failed(self, address: str, weight: int = 1) -> None:
        """One more did not get in, or had to be put out, which weighs more."""
        place = place_of(address)
        level = self._level(place) + weight
        self._levels.pop(place, None)  # so that the order is that of the last failures
        self._levels[place] = level, self._now()
        if len(self._levels) > MOST:
            del self._levels[next(iter(self._levels))]

    def succeeded(self, address: str) -> None:
        """Somebody got in."""
        if self._levels:
            self._levels.pop(place_of(address), None)

    def _level(self, place: str) -> float:
        """What is not forgiven yet."""
        level, since = self._levels.get(place, (0.0, 0.0))
        left = max(0.0, level - (self._now() - since) * PER_SECOND)
        if not left:
            self._levels.pop(place, None)
        return left


def place_of(address: str) -> str:
    """What counts as one address: of IPv6 the network, of which everybody has all addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
