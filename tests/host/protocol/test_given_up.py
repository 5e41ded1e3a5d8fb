"""What a client gives up, or loses together with its answer: nothing waits for ever, and nothing goes on unseen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client

RUN = {
    "id": "r1", "num": 1, "command_id": "a.b", "command_revision": "", "status": "running", "created": 1,
    "source": "tty", "principal": "me",
}  # fmt: skip


class Scripted:
    """A host that answers as it is told to.

    Attributes:
        calls: what it was asked.
        answer: makes messages of a call.
        lines: how many connections there were.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[dict[str, Any]] = []
        self.lines = 0
        self.answer: Callable[[dict[str, Any], asyncio.StreamWriter], None] = lambda _call, _writer: None
        self._tasks: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines += 1
        self._tasks.add(writer)
        async for line in reader:
            call = json.loads(line)
            self.calls.append(call)
            self.answer(call, writer)

    def close(self) -> None:
        for writer in self._tasks:
            writer.close()

    def asked(self, method: str) -> list[dict[str, Any]]:
        return [call["params"] for call in self.calls if call["method"] == method]


def say(writer: asyncio.StreamWriter, message: object) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


def result(writer: asyncio.StreamWriter, call: dict[str, Any], value: object) -> None:
    say(writer, {"type": "rpc_result", "id": call["id"], "result": value})


def event(writer: asyncio.StreamWriter, name: str, seq: int, *, ended: bool = False) -> None:
    data = {"subscription": name, "stream": "x", "ended": ended}
    if not ended:
        data["events"] = [{"stream": "x", "seq": seq, "ts": 0, "kind": "text", "text": f"{seq}\n"}]
    say(writer, {"type": "event", "event": "stream", "data": data})


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Scripted]:
    made = Scripted(tmp_path / "s")
    server = await asyncio.start_unix_server(made.serve, made.path)
    yield made
    made.close()
    server.close()


@pytest.fixture
async def client(host: Scripted) -> AsyncIterator[Client]:
    made = Client(host.path)
    yield made
    await made.close()


@pytest.mark.parametrize("is_begun", [False, True], ids=["subscribed", "submitted"])
async def test_a_line_that_is_lost_right_behind_the_answer_takes_the_subscription_with_it(
    host: Scripted, client: Client, is_begun: bool
) -> None:
    """Defence: ``_to_subscribe``: answer and end may be read at once, and whoever waited for an event did for ever."""

    def answers(call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if host.lines > 1:
            result(writer, call, {"subscription": "s2"})
            event(writer, "s2", 1)
            event(writer, "s2", 2, ended=True)

    async def follow() -> list[int]:
        if is_begun:
            await client.submit(Invocation(command_id="a.b"), follow=True)
        return [each.seq async for batch in client.follow("run/r1") for each in batch]

    host.answer = answers
    following = asyncio.ensure_future(follow())
    await until(lambda: host.calls)
    answer = {"type": "rpc_result", "id": host.calls[0]["id"], "result": {**RUN, "subscription": "s1"}}
    client._take(json.dumps(answer).encode())
    client._lost(None)
    async with asyncio.timeout(5):
        assert await following == [1]


async def test_a_call_that_nobody_waits_for_any_more_is_cancelled_at_the_host(host: Scripted, client: Client) -> None:
    """Defence: ``rpc.cancel`` in ``_call``: a slow query would go on for each key that was typed."""
    asking = asyncio.ensure_future(client.query("slow"))
    await until(lambda: host.asked("query"))
    asking.cancel()
    await until(lambda: host.asked("rpc.cancel"))
    (slow,) = (call["id"] for call in host.calls if call["method"] == "query")
    assert host.asked("rpc.cancel") == [{"id": slow}]


async def test_one_that_was_answered_is_not(host: Scripted, client: Client) -> None:
    host.answer = lambda call, writer: result(writer, call, 1)
    await client.query("quick")
    await client.query("quick")
    assert not host.asked("rpc.cancel")


async def test_a_subscription_that_was_given_up_before_its_answer_is_ended(host: Scripted, client: Client) -> None:
    """Defence: ``_feed_of``: the host went on sending, and the client kept it for nobody."""
    following = asyncio.ensure_future(anext(client.follow("x")))
    await until(lambda: host.asked("stream.subscribe"))
    following.cancel()
    await asyncio.wait([following])

    def answers(call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        result(writer, call, 1)
        if call["method"] == "query":
            for seq in range(100):
                event(writer, "s1", seq + 1)

    host.answer = answers
    await client.query("any")
    await until(lambda: host.asked("stream.unsubscribe"))
    await client.query("any")
    assert host.asked("stream.unsubscribe")[0] == {"subscription": "s1"}
    assert len(host.asked("stream.unsubscribe")) <= 2  # once for each time something came of it
    await until(lambda: not client._feeds)
    assert not client._early
