"""A host never outlives whoever is in front of it, and nothing of the terminal reaches it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest
from behind_kit import FRONT, GRACE, front, others, submit
from faults_kit import tagged, until

from trunnion.launcher import lifeline
from trunnion.launcher.behind import HostBehind
from trunnion.launcher.options import Options
from trunnion.model.runs import Invocation


def test_when_the_one_in_front_is_killed_all_is_gone(here):
    """Defence: the lifeline; the host's own session keeps it from any other sign of that."""
    process, host = front(here)
    assert here.run("run", "--detach", "scripts.tree").code == 0
    until(lambda: sum("sleep 600" in words for words in tagged(here.tag).values()) >= 2, "the script runs")
    process.kill()
    process.wait()
    began = time.monotonic()
    until(lambda: not others(here), "all is gone", 10)
    assert time.monotonic() - began < GRACE + 0.3 + 1 + 1
    ended = json.loads(here.run("runs", "list", "--json").out)["items"][0]
    assert ended["status"] == "interrupted"
    assert str(host) not in here.run("doctor").out


def test_when_the_one_in_front_is_killed_a_loop_that_hangs_ends_too(here):
    """Defence: the thread of ``Lifeline``; nobody is left who could kill the host."""
    here.odd("import trunnion.launcher.lifeline as l; l.STUCK = 0.3")
    process, _ = front(here)
    unanswered = here.popen("run", "--detach", "odd.hang")
    until(Path("hanging").exists, "the loop hangs")
    unanswered.kill()
    process.kill()
    process.wait()
    until(lambda: not others(here), "all is gone", 5)
    words = (here.data / "logs" / "up.log").read_text()
    assert "this host kills itself" in words
    assert "in hang" in words


def test_a_host_that_is_killed_as_it_starts_by_its_front_is_gone_too(here):
    here.odd("open('importing', 'w').close(); import trunnion.launcher.lifeline as l; l.STUCK = 0.3; time.sleep(600)")
    process = subprocess.Popen([sys.executable, "-c", FRONT], stdout=subprocess.PIPE, env=here.env)
    here.processes.append(process)
    until(Path("importing").exists, "it starts")
    process.kill()
    process.wait()
    until(lambda: not others(here), "all is gone", 5)


def test_keys_of_the_terminal_do_not_reach_it(here):
    """Defence: ``start_new_session``; with the terminal's own session all three keys would."""
    terminal = pexpect.spawn(
        sys.executable, ["-c", FRONT], env=here.env, cwd=str(here.root), timeout=20, encoding="utf-8"
    )
    terminal.expect(r'"pid": (\d+)')
    host = int(terminal.match[1])
    for key, name in (("\x03", "SIGINT"), ("\x1a", "SIGTSTP"), ("\x1c", "SIGQUIT")):
        terminal.send(key)
        terminal.expect(name)
    status = here.json("query", "--json", "host.status")
    assert (status["pid"], status["draining"]) == (host, False)
    terminal.ptyproc.fileobj.close()  # the terminal closes: whoever is in front dies of it, and the host with it
    until(lambda: not others(here), "all is gone", 10)


async def test_nobody_inherits_the_lifeline(here):
    """Defence: it is closed in whatever the host, the keeper or a handler executes."""
    host = await HostBehind.start(Options())
    pipe = f"pipe:[{os.fstat(host._lifeline).st_ino}]"
    client, _ = await submit(host, "scripts.tree")
    async with client:
        await client.run(Invocation(command_id="odd.spawns"))
        while sum(words.startswith("sleep 600") for words in tagged(here.tag).values()) < 3:
            await asyncio.sleep(0.02)
    holders = {pid for pid in others(here) if pipe in opened(pid)}
    assert holders == {host.pid}
    assert len(others(here)) > 4, "the keeper and its programs were looked at"
    await host.stop()


def opened(pid: int) -> list[str]:
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def test_a_file_of_errors_that_grew_too_long_keeps_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(lifeline, "LONGEST", 1000)
    monkeypatch.setattr(lifeline, "KEPT", 10)
    file = os.open(tmp_path / "up.log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(file, b"x" * 1000)
    lifeline.cut(file)
    assert os.fstat(file).st_size == 1000
    os.write(file, b"the end.\n")
    lifeline.cut(file)
    os.write(file, b"more\n")
    assert (tmp_path / "up.log").read_bytes() == b"(999 bytes were here)\nxthe end.\nmore\n"
    os.close(file)


@pytest.mark.parametrize("number", ["0", "2", "77", "-1"])
def test_a_lifeline_that_is_none_is_refused(here, number):
    done = here.run("up", f"--lifeline={number}")
    assert (done.code, f"descriptor {number} is no pipe" in done.err) == (2, True)
