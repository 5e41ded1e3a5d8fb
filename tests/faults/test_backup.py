"""Backups taken from a host at work, restored, and judged offline by what clients had been told before."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import checker
import pytest
from faults_kit import HERE, Ground, until

from trunnion.model.json import Json
from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client

CLIENTS = 8


def program(ground: Ground, *args: str) -> list[str]:
    """The program's command line without what only a host that starts may be told."""
    options = ["--config", ground.config, "--data-dir", ground.data]
    return [str(part) for part in (sys.executable, HERE / "sabotage.py", "none", *options, *args)]


def call(ground: Ground, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(ground, *args), check=False, capture_output=True, text=True, timeout=60, env=ground.environment()
    )


def restored(ground: Ground, file: Path, place: Path) -> dict[str, object]:
    done = call(ground, "restore", str(file), "--data-dir", str(place), "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    assert answer["troubles"] == []
    return answer


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def busy(ground: Ground) -> None:
    """Wait until clients have been told a good deal."""
    until(lambda: lines(ground.history) > 400, "clients are at work")


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_backup_under_load_has_all_that_was_acknowledged_before(
    make_ground: Callable[..., Ground], durability: str
) -> None:
    ground = make_ground(durability=durability)
    host = ground.up()
    for name in ("instances/one/settings", "packages/p/tool", "shared/x"):
        (ground.data / name).parent.mkdir(parents=True, exist_ok=True)
        (ground.data / name).write_text(name)
    ground.load(processes=CLIENTS, tasks=2)
    busy(ground)
    begun, answers = [], []
    for number in range(2):
        begun.append(time.monotonic())
        done = call(ground, "backup", str(ground.root / f"b{number}"), "--json")
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout)["result"])
    ground.close_load()
    ground.drained()
    assert host.stop() == 0, host.said()
    for number, (before, answer) in enumerate(zip(begun, answers, strict=True)):
        place = ground.root / f"new{number}"
        told = restored(ground, ground.root / f"b{number}", place)
        assert told["host_id"] == (ground.data / "host_id").read_text().strip()
        assert told["runs"] == answer["runs"]
        verdict = checker.judge_backup(place, ground.history, before)
        assert not verdict.wrong, f"seed {ground.seed}\n{verdict.shown()}"
        assert verdict.counts["acknowledged"] > 20
        assert verdict.counts["events seen"] > 20
        assert (place / "instances/one/settings").read_text() == "instances/one/settings"
        assert not (place / "secret.key").exists()
    # The checker would say so: a directory that lacks what was acknowledged later is not in order.
    late = checker.judge_backup(ground.root / "new0", ground.history, time.monotonic())
    assert late.wrong["lost"]


def test_a_host_goes_on_from_what_was_restored(ground: Ground) -> None:
    host = ground.up()
    ground.load(processes=CLIENTS, tasks=2)
    busy(ground)
    # Runs that wait in it go on only with the key that their secret arguments are sealed with.
    assert call(ground, "backup", str(ground.root / "b"), "--with-key").returncode == 0
    ground.close_load()
    assert host.stop() == 0, host.said()
    done = call(ground, "restore", str(ground.root / "b"), "--force")
    assert done.returncode == 0, done.stderr
    assert "what was there is in" in done.stderr
    assert "start only one of the two" in done.stderr
    host = ground.up()
    ground.drained()
    assert host.stop() == 0, host.said()
    findings = json.loads(call(ground, "doctor", "--json").stdout)
    assert [finding for finding in findings if finding["check"] == "store" and not finding["ok"]] == []
    verdict = checker.judge(ground.data, ground.root / "nothing", ground.root / "nothing")
    assert set(verdict.wrong) == set(), verdict.shown()


def test_killed_during_a_backup_nothing_is_half(ground: Ground) -> None:
    ground.up()
    for number in range(24):
        path = ground.data / "shared" / str(number)
        path.write_bytes(ground.random.randbytes(1 << 20))
    target, partial = ground.root / "b", ground.root / "b.partial"
    cut = 0
    for wanted in (1, 10 << 20):
        before = ground.hosts[-1]
        command = subprocess.Popen(
            program(ground, "backup", str(target), "--force"),
            env=ground.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ground.root,
        )
        until(lambda wanted=wanted: size_of(partial) >= wanted or size_of(target) > 0, "the backup is at work")  # type: ignore[misc]
        before.kill()
        command.kill()
        command.wait()
        cut += partial.exists()
        if target.exists():
            restored_check(ground, target)
            target.unlink()
        ground.up()
    assert cut, "no kill came in time"
    done = call(ground, "backup", str(target))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in ground.root.glob("b*")) == ["b"]
    restored_check(ground, target)
    assert ground.hosts[-1].stop() == 0


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def restored_check(ground: Ground, file: Path) -> None:
    done = call(ground, "restore", str(file), "--check")
    assert done.returncode == 0, done.stderr


