"""The writer and the verifier know each other by the written format alone, and agree. Rows O16 and O17."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_kit import HOST, intent, outcome
from figures import SEED
from log_kit import made
from reading_kit import verdict

from trunnion import Command, Context, Json
from trunnion.testing import Hosting
from trunnion_audit import verify as verifier
from trunnion_audit.log import Log, Rules
from trunnion_audit.verify import Question, check_receipt, given_keys, kept_roots, verify

Figure = Callable[..., None]


def written(folder: Path, seed: int, count: int = 120) -> Path:
    """A log by the writer: opened again and again, left in the middle of lines, with new keys and segments."""
    chance = random.Random(f"{SEED}/{seed}")
    rules = Rules(segment_bytes=chance.choice([4000, 20_000]), checkpoint_records=chance.choice([5, 20]))
    log = Log.open(folder, HOST, rules, 1)
    for number in range(count):
        texts = chance.choice(['{"a":1.5}', json.dumps({"t": 'é\n"\\\u2028'}), '{"😀":"\\u0000"}'])
        log.write([intent(number, args=texts), outcome(number, log.state.n + 1)], number)
        if chance.random() < 0.03:
            log.rotate_key("due", number)
        if chance.random() < 0.05:
            crashed(log, chance)
            log = Log.open(folder, HOST, rules, number)
    if chance.random() < 0.7:
        log.seal(count)
    log.syncing()()
    log.close()
    if chance.random() < 0.3:
        last_of(folder).write_bytes(last_of(folder).read_bytes() + b'{"half":')
    return folder


def last_of(folder: Path) -> Path:
    return max(folder.glob("audit-*.jsonl"))


def crashed(log: Log, chance: random.Random) -> None:
    """Closed without a checkpoint, perhaps with half a line at its end."""
    log.syncing()()
    log._segment.close()
    if chance.random() < 0.5:
        last_of(log.folder).write_bytes(last_of(log.folder).read_bytes() + b'{"args":"half a')


def test_o17_what_the_writer_writes_is_intact(tmp_path: Path) -> None:
    for seed in range(6):
        folder = written(tmp_path / f"log{seed}", seed)
        report = verify(folder, Question(host_id=HOST))
        assert report.verdict == verdict(folder), report.findings
        assert report.verdict in ("intact", "torn"), report.findings
        keys = Question(keys=given_keys(str(folder / "keys.json")))
        assert [finding.name for finding in verify(folder, keys).findings] in ([], ["torn"])


def tampered(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    match chance.randrange(7):
        case 0:
            place = chance.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        case 1:
            return data[: chance.randrange(len(data))]
        case 2:
            del lines[chance.randrange(len(lines))]
        case 3:
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
        case 4:
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
        case 5:
            lines = [*lines[: -chance.randrange(1, 4)], b""]
        case _:
            return b""
    return b"\n".join(lines)


def compare(tmp_path: Path, count: int) -> dict[str, int]:
    """The verdicts on logs of both writers, whole and tampered with; they are those of the test's own reading."""
    chance, seen = random.Random(SEED), {"intact": 0, "torn": 0, "not intact": 0}
    sources = [written(tmp_path / f"log{seed}", seed, 30) for seed in range(4)]
    sources.append(made(60, every=9, segments=3).write(tmp_path / "made"))
    for number in range(count):
        folder = tmp_path / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(chance.choice(sources), folder)
        for _ in range(chance.choice([0, 1, 1, 1, 2])):
            path = chance.choice([p for p in folder.iterdir() if p.suffix in (".jsonl", ".json")])
            path.write_bytes(tampered(path.read_bytes(), chance) if path.stat().st_size else b"x")
        report = verify(folder)
        if (folder / "checkpoint.json").stat().st_size and (folder / "keys.json").stat().st_size:
            assert report.verdict == verdict(folder), (number, report.findings)
            seen[report.verdict] += 1
    return seen


def test_o17_two_readings_have_the_same_verdict(tmp_path: Path, figure: Figure) -> None:
    seen = compare(tmp_path, 150)
    assert min(seen["intact"], seen["not intact"]) > 10, seen
    figure("logs compared", sum(seen.values()))


@pytest.mark.heavy
def test_o17_two_readings_have_the_same_verdict_on_many(tmp_path: Path, figure: Figure) -> None:
    seen = compare(tmp_path, 5_000)
    figure("logs compared", sum(seen.values()))


