"""What the scripts of this folder share. They run in the environment of the peers and import nothing of ours."""

import json
import statistics
import sys
import time

ROUNDS = int(sys.argv[1])
SECONDS = float(sys.argv[2])


def told(peer, case, seconds):
    """One figure: seconds of one operation."""
    print(json.dumps({"peer": peer, "case": case, "seconds": seconds}), flush=True)


def failed(peer, error):
    """Why there is none."""
    print(json.dumps({"peer": peer, "error": f"{type(error).__name__}: {error}"[:200]}), flush=True)


def measured(work, count=1):
    """Seconds of one operation: the median of rounds of at least ``SECONDS``; ``work(count)`` does so many."""
    while (spent := timed(work, count)) < SECONDS / 4:
        count = max(2 * count, int(count * SECONDS / 4 / max(spent, 1e-6)))
    count = max(1, int(count * SECONDS / spent))
    return statistics.median(timed(work, count) / count for _ in range(ROUNDS))


def timed(work, count):
    """Seconds it takes."""
    began = time.perf_counter()
    work(count)
    return time.perf_counter() - began


def attempts(peers):
    """Let each, by its name, measure itself; one that cannot says why."""
    for name, peer in peers.items():
        try:
            peer(name)
        except Exception as error:
            failed(name, error)
