"""One connection: calls side by side, refusals with names, streams that wait for a slow reader."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from trunnion.model.errors import ERROR_TABLE, ErrorInfo
from trunnion.protocol.methods import METHODS

pytestmark = pytest.mark.anyio


async def settle() -> None:
    """Let everything that can run without outside help run."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_hello_names_host_and_boot_and_refuses_another_protocol(bench):
    answer = await bench.ask(1, "hello", {"protocol": 1})
    assert answer["result"] == {"protocol": 1, "host_id": "h1", "boot_id": "b1", "version": "0.1.0"}
    refused = await bench.ask(2, "hello", {"protocol": 2})
    assert refused["code"] == "conflict"
    assert "protocol 1" in refused["message"]
    assert "2" in refused["message"]


async def test_whoami_is_what_the_transport_found_out(bench):
    answer = await bench.ask(1, "whoami")
    assert answer["result"] == {"principal": "ann", "source": "cli", "role": "admin"}


async def test_calls_do_not_wait_for_one_another(bench):
    bench.call(1, "query", {"query_id": "wait.for-it"})
    quick = await bench.ask(2, "query", {"query_id": "units.list", "args": {"limit": 3}})
    assert quick["result"] == {"query": "units.list", "args": {"limit": 3}, "argv": None}
    assert len(bench.line.sent) == 1
    bench.door.may_answer.set()
    assert (await bench.line.answer(1))["type"] == "rpc_result"


async def test_live_ids_are_refused_and_free_again_once_answered(bench):
    bench.call(1, "query", {"query_id": "wait.for-it"})
    twin = await bench.ask(1, "whoami")
    assert (twin["code"], twin["number"]) == ("conflict", 409)
    bench.door.may_answer.set()
    await bench.line.until(lambda sent: len(sent) == 2)
    bench.call(1, "whoami")
    assert (await bench.line.until(lambda sent: len(sent) == 3))[2]["result"]["principal"] == "ann"


async def test_too_many_pending_calls_are_refused_by_name(bench):
    for call_id in range(8):
        bench.call(call_id, "query", {"query_id": "wait.for-it"})
    assert (await bench.ask(8, "whoami"))["code"] == "busy"
    bench.door.may_answer.set()
    await bench.line.until(lambda sent: len(sent) == 9)
    assert (await bench.ask(9, "whoami"))["type"] == "rpc_result"


async def test_a_call_has_a_deadline_and_can_be_cancelled(bench):
    late = await bench.ask(1, "query", {"query_id": "wait.for-it"}, timeout=0.01)
    assert (late["code"], late["number"]) == ("deadline_exceeded", 504)
    bench.call(2, "query", {"query_id": "wait.for-it"})
    assert (await bench.ask(3, "rpc.cancel", {"id": 2}))["result"] == {"cancelled": True}
    assert (await bench.line.answer(2))["code"] == "cancelled"
    assert (await bench.ask(4, "rpc.cancel", {"id": 2}))["result"] == {"cancelled": False}


async def test_a_call_whose_answer_waits_for_room_cannot_lose_it_to_a_cancel(bench):
    bench.line.blocked = True
    bench.call(1, "whoami")
    await settle()
    assert not bench.connection.cancel_call(1)
    bench.line.unblock()
    assert (await bench.line.answer(1))["type"] == "rpc_result"


@pytest.mark.parametrize(
    ("message", "call_id", "part"),
    [
        (b"", None, "JSON"),
        (b"{", None, "JSON"),
        (b"[]", None, "not a call"),
        (b'{"type":"rpc","id":1,"id":2,"method":"whoami"}', None, "twice"),
        (b'{"type":"rpc","id":5}', 5, "method"),
        (b'{"type":"rpc","id":5,"method":"whoami","extra":1}', 5, "extra"),
        (b'{"type":"rpc","id":5.5,"method":"whoami"}', None, "id"),
        (b'{"type":"rpc","id":"' + b"x" * 200 + b'","method":"whoami"}', "x" * 200, "id"),
        (b'{"type":"rpc","id":5,"method":"whoami","timeout":0}', 5, "timeout"),
        (b'{"type":"rpc_result","id":5,"result":1}', 5, "rpc"),
        (b'{"type":"rpc","id":5,"method":"run.wait","params":{}}', 5, "run_id"),
        (b'{"type":"rpc","id":5,"method":"run.wait","params":{"run_id":"a","bogus":1}}', 5, "bogus"),
        (b'{"type":"rpc","id":5,"method":"stream.subscribe","params":{"stream":"../x"}}', 5, "stream name"),
    ],
)
async def test_what_is_not_a_call_is_refused_and_named(bench, message, call_id, part):
    bench.connection.receive(message)
    [answer] = await bench.line.until(lambda sent: len(sent) == 1)
    told = [(code, caller) for _, code, caller in bench.host.told]
    assert told == [("invalid_arguments", bench.connection.caller)] or part == "stream name"  # which the door judges
    assert (answer["id"], answer["code"], answer["number"]) == (call_id, "invalid_arguments", 400)
    assert part in answer["message"]


