"""``trunnion up`` at a terminal hands over to the shell a plugin brings; and how subcommands of plugins are found."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from faults_kit import until

PROGRAM = [sys.executable, "-c", "from trunnion.launcher.main import main; main()"]

FRONT = """
import asyncio

import click

from trunnion import LazyCommand, hookimpl


@hookimpl
def trunnion_cli():
    return [LazyCommand(name="shell", help="A shell.", load=lambda: shell)]


@click.command()
@click.option("--mark", default="the default")
@click.pass_context
def shell(context, mark):
    from trunnion.launcher.options import BY_UP, options_of

    click.echo(f"{context.command_path}, {mark}, by up: {context.meta.get(BY_UP, False)}")
    return asyncio.run(stay(options_of(context)))


async def stay(options):
    from trunnion.launcher.behind import HostBehind

    behind = await HostBehind.start(options)
    click.echo(f"host {behind.pid} is behind")
    await asyncio.to_thread(input)
    await behind.stop()
    click.echo(behind.how)
    return 7
"""


@pytest.fixture
def shelled(place):
    (place.root / "plugins" / "front.py").write_text(FRONT)
    place.config.write_text('[host]\ndata_dir = "data"\n[plugins]\ndir = ["plugins"]\nonly = ["demo", "front"]\n')
    return place


def ended(terminal: pexpect.spawn) -> int:
    terminal.expect(pexpect.EOF)
    terminal.wait()
    return terminal.exitstatus


def test_up_at_a_terminal_is_the_shell_with_a_host_behind_it(shelled):
    terminal = shelled.spawn("--set", "log.level=debug", "up")
    terminal.expect("trunnion shell, the default, by up: True\r\n")
    terminal.expect(r"host (\d+) is behind")
    assert shelled.json("query", "--json", "host.status")["pid"] == int(terminal.match[1]) != terminal.pid
    assert 'log.level\t"debug"\t' in shelled.run("config", "show").out, "the options were handed on"
    terminal.sendline()
    terminal.expect("exit status 0")
    assert ended(terminal) == 7


def test_up_at_a_terminal_where_a_host_runs_is_refused(shelled):
    host = shelled.up()
    terminal = shelled.spawn("up")
    terminal.expect(f"error: .*held by process {host.pid}: one host at a time")
    assert ended(terminal) == 6


@pytest.mark.parametrize("words", [["up", "--no-shell"], ["--without", "front", "up"], ["--safe-mode", "up"]])
def test_up_without_a_shell_stays_in_the_foreground(shelled, words):
    shelled.config.write_text('[host]\ndata_dir = "data"\n[plugins]\ndir = ["plugins"]\nwithout = ["tty"]\n')
    terminal = shelled.spawn(*words)
    terminal.expect("is up on")
    assert shelled.json("query", "--json", "host.status")["pid"] == terminal.pid
    terminal.sendintr()
    terminal.expect("stopping: SIGINT")
    assert ended(terminal) == 0


@pytest.mark.parametrize("redirect", ["</dev/null", "| cat", "--json"])
def test_up_where_nobody_sits_opens_no_shell(shelled, redirect):
    call = f"exec {PROGRAM[0]} -c '{PROGRAM[2]}' up {redirect}"
    terminal = pexpect.spawn("sh", ["-c", call], env=shelled.env, cwd=str(shelled.root), timeout=20, encoding="utf-8")
    terminal.expect('is up on|"pid":')
    terminal.sendintr()
    ended(terminal)
    assert "is behind" not in terminal.before


def test_up_in_the_background_of_a_terminal_opens_no_shell(shelled):
    """Defence: a shell there would be stopped as soon as it touched the terminal, and the host never be up."""
    call = f"set -m; {PROGRAM[0]} -c '{PROGRAM[2]}' up & wait"
    terminal = pexpect.spawn("sh", ["-c", call], env=shelled.env, cwd=str(shelled.root), timeout=20, encoding="utf-8")
    terminal.expect("is up on")
    pid = shelled.json("query", "--json", "host.status")["pid"]
    subprocess.run(["kill", str(pid)], check=True)
    ended(terminal)


def test_a_shell_that_cannot_be_loaded_is_named_and_the_host_comes_up(shelled):
    front = shelled.root / "plugins" / "front.py"
    front.write_text(FRONT.replace("load=lambda: shell", "load=lambda: __import__('no_such_library')"))
    terminal = shelled.spawn("up")
    terminal.expect("no shell is opened: plugin 'front': its subcommand 'shell' cannot be loaded: ModuleNotFoundError")
    terminal.expect("is up on")
    terminal.kill(signal.SIGTERM)
    assert ended(terminal) == 0
    refused = shelled.run("shell")
    assert (refused.code, "No module named 'no_such_library'" in refused.err) == (1, True)


def test_the_real_shell_and_its_host_end_together(shelled):
    """Defence: the lifeline, as in the tests of it, here from the terminal's end."""
    shelled.config.write_text('[host]\ndata_dir = "data"\n[plugins]\ndir = ["plugins"]\nonly = ["demo", "tty"]\n')
    terminal = shelled.spawn("up")
    terminal.expect("try help")
    host = shelled.json("query", "--json", "host.status")["pid"]
    terminal.kill(signal.SIGKILL)
    terminal.wait()
    until(lambda: not Path(f"/proc/{host}").exists(), "the host ends")


