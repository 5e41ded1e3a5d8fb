"""perf-audit: a run with and without the audit; perf-audit-write: records on the disk, beside a bare file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import trunnion_audit.plugin as audit
from bench.harness import Contender, Effort, duel, in_flight
from bench.hosting import NOOP, Client, open_host, scratch
from bench.result import Result, rate, times
from trunnion.kernel.ids import new_id
from trunnion.model.contributions import Admission

AT_MOST = 1.4
WRITE_TARGET = 0.8
ARGS = {"device": "plc1", "value": 12.5}


def measure(effort: Effort) -> Result:
    """What the record costs a run that does nothing."""
    result = Result(
        notes=[
            "Ceiling: the same host without the audit, in the same process; both durable against the death of the "
            "process. With it, each run has its intent on record before it begins, and its outcome with commitments to "
            "its result and events."
        ]
    )
    with scratch() as folder:
        asyncio.run(_measure(folder, effort, result))
    return result


async def _measure(folder: Path, effort: Effort, result: Result) -> None:
    plugins = {"audit": audit}
    async with (
        open_host(folder / "with", "process", [NOOP], plugins=plugins) as recorded,
        open_host(folder / "without", "process", [NOOP]) as plain,
    ):
        ours, theirs = Client(recorded, "bench.noop"), Client(plain, "bench.noop")
        for width in (1, 64):
            figures = await duel(in_flight(ours.run, width), in_flight(theirs.run, width), effort)
            result.lines.append(times("perf-audit", f"{width} in flight", "run", figures, at_most=AT_MOST))


def measure_write(effort: Effort) -> Result:
    """How many intents a second are on the disk before what they are about begins."""
    result = Result(
        notes=[
            "Ceiling: lines of the same size, encoded beforehand, of all who wait at a turn of the loop: one write and "
            "one fdatasync. Ours asks the gate, encodes, chains, hashes, signs each thousandth, and syncs in a thread."
        ]
    )
    with scratch() as folder:
        asyncio.run(_measure_write(folder, effort, result))
    return result


async def _measure_write(folder: Path, effort: Effort, result: Result) -> None:
    config = '[audit]\ndurability = "power"\n'
    async with open_host(folder / "host", "process", [NOOP], plugins={"audit": audit}, config=config) as host:
        caller = host.local_caller()

        async def intend() -> None:
            await host.kernel.gates.admit(
                Admission(
                    kind="command", target="bench.noop", revision="r1", caller=caller, run_id=new_id(), args=ARGS,
                    args_digest="0" * 64, decision="owner",
                )
            )  # fmt: skip

        await intend()
        line = (folder / "host" / "audit" / "audit-00000001.jsonl").read_bytes().rstrip(b"\n").rpartition(b"\n")[2]
        with (folder / "bare").open("wb", buffering=0) as file:
            bare = Contender(in_flight(_bare(file.fileno(), line + b"\n"), 64))
            figures = await duel(in_flight(intend, 64), bare, effort)
        result.lines.append(rate("perf-audit-write", "64 waiting", "record", figures, at_least=WRITE_TARGET))


def _bare(descriptor: int, line: bytes) -> Callable[[], asyncio.Future[None]]:
    """Group commit, and nothing else."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[None]] = []

    def commit() -> None:
        done = waiting[:]
        waiting.clear()
        os.write(descriptor, line * len(done))
        os.fdatasync(descriptor)
        for future in done:
            future.set_result(None)

    def write() -> asyncio.Future[None]:
        future: asyncio.Future[None] = loop.create_future()
        waiting.append(future)
        if len(waiting) == 1:
            loop.call_soon(commit)
        return future

    return write