async def test_a_defect_is_internal_and_tells_nothing(bench, caplog):
    answer = await bench.ask(1, "broken")
    assert (answer["code"], answer["number"]) == ("internal", 500)
    assert "secret" not in answer["message"]
    assert "secret detail" in caplog.text


async def test_submit_wait_and_cancel(bench):
    run = (await bench.ask(1, "command.submit", {"command_id": "db.backup", "args": {"to": "x"}}))["result"]
    assert (run["id"], run["status"], run["args"]) == ("run1", "running", {"to": "x"})
    bench.call(2, "run.wait", {"run_id": "run1"})
    assert (await bench.ask(3, "run.cancel", {"run_id": "run1"}))["result"]["status"] == "cancelled"
    assert (await bench.line.answer(2))["result"]["status"] == "cancelled"


async def test_a_run_may_be_followed_from_its_submission(bench, events):
    bench.door.streams["run/run1"] = [events("run/run1", 1, 3)]
    answer = await bench.ask(1, "command.submit", {"command_id": "t.a", "follow": True})
    assert (answer["result"]["id"], answer["result"]["subscription"]) == ("run1", "s1")
    sent = await bench.line.until(lambda sent: any("data" in message for message in sent))
    assert [message["type"] for message in sent] == ["rpc_result", "event"]
    assert [event["seq"] for event in sent[1]["data"]["events"]] == [1, 2, 3]
    bench.door.end("run1")
    last = (await bench.line.until(lambda sent: len(sent) == 3))[2]["data"]
    assert (last["ended"], last["events"], last["run"]["status"]) == (True, [], "succeeded")
    assert bench.connection.idle


async def test_a_run_that_cannot_be_followed_has_begun_all_the_same(bench):
    """Defence: ``Connection._look_on`` asks for no more than there is."""
    bench.door.streams |= {"unit/a": [], "run/run1": []}
    for number in range(2):
        await bench.ask(number, "stream.subscribe", {"stream": "unit/a"})
    answer = await bench.ask(2, "command.submit", {"command_id": "t.a", "follow": True})
    assert answer["result"]["id"] == "run1"
    assert "subscription" not in answer["result"]


async def test_what_is_followed_from_its_submission_can_be_left(bench):
    bench.door.streams["run/run1"] = []
    await bench.ask(1, "command.submit", {"command_id": "t.a", "follow": True})
    await settle()
    assert (await bench.ask(2, "stream.unsubscribe", {"subscription": "s1"}))["type"] == "rpc_result"
    bench.door.end("run1")
    await settle()
    assert len(bench.line.sent) == 2
    assert bench.connection.idle


async def test_run_answers_with_the_ended_run(bench):
    bench.call(1, "command.run", {"command_id": "db.backup"})
    await settle()
    bench.door.end("run1", "failed", error=ErrorInfo("failed", "no space"))
    answer = await bench.line.answer(1)
    assert answer["result"]["error"] == {"code": "failed", "message": "no space"}


async def test_ids_of_queries_and_commands_are_methods(bench):
    assert (await bench.ask(1, "units.list", {"limit": 2}))["result"]["args"] == {"limit": 2}
    bench.call(2, "db.backup", {"to": "x"})
    await settle()
    bench.door.end("run1", result={"bytes": 3})
    assert (await bench.line.answer(2))["result"] == {"bytes": 3}
    bench.call(3, "db.backup")
    await settle()
    bench.door.end("run2", "failed", error=ErrorInfo("busy", "full", {"retry_after": 1}))
    failed = await bench.line.answer(3)
    assert (failed["code"], failed["number"]) == ("busy", ERROR_TABLE["busy"].http)
    assert failed["details"] == {"retry_after": 1, "run_id": "run2"}
    unknown = await bench.ask(4, "no.such")
    assert (unknown["code"], unknown["details"]) == ("not_found", {"nearest": ["such"]})


async def test_meta_is_left_out_when_the_client_has_it(bench):
    fresh = (await bench.ask(1, "meta.get"))["result"]
    assert fresh == {"revision": "r1", "generation": 1, "modified": True, "meta": {"commands": []}}
    assert (await bench.ask(2, "meta.get", {"revision": "r1"}))["result"]["modified"] is False
    assert "meta" not in bench.line.messages[1]["result"]


async def test_completion(bench):
    answer = await bench.ask(1, "command.complete", {"command_id": "db.backup", "words": ["a"], "incomplete": "b"})
    assert answer["result"] == [{"value": "bx", "description": "a", "kind": "value"}]


