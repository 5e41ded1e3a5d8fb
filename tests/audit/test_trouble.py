"""What happens when the record cannot be kept, and how it is kept again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_kit import check_chain, intent, of_kind, records
from trouble_kit import DO, DONE, Full, actions, hosting

from trunnion import Allow, Command, NotFound, Unavailable
from trunnion.testing import Hosting
from trunnion_audit import admitting, audit, building, ledger
from trunnion_audit.ledger import Ledger
from trunnion_audit.log import Log, Rules
from trunnion_audit.segment import Segment

pytestmark = pytest.mark.anyio


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(data: Path) -> Path:
    return data / "audit"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Full:
    return Full(monkeypatch, folder)


# -- O8: the file ---------------------------------------------------------------------------------


def gone(path: Path) -> Callable[[], object]:
    kept = path.with_name("kept")
    path.rename(kept)
    return lambda: kept.rename(path)


def replaced(path: Path) -> Callable[[], object]:
    back = gone(path)
    path.write_bytes(path.with_name("kept").read_bytes())
    path.chmod(0o600)
    return back


def opened_up(path: Path) -> Callable[[], object]:
    path.chmod(0o644)
    return lambda: path.chmod(0o600)


def written_to(path: Path) -> Callable[[], object]:
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"{}\n")
    return lambda: os.truncate(path, size)


@pytest.mark.parametrize("harm", [gone, replaced, opened_up, written_to])
async def test_o8_harm_to_the_file_refuses_strict_commands_until_it_is_undone(
    data: Path, folder: Path, harm: Callable[[Path], Callable[[], object]]
) -> None:
    async with hosting(data, policy={"easy.*": "best-effort"}) as host:
        await host.invoke("t.do", number=1)
        await host.settle()
        undo = harm(folder / "audit-00000001.jsonl")
        with pytest.raises(Unavailable, match="cannot be put on record"):
            await host.submit("t.do", number=2)
        await host.invoke("easy.do", number=3)
        assert DONE == [1, 3]
        status = await host.query("audit.status")
        assert isinstance(status, dict) and status["state"] == "failing"
        undo()
        await host.invoke("t.do", number=4)
        assert DONE == [1, 3, 4]
        await host.settle()
    check_chain(folder)
    told = [(record["kind"], record.get("action")) for record in records(folder)]
    assert told.index(("admin", "audit.fault")) < told.index(("admin", "audit.heal"))
    (heal,) = [record for record in of_kind(folder, "admin") if record["action"] == "audit.heal"]
    assert json.loads(heal["detail"])["refused"] >= 1
    assert sum(record["count"] for record in of_kind(folder, "lost")) == 1
    # The refused one is told too, and with the run it would have been.
    assert [record["code"] for record in of_kind(folder, "refusal")] == ["unavailable"]


async def test_o8_without_the_fault(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        for number in range(3):
            await host.invoke("t.do", number=number)
        status = await host.query("audit.status")
        assert isinstance(status, dict) and status["state"] == "well"
    assert DONE == [0, 1, 2]
    assert actions(folder) == ["host.start", "host.stop"]
    assert of_kind(folder, "refusal") == of_kind(folder, "lost") == []


async def test_o8_without_the_defence(data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look at the file a command goes on, recorded in a file that nobody will find."""
    monkeypatch.setattr(Segment, "look", lambda self: None)
    async with hosting(data) as host:
        gone(folder / "audit-00000001.jsonl")
        await host.invoke("t.do", number=2)
        assert DONE == [2]
    assert of_kind(folder, "intent") == []


# -- B2: no space ---------------------------------------------------------------------------------


async def test_b2_a_full_disk_refuses_strict_commands_and_outcomes_come_later(
    data: Path, folder: Path, disk: Full
) -> None:
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    made = Hosting(plugins=["audit"], commands=[DO, Command.of(wait, console="t")], data_dir=data, store="process")
    DONE.clear()
    async with made as host:
        waiting = await host.submit("t.wait")
        disk.full = True
        for number in range(3):
            with pytest.raises(Unavailable, match="No space left"):
                await host.submit("t.do", number=number)
        assert DONE == []
        go.set()
        await host.wait(waiting)
        assert of_kind(folder, "outcome") == []
        disk.full = False
        run = await host.invoke("t.do", number=9)
        await host.settle()
        assert {record["run"] for record in of_kind(folder, "outcome")} == {waiting.id, run.id}
    check_chain(folder)
    assert actions(folder) == ["host.start", "audit.fault", "audit.heal", "host.stop"]
    assert len(of_kind(folder, "refusal")) == 3


