"""A program that embeds a host and brings files to it, to be killed or to meet a full disk."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
from pathlib import Path

from trunnion.host import Host, HostOptions
from trunnion.kernel.context import Context
from trunnion.model.commands import Command
from trunnion.model.errors import Unavailable

CHUNK = 4096


async def floods(ctx: Context) -> None:
    async def pieces() -> object:
        for _ in range(64):
            yield bytes(1 << 20)

    await ctx.artifact("flood", pieces())


def embedded(data: Path) -> Host:
    return Host(
        HostOptions(data_dir=data),
        discovery=False,
        environ={},
        frontends=(),
        commands=[Command.of(floods, console="t")],
    )


async def bring(data: Path) -> None:
    """Bring a file without end; a line is written for each piece that was taken."""
    async with embedded(data) as host:
        door, caller = host.door("system:app"), host.caller
        info = await door.open_upload(caller, "endless")
        print(info.id, flush=True)
        for n in range(1 << 20):
            info = await door.write_upload(caller, info.id, info.offset, bytes([n % 256]) * CHUNK)
            print(info.offset, flush=True)


async def fill(data: Path) -> None:
    """Keep and bring more than the disk takes: both are refused by name, nothing stays, runs still end."""
    async with embedded(data) as host:
        door, caller = host.door("system:app"), host.caller
        try:
            await host.run("t.floods")
        except Unavailable as error:
            assert "artifact 'flood'" in error.message, error.message
            assert error.message.endswith(("No space left on device", "File too large")), error.message
        else:
            raise AssertionError("the disk took it")
        assert [path for path in (data / "artifacts").rglob("*") if path.is_file()] == []
        info = await door.open_upload(caller, "flood")
        try:
            while True:
                info = await door.write_upload(caller, info.id, info.offset, bytes(1 << 20))
        except Unavailable as error:
            assert f"upload {info.id}" in error.message, error.message
        assert (data / "uploads" / info.id).stat().st_size == info.offset
        await door.drop_upload(caller, info.id)
        assert list((data / "uploads").iterdir()) == []


def on_small_disk(disk: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=True)
    asyncio.run(fill(disk / "data"))


def with_file_limit(disk: Path) -> None:
    """Where no disk can be made: no file may grow beyond 8 MiB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, hard))
    asyncio.run(fill(disk / "data"))


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2])
    if what == "bring":
        asyncio.run(bring(place))
    else:
        {"disk": on_small_disk, "limit": with_file_limit}[what](place)
