"""Whether and when a run is tried again, and what is put on record of an attempt that failed."""

from __future__ import annotations

import random

from trunnion.kernel.clock import Clock
from trunnion.kernel.live import LiveRun
from trunnion.model.commands import Command, Retry
from trunnion.model.errors import ErrorInfo
from trunnion.model.json import Json

MOST_DOUBLINGS = 64
"""Enough for any delay there is; a float ends at a thousand."""


def retry_delay(command: Command, code: str, attempt: int) -> float | None:
    """Seconds until the next attempt, None if there is none.

    Args:
        command: what it says of its effect and of trying again.
        code: the error's code.
        attempt: the attempt that failed, from 1.
    """
    retry = command.retry
    if retry is None or attempt >= retry.attempts or code not in retry.codes_for(command.effect):
        return None
    return backoff(retry, attempt)


def backoff(retry: Retry, attempt: int) -> float:
    """Seconds to wait after an attempt, from 1.

    The delay doubles with each attempt up to ``max_delay``; the last half of it is random, so that runs
    that failed together do not come back together.
    """
    delay = min(retry.max_delay, retry.delay * 2.0 ** min(attempt - 1, MOST_DOUBLINGS))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, protects nothing


def seconds_to_wait(live: LiveRun, clock: Clock) -> float:
    """How long a run is to wait before it works; 0 or less for one that is due.

    The wait for a next attempt was told as a length, so it goes by the clock that only grows, whatever the wall clock
    is set to meanwhile. What was stored counts once, after a restart, and no longer than any wait of that command may
    be. A caller's own ``not_before`` was told as a time, and goes by the wall clock.
    """
    run = live.run
    if run.not_before is None:
        return 0.0
    left = (run.not_before - clock.utc()) / 1e6
    if run.attempt == 1:
        return left
    if live.due is None:
        retry = live.entry.command.retry if live.entry is not None else None
        live.due = clock.monotonic() + (left if retry is None else min(left, retry.max_delay))
    return live.due - clock.monotonic()


def next_attempt(live: LiveRun, error: ErrorInfo, delay: float, now: int, **changes: object) -> None:
    """Put a run back to wait for its next attempt; why this one failed stays in the state event.

    Args:
        live: the run, at work until now.
        error: what its attempt came to.
        delay: seconds until the next one.
        now: UTC µs.
        **changes: of the row, beside those of every attempt.
    """
    failed, error = live.run.attempt, live.sink.redactor.error(error)
    not_before = now + int(delay * 1e6)
    live.move("pending", attempt=failed + 1, not_before=not_before, started=None, **changes)
    facts: dict[str, Json] = {
        "failed_attempt": failed,
        "not_before": not_before,
        "error": {"code": error.code, "message": error.message},
    }
    text = f"attempt {failed} failed, tried again in {delay:.1f} s: {error.message}"
    live.state(text, level="warning", facts=facts)
