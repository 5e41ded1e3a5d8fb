"""Checkpoints kept elsewhere: handed on whole, told when they are not, and of use to the verifier."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_kit import HOST, intent, of_kind

from trunnion import Command, Json
from trunnion.testing import Hosting
from trunnion_audit import upkeep, verify
from trunnion_audit.log import Log, Rules
from trunnion_audit.witness import Witness, WitnessSettings, hand_over

pytestmark = pytest.mark.anyio
LINE = b'{"kind":"checkpoint"}\n'


def sh(script: str, timeout: float = 20.0) -> WitnessSettings:
    return WitnessSettings(("sh", "-c", script), timeout)


class Told(list[str]):
    def __call__(self, code: str, text: str) -> None:
        self.append(f"{code} {text}")


def log_at(folder: Path, records: int) -> Log:
    log = Log.open(folder, HOST, Rules(), 1)
    for number in range(records):
        log.write([intent(number)], 2)
    log.seal(3)
    log.syncing()()
    return log


async def test_the_line_is_handed_on_and_no_shell_reads_it(tmp_path: Path) -> None:
    kept = tmp_path / "kept $(id) ;"
    assert await hand_over(WitnessSettings(("tee", "-a", str(kept))), LINE, tmp_path) == ""
    assert kept.read_bytes() == LINE


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (sh("echo no room >&2; exit 3"), "ended with status 3: no room"),
        (sh("kill -9 $$"), "was ended by signal 9"),
        (WitnessSettings(("/nowhere/program",)), "could not be started"),
        (WitnessSettings(("a\0b",)), "could not be started"),
    ],
    ids=["refuses", "dies", "not there", "no name"],
)
async def test_what_went_wrong_is_told(tmp_path: Path, settings: WitnessSettings, told: str) -> None:
    assert told in await hand_over(settings, LINE, tmp_path)


async def test_a_command_that_reads_nothing_is_no_trouble(tmp_path: Path) -> None:
    assert await hand_over(sh("exit 0"), LINE * 20_000, tmp_path) == ""


async def test_what_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    settings = sh(f"sleep 600 & echo $! > {pid}.new; mv {pid}.new {pid}; wait", 1.0)
    assert await hand_over(settings, LINE, tmp_path) == "did not end within 1 s"
    async with asyncio.timeout(10):
        while _runs(int(pid.read_text())):
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_flood_of_complaints_is_cut(tmp_path: Path) -> None:
    told = await hand_over(sh("yes complaint | head -c 2000000 >&2; exit 1"), LINE, tmp_path)
    assert told.endswith("complaint") and len(told) < 2100


async def test_failures_are_told_once_and_tried_again_later_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told, folder = Told(), tmp_path / "audit"
    log_at(folder, 3).close()
    open_, kept = tmp_path / "open", tmp_path / "kept"
    seen = Witness(sh(f"test -e {open_} && cat >> {kept}"), folder, HOST, told)
    waits = list[float]()
    for _ in range(9):
        assert not await seen.look()
        before = seen.failures
        assert not await seen.look() and seen.failures == before  # it is too early
        waits.append(seen._due - now)
        now = seen._due
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [each.split()[0] for each in told] == ["witness.failed"]
    assert seen.shown()["state"] == "failing"
    open_.touch()
    assert await seen.look()
    assert [each.split()[0] for each in told] == ["witness.failed", "witness.healed"]
    assert kept.read_bytes() == (folder / "checkpoint.json").read_bytes()
    assert not await seen.look()  # once
    assert seen.shown() == {
        "command": "sh", "state": "well", "reason": "", "checkpoint": json.loads(kept.read_bytes())["n"],
        "failures": 9,
    }  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"{}", b'{"n":5,"kind":"checkpoint","host_id":"other"}\n', b"\xff"])
async def test_what_is_no_checkpoint_of_this_log_is_not_handed_on(tmp_path: Path, text: bytes) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    seen = Witness(WitnessSettings(("tee", "-a", str(tmp_path / "kept"))), folder, HOST, Told())
    assert not await seen.look()
    (folder / "checkpoint.json").write_bytes(text)
    assert not await seen.look()
    assert not (tmp_path / "kept").exists()


def act(number: int) -> int:
    return number


def hosting(data: Path, kept: Path) -> Hosting:
    settings: dict[str, Json] = {"witness": {"command": ["tee", "-a", str(kept)]}, "checkpoint_records": 5}
    made = [Command.of(act, console="t")]
    return Hosting(plugins=["audit"], commands=made, data_dir=data, store="process", settings={"audit": settings})


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_what_a_witness_kept_shows_that_the_end_was_cut_off_or_all_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK", 0.01)
    data, kept, folder = tmp_path / "data", tmp_path / "kept", tmp_path / "data" / "audit"
    async with hosting(data, kept) as host:
        for number in range(10):
            await host.invoke("t.act", number=number)
        await until(lambda: kept.exists() and kept.read_bytes().endswith(b"\n"))
        assert (await host.query("audit.status"))["witness"]["state"] == "well"  # type: ignore[index,call-overload]
    assert verify.main([str(folder), "--against", str(kept)]) == 0
    size = json.loads(kept.read_bytes().splitlines()[-1])["size"]
    # The end is cut off, at a record, with all that says how long it was: nothing in the log shows it.
    segment = folder / "audit-00000001.jsonl"
    whole = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(whole[: size - 1]))
    (folder / "checkpoint.json").unlink()
    assert verify.main([str(folder)]) == 0
    assert verify.main([str(folder), "--against", str(kept)]) == 1
    # All of it is written anew by somebody who has the key.
    segment.write_bytes(b"".join(whole))
    assert verify.main([str(folder), "--against", str(kept)]) == 0
    _rewrite(folder)
    assert verify.main([str(folder)]) == 0
    report = verify.verify(folder, verify.question_of(against=[str(kept)]))
    assert "forked" in {finding.name for finding in report.findings}


def _rewrite(folder: Path) -> None:
    from trunnion_audit.keys import load_key, read_keys

    listed = read_keys(folder)
    assert listed is not None
    key = load_key(folder, listed.keys[0].id)
    host_id, count = listed.host_id, len(of_kind(folder, "intent")) + 30
    for path in folder.glob("audit-*.jsonl"):
        path.unlink()
    from trunnion_audit.chain import Chain
    from trunnion_audit.records import Genesis

    chain = Chain(host_id)
    lines = [chain.add_signed(Genesis(ts=1, host_id=host_id, key=key.id, public=key.public, segment=1, v=1), key)]
    lines += [chain.add(intent(number)) for number in range(count)]
    lines.append(chain.checkpoint(2, key)[1])
    (folder / "audit-00000001.jsonl").write_bytes(b"".join(lines))
    from trunnion_audit.keys import KeyEntry, write_keys

    write_keys(folder, host_id, [KeyEntry(key.id, key.public, lines[0][:-1].decode())])


async def test_a_host_that_ends_leaves_no_command_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LOOK", 0.01)
    pid = tmp_path / "pid"
    settings: dict[str, Json] = {
        "witness": {"command": ["sh", "-c", f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600"]},
        "checkpoint_records": 1,
    }
    asked = Hosting(plugins=["audit"], data_dir=tmp_path / "data", store="process", settings={"audit": settings})
    async with asked:
        await until(pid.exists)
        assert _runs(int(pid.read_text()))
    assert not _runs(int(pid.read_text()))
