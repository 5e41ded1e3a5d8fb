"""Streams over gRPC: the same bytes to everybody, in order, to the end, however slowly they are taken."""

from __future__ import annotations

import asyncio

import grpc
import msgspec
import pytest
from google.protobuf import json_format
from rpc_kit import Raw, Rpc, opened, until

from trunnion import Event, Invocation, RunFilter, TrunnionError
from trunnion.model.events import NULL, encode_event
from trunnion.model.runs import Run
from trunnion_rpc.client import Client
from trunnion_rpc.decoding import event_of
from trunnion_rpc.encoding import EventEncoder
from trunnion_rpc.streams import FRAME, fits
from trunnion_rpc.v1 import runtime_pb2 as pb


async def everything(client: Client, stream: str, **more: object) -> list[Event]:
    return [event async for batch in client.follow(stream, **more) for event in batch]


async def at_home(host: Rpc, run_id: str) -> list[Event]:
    door, caller = host.host.door("cli"), host.host.local_caller()
    return [event async for batch in door.follow(caller, f"run/{run_id}") for event in batch]


def same(one: list[Event], other: list[Event]) -> bool:
    return [encode_event(event) for event in one] == [encode_event(event) for event in other]


async def test_two_clients_get_the_bytes_the_host_has(host: Rpc) -> None:
    async with host.client() as one, host.client() as two:
        run = await one.submit(Invocation(command_id="demo.much", args={"lines": 3000}))
        first, second = await asyncio.gather(everything(one, f"run/{run.id}"), everything(two, f"run/{run.id}"))
        stored = await at_home(host, run.id)
        assert same(first, stored)
        assert same(second, stored)
        assert [event.seq for event in first] == list(range(1, len(stored) + 1))
        assert first[-1].data["status"] == "succeeded"
        assert same(await everything(one, f"run/{run.id}", after=2990), stored[2990:])
        assert await everything(one, f"run/{run.id}", after=len(stored)) == []


async def test_a_message_has_as_many_events_as_there_are_and_no_more_than_fit(host: Rpc, raw: Raw) -> None:
    run = await raw.ask(
        "Invoke", pb.InvokeRequest(command_id="demo.much", args_json=b'{"lines":3000}', wait_seconds=20)
    )
    call, messages = raw.listen("StreamEvents", pb.StreamEventsRequest(stream=f"run/{run.run.id}", follow=True)), []
    async for message in call:
        messages.append(message)
    assert sum(len(message.events) for message in messages) == run.run.last_seq
    assert len(messages) < 20
    assert max(message.ByteSize() for message in messages) <= FRAME + 1024


async def test_without_following_it_ends_where_the_stream_ends_now(host: Rpc, client: Client) -> None:
    run = await client.submit(Invocation(command_id="demo.hold"))
    await host.demo.begun.wait()
    assert [event.kind for event in await everything(client, f"run/{run.id}", live=False)] == ["state", "text"]
    host.demo.go.set()


async def test_streams_that_are_not_there(client: Client) -> None:
    for stream in ("run/nothing", "no/such", "", "UPPER", "a b"):
        with pytest.raises(TrunnionError) as refused:
            await everything(client, stream)
        assert refused.value.code in ("not_found", "invalid_arguments")
    with pytest.raises(TrunnionError) as beyond:
        await everything(client, "host", after=10**15)
    assert beyond.value.code == "invalid_arguments"


async def test_a_slow_reader_costs_a_cursor_and_gets_everything(host: Rpc, raw: Raw) -> None:
    """Its share waits in the store: more than any buffer holds is said before it reads its second message."""
    run = await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.much", args_json=b'{"lines":30000,"size":2000}'))
    call = raw.listen("StreamEvents", pb.StreamEventsRequest(stream=f"run/{run.run.id}", follow=True))
    first = await call.read()
    ended = await host.at_home(run.run.id)
    assert host.host.kernel.log.logs.get(f"run/{ended.id}") is None  # nothing of it is in memory any more
    seen = [event.seq for event in first.events]
    last = None
    while (message := await call.read()) is not grpc.aio.EOF:
        seen += [event.seq for event in message.events]
        last = message.events[-1]
    assert seen == list(range(1, ended.last_seq + 1))
    assert last.kind == "state"
    assert b"succeeded" in last.data_json


async def test_an_event_that_is_too_large_is_read_in_pieces(tmp_path) -> None:
    """Never a dead stream: it goes without text and data, and says so."""
    async with opened(tmp_path, "max_message_bytes=65536") as host, Raw(host.socket) as raw, host.client() as client:
        run = await client.run(Invocation(command_id="demo.large", args={"size": 100_000}))
        call = raw.listen("StreamEvents", pb.StreamEventsRequest(stream=f"run/{run.id}", follow=True))
        plain = [event async for message in call for event in message.events]
        assert [event.incomplete for event in plain] == [False, True, False]
        assert same(await everything(client, f"run/{run.id}"), await at_home(host, run.id))


async def test_followers_of_the_host_learn_that_meta_changed(host: Rpc, client: Client) -> None:
    log = host.host.kernel.log.stream("host")
    await host.host.kernel.waiting.flush(log)
    changed = client.follow("host", log.seq)
    seen = asyncio.create_task(anext(changed))
    await until(lambda: log.followers)
    host.host.kernel.registry.withdraw("demo")
    assert [event.kind for event in await asyncio.wait_for(seen, 10)] == ["meta"]
    await changed.aclose()


