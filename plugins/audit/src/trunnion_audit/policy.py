"""What is recorded, and what may happen when it cannot be: by command, query or stream, and by door. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from trunnion import Admission

Level: TypeAlias = Literal["strict", "best-effort", "off"]
Kind: TypeAlias = Literal["command", "query", "stream"]

LEVELS: Final[tuple[Level, ...]] = ("strict", "best-effort", "off")
OWN: Final = "audit."
"""Begins what this plugin has: who reads or changes the record is on record, whatever the policy says."""

STATUS: Final = "audit.status"
"""All but this one, which reads none of it, and says what is the matter when nothing can be put on record."""

RPC: Final = "rpc"
SOURCE: Final = "source:"
REMEMBERED = 10_000


class Policies:
    """Which level applies.

    Args:
        defaults: by kind.
        rules: pattern -> level. A pattern is a name or a prefix ending in ``*``, with ``command:``, ``query:`` or
            ``stream:`` before it where it speaks of that alone, or ``source:`` and a door.
    """

    def __init__(self, defaults: Mapping[Kind, Level], rules: Mapping[str, Level]) -> None:
        self._defaults = defaults
        self._targets = [(pattern, level) for pattern, level in rules.items() if not pattern.startswith(SOURCE)]
        self._sources = {
            pattern.removeprefix(SOURCE): level for pattern, level in rules.items() if pattern.startswith(SOURCE)
        }
        self._known: dict[tuple[Kind, str, str, tuple[str, ...]], Level] = {}

    def of(self, kind: Kind, target: str, source: str, chain: tuple[str, ...]) -> Level:
        """The level of something that comes by a door, behind which there may be others."""
        key = (kind, target, source, chain)
        level = self._known.get(key)
        if level is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            level = self._known[key] = self._judged(kind, target, (source, *chain))
        return level

    def of_admission(self, asked: Admission) -> Level:
        """The level of what a gate is asked about."""
        return self.of(asked.kind, asked.target, asked.caller.source, asked.caller.chain)

    def _judged(self, kind: Kind, target: str, doors: tuple[str, ...]) -> Level:
        """A run that came by a door stays under its rule, however far down the chain it is."""
        if (target.startswith(OWN) and target != STATUS) or (kind == "command" and RPC in doors):
            return "strict"
        level = self._by_target(kind, target)
        if level is not None:
            return level
        by_door = [self._sources[door] for door in doors if door in self._sources]
        return min(by_door, key=LEVELS.index) if by_door else self._defaults[kind]

    def _by_target(self, kind: Kind, target: str) -> Level | None:
        """The level of the pattern that says most about a name; one that says of which kind it speaks says more."""
        fitting = [
            (len(name), kind_said, level)
            for pattern, level in self._targets
            for kind_said, name in [_split(pattern)]
            if kind_said in ("", kind) and not (kind == "stream" and not kind_said) and _fits(name, target)
        ]
        return max(fitting)[2] if fitting else None


def _split(pattern: str) -> tuple[str, str]:
    kind, colon, name = pattern.partition(":")
    return (kind, name) if colon else ("", pattern)


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def problems_of(rules: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    """What is wrong with the patterns of a policy, each with the pattern."""
    for pattern in rules:
        kind, colon, name = pattern.partition(":")
        if colon and kind not in ("command", "query", "stream", "source"):
            yield pattern, "begins with none of command:, query:, stream: and source:"
        elif not (name if colon else pattern) or "*" in (name if colon else pattern)[:-1]:
            yield pattern, "is no name and no prefix that ends in *"
