"""H2: code of a plugin keeps the loop from turning. It is named, and nobody else ever is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_kit import until
from plugins_kit import Broken

Figure = Callable[..., None]

BLOCKS = """
import asyncio, os, pathlib, time
from trunnion import Command, hookimpl
BEGAN = pathlib.Path(os.environ["TMPDIR"]).with_name("began")
async def nap(seconds: float) -> None:
    BEGAN.write_text(str(time.time()))
    time.sleep(seconds)  # this line
async def rest(seconds: float) -> None:
    await asyncio.sleep(seconds)
@hookimpl
def trunnion_commands():
    return [Command.of(nap, console="sleeper"), Command.of(rest, console="sleeper")]
"""
LINE = 1 + BLOCKS.splitlines().index("    time.sleep(seconds)  # this line")
SOUND = """
from trunnion import Command, hookimpl
def greet(name: str) -> str:
    return f"hello {name}"
@hookimpl
def trunnion_commands():
    return [Command.of(greet, console="sound")]
"""


@pytest.fixture
def broken(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broken]:
    ground = Broken(tmp_path, request.node.name)
    ground.plugins({"sleeper": BLOCKS, "sound": SOUND})
    yield ground
    ground.close()


def blocks(ground: Broken) -> list[dict[str, object]]:
    """Lines about a blocked loop in the host's log file."""
    lines = map(json.loads, (ground.data / "logs" / "host.jsonl").read_text().splitlines())
    return [line for line in lines if line["logger"] == "loop.blocked"]


def named(ground: Broken) -> list[dict[str, object]]:
    return [line for line in blocks(ground) if "plugin '" in str(line["text"])]


def test_h2_who_blocks_the_loop_is_named_with_file_and_line_while_it_lasts(broken: Broken, figure: Figure) -> None:
    """Health is answered by another process meanwhile: it knows who holds the data, and reads the store beside it."""
    host = broken.up()
    client = subprocess.Popen(
        broken.command("run", "sleeper.nap", "30"), env=broken.environment(), stdout=subprocess.DEVNULL
    )
    try:
        (line, *_) = until(lambda: named(broken), "it is named")
        after = float(str(line["ts"])) / 1e6 - float((broken.root / "began").read_text())
        place = f"{broken.folder / 'sleeper.py'}:{LINE} in nap"
        assert f"plugin 'sleeper' at {place}, sleeper.nap (run " in str(line["text"])
        figure("seconds until it was named", round(after, 3))
        assert after < 5, "1 s where the machine is not crowded"
        health = broken.run("doctor")
        assert f"process {host.pid} holds the lock and does not answer; its log says: " in health.stdout, health.stderr
        assert place in health.stdout
        assert client.poll() is None, "it still lasts"
    finally:
        client.kill()
        client.wait()
        host.kill()


def test_h2_afterwards_it_is_counted(broken: Broken) -> None:
    host = broken.up()
    assert "trouble" not in broken.run("plugins").stdout
    done = broken.run("run", "sleeper.nap", "1.5")
    assert done.returncode == 0, done.stderr
    shown = until(lambda: "trouble" in (said := broken.run("plugins").stdout) and said, "the plugin has its trouble")
    assert "blocked 1: kept the loop from turning" in " ".join(shown.split())
    records = json.loads(broken.run("plugins", "--json").stdout)
    counts = {record["id"]: record.get("trouble", {}).get("blocked", 0) for record in records}
    assert {name for name, count in counts.items() if count} == {"sleeper"}
    assert host.stop() == 0


@pytest.mark.alone
def test_h2_without_the_fault_nobody_is_named(broken: Broken, figure: Figure) -> None:
    host = broken.up()
    for _ in range(3):
        assert broken.run("run", "sleeper.rest", "0.3").returncode == 0
        assert broken.run("run", "sound.greet", "Ada").returncode == 0
    assert named(broken) == []
    figure("named", 0)
    assert host.stop() == 0


def test_h2_without_the_defence_nobody_is_named(broken: Broken) -> None:
    broken.config.write_text(broken.config.read_text() + "[host]\nlag_limit = 0\n")
    host = broken.up()
    assert broken.run("run", "sleeper.nap", "1").returncode == 0
    assert blocks(broken) == []
    assert host.stop() == 0


@pytest.mark.alone
def test_h2_a_host_that_was_stopped_blames_nobody(broken: Broken) -> None:
    host = broken.up()
    for _ in range(3):
        os.kill(host.pid, signal.SIGSTOP)
        time.sleep(0.5)  # the fault itself
        os.kill(host.pid, signal.SIGCONT)
        assert broken.run("run", "sleeper.rest", "0.01").returncode == 0
    assert named(broken) == []
    assert host.stop() == 0


STAYS = """
import asyncio
from trunnion import Daemon, hookimpl
async def stay(host, ready):
    ready()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
@hookimpl
def trunnion_daemons():
    return [Daemon(name="stays", run=stay)]
"""


def test_h4_a_plugin_that_hangs_at_the_end_is_left_behind(broken: Broken, figure: Figure) -> None:
    broken.plugins({"stays": STAYS})
    host = broken.up()
    began = time.monotonic()
    assert host.stop() == 0
    figure("seconds to the end", round(time.monotonic() - began, 1))
    log = (broken.data / "logs" / "host.jsonl").read_text()
    assert "stays" in log, "it is named"
