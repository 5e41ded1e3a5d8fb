"""What is done from time to time beside the record itself: old segments go, and checkpoints are taken elsewhere."""

from __future__ import annotations

import asyncio
from typing import Final

from trunnion import HostHandle, Ready
from trunnion_audit.audit import Audit
from trunnion_audit.retention import Retention
from trunnion_audit.witness import Witness

EVERY: Final = 60.0
"""Seconds between two looks at what retention should remove."""

LOOK: Final = 1.0
"""Seconds between two looks whether there is another checkpoint."""


async def keep_up(host: HostHandle, ready: Ready) -> None:
    """The daemon: looks after retention and the witness until it is cancelled."""
    audit = await host.require(Audit)
    retention, settings = audit.retention, audit.settings
    await retention.clean()
    ready()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_retain(retention), name="audit retention")
        if settings.witness is not None:
            audit.witness = Witness(settings.witness, audit.folder, host.host_id, host.report)
            tasks.create_task(_witness(audit.witness), name="audit witness")


async def _retain(retention: Retention) -> None:
    while True:
        await retention.look()
        await asyncio.sleep(EVERY)


async def _witness(witness: Witness) -> None:
    while True:
        await witness.look()
        await asyncio.sleep(LOOK)