# -- how it is found ------------------------------------------------------------------------------


def test_its_help_is_its_own(shelled):
    done = shelled.run("shell", "--help")
    assert (done.code, "--mark TEXT" in done.out) == (0, True)


def test_a_wrong_word_is_told_with_the_nearest(shelled):
    done = shelled.run("shel")
    assert done.code == 2
    assert done.err == "error: there is no subcommand 'shel'; did you mean shell? (see trunnion --help)\n"


def test_a_plugin_that_is_broken_is_named_where_a_word_is_not_found(shelled):
    shelled.config.write_text('[host]\ndata_dir = "data"\n[plugins]\ndir = ["plugins"]\nwithout = ["tty"]\n')
    (shelled.root / "plugins" / "front.py").write_text("import no_such_library")
    done = shelled.run("shell")
    assert done.code == 2
    assert "no subcommand 'shell'; plugin front is broken: plugin 'front' at import: ModuleNotFoundError" in done.err


@pytest.mark.parametrize("words", [["--without", "front"], ["--only", "demo"], ["--safe-mode"]])
def test_a_plugin_that_is_not_selected_brings_nothing_and_is_not_imported(shelled, words):
    (shelled.root / "plugins" / "front.py").write_text("import os\nos._exit(99)")
    done = shelled.run(*words, "shell")
    assert (done.code, "there is no subcommand 'shell'" in done.err) == (2, True)
    assert shelled.run("shell", env={"TRUNNION_PLUGINS": "demo"}).code == 2


def test_of_two_with_one_name_the_first_plugin_by_name_has_it(shelled):
    shelled.config.write_text('[host]\ndata_dir = "data"\n[plugins]\ndir = ["plugins"]\nwithout = ["tty"]\n')
    for name in ("zebra", "ant"):
        other = FRONT.replace("--mark", f"--{name}").replace("context, mark", f"context, {name}")
        (shelled.root / "plugins" / f"{name}.py").write_text(other)
    assert "--ant" in shelled.run("shell", "--help").out


def test_a_configuration_that_cannot_be_read_is_told_and_not_hidden(shelled):
    """Defence: else the plugin would seem not to be there; a word that is nearly one of the host's is told as that."""
    shelled.config.write_text("this is no TOML")
    done = shelled.run("shell")
    assert (done.code, f"{shelled.config}:1:" in done.err) == (12, True)
    done = shelled.run("rnu")
    assert (done.code, "did you mean run" in done.err) == (2, True)


def test_what_is_no_command_is_refused_with_its_plugin(shelled):
    (shelled.root / "plugins" / "front.py").write_text(FRONT.replace("load=lambda: shell", "load=lambda: 7"))
    done = shelled.run("shell")
    assert done.code == 1
    assert "plugin 'front': its subcommand 'shell' is of type int, expected a click command" in done.err
