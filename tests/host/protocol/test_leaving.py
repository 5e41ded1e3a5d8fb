"""Who wants no more of a stream does not wait for a host that is too busy to notice."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest

from trunnion.model.errors import Unavailable
from trunnion.protocol.client import Client


class Busy:
    """A host that subscribes whoever asks, sends one event, and notices that somebody leaves when it is told to."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.free = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        async for line in reader:
            call = json.loads(line)
            if call["method"] == "stream.subscribe":
                name = f"s{call['id']}"
                self.say({"type": "rpc_result", "id": call["id"], "result": {"subscription": name}})
                self.event(name, 1)
            elif call["method"] == "stream.unsubscribe":
                self.left.append(call["params"]["subscription"])
                await self.free.wait()
                self.say({"type": "rpc_result", "id": call["id"], "result": {}})
            else:
                self.say({"type": "rpc_result", "id": call["id"], "result": {"answer": 1}})

    def event(self, name: str, seq: int) -> None:
        event = {"stream": "x", "seq": seq, "ts": 0, "kind": "text", "text": f"{seq}\n"}
        self.say({"type": "event", "event": "stream", "data": {"subscription": name, "stream": "x", "events": [event]}})

    def say(self, message: object) -> None:
        self.writers[-1].write(json.dumps(message).encode() + b"\n")


@pytest.fixture
async def busy(tmp_path: Path):
    host = Busy()
    server = await asyncio.start_unix_server(host.serve, tmp_path / "s")
    host.path = tmp_path / "s"  # type: ignore[attr-defined]
    yield host
    for writer in host.writers:
        writer.close()
    server.close()


async def one_of(client: Client) -> None:
    async with aclosing(client.follow("x")) as batches:
        async for _ in batches:
            return


async def test_a_stream_is_left_at_once(busy: Busy) -> None:
    client = Client(busy.path)  # type: ignore[attr-defined]
    await asyncio.wait_for(one_of(client), 2)
    while not busy.left:
        await asyncio.sleep(0)
    busy.event(busy.left[0], 2)  # what still comes is dropped, and kept nowhere
    busy.free.set()
    assert await asyncio.wait_for(client.call("anything"), 2) == {"answer": 1}
    assert not client._feeds
    assert not client._early
    await client.close()


async def test_one_that_is_cancelled_amid_it_does_not_wait_either(busy: Busy) -> None:
    client = Client(busy.path)  # type: ignore[attr-defined]
    seen = asyncio.Event()

    async def follow() -> None:
        async for _ in client.follow("x"):
            seen.set()

    following = asyncio.create_task(follow())
    await asyncio.wait_for(seen.wait(), 2)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(following, 2)
    await client.close()


async def test_a_line_that_is_lost_meanwhile_is_no_error(busy: Busy, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(busy.path)  # type: ignore[attr-defined]
    await asyncio.wait_for(one_of(client), 2)
    asking = asyncio.create_task(client.call("anything"))
    while not busy.left:
        await asyncio.sleep(0)
    busy.writers[0].close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(asking, 2)
    assert not client._feeds
    assert "never retrieved" not in caplog.text
    await client.close()
