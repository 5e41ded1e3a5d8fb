"""B1: the disk of a working host runs full, and gets space again, without a restart."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults_kit import Ground

from trunnion.model.errors import TrunnionError
from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client
from trunnion.store.connections import connect_writer
from trunnion.store.files import Ballast

SIZE = 12 << 20
NAMESPACE = ["unshare", "--mount", "--user", "--map-root-user"]
MOUNT = f'mount -t tmpfs -o size={SIZE} none "$0" && exec "$@"'


def may_mount() -> bool:
    """Whether this system lets us have mounts of our own."""
    tried = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True)
    return tried.returncode == 0


class SmallDisk:
    """The data directory on a small disk only the host has mounted; a large file gives space back."""

    def __init__(self, ground: Ground, without: str = "none") -> None:
        ground.data.mkdir(mode=0o700)
        ground.only += ",disks"
        self.ground = ground
        self.host = ground.start(wrapper=[*NAMESPACE, "sh", "-c", MOUNT, str(ground.data)], without=without)
        # The host's own view of its disk; the mount is no one else's.
        ground.data = Path(f"/proc/{self.host.pid}/root{ground.data}")
        self.host.wait_ready()
        self._filler = ground.data / "filler"
        self._filler.write_bytes(bytes(SIZE // 4))

    def heal(self) -> None:
        self._filler.unlink()


class SmallFiles:
    """A limit on the size of any file of the host: what a quota looks like from inside."""

    def __init__(self, ground: Ground) -> None:
        ground.only += ",disks"
        self.host = ground.up()
        _, self._hard = resource.prlimit(self.host.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.host.pid, resource.RLIMIT_FSIZE, (SIZE // 4, self._hard))

    def heal(self) -> None:
        resource.prlimit(self.host.pid, resource.RLIMIT_FSIZE, (self._hard, self._hard))


async def submitted(ground: Ground, client: Client, command: str, token: str, **args: object) -> str:
    asked = Invocation(command_id=f"faults.{command}", args={"token": token, **args}, idempotency_key=token)
    run = await client.submit(asked)
    ground.told.tell("accepted", key=token, run=run.id)
    return run.id


async def refusal(ground: Ground, client: Client) -> TrunnionError:
    """Submit small runs until one is refused."""
    for number in range(100_000):
        try:
            await submitted(ground, client, "quick", f"small-{number}")
        except TrunnionError as error:
            return error
        await asyncio.sleep(0.01)
    raise AssertionError("the disk was never full")


async def full_and_healed(ground: Ground, client: Client, heal: Callable[[], None]) -> float:
    """Fill the disk with one run's output; seconds from space to the first new run."""
    waiting = await submitted(ground, client, "until", "waiting", path="/nowhere/at/all")
    now = ground.root / "now"
    told = await client.submit(Invocation(command_id="disks.hoard", args={"path": str(now), "size": 4 * SIZE}))
    filler = await submitted(ground, client, "filler", "filler")
    refused = await asyncio.wait_for(refusal(ground, client), 30)
    assert refused.info.code == "unavailable", refused
    assert refused.details.get("reason") == "disk_full", refused.details
    now.touch()
    # Reads go on, and so do cancels: the reserve is for them.
    listed = await client.query("runs.list", {"limit": 5})
    assert listed["items"]  # type: ignore[call-overload, index]
    for run_id in (waiting, filler):
        run = await asyncio.wait_for(client.cancel(run_id), 5)
        ground.told.tell("cancelled", run=run_id, status=run.status)
    heal()
    begun = time.monotonic()
    for number in range(1000):
        try:
            await submitted(ground, client, "quick", f"healed-{number}")
            break
        except TrunnionError as error:
            assert error.info.code == "unavailable", error
            await asyncio.sleep(0.02)
    took = time.monotonic() - begun
    for run_id in (waiting, filler):
        run = await asyncio.wait_for(client.wait(run_id), 10)
        ground.told.tell("ended", run=run_id, status=run.status, finished=run.finished)
    handler = await asyncio.wait_for(client.wait(told.id), 10)
    assert handler.status == "succeeded", handler.error
    assert handler.result["code"] == "unavailable", handler.result  # type: ignore[call-overload, index]
    return took


NO_MOUNTS = "this system allows no mounts of one's own; the limit on files shows the same"


@pytest.mark.parametrize(
    ("disk", "durability"), [(SmallDisk, "process"), (SmallDisk, "power"), (SmallFiles, "process")]
)
def test_b1_disk_full(
    make_ground: Callable[..., Ground],
    disk: type[SmallDisk] | type[SmallFiles],
    durability: str,
    figure: Callable[..., None],
) -> None:
    if disk is SmallDisk and not may_mount():
        pytest.skip(NO_MOUNTS)
    ground = make_ground(durability=durability)
    small = disk(ground)
    took = ground.talk(lambda client: full_and_healed(ground, client, small.heal))
    ground.drained()
    # Copied while the host is up and idle: its mount ends with it, and SQLite follows links to where there is none.
    shutil.copytree(ground.data, ground.root / "copy", ignore=lambda *_: {"host.sock", "ballast", "filler"})
    ground.data = ground.root / "copy"
    figures = ground.judged()
    figure("new work is taken again, once there is space, after", round(took, 2), "s")
    assert took <= 5.0
    assert figures["status.cancelled"] == 2
    assert small.host.stop() == 0, small.host.said()


def test_b1_without_the_fault(ground: Ground) -> None:
    """The same small disk, and work that fits on it: nothing is refused."""
    if not may_mount():
        pytest.skip(NO_MOUNTS)
    small = SmallDisk(ground)

    async def modest(client: Client) -> None:
        for number in range(50):
            await submitted(ground, client, "quick", f"modest-{number}")

    ground.talk(modest)
    ground.drained()
    shutil.copytree(ground.data, ground.root / "copy", ignore=lambda *_: {"host.sock", "ballast", "filler"})
    ground.data = ground.root / "copy"
    assert ground.judged()["status.succeeded"] == 50
    assert small.host.stop() == 0, small.host.said()


def test_b1_without_the_defence(ground: Ground) -> None:
    """Without a reserve to give back, a cancel finds no place on the full disk and is not answered."""
    if not may_mount():
        pytest.skip(NO_MOUNTS)
    small = SmallDisk(ground, without="keep_no_reserve")
    with pytest.raises(TimeoutError):
        ground.talk(lambda client: full_and_healed(ground, client, small.heal))


def test_a_second_connection_writes_nothing(tmp_path: Path) -> None:
    """The one that folds the log in is opened when the disk is full already."""
    path = tmp_path / "db.sqlite"
    with closing(connect_writer(path, "NORMAL")) as first:
        first.execute("CREATE TABLE t (x)")
        assert first.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        size = path.with_name("db.sqlite-wal").stat().st_size
        with closing(connect_writer(path, "NORMAL", second=True)):
            assert path.with_name("db.sqlite-wal").stat().st_size == size


def test_the_reserve_comes_back_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with a little space has not healed: a reserve of that little would be none."""
    free = 16 << 20
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))
    ballast = Ballast(tmp_path / "ballast")
    assert ballast.restore()
    size = ballast.path.stat().st_size
    assert ballast.release()
    free = size + size // 4
    assert not ballast.restore()
    free = 2 * size
    assert ballast.restore()
    assert ballast.path.stat().st_size == size
