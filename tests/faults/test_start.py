"""Starting where another host was, is, or was killed while it started."""

from __future__ import annotations

import asyncio
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
from faults_kit import Ground, tagged, tell, until

from trunnion.access.sealing import Sealer
from trunnion.model.errors import TrunnionError
from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client

CONFLICT, INCOMPATIBLE = 6, 13


async def submit_many(ground: Ground, client: Client, command: str, count: int, **args: object) -> list[str]:
    """Start runs of one command; their ids, told to the history."""
    ids = []
    for number in range(count):
        token = f"{command}-{number}"
        own = {} if command.startswith("scripts.") else {"token": token, **args}
        run = await client.submit(Invocation(command_id=command, args=own, idempotency_key=token))
        ground.told.tell("accepted", key=token, run=run.id)
        ids.append(run.id)
    return ids


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


def test_a4_killed_while_it_recovers(make_ground: Callable[..., Ground], rounds: int) -> None:
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
    tell("A4", {"seed": ground.seed, "kills": kills, **verdict.figures()})
    assert verdict.counts["status.interrupted"] >= 20


# -- A9 ---------------------------------------------------------------------------------------------


def test_a9_two_hosts_on_one_data_directory(ground: Ground, rounds: int) -> None:
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
    tell("A9", {"seed": ground.seed, "pairs": pairs})


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


# -- A10 --------------------------------------------------------------------------------------------


def test_a10_stale_lock_and_orphans(ground: Ground) -> None:
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
    tell("A10", {"ready after": round(host.ready_after, 2), "orphans": len(left), **ground.judged()})


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


# -- A6 ---------------------------------------------------------------------------------------------

GRACE = 1.0


async def fifty_runs(ground: Ground, client: Client) -> None:
    await submit_many(ground, client, "faults.until", 20, path="/nowhere/at/all")
    await submit_many(ground, client, "faults.sleeper_thread", 10, seconds=60)
    await submit_many(ground, client, "faults.sleeper", 10, seconds=0.6)
    await submit_many(ground, client, "scripts.long", 5)
    await submit_many(ground, client, "faults.chatty", 5, events=100_000)


def test_a6_sigterm_with_50_live_runs(make_ground: Callable[..., Ground]) -> None:
    ground = make_ground(grace=GRACE)
    host = ground.up()
    ground.talk(lambda client: fifty_runs(ground, client))
    until(lambda: len(checker.lines_of(ground.effects)) >= 45, "all at work")
    until(lambda: sum("sleep 60" in line for line in tagged(ground.tag).values()) >= 10, "the scripts run")
    begun = time.monotonic()
    assert host.stop() == 0, host.said()
    took = time.monotonic() - begun
    assert took <= GRACE + 2.0
    assert not tagged(ground.tag)
    figures = ground.judged()
    tell("A6", {"took": round(took, 2), **figures})
    assert figures["status.succeeded"] == 10
    assert figures["status.interrupted"] == 40


def test_a6_a_stopping_host_takes_nothing_new(make_ground: Callable[..., Ground]) -> None:
    ground = make_ground(grace=GRACE)
    host = ground.up()

    async def late(client: Client) -> str:
        await submit_many(ground, client, "faults.until", 1, path="/nowhere/at/all")
        host.process.terminate()
        code = ""
        while not code:
            try:
                await submit_many(ground, client, "faults.quick", 1)
            except TrunnionError as error:
                code = error.info.code
            await asyncio.sleep(0)
        return code

    assert ground.talk(late) == "unavailable"
    assert host.process.wait(10) == 0
    ground.judged()


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
import os, pathlib, signal, sys

def dies(self, text, **options):
    self.touch()
    os.kill(os.getpid(), signal.SIGKILL)

pathlib.Path.write_text = dies
from trunnion.launcher.main import main
main()
"""


def test_a4_killed_before_it_has_a_name(ground: Ground) -> None:
    """Killed between making the file with its id and filling it, the next host still has an id."""
    command = [sys.executable, "-c", DIES_WRITING, *ground.command("up")[3:]]
    died = subprocess.run(command, check=False, env=ground.environment(), capture_output=True)
    assert died.returncode == -signal.SIGKILL, died
    host = ground.up()
    assert len((ground.data / "host_id").read_text().strip()) == 36
    assert host.stop() == 0
