"""SIGHUP to a real host: what is new in the file is there, and what is wrong with it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

PATIENCE = 20

CONFIG = """
[host]
data_dir = "data"
[plugins]
only = ["scripts"]
[executor]
cancel_grace = 0.3
[scripts.hello]
run = ["echo", "hello"]
"""


@pytest.fixture
def up(place) -> subprocess.Popen:
    place.config.write_text(CONFIG)
    return place.up()


def rewrite(place, text: str) -> None:
    partial = place.root / "partial"
    partial.write_text(text)
    partial.replace(place.config)


def told(place, code: str) -> str:
    """What the host's log tells under a code, once it does."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        page = place.json("query", "--json", "log.query", "--limit", "1000")
        found = [line["text"] for line in page["items"] if line["data"]["logger"] == code]
        if found:
            return found[-1]
    pytest.fail(f"nothing was told of {code}")


def test_a_script_comes_and_goes_by_sighup(place, up: subprocess.Popen) -> None:
    rewrite(place, CONFIG.replace("[scripts.hello]", "[scripts.bye]"))
    up.send_signal(signal.SIGHUP)
    assert "scripts.bye, scripts.hello" in told(place, "config.reloaded")
    assert "hello" in place.run("run", "scripts.bye").out
    assert place.run("run", "scripts.hello").code == 5
    assert up.poll() is None


def test_what_is_wrong_is_told_and_changes_nothing(place, up: subprocess.Popen) -> None:
    rewrite(place, CONFIG + 'rum = ["x"]\n')
    up.send_signal(signal.SIGHUP)
    text = told(place, "config.refused")
    assert f"{place.config}:10: scripts.hello.rum: unknown key; did you mean 'run'?" in text
    done = place.run("run", "host.reload")
    assert done.code == 12
    assert "scripts.hello.rum: unknown key; did you mean 'run'?" in done.err
    assert "hello" in place.run("run", "scripts.hello").out


def test_the_command_reloads_and_show_tells_what_waits(place, up: subprocess.Popen) -> None:
    rewrite(place, CONFIG.replace("cancel_grace = 0.3", 'cancel_grace = 0.4\ndefault_lock = "one"'))
    assert place.json("run", "--json", "host.reload")["result"] == {
        "changed": ["executor.cancel_grace", "executor.default_lock"],
        "live": ["executor.cancel_grace"],
        "restart": ["executor.default_lock"],
    }
    lines = place.run("config", "show").out.splitlines()
    assert "executor.cancel_grace\t0.4\tfile\tlive" in lines
    assert 'executor.default_lock\t"{command_id}"\tdefault\trestart: "one"' in lines
    assert place.json("query", "--json", "host.status")["config"]["pending_restart"] == ["executor.default_lock"]


def test_a_terminal_that_closes_ends_the_host_in_its_foreground(place) -> None:
    """Defence: after a hang-up no terminal is open any more, which tells it from ``kill -HUP``."""
    place.config.write_text(CONFIG)
    on_terminal = place.spawn("up")
    on_terminal.expect("is up on")
    rewrite(place, CONFIG.replace("[scripts.hello]", "[scripts.bye]"))
    os.kill(on_terminal.pid, signal.SIGHUP)
    told(place, "config.reloaded")
    # Through the object that owns the descriptor: closed behind its back, it would be closed once more with it,
    # when the number has long been another's.
    on_terminal.ptyproc.fileobj.close()
    until = time.monotonic() + PATIENCE
    while on_terminal.isalive() and time.monotonic() < until:
        time.sleep(0.01)
    on_terminal.kill(signal.SIGKILL)
    assert on_terminal.exitstatus == 0


def line_with(process: subprocess.Popen, text: str) -> str:
    """What the terminal of ``trunnion up`` shows, up to the line with a text."""
    for line in process.stderr:
        if text in line:
            return line
    pytest.fail(f"the host ended and never said {text!r}")


def test_the_terminal_of_the_host_shows_what_came_of_it(place, up: subprocess.Popen) -> None:
    """Defence: whoever sends a signal gets no other answer."""
    rewrite(place, CONFIG.replace("cancel_grace", "cancel_grave"))
    up.send_signal(signal.SIGHUP)
    assert "did you mean 'cancel_grace'?" in line_with(up, "the configuration stays as it is")
    rewrite(place, CONFIG.replace("0.3", "0.4"))
    up.send_signal(signal.SIGHUP)
    assert "changed: executor.cancel_grace" in line_with(up, "the configuration was read again")


def test_a_misspelt_door_is_told_at_the_start_at_a_reload_and_by_check(place) -> None:
    """Defence: it opens nothing, and nobody would know why. It is no error: its plugin may be elsewhere."""
    place.config.write_text(CONFIG + '[access.expose]\n"hello.*" = ["wbe", "web"]\n')
    said = "no door 'wbe' is known here; did you mean 'web'?"
    assert said in place.run("config", "check").err
    up = place.up()
    assert said in line_with(up, "doubtful")
    rewrite(place, CONFIG + '[access.withhold]\n"hello.*" = ["telegraph"]\n')
    up.send_signal(signal.SIGHUP)
    assert "'telegraph' is known here; known are agent" in line_with(up, "doubtful")
    refused = place.run("explain", "host.status", "--via", "wbe")
    assert (refused.code, "did you mean 'web'?" in refused.err) == (2, True)
    assert place.run("explain", "host.status", "--via", "telegraph").code == 0
    nobodys = "01890000-0000-7000-8000-000000000000"
    assert f"there is no run {nobodys!r}" in place.run("explain", nobodys).err
    assert f"there is no stream 'run/{nobodys}'" in place.run("explain", f"run/{nobodys}").err
    assert "there is no token 'nope'" in place.run("explain", "host.status", "--token", "nope").err


def test_a_plugin_that_fails_when_asked_refuses_but_does_not_end_the_start(place) -> None:
    """Defence: else the one message with the reason would be on a host that nobody can reach."""
    broken = "from trunnion import hookimpl\n@hookimpl\ndef trunnion_authorize(request):\n    raise OSError\n"
    (place.root / "plugins" / "gate.py").write_text(broken)
    place.config.write_text('[host]\ndata_dir = "data"\n[plugins]\ndir = ["plugins"]\nonly = ["gate"]\n')
    up = place.up()
    assert "its trunnion_authorize failed with OSError; the host's log has the traceback" in line_with(up, "gate")
    assert place.run("runs", "list").code == 4
    up.send_signal(signal.SIGTERM)
    assert up.wait(PATIENCE) == 0


def test_a_provider_that_could_not_be_opened_is_told_at_the_start(place) -> None:
    broken = """
from trunnion import Provider, hookimpl

async def open_bus(host):
    raise OSError("no bus")

@hookimpl
def trunnion_provides(settings):
    return [Provider(type=Exception, open=open_bus)]
"""
    (place.root / "plugins" / "bus.py").write_text(broken)
    place.config.write_text('[host]\ndata_dir = "data"\n[plugins]\ndir = ["plugins"]\nwithout = ["demo"]\n')
    assert line_with(place.up(), "plugin bus cannot provide").endswith("OSError: no bus\n")
