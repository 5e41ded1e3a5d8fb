"""Whether and when a run is tried again."""

from __future__ import annotations

import random

from trunnion.model.commands import Retry


def retry_delay(retry: Retry | None, code: str, attempt: int) -> float | None:
    """Seconds until the next attempt, None if there is none.

    The delay doubles with each attempt up to ``max_delay``; the last half of it is random, so that runs
    that failed together do not come back together.

    Args:
        retry: what the command says.
        code: the error's code.
        attempt: the attempt that failed, from 1.
    """
    if retry is None or attempt >= retry.attempts or code not in retry.codes:
        return None
    delay = min(retry.max_delay, retry.delay * 2.0 ** (attempt - 1))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, protects nothing
