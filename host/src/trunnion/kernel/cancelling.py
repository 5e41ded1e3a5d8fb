"""A wish that a run end: on record first, then carried out, whether or not whoever asked still waits."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from trunnion.model.json import encode
from trunnion.model.runs import Caller

if TYPE_CHECKING:
    from trunnion.kernel.core import Kernel
    from trunnion.kernel.live import LiveRun


async def cancel(kernel: Kernel, caller: Caller, live: LiveRun) -> None:
    """See ``Door.cancel``; the caller may, and the run has not ended."""
    if live.log is not None and live.run.cancel_requested_at is None and live.phase not in ("ending", "ended"):
        live.run = msgspec.structs.replace(live.run, cancel_requested_at=kernel.clock.utc())
        raw = msgspec.Raw(encode({"code": "run.cancel_requested", "principal": caller.principal}))
        live.log.append("log", f"{caller.principal} asked for cancellation", raw, level="warning")
        live.cancel_on_record = kernel.committer.on_record(live.log, start=live.run)
        # Whoever asked may look away meanwhile: what is on record is done all the same.
        live.cancel_on_record.add_done_callback(partial(_stop, kernel, live))
    if live.cancel_on_record is not None:
        await asyncio.shield(live.cancel_on_record)
    kernel.executor.ending.stop(live, "cancelled")


def _stop(kernel: Kernel, live: LiveRun, on_record: asyncio.Future[None]) -> None:
    if not on_record.cancelled() and on_record.exception() is None:
        kernel.executor.ending.stop(live, "cancelled")
