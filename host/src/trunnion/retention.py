"""Removing what is too old or too much, a little at a time, while the host runs."""

from __future__ import annotations

import asyncio
from functools import partial

from trunnion.kernel.core import Kernel
from trunnion.kernel.settings import Settings
from trunnion.kernel.threads import in_thread

RETENTION_INTERVAL = 600.0
US_PER_DAY = 86_400_000_000


async def keep_trimmed(kernel: Kernel, settings: Settings) -> None:
    """Now and then remove old runs, and uploads that have expired or that served removed runs."""
    while True:
        await asyncio.sleep(RETENTION_INTERVAL)
        try:
            await _prune(kernel, settings)
            await kernel.files.upkeep.sweep()
        except Exception as error:
            kernel.host_log.report("retention.failed", "old runs and uploads could not be removed", error)


async def _prune(kernel: Kernel, settings: Settings) -> None:
    """Go by ``store.retention_days`` and ``store.retention_runs`` as they are at the time."""
    days, keep = settings.config.get("store.retention_days"), settings.config.get("store.retention_runs")
    before = kernel.clock.utc() - int(days) * US_PER_DAY if isinstance(days, int) and days else None
    most = keep if isinstance(keep, int) and keep else None
    if before is not None or most is not None:
        await in_thread(kernel.readers, partial(kernel.store.prune, before, most, dry_run=False))
