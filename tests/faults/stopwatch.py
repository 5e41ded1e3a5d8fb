"""What a piece of work costs the thread it is done in, whatever else the machine and the process are at."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cost:
    """Filled in at the end of the work.

    Attributes:
        seconds: of processor time.
    """

    seconds = 0.0


@contextmanager
def stopwatch() -> Iterator[Cost]:
    """Measure what is done inside, without what coverage adds and without collecting the garbage of earlier tests."""
    cost, tracer, collected = Cost(), sys.gettrace(), gc.isenabled()
    gc.disable()
    sys.settrace(None)
    began = time.thread_time()
    try:
        yield cost
    finally:
        cost.seconds = time.thread_time() - began
        sys.settrace(tracer)
        if collected:
            gc.enable()


def least(work: Callable[[], object], tries: int = 3) -> float:
    """What some work costs, in seconds: the least of some tries, for others take a share of what a processor can do."""
    costs = []
    for _ in range(tries):
        with stopwatch() as cost:
            work()
        costs.append(cost.seconds)
    return min(costs)
