"""Retention: what is old goes, what is kept is vouched for, and nobody gets rid of what he did by it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit_kit import HOST, check_chain, intent, of_kind, outcome, records
from msgspec import UNSET

from trunnion import Command, CommandFailed, Json
from trunnion.testing import Hosting
from trunnion_audit import upkeep, verify
from trunnion_audit.files import SegmentFile, segments
from trunnion_audit.keys import SigningKey
from trunnion_audit.ledger import Ledger, Unrecorded
from trunnion_audit.log import Log, Rules
from trunnion_audit.retaining import Keep, checked, clean, is_sealed, is_signed, remove_below, to_keep
from trunnion_audit.retention import cut_of
from trunnion_audit.taking_up import Damaged

RULES = Rules(segment_bytes=3000, checkpoint_records=7)
HOUR = 3600 * 10**6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def log_of(folder: Path, count: int = 60, begin: int = 1) -> Log:
    """One record an hour."""
    log = Log.open(folder, HOST, RULES, begin * HOUR)
    for number in range(begin, begin + count):
        made: Any = intent(number) if number % 2 else outcome(number - 1, 1)
        made.ts = number * HOUR
        log.write([made], number * HOUR)
    log.syncing()()
    return log


def cut(log: Log, keep: Keep, now: int, step: Callable[[str], None] = lambda _: None) -> int:
    """What the host does, without one."""
    due = to_keep(log.folder, keep, log.segment, now)
    if due is None:
        return 0
    cutting = checked(log.folder, HOST, *due, log.keys)
    step("record")
    line = log.cut(cut_of(cutting, log), now)
    log.syncing()()
    return remove_below(log.folder, line, cutting.segment, step)


def verdict(folder: Path) -> verify.Report:
    return verify.verify(folder)


def numbers(folder: Path) -> list[int]:
    return [each.number for each in segments(folder)]


def test_o18_a_signed_cut_vouches_for_what_is_kept(folder: Path) -> None:
    log = log_of(folder)
    before = records(folder)
    gone = cut(log, Keep(age=20 * HOUR), 61 * HOUR)
    assert gone >= 2
    kept = records(folder)
    (record,) = of_kind(folder, "cut")
    assert record["first"] == kept[0]["n"] == before[-1]["n"] - len(kept) + 3
    assert record["removed"] == kept[0]["n"] - 1
    assert kept[-1]["kind"] == "checkpoint"
    assert max(each["ts"] for each in before if each["n"] < record["first"]) < 41 * HOUR
    report = verdict(folder)
    assert report.verdict == "intact", report.findings
    assert f"{record['first']}" in " ".join(report.lines())
    log.close()
    # The next host goes on, and may remove more.
    log = log_of(folder, 30, 61)
    assert cut(log, Keep(size=6000), 100 * HOUR)
    assert sum(each.path.stat().st_size for each in segments(folder)) < 6000 + RULES.segment_bytes
    second = of_kind(folder, "cut")[-1]
    assert second["removed"] == second["first"] - record["first"]
    log.close()
    assert verdict(folder).verdict == "intact"


def test_o18_without_the_defence_nothing_vouches_for_the_rest(folder: Path) -> None:
    log = log_of(folder)
    cut(log, Keep(age=20 * HOUR), 61 * HOUR)
    log.close()
    (folder / "cut.json").unlink()
    assert "begins_late" in {finding.name for finding in verdict(folder).findings}


def test_nothing_goes_that_is_to_be_kept(folder: Path) -> None:
    log = log_of(folder)
    for keep in (Keep(), Keep(age=100 * HOUR), Keep(size=1 << 30)):
        assert to_keep(folder, keep, log.segment, 61 * HOUR) is None
    # However old, the one that grows stays.
    first, reason = to_keep(folder, Keep(age=1), log.segment, 1000 * HOUR) or (0, "")
    assert (first, reason) == (log.segment, "older than 1.15741e-11 days")
    log.close()


def steps(folder: Path) -> list[str]:
    told = list[str]()
    log = log_of(folder)
    cut(log, Keep(age=20 * HOUR), 61 * HOUR, told.append)
    log.close()
    return told


def test_killed_between_any_two_steps_the_log_is_whole_and_what_is_left_goes(tmp_path: Path) -> None:
    names = steps(tmp_path / "once")
    assert names[:2] == ["record", "cut.json"] and len(names) >= 5
    for place, name in enumerate(names):
        folder = tmp_path / str(place)
        if not os.fork():
            _dies(folder, name)
        assert os.WTERMSIG(os.wait()[1]) == signal.SIGKILL
        left = numbers(folder)
        assert left == list(range(left[0], left[-1] + 1))
        assert verdict(folder).verdict == "intact", name
        log = Log.open(folder, HOST, RULES, 62 * HOUR)
        removed = clean(folder, HOST, log.keys)
        assert removed == max(0, len(names) - place) * (place >= 2), name
        if place >= 2:
            assert numbers(folder)[0] == of_kind(folder, "cut")[-1]["segment"]
        log.write([intent(1)], 62 * HOUR)
        log.close()
        assert verdict(folder).verdict == "intact", name


def _dies(folder: Path, name: str) -> None:
    def step(told: str) -> None:
        if told == name:
            os.kill(os.getpid(), signal.SIGKILL)

    cut(log_of(folder), Keep(age=20 * HOUR), 61 * HOUR, step)
    os._exit(0)


def edit(path: Path, change: Callable[[list[bytes]], object]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def spoil(lines: list[bytes]) -> None:
    lines[2] = lines[2].replace(b'"ann"', b'"bob"').replace(b"succeeded", b"cancelled")


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: edit(segments(folder)[0].path, spoil),
        lambda folder: edit(segments(folder)[1].path, lambda lines: lines.pop(3)),
        lambda folder: edit(segments(folder)[0].path, lambda lines: lines.pop()),
        lambda folder: edit(segments(folder)[0].path, lambda lines: lines.append(lines[-1])),
        lambda folder: edit(segments(folder)[1].path, lambda lines: lines.__setitem__(0, b"{}\n")),
        lambda folder: segments(folder)[0].path.write_bytes(b""),
        lambda folder: _write_anew(segments(folder)[:1]),
        lambda folder: _write_anew(segments(folder)),
    ],
    ids=["edited", "deleted", "cut", "inserted", "no head", "emptied", "one written anew", "all written anew"],
)
def test_what_was_tampered_with_is_not_removed(folder: Path, harm: Callable[[Path], object]) -> None:
    log = log_of(folder)
    harm(folder)
    before = numbers(folder)
    with pytest.raises(Damaged, match=r"audit-0000000[12]\.jsonl"):
        cut(log, Keep(age=20 * HOUR), 61 * HOUR)
    assert numbers(folder) == before
    assert not of_kind_raw(folder, b'"kind":"cut"')
    log.close()


def of_kind_raw(folder: Path, text: bytes) -> bool:
    return any(text in each.path.read_bytes() for each in segments(folder))


def _write_anew(going: list[SegmentFile]) -> None:
    """By somebody who has the program, and not the key: the chain is right, and so is the tree."""
    import hashlib

    from audit_kit import canonical, root_of

    prev, leaves = "0" * 64, list[bytes]()
    for segment in going:
        lines = segment.path.read_bytes().splitlines()
        for line in lines:
            record = {**json.loads(line), "prev": prev}
            if record["kind"] == "intent":
                record["principal"] = "bob"
            if record["kind"] == "checkpoint":
                record |= {"head": prev, "root": root_of(leaves).hex()}
            leaves.append(canonical(record))
            prev = hashlib.sha256(leaves[-1]).hexdigest()
        segment.path.write_bytes(b"".join(line + b"\n" for line in leaves[-len(lines) :]))


def test_a_deleted_record_is_named(folder: Path) -> None:
    log = log_of(folder)
    n = json.loads(segments(folder)[1].path.read_bytes().splitlines()[3])["n"]
    edit(segments(folder)[1].path, lambda lines: lines.pop(3))
    with pytest.raises(Damaged, match=f"record {n} is not the one that was written"):
        cut(log, Keep(age=20 * HOUR), 61 * HOUR)
    log.close()


def test_a_checkpoint_of_another_tree_does_not_seal(folder: Path) -> None:
    log = log_of(folder)
    line = segments(folder)[0].path.read_bytes().splitlines()[-1]
    sealed = json.loads(line)
    assert is_sealed(line, sealed["root"], sealed["size"], log.keys)
    assert not is_sealed(line, "0" * 64, sealed["size"], log.keys)
    assert not is_sealed(line, sealed["root"], sealed["size"] + 1, log.keys)
    assert not is_sealed(line.replace(b'"ts":', b'"ts":1'), sealed["root"], sealed["size"], log.keys)
    log.close()


def test_only_a_cut_of_this_log_is_a_reason_to_clean(folder: Path) -> None:
    log = log_of(folder)
    due = to_keep(folder, Keep(age=20 * HOUR), log.segment, 61 * HOUR)
    assert due is not None
    record = cut_of(checked(folder, HOST, *due, log.keys), log)
    stranger = SigningKey.make()
    before = numbers(folder)
    for signer in (stranger, None):
        record.kind, record.n, record.prev, record.sig = "cut", 1, "0" * 64, UNSET
        record.sig = signer.sign(b"trunnion-audit/1 cut\n" + record.line()) if signer is not None else "00"
        (folder / "cut.json").write_bytes(record.line() + b"\n")
        assert clean(folder, HOST, log.keys) == 0
    (folder / "cut.json").write_bytes(b"{}")
    assert clean(folder, HOST, log.keys) == 0
    assert numbers(folder) == before
    assert not is_signed(record, log.keys)
    log.close()


# -- with a host ----------------------------------------------------------------------------------


def fill(text: str) -> int:
    return len(text)


def hosting(data: Path, **more: Json) -> Hosting:
    settings: dict[str, Json] = {"segment_bytes": 64 << 10, "keep_bytes": 1 << 20, **more}
    made = [Command.of(fill, console="t")]
    return Hosting(plugins=["audit"], commands=made, data_dir=data, store="process", settings={"audit": settings})


@pytest.mark.anyio
async def test_the_host_removes_what_is_too_much_and_says_so_before(tmp_path: Path, folder: Path) -> None:
    async with hosting(tmp_path) as host:
        for number in range(30):
            await host.invoke("t.fill", text=f"{number}" * 30_000)
        result: Any = await host.result("audit.prune")
        assert result["segments"] > 0 and result["first"] > 1
        assert sum(each.path.stat().st_size for each in segments(folder)) <= (1 << 20) + (64 << 10)
    check = [(record["kind"], record.get("action")) for record in records(folder)]
    assert check.index(("admin", "audit.retention")) < check.index(("cut", None))
    (told,) = [record for record in of_kind(folder, "admin") if record["action"] == "audit.retention"]
    assert json.loads(told["detail"])["removed"] == result["records"]
    assert (told["principal"], told["source"]) == ("tester", "cli")
    report = verdict(folder)
    assert report.verdict == "intact", report.findings


@pytest.mark.anyio
async def test_nothing_goes_before_the_cut_is_on_the_disk(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tmp_path) as host:
        for number in range(30):
            await host.invoke("t.fill", text=f"{number}" * 30_000)
        before = numbers(folder)

        async def fails(_: Ledger) -> None:
            raise Unrecorded("the disk says no")

        monkeypatch.setattr(Ledger, "flush", fails)
        run = await host.wait(await host.submit("audit.prune"))
        assert run.error is not None and "the disk says no" in run.error.message
        assert numbers(folder)[0] == before[0] and not (folder / "cut.json").exists()
        monkeypatch.undo()
        await host.invoke("audit.prune")
        assert numbers(folder)[0] > before[0]
    assert verdict(folder).verdict == "intact"


@pytest.mark.anyio
async def test_the_host_does_so_by_itself(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "EVERY", 0.02)
    async with hosting(tmp_path, keep_bytes=1 << 30) as host:
        for number in range(30):
            await host.invoke("t.fill", text=f"{number}" * 30_000)
        assert numbers(folder)[0] == 1
    async with hosting(tmp_path), asyncio.timeout(20):
        while numbers(folder)[0] == 1:
            await asyncio.sleep(0.01)
    told = [each["principal"] for each in of_kind(folder, "admin") if each["action"] == "audit.retention"]
    assert set(told) == {""}
    assert verdict(folder).verdict == "intact"


@pytest.mark.anyio
async def test_o13_that_less_is_kept_is_on_record_before_anything_goes(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "EVERY", 0.02)
    async with hosting(tmp_path, keep_bytes=1 << 30) as host, asyncio.timeout(20):
        for number in range(30):
            await host.invoke("t.fill", text=f"{number}" * 30_000)
        path = host.host.config.path
        assert path is not None
        path.write_text(path.read_text().replace(f'"keep_bytes" = {1 << 30}', f'"keep_bytes" = {1 << 20}'))
        await host.host.reload()
        while numbers(folder)[0] == 1:
            await asyncio.sleep(0.01)
    told = {record.get("action", record["kind"]): record for record in records(folder)}
    assert told["audit.policy"]["n"] < told["audit.retention"]["n"] < told["cut"]["n"]
    assert json.loads(told["audit.policy"]["detail"])["changed"] == {"keep_bytes": {"old": 1 << 30, "new": 1 << 20}}
    assert verdict(folder).verdict == "intact"


@pytest.mark.anyio
async def test_a_host_that_died_removing_is_followed_by_one_that_goes_on(tmp_path: Path, folder: Path) -> None:
    async with hosting(tmp_path) as host:
        for number in range(30):
            await host.invoke("t.fill", text=f"{number}" * 30_000)
        kept = {each.number: each.path.read_bytes() for each in segments(folder)}
        await host.invoke("audit.prune")
    first = numbers(folder)[0]
    path = folder / f"audit-{first - 1:08}.jsonl"
    path.write_bytes(kept[first - 1])
    path.chmod(0o600)
    async with hosting(tmp_path) as host:
        await host.invoke("t.fill", text="after")
        assert numbers(folder)[0] == first
    assert verdict(folder).verdict == "intact"


@pytest.mark.anyio
async def test_the_host_leaves_what_was_tampered_with_and_says_why(tmp_path: Path, folder: Path) -> None:
    async with hosting(tmp_path) as host:
        for number in range(30):
            await host.invoke("t.fill", text=f"{number}" * 30_000)
        edit(segments(folder)[0].path, lambda lines: lines.pop(1))
        before = numbers(folder)
        run = await host.wait(await host.submit("audit.prune"))
        assert run.error is not None and "not as it was written" in run.error.message
        assert run.error.code == CommandFailed.code
        assert numbers(folder) == before


def test_a_log_after_a_cut_is_taken_up_by_its_chain(folder: Path) -> None:
    log = log_of(folder)
    cut(log, Keep(age=20 * HOUR), 61 * HOUR)
    state = log.state
    log.close()
    log = Log.open(folder, HOST, RULES, 62 * HOUR)
    assert log.state == state
    log.close()
    with pytest.raises(AssertionError):
        check_chain(folder)  # which knows of no cut
