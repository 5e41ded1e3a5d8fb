"""The host's own streams while the disk takes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from kernel_kit import Rig, Valve

from trunnion.kernel.reporting import MAX_WAITING

Start = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.mark.anyio
async def test_what_the_host_says_takes_bounded_memory_while_the_disk_takes_nothing(start: Start) -> None:
    async with start(durability="process") as rig:
        valve, log = Valve(rig.kernel.store), rig.kernel.log.stream("host/log")
        await rig.host_events("host/log")
        valve.close()
        for number in range(200):
            rig.kernel.host_log.log("noisy", "info", f"{number} " + "x" * (64 << 10))
        kept = log.seq - log.visible
        assert log.uncommitted < MAX_WAITING + (128 << 10)
        valve.open()
        await rig.host_events("host/log")
        rig.kernel.host_log.log("noisy", "info", "again")
        said = [e for e in await rig.host_events("host/log") if "noisy" in str(e.data) or "left_out" in str(e.data)]
        assert said[-2].data == {"code": "log.left_out", "count": 200 - kept}
        assert said[-1].text == "again"