def test_who_may_and_where_to(ground: Ground) -> None:
    ground.up()
    (ground.root / "b").write_text("mine")
    assert call(ground, "backup", str(ground.root / "b")).returncode == 6
    assert (ground.root / "b").read_text() == "mine"
    assert call(ground, "backup", str(ground.data / "b")).returncode == 2
    assert call(ground, "restore", str(ground.root / "b"), "--data-dir", str(ground.root / "new")).returncode == 2
    # Nothing is moved from under a host that is there.
    assert call(ground, "backup", str(ground.root / "good")).returncode == 0
    held = call(ground, "restore", str(ground.root / "good"), "--force")
    assert held.returncode == 6, held.stderr
    assert "held by process" in held.stderr
    repair = call(ground, "doctor", "--repair")
    assert repair.returncode == 6, repair.stderr
    (ground.root / "photos").mkdir()
    (ground.root / "photos/one").write_text("x")
    foreign = call(ground, "restore", str(ground.root / "good"), "--data-dir", str(ground.root / "photos"), "--force")
    assert foreign.returncode == 2, foreign.stderr
    assert (ground.root / "photos/one").exists()
    assert ground.hosts[-1].stop() == 0


def test_without_a_host_and_with_the_key(ground: Ground) -> None:
    nothing = call(ground, "backup", str(ground.root / "b"))
    assert nothing.returncode == 9
    assert not ground.data.exists()
    ground.up().kill()
    (ground.data / "secret.key").write_bytes(b"k" * 72)
    (ground.data / "secret.key").chmod(0o600)
    without = call(ground, "backup", str(ground.root / "b"))
    assert without.returncode == 0, without.stderr
    assert "the key is not in it" in without.stderr
    with_key = call(ground, "backup", str(ground.root / "bk"), "--with-key")
    assert "whoever has this file can open the sealed secrets" in with_key.stderr
    told = call(ground, "restore", str(ground.root / "b"), "--data-dir", str(ground.root / "new"))
    assert "the backup has no key" in told.stderr
    assert not (ground.root / "new/secret.key").exists()
    assert restored(ground, ground.root / "bk", ground.root / "newk")["has_key"] is True
    assert (ground.root / "newk/secret.key").read_bytes() == b"k" * 72
    assert (ground.root / "new/config-of-backup/trunnion.toml").read_text() == ground.config.read_text()
    # The log of a host that was killed is part of what was read.
    assert (ground.data / "db/trunnion.sqlite-wal").exists()


def test_doctor_names_and_mends(ground: Ground) -> None:
    host = ground.up()
    ground.load(processes=1, tasks=2)
    busy(ground)
    beside = json.loads(call(ground, "doctor", "--json").stdout)
    assert [finding["ok"] for finding in beside if finding["check"] == "store"] == [True]
    ground.close_load()
    assert host.stop() == 0
    connection = sqlite3.connect(ground.data / "db/trunnion.sqlite")
    connection.execute("UPDATE runs SET crc = crc + 1 WHERE num = (SELECT min(num) FROM runs)")
    connection.commit()
    connection.close()
    (ground.data / "artifacts/stray").mkdir(parents=True)
    found = call(ground, "doctor")
    assert found.returncode == 1
    assert found.stdout.count("PROBLEM  store") == 2, found.stdout
    assert "arguments and result are lost" in found.stdout
    mended = call(ground, "doctor", "--repair")
    assert mended.returncode == 0, mended.stdout
    assert mended.stderr.count("mended") == 2
    assert call(ground, "doctor").returncode == 0
    assert (ground.data / "artifacts/stray").exists() is False
    shutil.rmtree(ground.data / "lost+found")


def test_a_handle_is_no_place_for_a_backup(ground: Ground) -> None:
    """A handle stands for a file of the data directory, which a backup must not replace."""
    ground.up()
    (ground.root / "mine").write_text("mine")
    handle = call(ground, "upload", str(ground.root / "mine")).stdout.strip()
    assert handle.startswith("upload:")
    refused = call(ground, "run", "host.backup", handle, "--force")
    assert refused.returncode == 2, refused.stderr
    assert "lies in the data directory itself" in refused.stderr
    assert [path.read_text() for path in (ground.data / "uploads").iterdir()] == ["mine"]
    assert ground.hosts[-1].stop() == 0


def test_a_key_that_is_changed_meanwhile_opens_what_is_in_the_backup(ground: Ground) -> None:
    """Both want the lane of the sealed store, so the change waits until the backup has the key that fits."""
    ground.up()
    for number in range(32):
        (ground.data / "shared" / str(number)).write_bytes(ground.random.randbytes(1 << 20))
    target, partial = ground.root / "b", ground.root / "b.partial"

    async def both(client: Client) -> list[str]:
        await client.run(Invocation(command_id="secrets.set", args={"name": "shared/x", "value": "a secret value"}))
        args: dict[str, Json] = {"file": str(target), "with_key": True}
        backup = await client.submit(Invocation(command_id="host.backup", args=args))
        while size_of(partial) == 0:
            await asyncio.sleep(0.001)
        assert not target.exists(), "the backup was too fast to have anything beside it"
        rotated = await client.run(Invocation(command_id="secrets.rotate"))
        return [(await client.wait(backup.id)).status, rotated.status]

    assert ground.talk(both) == ["succeeded", "succeeded"]
    assert ground.hosts[-1].stop() == 0
    restored(ground, target, ground.root / "new")
    listed = call(ground, "--data-dir", str(ground.root / "new"), "secrets", "list", "--json")
    assert [item["readable"] for item in json.loads(listed.stdout)["items"]] == [True], listed.stdout
