"""What has to outlive the loss of power is on the disk before the effect, and one sync serves all who wait."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_kit import HOST, check_chain, intent, of_kind
from trouble_kit import DONE, actions, hosting

from trunnion import Unavailable
from trunnion_audit.ledger import Ledger, Unrecorded
from trunnion_audit.log import Log, Rules

pytestmark = pytest.mark.anyio


class Disk:
    """Syncs when the test lets it."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.asked = threading.Event()
        self.fails = False
        self.syncs = 0

    def fdatasync(self, descriptor: int) -> None:
        self.asked.set()
        assert self.go.wait(20)
        self.syncs += 1
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr("trunnion_audit.segment.os.fdatasync", made.fdatasync)
    yield made
    made.go.set()


async def test_nothing_begins_before_its_intent_is_synced(tmp_path: Path, disk: Disk) -> None:
    async with hosting(tmp_path / "data", durability="power") as host:
        disk.asked.clear()
        disk.go.clear()
        task = asyncio.create_task(host.invoke("t.do", number=1))
        await asyncio.to_thread(disk.asked.wait, 20)
        assert of_kind(tmp_path / "data" / "audit", "intent") and DONE == []
        disk.go.set()
        await task
        assert DONE == [1]


async def test_with_process_durability_nobody_waits_for_the_disk(tmp_path: Path, disk: Disk) -> None:
    async with hosting(tmp_path / "data", durability="process") as host:
        disk.go.clear()
        await host.invoke("t.do", number=1)
        disk.go.set()
    assert DONE == [1]


async def test_a_sync_that_fails_refuses_and_heals(tmp_path: Path, disk: Disk) -> None:
    folder = tmp_path / "data" / "audit"
    async with hosting(tmp_path / "data", durability="power") as host:
        disk.fails = True
        with pytest.raises(Unavailable, match="Input/output error"):
            await host.submit("t.do", number=1)
        disk.fails = False
        await host.invoke("t.do", number=2)
        await host.settle()
    assert DONE == [2]
    check_chain(folder)
    # The intent that was refused is in the file; so is that it never began.
    intents = {record["run"] for record in of_kind(folder, "intent")}
    assert len(intents) == 2
    assert {record["run"] for record in of_kind(folder, "refusal")} == intents - {
        record["run"] for record in of_kind(folder, "outcome")
    }
    assert {"audit.fault", "audit.heal"} <= set(actions(folder))


async def test_all_who_wait_share_one_sync(tmp_path: Path, disk: Disk) -> None:
    async def open_log() -> Log:
        return Log.open(tmp_path / "audit", HOST, Rules(), 1)

    ledger = Ledger(open_log, power=True, report=lambda code, text: None)
    await ledger.open()
    disk.syncs = 0
    await asyncio.gather(*(ledger.record([intent(number)]) for number in range(64)))
    assert disk.syncs == 1
    disk.go.clear()
    disk.asked.clear()
    first = asyncio.create_task(ledger.record([intent(64)]))
    await asyncio.to_thread(disk.asked.wait, 20)
    # These come while a sync is under way, which does not count for them.
    later = [asyncio.create_task(ledger.record([intent(number)])) for number in range(65, 80)]
    await asyncio.sleep(0)
    disk.go.set()
    await asyncio.gather(first, *later)
    assert disk.syncs == 3
    disk.fails = True
    with pytest.raises(Unrecorded):
        await ledger.record([intent(80)])
    disk.fails = False
    await ledger.close()
    assert check_chain(tmp_path / "audit") > 80
