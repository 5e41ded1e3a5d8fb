"""What somebody who means harm, or an unlucky disk, does to the record; each was possible once."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from audit_kit import HOST, check_chain, intent, of_kind, records
from trouble_kit import DO, DONE, actions, hosting

from trunnion import Invocation, NotFound, Unavailable
from trunnion.store.backup.filling import Filling
from trunnion.testing import Hosting
from trunnion_audit.ledger import Ledger
from trunnion_audit.log import Log, Rules
from trunnion_audit.segment import FileProblem
from trunnion_audit.sinks import Sink, SinkFeed
from trunnion_audit.taking_up import Damaged

pytestmark = pytest.mark.anyio


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(data: Path) -> Path:
    return data / "audit"


async def test_large_arguments_nobody_insists_on_go_on_where_those_of_strict_commands_are_refused(
    data: Path, folder: Path
) -> None:
    policy = {"t.say": "best-effort"}
    async with hosting(data, oversized="refuse", max_record_bytes=4096, policy=policy) as host:
        large, small = await asyncio.gather(
            host.submit("t.say", text="x" * 5000), host.submit("t.do", number=5), return_exceptions=True
        )
        assert not isinstance(large, BaseException), large
        assert not isinstance(small, BaseException), small
        await host.wait(large)
        await host.wait(small)
    assert {record["target"] for record in of_kind(folder, "intent")} == {"t.say", "t.do"}


async def test_a_secret_in_the_reason_of_a_command_of_the_audit_is_not_on_record(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        host.host.kernel.redaction.register("hunter2-is-long-enough", owner="t")
        run = await host.invoke("audit.rotate-key", reason="because hunter2-is-long-enough leaked")
        assert run.status == "succeeded", run.error
        (folder / "audit-00000001.jsonl").chmod(0o644)
        with pytest.raises(Unavailable):
            await host.submit("t.do", number=1)
        run = await host.invoke("audit.recover", reason="with hunter2-is-long-enough")
        assert run.status == "succeeded", run.error
    written = b"".join(path.read_bytes() for path in folder.rglob("*.jsonl"))
    assert b"audit.key" in written and b"audit.recover" in written and b"hunter2" not in written


async def test_the_way_back_in_leads_out_of_a_damaged_secret_of_the_salts_too(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        await host.invoke("t.do", number=1)
    (folder / "salt.key").write_bytes(b"short")
    async with hosting(data) as host:
        run = await host.invoke("audit.recover", reason="the disk")
        assert run.status == "succeeded", run.error
    async with hosting(data) as host:
        await host.invoke("t.do", number=2)
    assert DONE == [2]


async def test_a_log_that_is_gone_at_a_start_is_told(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        await host.invoke("t.do", number=1)
    shutil.rmtree(folder)
    async with hosting(data) as host:
        print(await host.query("audit.status"))
    print(records(folder)[:3])
    assert "audit.fault" in actions(folder)


async def test_a_log_cut_short_with_its_checkpoint_is_told(data: Path, folder: Path) -> None:
    async with hosting(data) as host:
        await host.invoke("t.do", number=1)
    path = folder / "audit-00000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    (folder / "checkpoint.json").unlink()
    async with hosting(data) as host:
        print(await host.query("audit.status"))
    assert "audit.fault" in actions(folder)


def test_what_a_failed_sync_left_undone_is_done_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log.open(tmp_path, HOST, Rules(checkpoint_records=2), 1)
    log.syncing()()
    log.rotate(2)
    log.write([intent(1), intent(2), intent(3)], 3)
    fails = True
    folders = []

    def fdatasync(descriptor: int) -> None:
        if fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("trunnion_audit.segment.os.fdatasync", fdatasync)
    monkeypatch.setattr("trunnion_audit.log.sync_folder", folders.append)
    with pytest.raises(FileProblem):
        log.syncing()()
    fails = False
    log.syncing()()
    log.close()
    assert folders == [tmp_path]
    assert json.loads((tmp_path / "checkpoint.json").read_bytes())["n"] == records(tmp_path)[-1]["n"]


async def test_o11_arguments_that_take_twice_their_bytes_in_a_record_fit_into_it(data: Path, folder: Path) -> None:
    async with hosting(data, max_record_bytes=512 << 10) as host:
        run = await host.invoke("t.say", text='"' * 262_100)
        assert run.status == "succeeded", run.error
    (intent,) = of_kind(folder, "intent")
    assert intent["args_size"] > 512 << 10 or "args" not in intent


def test_a_backup_of_a_log_that_grows_meanwhile_can_be_gone_on_with(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "audit", HOST, Rules(checkpoint_records=3), 1)
    log.syncing()()

    def check() -> None:
        """Between two files the host goes on."""
        log.write([intent(1), intent(2), intent(3)], 3)
        log.syncing()()

    check()
    with (tmp_path / "backup").open("wb") as file:
        filling = Filling(file, check)
        filling.tree("audit", tmp_path / "audit")
        filling.close()
    log.close()
    with tarfile.open(tmp_path / "backup") as archive:
        archive.extractall(tmp_path / "restored", filter="data")
    Log.open(tmp_path / "restored" / "audit", HOST, Rules(), 5).close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("torn", [b"", b"half"])
def test_a_log_that_cannot_be_opened_keeps_no_file_open_and_forgets_no_torn_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    if torn:
        Log.open(tmp_path, HOST, Rules(), 1).close()
        with (tmp_path / "audit-00000001.jsonl").open("ab") as file:
            file.write(torn)
    real, before = os.write, descriptors()

    def write(descriptor: int, data: bytes) -> int:
        if len(data) > 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr("trunnion_audit.segment.os.write", write)
    for _ in range(5):
        with pytest.raises(FileProblem):
            Log.open(tmp_path, HOST, Rules(), 1)
    assert descriptors() == before
    monkeypatch.undo()
    Log.open(tmp_path, HOST, Rules(), 1).close()
    assert [record["bytes"] for record in of_kind(tmp_path, "torn")] == ([len(torn)] if torn else [])
    assert len(list(tmp_path.glob("key-*"))) == 1


async def test_a_secret_of_the_salts_that_is_none_keeps_no_file_open(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunnion_audit.ledger.REOPEN", 0.0)
    async with hosting(data):
        pass
    (folder / "salt.key").write_bytes(b"short")
    async with hosting(data) as host:
        with pytest.raises(Unavailable, match="salts"):
            await host.submit("t.do", number=1)
        before = descriptors()
        for _ in range(5):
            with pytest.raises(Unavailable, match="salts"):
                await host.submit("t.do", number=1)
        assert descriptors() == before


async def test_what_was_accepted_before_there_was_a_record_is_on_record_before_it_begins(
    data: Path, folder: Path
) -> None:
    soon = int(time.time() * 1e6) + 1_500_000
    asked = Invocation(command_id="t.do", args={"number": 7}, not_before=soon)
    async with hosting(data, enabled=False) as host:
        run = await host.ask(asked)
    async with hosting(data) as host:
        assert [record["run"] for record in of_kind(folder, "intent")] == [run.id]
        await host.wait(run)
        await host.settle()
    assert DONE == [7]
    (intent,), (outcome,) = of_kind(folder, "intent"), of_kind(folder, "outcome")
    assert (intent["run"], intent["target"], intent["principal"]) == (run.id, "t.do", "tester")
    assert json.loads(intent["args"]) == {"number": 7}
    assert outcome["intent"] == intent["n"]


@pytest.mark.parametrize("name", ["e\udcff", "e" * 1_500_000])
async def test_a_record_that_can_never_be_written_is_counted_and_holds_nothing_up(
    data: Path, folder: Path, name: str
) -> None:
    async with hosting(data) as host:
        for target in ("t.nothing", "t.never"):
            with pytest.raises(NotFound):
                await host.as_principal(name, "operator", "rpc").submit(target)
        with pytest.raises(NotFound):
            await host.submit("t.nowhere")
        await host.invoke("t.do", number=1)
        with pytest.raises(Unavailable, match="cannot be put on record"):
            await host.as_principal(name, "admin").submit("t.do", number=2)
        run = await host.invoke("audit.rotate-key", reason="r" * 1_500_000)
        assert run.status == "succeeded", run.error
        await host.invoke("t.do", number=3)
    assert DONE == [1, 3]
    assert [record["target"] for record in of_kind(folder, "refusal")] == ["t.nowhere"]
    assert sum(record["total"] for record in of_kind(folder, "refusals")) == 3
    assert not of_kind(folder, "lost")
    assert check_chain(folder)


@pytest.mark.parametrize("gone", [("audit-00000001.jsonl",), ("audit-00000001.jsonl", "keys.json")])
async def test_o8_old_segments_and_keys_that_are_gone_at_a_start_are_named(
    data: Path, folder: Path, gone: tuple[str, ...]
) -> None:
    async with hosting(data, segment_bytes=65536) as host:
        for _ in range(5):
            await host.invoke("t.say", text="x" * 20_000)
    assert (folder / "audit-00000002.jsonl").exists()
    for name in gone:
        (folder / name).unlink()
    async with hosting(data) as host:
        with pytest.raises(Unavailable, match="missing before"):
            await host.submit("t.do", number=1)


def test_o8_a_log_whose_keys_nobody_knows_any_more_is_named(tmp_path: Path) -> None:
    log = Log.open(tmp_path, HOST, Rules(), 1)
    log.rotate(2)
    log.close()
    (tmp_path / "audit-00000001.jsonl").unlink()
    (tmp_path / "keys.json").unlink()
    (tmp_path / "cut.json").write_text('{"segment":2}\n')
    with pytest.raises(Damaged, match="public keys"):
        Log.open(tmp_path, HOST, Rules(), 3)


async def test_o9_places_that_hang_are_asked_after_the_one_that_is_well(tmp_path: Path) -> None:
    asked = list[str]()

    def place(name: str) -> SinkFeed:
        async def write(lines: Sequence[bytes]) -> None:
            asked.append(name)
            if name != "good":
                await asyncio.Event().wait()

        return SinkFeed(Sink(name=name, write=write, stands_in=True, deadline=0.05), 1.0, lambda code, text: None)

    async def open_log() -> Log:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    sinks = [place("hangs"), place("hangs too"), place("good")]
    ledger = Ledger(open_log, power=False, report=lambda code, text: None, sinks=sinks)
    await ledger.open()
    await ledger.record([intent(1)])
    assert asked == ["hangs", "hangs too", "good"]
    await ledger.record([intent(2)])
    assert asked[3:] == ["good"]


async def test_a_signing_key_that_others_can_read_is_named_until_it_is_put_right(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunnion_audit.ledger.REOPEN", 0.0)
    async with hosting(data):
        pass
    (key,) = folder.glob("key-*.pem")
    key.chmod(0o640)
    async with hosting(data) as host:
        with pytest.raises(Unavailable, match="open to others"):
            await host.submit("t.do", number=1)
        key.chmod(0o600)
        await host.invoke("t.do", number=2)
    assert DONE == [2]


async def test_of_what_ran_without_the_plugin_the_outcomes_are_told(data: Path, folder: Path) -> None:
    async with hosting(data):
        pass
    async with Hosting(plugins=[], commands=[DO], data_dir=data, store="process") as host:
        run = await host.invoke("t.do", number=1)
    async with hosting(data) as host:
        await host.settle()
    assert [(record["run"], record.get("intent", 0)) for record in of_kind(folder, "outcome")] == [(run.id, 0)]


@pytest.mark.parametrize("number", [1, 2])
def test_old_segments_that_were_compressed_are_not_missed(tmp_path: Path, number: int) -> None:
    log = Log.open(tmp_path, HOST, Rules(), 1)
    log.rotate(2)
    log.rotate(3)
    log.close()
    path = tmp_path / f"audit-0000000{number}.jsonl"
    path.rename(f"{path}.zst")
    Log.open(tmp_path, HOST, Rules(), 4).close()
