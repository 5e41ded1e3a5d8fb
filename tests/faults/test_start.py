"""Starting where another host was, is, or was killed while it started."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import checker
import pytest
from faults_kit import PATIENCE, Ground, submit_many, tagged, until

from trunnion.access.sealing import Sealer
from trunnion.protocol.client import Client

CONFLICT, INCOMPATIBLE = 6, 13


def files_of(root: Path, *, but: tuple[str, ...] = ()) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder with its time and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name not in but:
            found[str(path.relative_to(root))] = (path.stat().st_mtime_ns, path.read_bytes())
    return found


# -- A4 ---------------------------------------------------------------------------------------------


async def busy_host(ground: Ground, client: Client) -> None:
    """A host in the middle of much: working, waiting, about to be retried, done."""
    await submit_many(ground, client, "faults.quick", 10)
    await submit_many(ground, client, "faults.until", 20, path="/nowhere/at/all")
    await submit_many(ground, client, "faults.again", 10, seconds=60)
    await submit_many(ground, client, "faults.serial", 100, seconds=60)
    await submit_many(ground, client, "scripts.long", 3)


def test_a4_killed_while_it_recovers(
    make_ground: Callable[..., Ground], rounds: int, figure: Callable[..., None]
) -> None:
    """However often a host dies while it takes up what is there, the next one finds the same story.

    The commands are gone at these starts, so that recovery is all that happens.
    """
    ground, twin = make_ground("killed"), make_ground("spared")
    host = ground.up()
    ground.talk(lambda client: busy_host(ground, client))
    until(lambda: len(checker.lines_of(ground.effects)) >= 41, "all at work")
    host.kill()
    shutil.copytree(ground.data, twin.data, ignore=lambda *_: {"host.sock"})
    spared = twin.up(FAULTS_WITHOUT_COMMANDS="1")
    assert spared.stop() == 0
    kills = max(rounds // 4, 8)
    instants = [0.01, 0.03, 0.1, 0.3]
    while len(instants) < kills:
        instants.append(ground.random.uniform(0.5, 1.2) * spared.ready_after)
    for instant in instants:
        host = ground.start(FAULTS_WITHOUT_COMMANDS="1")
        until(lambda: time.monotonic() - host.begun >= instant, "the instant")  # noqa: B023 - used at once
        host.kill()
    host = ground.up(FAULTS_WITHOUT_COMMANDS="1")
    assert host.stop() == 0, host.said()
    assert checker.digest(ground.data) == checker.digest(twin.data)
    verdict = ground.verdict()
    # What waits for its command waits on; nothing else is out of order.
    assert verdict.wrong.keys() <= {"waiting"}, verdict.shown()
    figure("kills while it recovered", kills)
    figure("stories that differ from the undisturbed one", 0)
    assert verdict.counts["status.interrupted"] >= 20


def test_a4_without_the_fault(make_ground: Callable[..., Ground]) -> None:
    """Nobody is killed while recovering: one more start changes nothing of the story."""
    ground = make_ground("spared")
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "faults.until", 3, path="/nowhere/at/all"))
    host.kill()
    stories = []
    for _ in range(2):
        assert ground.up(FAULTS_WITHOUT_COMMANDS="1").stop() == 0
        stories.append(checker.digest(ground.data))
    assert stories[0] == stories[1]


def test_a4_without_the_defence(ground: Ground) -> None:
    """Were the end of a run not on record as a whole, a host killed in between would tell it twice."""
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "faults.until", 3, path="/nowhere/at/all"))
    host.kill()
    host = ground.start(without="end_in_two", FAULTS_WITHOUT_COMMANDS="1")
    assert host.process.wait(20) == -signal.SIGKILL, host.said()
    assert ground.up(FAULTS_WITHOUT_COMMANDS="1").stop() == 0
    assert "terminal" in ground.verdict().wrong


# -- A9 ---------------------------------------------------------------------------------------------


def test_a9_two_hosts_on_one_data_directory(ground: Ground, rounds: int, figure: Callable[..., None]) -> None:
    """Started within 5 ms of each other, one serves and the other names it."""
    pairs = max(rounds // 2, 4) if rounds > 20 else 4
    for _ in range(pairs):
        both = [ground.start(), ground.start()]
        until(lambda: any(host.process.poll() is not None for host in both), "one gives up")  # noqa: B023
        loser, winner = sorted(both, key=lambda host: host.process.poll() is None)
        winner.wait_ready()
        assert loser.process.wait(5) == CONFLICT, loser.said()
        assert f"held by process {winner.pid}" in loser.said(), loser.said()
        ground.talk(lambda client: client.hello())
        winner.kill()
    figure("pairs in which one served and the other named it", pairs)


def test_a9_the_second_writes_nothing(ground: Ground) -> None:
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "faults.quick", 5))
    ground.drained()
    before = files_of(ground.data)
    second = ground.run("up")
    assert second.returncode == CONFLICT
    assert files_of(ground.data) == before
    assert host.stop() == 0
    ground.judged()


def test_a9_without_the_fault(ground: Ground) -> None:
    """One after the other, both serve."""
    for _ in range(2):
        host = ground.up()
        ground.talk(lambda client: client.hello())
        assert host.stop() == 0, host.said()


def test_a9_without_the_defence(ground: Ground) -> None:
    """Without its lock the second one goes on until the database stops it, and does not know whose it is."""
    first = ground.up(without="share_the_data")
    second = ground.start(without="share_the_data")
    assert second.process.wait(20) != CONFLICT, second.said()
    assert "held by process" not in second.said()
    first.kill()


# -- A10 --------------------------------------------------------------------------------------------


def test_a10_stale_lock_and_orphans(ground: Ground, figure: Callable[..., None]) -> None:
    """Killed with programs at work, grandchildren in sessions of their own too: the next one starts at once."""
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "scripts.long", 3))
    until(lambda: sum("sleep 60" in line for line in tagged(ground.tag).values()) >= 6, "the scripts run")
    host.kill()
    left = tagged(ground.tag)
    assert (ground.data / "host.lock").read_bytes(), "a lock file that still names the dead"
    host = ground.up()
    ground.orphans_gone(left)
    assert host.ready_after <= 5.0
    assert host.stop() == 0
    ground.judged()
    figure("ready after", round(host.ready_after, 2), "s")
    figure("orphans left alive", 0)
    figure("orphans of the killed host", len(left))


def test_a10_without_the_fault(make_ground: Callable[..., Ground]) -> None:
    """A host that is told to stop leaves nobody and no lock to be wondered at."""
    ground = make_ground(grace=0.5)
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "scripts.long", 1))
    assert host.stop() == 0, host.said()
    assert not tagged(ground.tag)
    assert ground.up().stop() == 0


def test_a10_without_the_defence(ground: Ground) -> None:
    """With its keeper unable to act, what a killed host started lives on, and the count says so."""
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "scripts.long", 1))
    until(lambda: sum("sleep 60" in line for line in tagged(ground.tag).values()) >= 2, "the script runs")
    keepers = [pid for pid, line in tagged(ground.tag).items() if "trunnion.process" in line]
    assert keepers
    for pid in keepers:
        os.kill(pid, signal.SIGSTOP)
    host.kill()
    try:
        with pytest.raises(AssertionError, match="gone"):
            ground.orphans_gone(tagged(ground.tag), 0.5)
    finally:
        for pid in keepers:
            os.kill(pid, signal.SIGCONT)
    ground.orphans_gone(tagged(ground.tag))


def test_a10_a_lock_that_names_a_stranger(ground: Ground) -> None:
    """The pid in a lock nobody holds may belong to another program by now: it is left alone."""
    ground.up().kill()
    (ground.data / "host.lock").write_text(f'{{"pid":{os.getpid()},"start":1}}')
    host = ground.up()
    assert host.stop() == 0, host.said()


# -- A16 --------------------------------------------------------------------------------------------


def test_a16_newer_data_is_refused_and_left_alone(ground: Ground) -> None:
    host = ground.up()
    ground.talk(lambda client: submit_many(ground, client, "faults.quick", 3))
    assert host.stop() == 0
    database = ground.data / "db" / "trunnion.sqlite"
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version + 1}")
    before = files_of(ground.data / "db", but=("writer.lock",))
    done = ground.run("up")
    assert done.returncode == INCOMPATIBLE, done
    assert str(version + 1) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert files_of(ground.data / "db", but=("writer.lock",)) == before


# -- killed in the very first moments ----------------------------------------------------------------


def test_a4_killed_while_it_writes_down_who_it_is(ground: Ground) -> None:
    """A host that dies between making a file and filling it leaves the next one nothing to believe."""
    code = (
        "import os, pathlib, signal; from trunnion.access.sealing import Sealer; "
        "kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "os.fdopen = kill; Sealer(pathlib.Path({0!r}) / 'secret.key').seal('run', b'value')"
    )
    ground.data.mkdir(mode=0o700)
    died = subprocess.run([sys.executable, "-c", code.format(str(ground.data))], check=False)
    assert died.returncode == -signal.SIGKILL
    again = Sealer(ground.data / "secret.key")
    assert again.open("run", again.seal("run", b"value")) == b"value"


DIES_WRITING = """
import os, signal

really_open = os.open

def dies(path, *args, **options):
    descriptor = really_open(path, *args, **options)
    if str(path).endswith("host_id.partial"):
        os.kill(os.getpid(), signal.SIGKILL)
    return descriptor

os.open = dies
from trunnion.launcher.main import main
main()
"""


def test_a4_killed_before_it_has_a_name(ground: Ground) -> None:
    """Killed between making the file with its id and filling it, the next host still has an id."""
    command = [sys.executable, "-c", DIES_WRITING, *ground.command("up")[3:]]
    died = subprocess.run(command, check=False, env=ground.environment(), capture_output=True, timeout=PATIENCE)
    assert died.returncode == -signal.SIGKILL, died
    host = ground.up()
    assert len((ground.data / "host_id").read_text().strip()) == 36
    assert host.stop() == 0
