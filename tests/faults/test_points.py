"""A2: the host dies exactly at a named point of a run's life, and the next one finds what belongs to that point."""

from __future__ import annotations

import asyncio
import signal
import zlib
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import NamedTuple

import checker
import pytest
from faults_kit import Ground, until

from trunnion.model.errors import TrunnionError
from trunnion.model.events import encode_event, run_stream
from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client


class Found(NamedTuple):
    """What is known of one call: the status on record, the output on record, the effects, the intents."""

    status: str | None
    output: bool
    effects: int
    intents: int


class Point(NamedTuple):
    """Where the host dies, with what at work, what is found then, and at last, once the client has asked again."""

    die_at: str
    command: str
    then: Found
    at_last: Found


POINTS = {
    "intent written": Point("intent", "chatty", Found(None, False, 0, 1), Found("succeeded", True, 1, 1)),
    "accepted": Point("accepted", "chatty", Found("running", False, 0, 1), Found("interrupted", False, 0, 1)),
    "accepted, in a queue": Point("accepted", "serial", Found("pending", False, 0, 1), Found("succeeded", False, 1, 1)),
    "handler started": Point("handler", "chatty", Found("running", False, 1, 1), Found("interrupted", False, 1, 1)),
    "handler to be retried": Point("handler", "again", Found("running", False, 1, 1), Found("succeeded", True, 2, 1)),
    "event stored": Point("event", "chatty", Found("running", True, 1, 1), Found("interrupted", True, 1, 1)),
    "outcome written": Point("outcome", "chatty", Found("succeeded", True, 1, 1), Found("succeeded", True, 1, 1)),
    "end sent": Point("terminal", "chatty", Found("succeeded", True, 1, 1), Found("succeeded", True, 1, 1)),
}


def found(ground: Ground, key: str) -> Found:
    """What is on record, read by the judge that knows nothing of the host."""
    effects = sum(line["token"] == key for line in checker.lines_of(ground.effects))
    with closing(checker.Stored(ground.data)) as stored:
        run = next((run for run in stored.runs.values() if run.get("idempotency_key") == key), None)
        if run is None:
            return Found(None, False, effects, len(checker.lines_of(ground.intents)))
        output = any(event["kind"] == "text" for event, _ in stored.events(run, checker.Verdict()))
    intents = sum(line["run"] == run["id"] for line in checker.lines_of(ground.intents))
    return Found(run["status"], output, effects, intents)


async def ask(ground: Ground, client: Client, command: str, key: str) -> None:
    """Submit and see all there is to see, to the end."""
    asked = Invocation(command_id=f"faults.{command}", args={"token": key}, idempotency_key=key)
    run = await client.submit(asked)
    ground.told.tell("accepted", key=key, run=run.id)
    async for events in client.follow(run_stream(run.id)):
        shown = [[event.seq, zlib.crc32(encode_event(event))] for event in events]
        ground.told.tell("seen", run=run.id, follow=f"{key}/{id(client)}", events=shown)
    ended = await client.wait(run.id)
    ground.told.tell("ended", run=run.id, status=ended.status, finished=ended.finished)


def impatient(ground: Ground, work: Callable[[Client], Awaitable[None]]) -> None:
    """Do something as a client that gives up when the line is lost."""

    async def connected() -> None:
        async with await Client.connect(ground.socket, patience=0) as client:
            with suppress(TrunnionError):
                await work(client)

    asyncio.run(connected())


def killed_at(ground: Ground, point: Point, key: str, after: int) -> None:
    """A host dies at the point, when it is reached so often, while it does what it was asked."""
    host = ground.up(without="die_at", DIE_AT=point.die_at, DIE_AFTER=str(after))

    async def work(client: Client) -> None:
        if point.command == "serial":
            holder = Invocation(command_id="faults.serial", args={"token": f"{key}-holder", "seconds": 60})
            await client.submit(holder)
        await ask(ground, client, point.command, key)

    impatient(ground, work)
    until(lambda: host.process.poll() is not None, "the host is dead")
    assert host.process.returncode == -signal.SIGKILL, host.said()


def round_of(ground: Ground, point: Point, key: str, *, without: str = "none") -> Found:
    """Die at a point, where what is found must belong to it; start again and ask again: what is found at last."""
    ground.intents.unlink(missing_ok=True)
    after = {"event": ground.random.randint(1, 4)}.get(point.die_at, 2 if point.command == "serial" else 1)
    killed_at(ground, point, key, after)
    assert found(ground, key) == point.then
    host = ground.up(without=without)
    impatient(ground, lambda client: ask(ground, client, point.command, key))
    assert host.stop() == 0, host.said()
    return found(ground, key)


@pytest.fixture
def ground(make_ground: Callable[..., Ground]) -> Ground:
    return make_ground(with_intents=True)


@pytest.mark.parametrize("name", POINTS)
def test_a2_killed_at_a_named_point(ground: Ground, rounds: int, figure: Callable[..., None], name: str) -> None:
    times = max(rounds // 10, 1) if rounds > 20 else 1
    for number in range(times):
        assert round_of(ground, POINTS[name], f"{name} {number}") == POINTS[name].at_last
    ground.judged()
    figure(f"kills at: {name}", times)


def test_a2_without_the_fault(ground: Ground, figure: Callable[..., None]) -> None:
    """The same call, nobody killed."""
    host = ground.up(without="die_at")
    impatient(ground, lambda client: ask(ground, client, "chatty", "key"))
    assert host.stop() == 0, host.said()
    assert found(ground, "key") == Found("succeeded", True, 1, 1)
    ground.judged()


@pytest.mark.parametrize(
    ("name", "defence"),
    [
        ("accepted", "leave_running"),
        ("handler started", "run_again"),
        ("outcome written", "forget_keys"),
        pytest.param("accepted, in a queue", "forget_keys", marks=pytest.mark.heavy),
        pytest.param("event stored", "leave_running", marks=pytest.mark.heavy),
        pytest.param("end sent", "forget_keys", marks=pytest.mark.heavy),
    ],
)
def test_a2_without_the_defence(ground: Ground, name: str, defence: str) -> None:
    """A host that does not take up what is there, or not as it should, is found out."""
    assert round_of(ground, POINTS[name], "key", without=defence) != POINTS[name].at_last