async def test_b2_without_the_fault_nothing_is_refused_and_outcomes_come_at_once(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        for number in range(3):
            await host.invoke("t.do", number=number)
        await host.settle()
        assert DONE == [0, 1, 2]
        assert len(of_kind(folder, "intent")) == len(of_kind(folder, "outcome")) == 3
    check_chain(folder)
    assert actions(folder) == ["host.start", "host.stop"]
    assert of_kind(folder, "refusal") == []


async def test_b2_without_the_defence_there_are_effects_without_intent(
    data: Path, folder: Path, disk: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that lets begin what it could not put on record: it is done, and the record never says so."""
    monkeypatch.setattr(audit, "verdict", lambda asked, level, problem: Allow())
    async with hosting(data) as host:
        disk.full = True
        await host.invoke("t.do", number=1)
        assert DONE == [1]
        disk.full = False
        await host.invoke("t.do", number=2)
        await host.settle()
    check_chain(folder)
    assert [json.loads(record["args"])["number"] for record in of_kind(folder, "intent")] == [2]


# -- O10: broken from the start -------------------------------------------------------------------


async def test_o10_a_log_that_cannot_be_opened_is_named_and_goes_on_without_a_restart(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    async with hosting(data):
        pass
    key = next(folder.glob("key-*.pem"))
    key.rename(tmp_path / key.name)
    async with hosting(data) as host:
        with pytest.raises(Unavailable, match=r"the signing key .* cannot be read"):
            await host.submit("t.do", number=1)
        (tmp_path / key.name).rename(key)
        async with asyncio.timeout(5):
            while not DONE:
                try:
                    await host.invoke("t.do", number=2)
                except Unavailable:
                    await asyncio.sleep(0.05)
    assert DONE == [2]
    assert actions(folder)[2:5] == ["audit.fault", "host.start", "audit.heal"]
    check_chain(folder)


async def test_o10_a_place_that_never_worked_is_named_and_the_file_counts(data: Path, tmp_path: Path) -> None:
    async with hosting(data, syslog={"address": str(tmp_path / "nowhere"), "stand_in": True}) as host:
        await host.invoke("t.do", number=1)
        status = await host.query("audit.status")
        assert isinstance(status, dict)
        assert status["state"] == "well"
        assert "No such file" in status["sinks"][0]["reason"]


async def test_o10_the_way_back_in_is_itself_on_record(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        await host.invoke("t.do", number=1)
    path = folder / "audit-00000001.jsonl"
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b"t.do", b"t.xx", 1))
    async with hosting(data) as host:
        with pytest.raises(Unavailable, match="is not the one that follows"):
            await host.submit("t.do", number=1)
        with pytest.raises(Unavailable):
            await host.submit("principals.add", name="eve")
        with pytest.raises(NotFound):
            await host.as_principal("ann", "admin", "rpc").submit("audit.recover", reason="x")
        run = await host.invoke("audit.recover", reason="restored from nowhere")
        assert run.status == "succeeded", run.error
        await host.invoke("t.do", number=2)
        await host.settle()
    assert DONE == [2]
    check_chain(folder)
    after = records(folder)[0]["after"]
    last = kept.rstrip(b"\n").rpartition(b"\n")[2]
    assert (after["head"], after["n"]) == (hashlib.sha256(last).hexdigest(), json.loads(last)["n"])
    aside = folder / after["aside"]
    assert (aside / path.name).read_bytes() == kept.replace(b"t.do", b"t.xx", 1)
    (told,) = [record for record in of_kind(folder, "admin") if record["action"] == "audit.recover"]
    assert (told["run"], told["principal"]) == (run.id, "tester")
    assert json.loads(told["detail"])["reason"] == "restored from nowhere"
    assert run.id in [record["run"] for record in of_kind(folder, "outcome")]


async def test_o10_without_the_fault(data: Path, folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as place:
        place.bind(str(tmp_path / "somewhere"))
        async with hosting(data, syslog={"address": str(tmp_path / "somewhere")}) as host:
            await host.invoke("t.do", number=1)
            status = await host.query("audit.status")
    assert isinstance(status, dict)
    assert (status["state"], status["fault"]) == ("well", None)
    assert (status["sinks"][0]["state"], status["sinks"][0]["reason"]) == ("well", "")
    assert actions(folder) == ["host.start", "host.stop"]


async def test_o10_without_the_defence_a_log_that_is_put_right_stays_closed(
    data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody tries again, no commands are taken until the host is started anew."""
    monkeypatch.setattr(Ledger, "is_due", property(lambda self: False))
    async with hosting(data):
        pass
    key = next(folder.glob("key-*.pem"))
    key.rename(tmp_path / key.name)
    async with hosting(data) as host:
        (tmp_path / key.name).rename(key)
        monkeypatch.setattr(ledger, "REOPEN", 0.0)  # with the defence, the very next command is taken
        with pytest.raises(Unavailable, match=r"the signing key .* cannot be read"):
            await host.submit("t.do", number=1)
    assert DONE == []


async def test_o10_without_the_defence_nobody_gets_in_again(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back cannot be put on record either: without its exception it is refused as all else is."""
    monkeypatch.setattr(admitting, "_is_way_back", lambda asked: False)
    async with hosting(data) as host:
        await host.invoke("t.do", number=1)
    path = folder / "audit-00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"t.do", b"t.xx", 1))
    async with hosting(data) as host:
        for command in ("audit.recover", "audit.rotate-key"):
            with pytest.raises(Unavailable, match="is not the one that follows"):
                await host.submit(command, reason="x")


async def test_a_log_that_is_well_cannot_be_put_aside(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        run = await host.invoke("audit.recover", reason="I do not like it")
        assert run.status == "failed" and run.error is not None and "is well" in run.error.message
    assert not list(folder.glob("aside-*"))


# -- O11: too large -------------------------------------------------------------------------------


async def test_o11_of_large_arguments_digest_size_and_beginning_are_kept(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        run = await host.invoke("t.say", text="é" * 1_000_000)
        assert run.status == "succeeded"
    (intent,) = of_kind(folder, "intent")
    text = json.dumps({"text": "é" * 1_000_000}, ensure_ascii=False, separators=(",", ":"))
    assert "args" not in intent
    assert intent["args_size"] == len(text.encode())
    assert text.startswith(intent["args_head"]) and len(intent["args_head"]) > 400
    assert intent["args_digest"] == run.args_digest
    assert sum(path.stat().st_size for path in folder.glob("audit-*")) < 64 << 10


async def test_o11_strict_commands_with_large_arguments_are_refused_where_policy_says_so(
    data: Path, folder: Path
) -> None:
    async with hosting(data, oversized="refuse", max_record_bytes=4096) as host:
        large, small = await asyncio.gather(
            host.submit("t.say", text="x" * 5000), host.submit("t.do", number=5), return_exceptions=True
        )
        assert "max_record_bytes" in str(large)
        assert not isinstance(small, BaseException)
        await host.wait(small)
    assert [record["target"] for record in of_kind(folder, "intent")] == ["t.do"]


async def test_o11_without_the_fault_arguments_are_kept_whole(data: Path, folder: Path) -> None:
    for policy in ("record", "refuse"):
        async with hosting(data, oversized=policy) as host:
            await host.invoke("t.say", text="é" * 1000)
    for record in of_kind(folder, "intent"):
        assert json.loads(record["args"]) == {"text": "é" * 1000}
        assert "args_head" not in record and "args_size" not in record
    assert len(of_kind(folder, "intent")) == 2


async def test_o11_without_the_defence_large_arguments_fill_the_disk_or_cannot_be_given(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments that are always kept whole: the log grows by what callers send, and none may send more than a line."""
    whole = building._add_args
    monkeypatch.setattr(building, "MOST_ARGS", 1 << 40)
    monkeypatch.setattr(building, "_add_args", lambda record, text, salts, most: whole(record, text, salts, 1 << 40))
    async with hosting(data) as host:
        await host.invoke("t.say", text="x" * 900_000)
        with pytest.raises(Unavailable, match="larger than a line may be"):
            await host.submit("t.say", text="é" * 1_000_000)
    assert sum(path.stat().st_size for path in folder.glob("audit-*")) > 900_000


# -- O14: between intent and outcome --------------------------------------------------------------


async def broken_off(data: Path, folder: Path) -> dict[str, int]:
    """A host that recorded intents, and died before its store knew of their runs; the number of each by its run."""
    async with hosting(data) as host:
        await host.invoke("t.do", number=1)
        host_id = host.host.kernel.identity.host_id
    log = Log.open(folder, host_id, Rules(), 5)
    log.write([intent(number) for number in range(20)], 5)
    log.close()
    return {record["run"]: record["n"] for record in of_kind(folder, "intent") if record["run"].startswith("run-")}


async def test_o14_intents_of_runs_nobody_knows_are_listed_at_the_next_start(data: Path, folder: Path) -> None:
    lost = await broken_off(data, folder)
    async with hosting(data):
        pass
    missing = of_kind(folder, "missing")
    assert {record["run"]: record["intent"] for record in missing} == lost
    async with hosting(data):
        pass
    assert len(of_kind(folder, "missing")) == 20


async def test_o14_without_the_fault_every_intent_has_its_outcome(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        for number in range(3):
            await host.invoke("t.do", number=number)
    async with hosting(data):
        pass
    assert of_kind(folder, "missing") == []
    intents = {record["n"] for record in of_kind(folder, "intent")}
    assert {record["intent"] for record in of_kind(folder, "outcome")} == intents and len(intents) == 3


async def test_o14_without_the_defence_nothing_is_said_of_them(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(self: audit.Audit) -> None:
        pass

    monkeypatch.setattr(audit.Audit, "_tell_left_over", silent)
    lost = await broken_off(data, folder)
    async with hosting(data):
        pass
    ended = {record["run"] for kind in ("outcome", "missing", "refusal") for record in of_kind(folder, kind)}
    assert len(lost) == 20 and not lost.keys() & ended