def test_an_event_is_encoded_once_and_as_protobuf_would() -> None:
    raw = msgspec.Raw(b'{"a":1}')
    events = [
        Event("s", 1, 5, "text", text="ä" * 50),
        Event("s", 2, 2**50, "other", "error", "driver", "", raw),
        Event("s", 300, 7, "data", "info", "handler", "x" * 300, NULL),
    ]
    encoder = EventEncoder(1 << 20)
    assert encoder.encode(events[0]) is encoder.encode(events[0])
    (message,) = encoder.messages(events, 1 << 20)
    parsed = pb.StreamEventsResponse.FromString(message)
    assert same([event_of("s", event) for event in parsed.events], events)
    again = pb.StreamEventsResponse(events=parsed.events)
    assert again.SerializeToString() == message
    assert json_format.MessageToDict(again)["events"][0]["seq"] == "1"


def test_a_memory_of_encoded_events_has_an_end() -> None:
    encoder = EventEncoder(1 << 20, capacity=3)
    events = [Event("s", n, 0, "log", text=str(n)) for n in range(10)]
    parsed = [pb.StreamEventsResponse.FromString(encoder.encode(event)).events[0].text for event in events * 2]
    assert parsed == [event.text for event in events] * 2
    assert len(encoder._known) <= 3


def test_a_memory_of_large_events_is_a_short_one() -> None:
    """Defence: ``room``; also where the event itself is what is large, and goes without its text."""
    for most in (1 << 20, 1000):
        encoder = EventEncoder(most, room=1_000_000)
        for n in range(100):
            event = Event("s", n, 0, "log", text="x" * 100_000)
            assert encoder.encode(event) is encoder.encode(event)
            assert sum(len(each.text) + len(data) for each, data in encoder._known.values()) < 1_000_000


def test_messages_are_cut_between_events() -> None:
    encoder = EventEncoder(10_000)
    events = [Event("s", n, 0, "log", text="x" * (5000 if n == 3 else 100)) for n in range(1, 8)]
    messages = [pb.StreamEventsResponse.FromString(m) for m in encoder.messages(events, 400)]
    assert [[event.seq for event in message.events] for message in messages] == [[1, 2], [3], [4, 5, 6], [7]]


# -- runs --------------------------------------------------------------------------------------------------


async def test_runs_as_they_change_as_far_as_they_are_asked_for(host: Rpc, client: Client) -> None:
    held = await client.submit(Invocation(command_id="demo.hold", session_id="a"))
    changes = client.follow_runs(RunFilter(command="demo.*"))
    begun = await anext(changes)
    assert (begun.reset, [run.id for run in begun.runs]) == (True, [held.id])
    others = client.follow_runs(RunFilter(session_id="b"))
    assert (await anext(others)).runs == []
    other = await client.run(Invocation(command_id="demo.greet", args={"name": "A"}, session_id="b"))
    assert {run.id for run in (await anext(others)).runs} == {other.id}
    host.demo.go.set()
    seen: dict[str, Run] = {}
    async with asyncio.timeout(10):
        while not all(seen.get(run.id) and seen[run.id].ended for run in (held, other)):
            seen |= {run.id: run for run in (await anext(changes)).runs}
    assert seen[held.id] == await host.at_home(held.id)
    await changes.aclose()
    await others.aclose()


async def test_whoever_comes_back_is_told_what_changed_meanwhile(host: Rpc, client: Client) -> None:
    changes = client.follow_runs()
    cursor = (await anext(changes)).cursor
    await changes.aclose()
    run = await client.run(Invocation(command_id="demo.greet", args={"name": "A"}))
    again = client.follow_runs(after=cursor)
    change = await anext(again)
    assert (change.reset, [(each.id, each.status) for each in change.runs]) == (False, [(run.id, "succeeded")])
    await again.aclose()


RUN = Run(
    id="r", num=1, command_id="a.b.c", command_revision="", status="running", created=100, principal="p", source="rpc",
    session_id="s", parent_run_id="q",
)  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "among"),
    [
        (RunFilter(), True),
        (RunFilter(status=("running", "failed")), True),
        (RunFilter(status=("failed",)), False),
        (RunFilter(command="a.b.c"), True),
        (RunFilter(command="a.b"), False),
        (RunFilter(command="a.b.*"), True),
        (RunFilter(command="b.*"), False),
        (RunFilter(principal="p"), True),
        (RunFilter(principal="o"), False),
        (RunFilter(source="rpc"), True),
        (RunFilter(source="web"), False),
        (RunFilter(session_id="s"), True),
        (RunFilter(session_id="t"), False),
        (RunFilter(parent_run_id="q"), True),
        (RunFilter(parent_run_id="r"), False),
        (RunFilter(created_after=99), True),
        (RunFilter(created_after=100), False),
        (RunFilter(created_before=101), True),
        (RunFilter(created_before=100), False),
    ],
)
def test_a_filter_means_what_it_means_for_lists(wanted: RunFilter, among: bool) -> None:
    assert fits(RUN, wanted) is among
