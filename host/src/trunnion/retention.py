"""Removing what is too old or too much, a little at a time, while the host runs."""

from __future__ import annotations

import asyncio
from functools import partial

from trunnion.config.retention_settings import retention_rules
from trunnion.kernel.clock_watch import ClockWatch
from trunnion.kernel.core import Kernel
from trunnion.kernel.settings import Settings
from trunnion.kernel.threads import in_thread
from trunnion.store.pruning import prune

RETENTION_INTERVAL = 600.0


async def keep_trimmed(kernel: Kernel, settings: Settings, clock_watch: ClockWatch) -> None:
    """Now and then remove old runs, and uploads that have expired or that served removed runs.

    How old is judged by a time that no wrong clock pushes ahead.
    """
    kernel.files.upkeep.now = clock_watch.believed
    while True:
        await asyncio.sleep(RETENTION_INTERVAL)
        try:
            rules = retention_rules(settings.config.section("store"))
            await in_thread(kernel.readers, partial(prune, kernel.store, rules, clock_watch.believed()))
            await kernel.files.upkeep.sweep()
        except Exception as error:
            kernel.host_log.report("retention.failed", "old runs and uploads could not be removed", error)
