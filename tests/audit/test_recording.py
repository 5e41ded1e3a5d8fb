"""What a host with the audit puts on record, and when."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from audit_kit import check_chain, of_kind, records

from trunnion import Command, Context, Forbidden, HostChange, Invocation, Json, NotFound, Query, Secret, TrunnionError
from trunnion.testing import Harness, Hosting
from trunnion_audit.audit import Audit
from trunnion_audit.commitments import args_text, event_line
from trunnion_audit.keys import Salts

pytestmark = pytest.mark.anyio


def hosting(data: Path, given: Sequence[Command] = (), /, **settings: Json) -> Hosting:
    return Hosting(
        plugins=["audit"],
        commands=given,
        data_dir=data,
        store="process",
        settings={"audit": settings},
        queries=[Query(id="t.ask", handler=lambda: 5), Query(id="t.other", handler=lambda: 6)],
    )


def action(folder: Path, name: str) -> list[dict[str, Any]]:
    return [record for record in of_kind(folder, "admin") if record["action"] == name]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(data: Path) -> Path:
    return data / "audit"


def act(ctx: Context, value: float) -> str:
    ctx.echo("hello")
    return f"did {value}"


ACT = Command.of(act, console="t")


async def test_intent_comes_before_the_effect_and_outcome_after_it(data: Path, folder: Path) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        seen.append([record["run"] for record in of_kind(folder, "intent")])

    async with hosting(data, [Command.of(look, console="t"), ACT]) as host:
        looked = await host.invoke("t.look")
        run = await host.invoke("t.act", value=1.5)
        await host.settle()
        assert [record["run"] for record in of_kind(folder, "outcome")] == [looked.id, run.id]
    assert seen == [[looked.id]]
    first, intent = of_kind(folder, "intent")
    assert "args" not in first and "args_commit" not in first
    assert {name: intent[name] for name in ("target", "what", "policy", "principal", "source", "effect")} == {
        "target": "t.act", "what": "command", "policy": "strict", "principal": "tester", "source": "cli",
        "effect": "write",
    }  # fmt: skip
    assert json.loads(intent["args"]) == {"value": 1.5}
    assert intent["args_digest"] == run.args_digest
    outcome = of_kind(folder, "outcome")[1]
    assert (outcome["run"], outcome["status"], outcome["intent"]) == (run.id, "succeeded", intent["n"])
    assert outcome["result_size"] == len(b'"did 1.5"')
    assert run.started is not None and run.finished is not None
    assert outcome["duration"] == run.finished - run.started
    check_chain(folder)


async def test_commitments_hold_with_the_salts_of_the_log(data: Path, folder: Path) -> None:
    async with hosting(data, [ACT]) as host:
        run = await host.invoke("t.act", value=1.5)
        events = await host.events(run)
        await host.settle()
    salts = Salts()
    salts.take(folder)
    (intent,), (outcome,) = of_kind(folder, "intent"), of_kind(folder, "outcome")
    for field, told, commitment in (
        ("args", args_text({"value": 1.5}), intent["args_commit"]),
        ("result", b'"did 1.5"', outcome["result_commit"]),
        ("events", b"".join(map(event_line, events)), outcome["events_commit"]),
    ):
        assert hashlib.sha256(salts.salt(field, run.id) + told).hexdigest() == commitment
    assert outcome["events"] == len(events)


async def test_whatever_a_handler_does_its_outcome_is_on_record(data: Path, folder: Path) -> None:
    def leaves() -> None:
        sys.exit(3)

    def returns_what_cannot_be_kept() -> object:
        return object()

    def raises() -> None:
        raise RuntimeError("no")

    def clicks() -> int:
        return 1

    made = [Command.of(f, console="t") for f in (leaves, returns_what_cannot_be_kept, raises)]
    made.append(Command.of(clicks, console="t", keep="none"))
    async with hosting(data, made) as host:
        runs = [await host.invoke(command.id) for command in made]
    outcomes = {record["run"]: record for record in of_kind(folder, "outcome")}
    assert [outcomes[run.id]["status"] for run in runs] == ["failed", "failed", "failed", "succeeded"]
    assert [outcomes[run.id].get("code", "") for run in runs[:3]] == [run.error.code for run in runs[:3] if run.error]
    intents = {record["run"]: record["n"] for record in of_kind(folder, "intent")}
    assert all(outcomes[run.id]["intent"] == intents[run.id] for run in runs)


async def test_secret_arguments_are_not_on_record(data: Path, folder: Path) -> None:
    def enter(password: Annotated[str, Secret()]) -> None:
        """Take it."""

    async with hosting(data, [Command.of(enter, console="t")]) as host:
        await host.invoke("t.enter", password="hunter2-is-long-enough")
    assert b"hunter2" not in b"".join(path.read_bytes() for path in folder.iterdir())
    (intent,) = of_kind(folder, "intent")
    assert "password" in json.loads(intent["args"])


# -- policy ---------------------------------------------------------------------------------------


async def test_queries_and_streams_are_recorded_where_policy_says_so(data: Path, folder: Path) -> None:
    policy: Json = {"query:t.ask": "strict", "t.other": "best-effort", "stream:host": "strict"}
    async with hosting(data, [ACT], policy=policy) as host:
        for query in ("t.ask", "t.other", "runs.list", "audit.status"):
            await host.query(query)
        with pytest.raises(NotFound):
            await host.query("audit.nothing")
        door = host.host.door("cli")
        async for _ in door.follow(host.caller, "host", live=False):
            pass
        run = await host.invoke("t.act", value=1)
        await host.events(run)
    asked = [(r["what"], r["target"], r["policy"]) for r in of_kind(folder, "intent")]
    assert asked == [
        ("query", "t.ask", "strict"),
        ("query", "t.other", "best-effort"),
        ("stream", "host", "strict"),
        ("command", "t.act", "strict"),
    ]


async def test_what_is_off_leaves_no_record_at_all(data: Path, folder: Path) -> None:
    async with hosting(data, [ACT], commands="off") as host:
        await host.invoke("t.act", value=1)
    assert {record["kind"] for record in records(folder)} <= {"genesis", "admin", "checkpoint"}


# -- refusals -------------------------------------------------------------------------------------


async def test_o15_refusals_are_on_record_with_their_reason(data: Path, folder: Path) -> None:
    async with hosting(data, [ACT]) as host:
        with pytest.raises(NotFound):
            await host.submit("t.nothing")
        with pytest.raises(TrunnionError):
            await host.submit("t.act", value="much")
        with pytest.raises(TrunnionError):
            await host.ask(Invocation(line="t.act 'open"))
        with pytest.raises(TrunnionError):
            await host.as_principal("eve", "viewer").submit("t.act", value=1)
        with pytest.raises(NotFound):
            await host.query("t.nothing")
        with pytest.raises(NotFound):
            await host.events("nobodys")
        from trunnion import BearerToken, LocalUser, Unauthenticated

        for credential in (BearerToken("trn_nonsense"), LocalUser(12345)):
            with pytest.raises(Unauthenticated):
                await host.host.door("rpc").authenticate(credential)
    told = [(r["what"], r["target"], r["code"], r["principal"], r["source"]) for r in of_kind(folder, "refusal")]
    assert told == [
        ("command", "t.nothing", "not_found", "tester", "cli"),
        ("command", "t.act", "invalid_arguments", "tester", "cli"),
        ("command", "t.act", "invalid_arguments", "tester", "cli"),
        ("command", "t.act", "forbidden", "eve", "cli"),
        ("query", "t.nothing", "not_found", "tester", "cli"),
        ("stream", "run/nobodys", "not_found", "tester", "cli"),
        ("call", "token", "unauthenticated", "", "rpc"),
        ("call", "local", "unauthenticated", "", "rpc"),
    ]


async def test_o15_a_flood_of_refusals_is_counted_exactly_and_stays_small(data: Path, folder: Path) -> None:
    count = 5000
    async with hosting(data, refusals_per_minute=50) as host:
        for number in range(count):
            with pytest.raises(NotFound):
                await host.submit(f"t.nothing{number}")
    singles, summaries = of_kind(folder, "refusal"), of_kind(folder, "refusals")
    assert len(singles) + sum(record["total"] for record in summaries) == count
    assert all(record["total"] == sum(each["count"] for each in record["counts"]) for record in summaries)
    assert 50 <= len(singles) < 100
    assert sum(path.stat().st_size for path in folder.glob("audit-*")) < 100_000


async def test_o15_without_the_fault_few_are_told_one_by_one(data: Path, folder: Path) -> None:
    async with hosting(data, refusals_per_minute=50) as host:
        for number in range(40):
            with pytest.raises(NotFound):
                await host.submit(f"t.nothing{number}")
    assert [record["target"] for record in of_kind(folder, "refusal")] == [f"t.nothing{n}" for n in range(40)]
    assert of_kind(folder, "refusals") == []


async def test_an_intent_that_another_gate_refuses_is_never_written(data: Path, folder: Path) -> None:
    from trunnion import Deny, Gate, hookimpl

    class Zealot:
        @hookimpl
        def trunnion_gates(self) -> list[Gate]:
            async def admit(batch: Sequence[object]) -> list[Deny]:
                return [Deny("it is night")] * len(batch)

            return [Gate(name="zealot", admit=admit)]

    made = Hosting(plugins=["audit", Zealot()], commands=[ACT], data_dir=data, store="process")
    async with made as host:
        with pytest.raises(Forbidden):
            await host.submit("t.act", value=1)
    assert of_kind(folder, "intent") == []
    (refusal,) = of_kind(folder, "refusal")
    assert refusal["code"] == "forbidden" and "it is night" in refusal["reason"]


# -- what changes the host ------------------------------------------------------------------------


async def test_start_and_stop_are_on_record_and_the_end_is_sealed(data: Path, folder: Path) -> None:
    for _ in range(2):
        async with hosting(data):
            pass
    assert [record["action"] for record in of_kind(folder, "admin")] == ["host.start", "host.stop"] * 2
    plugins = json.loads(action(folder, "host.start")[0]["detail"])["plugins"]
    assert [each["id"] for each in plugins] == ["audit"]
    assert records(folder)[-1]["kind"] == "checkpoint"
    assert json.loads((folder / "checkpoint.json").read_bytes()) == records(folder)[-1]


async def test_changes_of_access_are_on_record_before_they_are_made(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        run = await host.invoke("principals.add", name="ann")
        assert run.status == "succeeded", run.error
    (change,) = action(folder, "access.change")
    detail = json.loads(change["detail"])
    assert "ann" in json.dumps(detail)
    assert (change["principal"], change["run"]) == ("tester", run.id)
    intent, outcome = of_kind(folder, "intent")[0], of_kind(folder, "outcome")[0]
    assert intent["n"] < change["n"] < outcome["n"]


def rewrite(host: Harness, old: str, new: str) -> None:
    path = host.host.config.path
    assert path is not None
    path.write_text(path.read_text().replace(old, new))


async def test_o13_a_change_of_the_audit_is_on_record_under_the_old_rules(data: Path, folder: Path) -> None:
    async with hosting(data, [ACT], commands="strict") as host:
        rewrite(host, '"commands" = "strict"', '"commands" = "off"')
        await host.host.reload()
        await host.invoke("t.act", value=1)
        rewrite(host, '"commands" = "off"', '"commands" = "strict"')
        await host.host.reload()
        await host.invoke("t.act", value=2)
    changes = [json.loads(record["detail"]) for record in action(folder, "audit.policy")]
    assert [each["changed"]["commands"] for each in changes] == [
        {"old": "strict", "new": "off"},
        {"old": "off", "new": "strict"},
    ]
    (intent,) = of_kind(folder, "intent")
    assert json.loads(intent["args"]) == {"value": 2}
    kinds = [record["action"] for record in of_kind(folder, "admin")]
    assert kinds == ["host.start", "config.change", "audit.policy", "config.change", "audit.policy", "host.stop"]


async def test_o13_a_change_made_while_no_host_ran_is_told_at_the_next_start(data: Path, folder: Path) -> None:
    for settings in ({"commands": "strict"}, {"commands": "off"}, {"commands": "off"}, {"enabled": False}, {}):
        async with hosting(data, **settings):
            pass
    told = [record["action"] for record in of_kind(folder, "admin")]
    on = ["host.start", "host.stop"]
    assert told == [*on, "audit.policy", *on, *on, "audit.policy", "audit.policy", *on]


async def test_o13_without_the_fault_nothing_is_told_of_the_rules(data: Path, folder: Path) -> None:
    for value in (1.0, 2.0):
        async with hosting(data, [ACT], commands="strict") as host:
            await host.host.reload()
            await host.invoke("t.act", value=value)
    told = ["host.start", "config.change", "host.stop"]
    assert [record["action"] for record in of_kind(folder, "admin")] == told * 2
    assert all("nothing changed" in record["detail"] for record in action(folder, "config.change"))
    assert [json.loads(record["args"])["value"] for record in of_kind(folder, "intent")] == [1.0, 2.0]


async def test_o13_without_the_defence_the_record_is_switched_off_in_silence(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks before a change is made: what comes after it was never recorded, and nothing says why."""

    async def silent(self: Audit, change: HostChange) -> None:
        pass

    monkeypatch.setattr(Audit, "_before_change", silent)
    async with hosting(data, [ACT], commands="strict") as host:
        rewrite(host, '"commands" = "strict"', '"commands" = "off"')
        await host.host.reload()
        assert (await host.invoke("t.act", value=1)).status == "succeeded"
    assert {record["kind"] for record in records(folder)} <= {"genesis", "admin", "checkpoint"}
    assert [record["action"] for record in of_kind(folder, "admin")] == ["host.start", "host.stop"]


async def test_o13_without_the_defence_a_change_while_no_host_ran_is_not_told(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(self: Audit) -> None:
        pass

    monkeypatch.setattr(Audit, "_tell_regime", silent)
    for settings in ({"commands": "strict"}, {"commands": "off"}, {"enabled": False}, {}):
        async with hosting(data, **settings):
            pass
    assert [record["action"] for record in of_kind(folder, "admin")] == ["host.start", "host.stop"] * 3


async def test_a_host_without_a_record_has_no_gate_that_records(data: Path) -> None:
    async with hosting(data, enabled=False) as host:
        assert host.host.handle("rpc").recorded == frozenset()
    async with hosting(data) as host:
        assert host.host.handle("rpc").recorded == {"commands", "queries", "streams"}


async def test_o13_a_new_key_is_on_record_under_the_old_one(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        assert (await host.invoke("audit.rotate-key", reason="as every year")).status == "succeeded"
    kinds = [record["kind"] for record in records(folder)]
    at = kinds.index("key")
    assert records(folder)[at - 2]["action"] == "audit.key" and kinds[at - 1] == "checkpoint"
    key = records(folder)[at]
    assert key["reason"] == "as every year"
    assert records(folder)[at - 1]["key"] == key["by"]
    check_chain(folder)
