"""Removing what is too old or too much, a little at a time, while the host runs."""

from __future__ import annotations

import asyncio
from functools import partial

from trunnion.config.values import Config
from trunnion.kernel.core import Kernel
from trunnion.kernel.threads import in_thread

RETENTION_INTERVAL = 600.0
US_PER_DAY = 86_400_000_000


async def keep_trimmed(kernel: Kernel, config: Config) -> None:
    """Prune now and then, by ``store.retention_days`` and ``store.retention_runs``; return if neither is set."""
    days, keep = config.get("store.retention_days"), config.get("store.retention_runs")
    while True:
        await asyncio.sleep(RETENTION_INTERVAL)
        before = kernel.clock.utc() - int(days) * US_PER_DAY if isinstance(days, int) and days else None
        most = keep if isinstance(keep, int) and keep else None
        if before is None and most is None:
            return
        prune = partial(kernel.store.prune, before, most, dry_run=False)
        try:
            await in_thread(kernel.readers, prune)
        except Exception as error:
            kernel.host_log.report("retention.failed", "old runs could not be removed", error)
