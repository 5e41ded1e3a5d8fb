"""The states of a run and the moves between them. A table, no I/O."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Status: TypeAlias = Literal[
    "pending", "held", "running", "succeeded", "failed", "cancelled", "timed_out", "interrupted"
]

STATUSES: tuple[Status, ...] = get_args(Status)
TERMINAL: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled", "timed_out", "interrupted"})
LIVE: frozenset[Status] = frozenset(STATUSES) - TERMINAL

MOVES: dict[Status, frozenset[Status]] = {
    "pending": frozenset({"running", "held", "failed", "cancelled", "timed_out", "interrupted"}),
    "held": frozenset({"pending", "failed", "cancelled", "timed_out"}),
    "running": frozenset({"pending", *TERMINAL}),
    **{status: frozenset() for status in TERMINAL},
}
"""Allowed moves. ``running -> pending`` is a retry, with the attempt one higher."""


def may_move(old: Status, new: Status) -> bool:
    """Whether a run may go from ``old`` to ``new``."""
    return new in MOVES[old]
