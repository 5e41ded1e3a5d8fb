"""A client that stays finds the host that runs, or has one started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from behind_kit import CONFIG, GRACE, asleep, others, submit, until_stopping

from trunnion.launcher.behind import HostBehind
from trunnion.launcher.joining import begin, reach
from trunnion.launcher.options import Options
from trunnion.model.errors import Conflict


async def test_a_host_that_runs_is_joined_and_another_is_started_where_none_does(here):
    started = await reach(Options(), "missing")
    assert started is not None
    assert await reach(Options(), "missing") is None
    with pytest.raises(Conflict, match="held by process"):
        await reach(Options(), "always")
    with pytest.raises(Conflict, match="so --only has no effect"):
        await reach(Options(only=("demo",)), "missing")
    await started.stop()
    again = await reach(Options(), "always")
    assert again is not None
    await again.stop()


async def test_of_several_that_start_at_once_one_starts_and_the_others_join(here):
    """Defence: a start that is refused because of another one is no failure but a host to join."""
    reached = await asyncio.gather(*[reach(Options(), "missing") for _ in range(3)])
    [host] = [behind for behind in reached if behind is not None]
    await host.stop()


async def test_one_that_stops_is_waited_for(here, tmp_path):
    here.config.write_text(CONFIG.replace(f"shutdown_grace = {GRACE}", "shutdown_grace = 20"))
    first = await HostBehind.start(Options())
    client, run = await submit(first, "demo.nap", until=str(tmp_path / "go"))
    async with client:
        await asleep(client, run)
        stopping = asyncio.create_task(first.stop())
        await until_stopping(client)
    (tmp_path / "go").touch()
    first.socket.unlink()  # what a host does last but one: it is not there to be joined, and still holds the directory
    second = await reach(Options(), "missing")
    assert second is not None
    await stopping
    await second.stop()


async def test_a_host_that_is_to_be_there_is_not_started(here):
    assert begin(Options(), "never") is None
    assert await reach(Options(), "never") is None
    assert not others(here)


async def test_one_that_is_begun_early_is_waited_for_and_one_that_runs_is_seen_at_once(here):
    begun = begin(Options(), "missing")
    host = await reach(Options(), "missing", begun=begun)
    assert host is begun is not None
    assert begin(Options(), "missing") is None
    with pytest.raises(Conflict, match="a host is running on this data directory"):
        begin(Options(), "always")
    await host.stop()


# -- shells that share a host ---------------------------------------------------------------------

SHELLS = """
[host]
data_dir = "data"
[plugins]
dir = ["plugins"]
only = ["demo", "tty"]
[executor]
cancel_grace = 0.2
shutdown_grace = 0.2
"""


@pytest.mark.parametrize(("line", "said"), [("demo.greet Ada", "hello Ada"), ("demo.count --n 3", '"n": 3')])
def test_shells_that_come_at_once_all_do_what_they_are_told(place, line, said):
    """Defence: each would start a host, one of them does, and it goes with its shell, whoever else has joined it."""
    place.config.write_text(SHELLS)
    shells = [place.popen("shell", "-c", line) for _ in range(3)]
    for shell in shells:
        out, err = shell.communicate(timeout=30)
        assert (shell.returncode, said in out) == (0, True), err


def test_a_host_that_dies_is_replaced_and_what_became_of_the_run_is_told(place):
    """Defence: ``minded``; else lines that nobody watches would wait for ever."""
    place.config.write_text(SHELLS)
    shell = place.popen("shell", "-c", "demo.nap")
    assert "asleep" in shell.stdout.readline()
    guest = place.popen("shell", "-c", "demo.nap")
    assert "asleep" in guest.stdout.readline()
    os.kill(place.json("query", "--json", "host.status")["pid"], signal.SIGKILL)
    for left in (shell, guest):
        _, err = left.communicate(timeout=20)
        assert (left.returncode, "interrupted" in err) == (11, True), err


def test_a_host_that_goes_and_does_not_come_back_ends_the_lines_that_need_it(place):
    place.config.write_text(SHELLS)
    host = place.up()
    patience = "import trunnion_tty.main as tty; tty.BATCH_PATIENCE = 0.3; "
    program = [sys.executable, "-c", patience + "from trunnion.launcher.main import main; main()"]
    words = [*program, "shell", "--no-start", "-c", "demo.nap"]
    guest = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=place.env)
    place.processes.append(guest)
    assert "asleep" in guest.stdout.readline()
    host.kill()
    _, err = guest.communicate(timeout=20)
    assert (guest.returncode, "is gone and has not come back for 0.3 s" in err) == (9, True), err
