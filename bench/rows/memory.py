"""perf-memory: what ended runs leave in memory. Each measurement has a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

from bench.harness import Effort, in_flight
from bench.hosting import NOOP, Client, open_host, scratch
from bench.result import Result, amount

ROW = "perf-memory"
MIB = 1 << 20
HEAP_TARGET = 8.0
GROWTH_TARGET = 20.0
WARM_UP = 300
PER = 10_000


def measure(effort: Effort) -> Result:
    """Heap by tracemalloc, growth by what the kernel says the process holds."""
    first, last = effort.memory_runs
    result = Result(
        notes=[
            "Heap as tracemalloc counts it after a collection, extrapolated to 10 k runs where fewer were run; growth "
            f"of the resident set from {first:,} to {last:,} ended runs."
        ]
    )
    for durability, target in (("process", HEAP_TARGET), ("memory", None)):
        heap = _probe("heap", durability, min(first, PER))
        case = f"heap per 10 k ended runs, store {durability}"
        result.lines.append(amount(ROW, case, heap, "MB", at_most=target))
    growth = _probe("growth", "process", first, last)
    result.lines.append(
        amount(ROW, f"resident growth, {first:,} to {last:,} runs", growth, "MB", at_most=GROWTH_TARGET)
    )
    return result


def resident(pid: int | str = "self") -> int:
    """Bytes a process has in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _probe(kind: str, durability: str, *counts: int) -> float:
    arguments = [sys.executable, "-m", "bench.rows.memory", kind, durability, *map(str, counts)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


async def _heap(durability: str, runs: int) -> float:
    with scratch() as folder:
        async with open_host(folder, durability, [NOOP]) as host:
            work = in_flight(Client(host, "bench.noop").run, 64)
            await work(WARM_UP)
            gc.collect()
            tracemalloc.start()
            await work(runs)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] / MIB * PER / runs


async def _growth(durability: str, first: int, last: int) -> float:
    with scratch() as folder:
        async with open_host(folder, durability, [NOOP]) as host:
            work = in_flight(Client(host, "bench.noop").run, 64)
            await work(first)
            before = resident()
            await work(last - first)
            return (resident() - before) / MIB


def main(arguments: Sequence[str]) -> None:
    """One measurement, as a process of its own."""
    kind, durability, *counts = arguments
    measuring = _heap if kind == "heap" else _growth
    print(json.dumps(asyncio.run(measuring(durability, *map(int, counts)))))


if __name__ == "__main__":
    main(sys.argv[1:])
