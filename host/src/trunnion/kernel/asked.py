"""What a client asks, judged before anything is looked up: one way of saying it, real text, real times."""

from __future__ import annotations

from trunnion.arguments import Bound, Parameters, split_line
from trunnion.arguments.strict import judge
from trunnion.kernel.clock import Clock
from trunnion.model.errors import DeadlineExceeded, InvalidArguments
from trunnion.model.json import JsonObject, valid_text
from trunnion.model.runs import Invocation

LONGEST_TIME = 100 * 366 * 86_400.0
"""Seconds ahead that a deadline or a start may lie; beyond, clocks and timers run out of digits."""


def named(invocation: Invocation) -> tuple[str, tuple[str, ...] | None]:
    """The command's name, and its arguments where they are given as words.

    Raises:
        InvalidArguments: no command is named, or arguments are given twice.
    """
    if (invocation.args is not None) + (invocation.argv is not None) + (invocation.line is not None) > 1:
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


def deadline_of(invocation: Invocation, inherited: float | None, clock: Clock) -> tuple[int | None, float | None]:
    """When a run must have ended, in UTC microseconds and on the monotonic clock; None for no such time.

    Args:
        invocation: says how long it may take, or until when.
        inherited: when the run that asks for it must have ended, on the monotonic clock.
        clock: read where there is a deadline.

    Raises:
        DeadlineExceeded: the time is past.
    """
    if invocation.timeout is None and invocation.deadline_at is None and inherited is None:
        return None, None
    now, monotonic = clock.utc(), clock.monotonic()
    left = [] if invocation.timeout is None else [invocation.timeout]
    if invocation.deadline_at is not None:
        left.append((invocation.deadline_at - now) / 1e6)
    if inherited is not None:
        left.append(inherited - monotonic)
    if min(left) <= 0:
        raise DeadlineExceeded("the deadline is already past")
    return now + int(min(left) * 1e6), monotonic + min(left)


def asked_for(invocation: Invocation) -> str:
    """What was named, however badly; of a line its first word only, for the rest may be anything."""
    return (invocation.command_id or (invocation.line or "").strip().partition(" ")[0])[:200]


def check_storable(invocation: Invocation, clock: Clock) -> None:
    """Refuse what could not be put on record with the run.

    Args:
        invocation: what is asked.
        clock: read where it asks for a time.

    Raises:
        InvalidArguments: a text is no Unicode, or a time is not finite or too far ahead.
    """
    for text in (invocation.session_id, invocation.idempotency_key, invocation.cwd):
        if text is not None:
            _check_text(text)
    for label, value in invocation.labels.items():
        _check_text(label)
        _check_text(value)
    if invocation.cwd is not None and "\0" in invocation.cwd:
        raise InvalidArguments(f"cwd is no folder's name: {invocation.cwd!a}")
    if invocation.timeout is None and invocation.deadline_at is None and invocation.not_before is None:
        return
    now = clock.utc()
    left = {
        "timeout": invocation.timeout,
        "deadline_at": None if invocation.deadline_at is None else (invocation.deadline_at - now) / 1e6,
        "not_before": None if invocation.not_before is None else (invocation.not_before - now) / 1e6,
    }
    for name, seconds in left.items():
        if seconds is not None and not seconds <= LONGEST_TIME:
            raise InvalidArguments(f"{name} lies more than 100 years ahead")


def bind(parameters: Parameters, args: JsonObject | None, argv: tuple[str, ...] | None) -> Bound:
    """Check arguments given by name or as words.

    Raises:
        InvalidArguments: they do not fit.
    """
    if argv is not None:
        return parameters.bind(parameters.parse(argv))
    if args:
        judge(args)
    return parameters.bind(args or {})


def _check_text(text: str) -> None:
    if valid_text(text) != text:
        raise InvalidArguments(f"session, idempotency key, labels and cwd must be valid Unicode, not {text!a}")