def large(folder: Path, count: int) -> Path:
    """A log by the writer with so many records."""
    log = Log.open(folder, HOST, Rules(), 1)
    for number in range(0, count // 2, 50):
        ends = [outcome(each, 1) for each in range(number, number + 50)]
        log.write([record for each, end in enumerate(ends) for record in (intent(number + each), end)], number)
    log.seal(count)
    log.syncing()()
    log.close()
    return folder


def peak(folder: Path, *args: str) -> tuple[float, float, int]:
    """Seconds and MiB of a verifier in a process of its own, the largest of its processes; and its exit status."""
    # What a process counts itself as its most includes the one it was started by; what the kernel says of it does not.
    code = (
        "import re, resource, sys, time; sys.path.insert(0, sys.argv[1]); import verify; start = time.perf_counter();"
        "status = verify.main(sys.argv[2:]); took = time.perf_counter() - start;"
        "own = int(re.search('VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]);"
        "most = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);"
        "sys.stderr.write(f'{took} {most / 1024} {status}')"
    )
    command = [sys.executable, "-I", "-c", code, str(Path(verifier.__file__).parent), str(folder), *args]
    took, most, status = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()
    return float(took), float(most), int(status)


@pytest.mark.alone
def test_o16_memory_does_not_grow_with_the_log(tmp_path: Path, figure: Figure) -> None:
    small, more = large(tmp_path / "small", 2_000), large(tmp_path / "more", 60_000)
    _, before, _ = peak(small)
    took, after, status = peak(more)
    assert status == 0
    assert after - before < 4
    figure("records a second, one process", round(60_000 / took))


@pytest.mark.heavy
@pytest.mark.alone
def test_o16_ten_million_records(tmp_path: Path, figure: Figure) -> None:
    folder = large(tmp_path / "log", 10_000_000)
    _, before, _ = peak(large(tmp_path / "small", 2_000))
    took, after, status = peak(folder)
    assert status == 0
    assert after - before < 16
    assert 10_000_000 / took > 200_000
    figure("records a second", round(10_000_000 / took))
    figure("most memory of a process", round(after), "MiB")


def test_o16_several_processes_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "RANGE", 5_000)
    monkeypatch.setattr(verifier, "WORTH_WORKERS", 0)
    log = made(300, every=20)
    log.write(tmp_path / "log")
    roots = kept_roots([f"{size}:{log.root(size)}" for size in (0, 3, 77, 78, 200, 300)])
    for damage in (None, 90, 160, 299):
        if damage is not None:
            path = tmp_path / "log" / f"audit-{1 + (damage > 100) + (damage > 200):08d}.jsonl"
            data = path.read_bytes()
            number = data.index(b'"n":%d,' % damage)
            path.write_bytes(data[:number] + data[number:].replace(b'"ts":17', b'"ts":18', 1))
        one = verify(tmp_path / "log", Question(roots=roots))
        assert verify(tmp_path / "log", Question(roots=roots, workers=2)) == one
        assert one.verdict == ("intact" if damage is None else "not intact")


def test_o16_while_it_is_written(tmp_path: Path) -> None:
    """What is there is a whole log at any moment, but for a last line that is not written to its end."""
    rules = Rules(segment_bytes=20_000, checkpoint_records=20)
    log = Log.open(tmp_path / "log", HOST, rules, 1)
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            log.write([intent(number), outcome(number, 1)], number)
            number += 1
            if number % 500 == 0:
                log.rotate_key("due", number)
            time.sleep(0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = []
        for _ in range(15):
            report = verify(tmp_path / "log")
            assert report.verdict in ("intact", "torn"), report.findings
            sizes.append(report.facts["last"])
        assert sizes == sorted(sizes) and sizes[-1] > sizes[0]
    finally:
        done.set()
        writer.join()


def act(ctx: Context, value: float) -> Json:
    ctx.echo("hello")
    return {"did": value, "é": None}


@pytest.mark.anyio
async def test_a_receipt_of_a_run_of_a_host(tmp_path: Path) -> None:
    given = {"plugins": ["audit"], "data_dir": tmp_path / "data", "store": "process"}
    async with Hosting(commands=[Command.of(act, console="t")], **given) as host:
        run = await host.invoke("t.act", value=1.5)
        await host.settle()
        made_one = await host.invoke("audit.receipt", run=run.id, events=True)
        less = await host.invoke("audit.receipt", run=run.id)
        none = await host.invoke("audit.receipt", run="nobody")
    assert none.status == "failed" and none.error is not None
    assert "no run nobody is on record" in none.error.message
    keys = Question(keys=given_keys(str(tmp_path / "data" / "audit" / "keys.json")))
    report = check_receipt(str(made_one.result).encode(), keys)
    assert (report.verdict, report.findings) == ("intact", [])
    assert report.facts["disclosed"] == "args, result, events"
    assert (report.facts["target"], report.facts["status"]) == ("t.act", "succeeded")
    assert check_receipt(str(less.result).encode(), keys).facts["disclosed"] == "args, result"
    assert verify(tmp_path / "data" / "audit", keys).verdict == "intact"
    asked = (tmp_path / "data" / "audit" / "audit-00000001.jsonl").read_bytes().split(b"\n")
    assert sum(b'"target":"audit.receipt"' in line and b'"kind":"intent"' in line for line in asked) == 3


def test_the_commands_of_the_launcher(tmp_path: Path) -> None:
    data = tmp_path / "data"

    def trunnion(*args: str, status: int = 0) -> str:
        command = [Path(sys.executable).with_name("trunnion"), "--data-dir", str(data), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    data.mkdir()
    folder = large(data / "audit", 100)
    assert "audit: intact" in trunnion("audit", "verify")
    told = json.loads(trunnion("audit", "verify", str(folder), "--host", "another", "--json", status=1))
    assert told[0]["findings"][0]["name"] == "wrong_host"
    assert "neither the number" in trunnion("audit", "verify", "--since", "then", status=2)
    (tmp_path / "proof").write_text(trunnion("audit", "proof", "50"))
    assert "intact" in trunnion("audit", "verify", "proof", str(tmp_path / "proof"))
    assert "no earlier tree over 5000" in trunnion("audit", "proof", "5000", status=5)
