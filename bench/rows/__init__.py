"""The rows of the benchmark, in the order they are shown."""

from __future__ import annotations

from collections.abc import Callable

from bench.harness import Effort
from bench.result import Result
from bench.rows import audit, durable, fanout, growth, history, memory, rpc, run, script, start, tty, validate

ROWS: dict[str, Callable[[Effort], Result]] = {
    "perf-run": run.measure,
    "perf-run-durable": durable.measure,
    "perf-run-power": durable.measure_power,
    "perf-fanout": fanout.measure,
    "perf-emit-thread": fanout.measure_thread,
    "perf-memory": memory.measure,
    "perf-start": start.measure,
    "perf-validate": validate.measure,
    "perf-history": history.measure,
    "perf-script": script.measure,
    "perf-rpc-invoke": rpc.measure_invoke,
    "perf-rpc-stream": rpc.measure_stream,
    "perf-tty": tty.measure,
    "perf-audit": audit.measure,
    "perf-audit-write": audit.measure_write,
    "growth": growth.measure,
}
