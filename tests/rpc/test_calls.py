"""Commands, queries, runs and meta over gRPC: what the door says is what the host has on record."""

from __future__ import annotations

import asyncio
import os

import msgspec
import pytest
from rpc_kit import Raw, Rpc, opened, until

from trunnion import Invocation, Run, RunFilter, TrunnionError
from trunnion.kernel.authentication import user_name
from trunnion_rpc.client import Client
from trunnion_rpc.v1 import runtime_pb2 as pb


async def test_who_and_where(host: Rpc, client: Client) -> None:
    found, identity = await client.host(), host.host.kernel.identity
    assert (found.host_id, found.boot_id, found.version) == (identity.host_id, identity.boot_id, identity.version)
    assert (found.principal, found.role, found.source) == (user_name(os.getuid()), "admin", "rpc")


async def test_a_run_is_told_of_as_it_is_on_record(host: Rpc, client: Client) -> None:
    """Every field, the rare ones too."""
    invocation = Invocation(
        command_id="demo.greet",
        args={"name": "Ada"},
        timeout=60.0,
        idempotency_key="k",
        session_id="s",
        labels={"a": "b"},
    )
    begun = await client.submit(invocation)
    ended = await client.wait(begun.id)
    assert ended == await client.get(begun.id) == await host.at_home(begun.id)
    assert (ended.status, ended.result, ended.source, ended.session_id) == ("succeeded", "hello Ada", "rpc", "s")
    assert ended.deadline_at is not None
    failed = await client.run(Invocation(command_id="demo.fail"))
    assert failed == await host.at_home(failed.id)
    assert (failed.status, failed.error.code) == ("failed", "failed")
    again = await client.run(Invocation(command_id="runs.rerun", args={"run_id": begun.id}))
    repeated = await client.wait(again.result["id"])
    assert repeated == await host.at_home(repeated.id)
    assert repeated.rerun_of == begun.id
    parent = await client.run(Invocation(command_id="demo.nest"))
    (child,) = (await client.list_runs(RunFilter(parent_run_id=parent.id))).items
    for run in (parent, child):
        assert run == await host.at_home(run.id)
    assert (child.chain, child.depth, parent.stats, parent.result) == (("rpc",), 1, {"children": 1}, "hello Eve")


@pytest.mark.parametrize(
    "said",
    [
        {"command_id": "demo.greet", "args": {"name": "Ada Lovelace", "loud": True}},
        {"command_id": "demo.greet", "argv": ("Ada Lovelace", "--loud")},
        {"command_id": "demo.greet", "line": "'Ada Lovelace' --loud"},
        {"line": "demo.greet 'Ada Lovelace' --loud"},
    ],
    ids=["args", "argv", "line", "line alone"],
)
async def test_arguments_in_every_form(client: Client, said: dict[str, object]) -> None:
    assert (await client.run(Invocation(**said))).result == "HELLO ADA LOVELACE"


async def test_without_waiting_the_answer_is_the_run_as_accepted(host: Rpc, raw: Raw) -> None:
    answer = await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.hold"))
    assert answer.run.status in (pb.RUN_STATUS_PENDING, pb.RUN_STATUS_RUNNING)
    host.demo.go.set()
    assert (await host.at_home(answer.run.id)).status == "succeeded"


async def test_waiting_ends_with_the_run_or_with_the_time(host: Rpc, raw: Raw) -> None:
    late = await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.hold", wait_seconds=0.05))
    assert late.run.status == pb.RUN_STATUS_RUNNING
    host.demo.go.set()
    done = await raw.ask(
        "Invoke", pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":"Bo"}', wait_seconds=9)
    )
    assert (done.run.status, done.run.result_json) == (pb.RUN_STATUS_SUCCEEDED, b'"hello Bo"')


async def test_a_key_joins_the_run_it_belongs_to(host: Rpc, client: Client) -> None:
    one = Invocation(command_id="demo.effect", args={"what": "a"}, idempotency_key="once")
    runs = await asyncio.gather(*(client.run(one) for _ in range(5)))
    assert {run.id for run in runs} == {runs[0].id}
    assert host.demo.effects == ["a"]
    other = msgspec.structs.replace(one, args={"what": "b"})
    with pytest.raises(TrunnionError) as refused:
        await client.run(other)
    assert refused.value.code == "conflict"


async def test_a_revision_that_is_no_longer_current(client: Client) -> None:
    with pytest.raises(TrunnionError) as refused:
        await client.submit(Invocation(command_id="demo.greet", args={"name": "A"}, revision="old"))
    assert refused.value.code == "stale_meta"
    assert len(refused.value.details["revision"]) == 64


async def test_waiting_for_a_run_is_bounded_and_cancelling_ends_it(host: Rpc, client: Client) -> None:
    run = await client.submit(Invocation(command_id="demo.hold"))
    with pytest.raises(TrunnionError) as late:
        await client.wait(run.id, timeout=0.05)
    assert late.value.code == "deadline_exceeded"
    waiting = [asyncio.create_task(client.wait(run.id)) for _ in range(10)]
    cancelled = await client.cancel(run.id)
    assert cancelled.cancel_requested_at is not None
    assert {each.status for each in await asyncio.gather(*waiting)} == {"cancelled"}
    assert (await client.cancel(run.id)).status == "cancelled"


async def test_a_run_started_here_is_cancelled_from_the_terminal(host: Rpc, client: Client) -> None:
    waiting = asyncio.create_task(client.run(Invocation(command_id="demo.hold")))
    await host.demo.begun.wait()
    (run_id,) = host.host.kernel.executor.table.live
    await host.host.door("cli").cancel(host.host.local_caller(), run_id)
    assert (await waiting).status == "cancelled"


