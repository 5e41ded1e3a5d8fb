"""What became of a program, as its run's result tells it."""

from __future__ import annotations

from collections.abc import Mapping

from trunnion.model.json import Json

ENDED = ("exit_code", "signal", "seconds", "resources", "killed")
"""What is told of every program that has ended."""


def says_no_more(result: Json) -> bool:
    """Whether a result is that of a program which ended well and had no more to say than its output."""
    if not isinstance(result, Mapping) or result.keys() != set(ENDED):
        return False
    return result["exit_code"] == 0 and not result["signal"] and not result["killed"]
