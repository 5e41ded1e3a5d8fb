"""A place whose host has its door for gRPC open, for the launcher to come by."""

from __future__ import annotations

import re
from types import SimpleNamespace

FAR = """
[rpc]
enabled = true
audit = "off-i-know"
listen = ["unix", "127.0.0.1:0"]
[access.expose]
"demo.*" = ["rpc"]
"far.*" = ["rpc"]
"""

PLUGIN = '''
"""Commands that take files, and some that have an effect."""

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Literal

from trunnion import Context, Query, command, commands_of, hookimpl


@command(console="far", lock=None, aliases=("weigh",))
def weigh(*files: Path, unit: Literal["bytes", "kg"] = "bytes") -> dict:
    """Say how much is in files."""
    for file in files:
        print(hashlib.sha256(file.read_bytes()).hexdigest(), unit)
    return {"size": sum(file.stat().st_size for file in files)}


@command(console="far", lock=None)
async def effect(ctx: Context, to: str, until: str = "") -> str:
    """Leave a line in a file of the host's machine, and stay a while."""
    with open(to, "a") as out:
        out.write("done\\n")
    ctx.echo("done")
    await ctx.flush()
    while until and not Path(until).exists():
        await asyncio.sleep(0.01)
    return "once"


@command(console="far", lock=None)
async def count(ctx: Context, until: str) -> int:
    """Count until a file is there."""
    n = 0
    while not Path(until).exists():
        n += 1
        ctx.echo(f"number {n}")
        ctx.data({"n": n}, "é" * (n % 50))
        await asyncio.sleep(0.002)
    return n


@command(console="far")
async def keep(ctx: Context, size: int) -> str:
    """Keep a file."""
    return (await ctx.artifact("kept.bin", bytes(range(256)) * (size // 256), "application/x-kept")).id


def size(file: Path) -> int:
    """Say how much is in a file."""
    return file.stat().st_size


@hookimpl
def trunnion_commands(settings):
    return commands_of(sys.modules[__name__])


@hookimpl
def trunnion_queries(settings):
    return [Query.of(size, console="far")]
'''

UNLIKE = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}\b|\d+(?:\.\d+)? ?s\b|\b\d{16}\b"
    r'|(?<="num":)\d+|(?<="source":)"(?:cli|rpc)"|(?<= at )(?:cli|rpc)\b'
)
"""What no two runs have in common, or has to differ: ids, keys, spans, times, numbers, and the door."""


def with_door(config: str) -> str:
    """A configuration with the door open."""
    return config.replace('only = ["demo"', 'only = ["rpc", "demo"') + FAR


def settle(place: SimpleNamespace) -> SimpleNamespace:
    """Note where the door of a place's running host is: ``url`` for its owner, ``tcp`` for everybody with a token."""
    place.url = f"unix:{place.data / 'run' / 'rpc.sock'}"
    while "rpc: ready" not in (line := place.host.stdout.readline()):
        assert line, place.host.stderr.read()
    place.tcp = "grpc://" + line.rsplit(", ", 1)[1].strip()
    return place


def alike(text: str) -> str:
    """A text without what no two runs have in common."""
    return UNLIKE.sub("*", text)
