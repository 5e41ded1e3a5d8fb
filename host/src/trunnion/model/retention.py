"""How long ended runs are kept: limits by age, number and bytes, for commands that patterns stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec

Limit: TypeAlias = Literal["age", "runs", "bytes"]
LIMITS: tuple[Limit, ...] = ("age", "runs", "bytes")

ALL = "*"
"""The pattern of the limits that hold where no other says anything."""

NO_LIMIT = 1 << 62
"""A limit that nothing reaches."""


class Rule(msgspec.Struct, frozen=True):
    """Limits for the ended runs of some commands, which share them.

    Attributes:
        on: a command, or the beginning of several with ``*`` at its end.
        age: those that ended longer ago go, µs.
        runs: so many are kept, the newest.
        bytes: so many bytes of them are kept, the newest; of ``*`` it is the size of all that is kept.

    None leaves a limit to the next less specific rule.
    """

    on: str
    age: int | None = None
    runs: int | None = None
    bytes: int | None = None


class Held(NamedTuple):
    """One limit as it holds for a command: the pattern that says it, and how much it is."""

    on: str
    most: int


NOT_HELD = Held("", NO_LIMIT)


def held_by(rules: Sequence[Rule], command_id: str, limit: Limit) -> Held:
    """The limit of the most specific rule that names it: a whole name before the longest beginning."""
    found = [(rule.on, most) for rule in rules if (most := getattr(rule, limit)) is not None]
    fitting = [Held(on, most) for on, most in found if stands_for(on, command_id)]
    return max(fitting, key=lambda held: (not held.on.endswith("*"), len(held.on)), default=NOT_HELD)


def stands_for(pattern: str, command_id: str) -> bool:
    """Whether a pattern is a command's name or its beginning."""
    return command_id.startswith(pattern[:-1]) if pattern.endswith("*") else command_id == pattern
