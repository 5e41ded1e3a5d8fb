"""What a client asks, judged before anything is looked up: one way of saying it, real text, real times."""

from __future__ import annotations

from trunnion.arguments import split_line
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import valid_text
from trunnion.model.runs import Invocation

LONGEST_TIME = 100 * 366 * 86_400.0
"""Seconds ahead that a deadline or a start may lie; beyond, clocks and timers run out of digits."""


def named(invocation: Invocation) -> tuple[str, tuple[str, ...] | None]:
    """The command's name, and its arguments where they are given as words.

    Raises:
        InvalidArguments: no command is named, or arguments are given twice.
    """
    given = [invocation.args is not None, invocation.argv is not None, invocation.line is not None]
    if sum(given) > 1:
        raise InvalidArguments("give arguments once: as args, as argv or as a line")
    if invocation.line is None:
        if not invocation.command_id:
            raise InvalidArguments("no command is named")
        return invocation.command_id, invocation.argv
    words = split_line(invocation.line)
    if invocation.command_id:
        return invocation.command_id, tuple(words)
    if not words:
        raise InvalidArguments("the line is empty: it must begin with a command")
    return words[0], tuple(words[1:])


def check_storable(invocation: Invocation, now: int) -> None:
    """Refuse what could not be put on record with the run.

    Args:
        invocation: what is asked.
        now: UTC, microseconds.

    Raises:
        InvalidArguments: a text is no Unicode, or a time is not finite or too far ahead.
    """
    texts = (invocation.session_id, invocation.idempotency_key, *invocation.labels, *invocation.labels.values())
    for text in (*texts, invocation.cwd):
        if text is not None and valid_text(text) != text:
            raise InvalidArguments(f"session, idempotency key, labels and cwd must be valid Unicode, not {text!a}")
    if invocation.cwd is not None and "\0" in invocation.cwd:
        raise InvalidArguments(f"cwd is no folder's name: {invocation.cwd!a}")
    left = {
        "timeout": invocation.timeout,
        "deadline_at": None if invocation.deadline_at is None else (invocation.deadline_at - now) / 1e6,
        "not_before": None if invocation.not_before is None else (invocation.not_before - now) / 1e6,
    }
    for name, seconds in left.items():
        if seconds is not None and not seconds <= LONGEST_TIME:
            raise InvalidArguments(f"{name} lies more than 100 years ahead")