async def test_queries_by_name_and_as_words(client: Client) -> None:
    assert await client.query("demo.count") == {"n": 1}
    assert await client.query("demo.count", {"n": 5}) == {"n": 5}
    assert await client.query("demo.count", argv=["--n", "7"]) == {"n": 7}
    assert (await client.query("host.status"))["version"]


async def test_completion(client: Client) -> None:
    offered = await client.complete("demo.greet", ["Ada"], "--l")
    assert "--loud" in [completion.value for completion in offered]
    assert await client.complete("runs.get", [], "no-such-run") == []


async def test_meta_until_it_changes(host: Rpc, client: Client) -> None:
    first = await client.meta()
    ids = {command["id"] for command in first.meta["commands"]}
    assert {"demo.greet", "runs.cancel"} <= ids
    assert not ids & {"demo.closed", "principals.add"}
    assert (await client.meta(first.revision)) == msgspec.structs.replace(first, modified=False, meta=None)
    host.host.kernel.registry.withdraw("demo")
    second = await client.meta(first.revision)
    assert second.modified
    assert "demo.greet" not in {command["id"] for command in second.meta["commands"]}


async def test_lists_in_pages_and_by_what_is_asked(host: Rpc, client: Client) -> None:
    greeted = [await client.run(Invocation(command_id="demo.greet", args={"name": str(n)})) for n in range(5)]
    await client.run(Invocation(command_id="demo.fail", session_id="s"))
    first = await client.list_runs(RunFilter(command="demo.greet"), limit=3)
    rest = await client.list_runs(RunFilter(command="demo.greet"), limit=3, cursor=first.next)
    assert [run.id for run in first.items + rest.items] == [run.id for run in reversed(greeted)]
    assert rest.next is None
    assert (await client.list_runs(limit=1)).items[0].session_id == "s"
    for wanted, many in [
        (RunFilter(command="demo.*"), 6),
        (RunFilter(status=("failed",)), 1),
        (RunFilter(session_id="s"), 1),
        (RunFilter(source="rpc"), 6),
        (RunFilter(source="cli"), 0),
        (RunFilter(principal="nobody"), 0),
        (RunFilter(parent_run_id=greeted[0].id), 0),
        (RunFilter(created_after=greeted[-1].created), 1),
        (RunFilter(created_before=greeted[1].created), 1),
    ]:
        assert len((await client.list_runs(wanted)).items) == many, wanted
    assert first.items[0] == await host.at_home(first.items[0].id)


async def test_a_secret_argument_stays_a_secret(host: Rpc, client: Client) -> None:
    run = await client.run(Invocation(command_id="demo.sign", args={"key": "correct horse battery"}))
    assert run.result == "signed with 21 characters"
    assert "horse" not in str(run)


# -- what becomes of a run whose caller goes away --------------------------------------------------------


async def begun(host: Rpc, raw: Raw, **how: object) -> tuple[object, str]:
    """A call that waits for a run which is at work."""
    call = asyncio.create_task(raw.ask("Invoke", pb.InvokeRequest(command_id="demo.hold", wait_seconds=60, **how)))
    await host.demo.begun.wait()
    (run_id,) = host.host.kernel.executor.table.live
    return call, run_id


async def test_a_run_goes_on_when_its_caller_goes_away(host: Rpc, raw: Raw) -> None:
    call, run_id = await begun(host, raw)
    call.cancel()
    await until(lambda: not len(host.shared.calls))
    host.demo.go.set()
    assert (await host.at_home(run_id)).status == "succeeded"


async def test_a_run_that_is_tied_to_its_call_ends_with_it(host: Rpc, raw: Raw) -> None:
    """Defence: ``invoke`` cancels it."""
    call, run_id = await begun(host, raw, cancel_on_disconnect=True)
    call.cancel()
    assert (await host.at_home(run_id)).status == "cancelled"


async def test_a_run_that_is_tied_ends_with_the_line(host: Rpc) -> None:
    async with Raw(host.socket) as line:
        call, run_id = await begun(host, line, cancel_on_disconnect=True)
    assert (await host.at_home(run_id)).status == "cancelled"
    await asyncio.gather(call, return_exceptions=True)


async def test_a_tied_run_that_ended_is_left_alone(host: Rpc, client: Client) -> None:
    run = await client.run(Invocation(command_id="demo.greet", args={"name": "A"}), cancel_on_disconnect=True)
    assert (run.status, run.cancel_requested_at) == ("succeeded", None)


async def test_a_call_has_an_end_whatever_it_waits_for(tmp_path) -> None:
    """Defence: ``max_wait``."""
    async with opened(tmp_path, "max_wait=0.1") as host, Raw(host.socket) as raw:
        run = await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.hold", wait_seconds=60))
        assert run.run.status == pb.RUN_STATUS_RUNNING
        with pytest.raises(Exception, match=r"has not ended within 0\.1 s"):
            await raw.ask("WaitRun", pb.WaitRunRequest(run_id=run.run.id))
        async with host.client() as client:
            asked, ended = [], host.host.kernel.waiting.ended

            async def counted(*args: object) -> Run:
                asked.append(args)
                return await ended(*args)

            host.host.kernel.waiting.ended = counted
            waiting = asyncio.create_task(client.run(Invocation(command_id="demo.hold")))
            await until(lambda: len(asked) > 2)  # the client has asked again and again
            host.demo.go.set()
            assert (await waiting).status == "succeeded"