async def test_a_subscription_is_named_before_its_first_event_and_ends_with_a_mark(bench, events):
    bench.door.streams["run/1"] = [events("run/1", 1, 3), events("run/1", 4, 5)]
    bench.call(1, "stream.subscribe", {"stream": "run/1", "after": 1})
    sent = await bench.line.until(lambda sent: any(m.get("data", {}).get("ended") for m in sent))
    assert sent[0] == {"type": "rpc_result", "id": 1, "result": {"subscription": "s1"}}
    assert [e["seq"] for m in sent[1:] for e in m["data"]["events"]] == [2, 3, 4, 5]
    assert sent[-1]["data"] == {"subscription": "s1", "stream": "run/1", "events": [], "ended": True}


async def test_a_stream_that_is_not_there(bench):
    assert (await bench.ask(1, "stream.subscribe", {"stream": "run/9"}))["code"] == "not_found"


async def test_the_ended_mark_says_why_a_stream_broke_off(bench):
    async def broken(*_: object, **__: object):
        yield []
        raise ZeroDivisionError("secret detail")

    bench.door.follow = broken
    bench.call(1, "stream.subscribe", {"stream": "host"})
    sent = await bench.line.until(lambda sent: len(sent) == 2)
    assert sent[1]["data"]["error"]["code"] == "internal"
    assert "secret" not in sent[1]["data"]["error"]["message"]


async def test_a_slow_reader_stops_the_cursor_and_nobody_else(bench, events, make_host):
    """Without the wait for room all batches would be pulled and kept in memory for one client."""
    bench.door.streams["run/1"] = [events("run/1", 10 * n + 1, 10 * n + 10) for n in range(100)]
    bench.call(1, "stream.subscribe", {"stream": "run/1"})
    await bench.line.answer(1)
    bench.line.blocked = True
    await settle()
    assert bench.door.pulled["run/1"] <= 2
    held = bench.door.pulled["run/1"]
    await settle()
    assert bench.door.pulled["run/1"] == held
    bench.line.unblock()
    sent = await bench.line.until(lambda sent: any(m.get("data", {}).get("ended") for m in sent))
    assert [e["seq"] for m in sent[1:] for e in m["data"]["events"]] == list(range(1, 1001))


async def test_nothing_follows_an_unsubscribe(bench, events):
    bench.door.streams["host"] = [events("host", n, n) for n in range(1, 200)]
    bench.call(1, "stream.subscribe", {"stream": "host"})
    bench.call(2, "stream.unsubscribe", {"subscription": "s1"})
    await bench.line.answer(2)
    count = len(bench.line.sent)
    await settle()
    assert len(bench.line.sent) == count
    assert (await bench.ask(3, "stream.unsubscribe", {"subscription": "s1"}))["code"] == "not_found"


async def test_subscriptions_are_limited(bench):
    bench.door.streams["host"] = []
    for call_id in (1, 2):
        await bench.ask(call_id, "stream.subscribe", {"stream": "host"})
    await settle()
    assert (await bench.ask(3, "stream.subscribe", {"stream": "host"}))["code"] == "busy"


async def test_large_batches_are_cut(bench, events):
    bench.door.streams["run/1"] = [events("run/1", 1, 300, size=2000)]
    bench.call(1, "stream.subscribe", {"stream": "run/1"})
    await bench.line.until(lambda sent: any(m.get("data", {}).get("ended") for m in sent))
    sizes = [len(message) for message in bench.line.sent[1:]]
    assert len(sizes) > 4
    assert max(sizes) < (128 << 10) + 3000


async def test_runs_go_on_without_their_client_unless_tied_to_it(bench):
    await bench.ask(1, "command.submit", {"command_id": "db.backup"})
    await bench.ask(2, "command.submit", {"command_id": "db.backup", "cancel_on_disconnect": True})
    bench.call(3, "command.run", {"command_id": "db.backup"})
    await settle()
    bench.connection.close()
    await settle()
    assert bench.door.cancelled == ["run2"]


async def test_a_run_that_has_ended_is_no_longer_tied(bench):
    bench.call(1, "command.run", {"command_id": "db.backup", "cancel_on_disconnect": True})
    await settle()
    bench.door.end("run1")
    await bench.line.answer(1)
    assert bench.connection.idle
    bench.connection.close()
    await settle()
    assert bench.door.cancelled == []


async def test_a_client_that_goes_away_while_submitting_still_has_its_run_cancelled(bench):
    bench.door.may_submit.clear()
    bench.call(1, "command.submit", {"command_id": "db.backup", "cancel_on_disconnect": True})
    await settle()
    bench.connection.close()
    bench.door.may_submit.set()
    await settle()
    assert bench.door.cancelled == ["run1"]


async def test_tied_runs_are_limited(bench):
    for call_id in (1, 2):
        await bench.ask(call_id, "command.submit", {"command_id": "a.b", "cancel_on_disconnect": True})
    refused = await bench.ask(3, "command.submit", {"command_id": "a.b", "cancel_on_disconnect": True})
    assert refused["code"] == "busy"


async def test_params_are_the_documented_ones():
    for name, method in METHODS.items():
        assert method.doc, name
        assert msgspec.json.schema(method.params), name
