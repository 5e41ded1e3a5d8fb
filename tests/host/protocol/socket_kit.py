"""What tests of the socket wait for, and what a follower collects."""

from __future__ import annotations

import asyncio

from trunnion.protocol.client import Client


async def until(condition, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def collect(client: Client, stream: str, seen: list[int]) -> None:
    async for batch in client.follow(stream):
        seen.extend(event.seq for event in batch)
