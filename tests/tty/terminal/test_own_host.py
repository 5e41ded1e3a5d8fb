"""A host that a shell has started, and that dies while much else changes."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tty_kit.place import Place, Shell

SLOW = """
import pathlib, time
while not (pathlib.Path(__file__).parent / "go").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place()


def kill(place: Place, shell: Shell) -> None:
    pid = place.talk(lambda client: client.query("host.status"))["pid"]  # type: ignore[index, call-overload]
    os.kill(int(str(pid)), signal.SIGKILL)
    shell.until("the host has ended, killed by SIGKILL")


def test_a_start_that_failed_is_tried_again_with_the_next_line(place: Place) -> None:
    """Defence: ``_again`` puts back what it took away; the shell waited for ever for somebody else to start one."""
    shell = place.shell().ready()
    kill(place, shell)
    good = place.config.read_text()
    place.config.write_text(good + "\n[tty]\n")
    assert "trunnion.toml" in shell.do("odd.hello")
    place.config.write_text(good)
    assert "hello you" in shell.do("odd.hello")


def test_it_is_found_again_whatever_the_configuration_says_by_then(place: Place) -> None:
    """Defence: the data directory is said when the shell begins."""
    shell = place.shell().ready()
    kill(place, shell)
    place.config.write_text(place.config.read_text().replace('data_dir = "data"', 'data_dir = "other"'))
    assert "hello you" in shell.do("odd.hello")
    assert not (place.root / "other").exists()


def test_ctrl_c_gives_up_a_start_that_takes_long(place: Place, tmp_path: Path) -> None:
    """Defence: the start is waited for as all else is; for half a minute nothing could be typed."""
    shell = place.shell().ready()
    kill(place, shell)
    (tmp_path / "slow.py").write_text(SLOW)
    text = place.config.read_text()
    place.config.write_text(text.replace("dir = [", f'dir = ["{tmp_path}", ').replace("only = [", 'only = ["slow", '))
    shell.start("odd.hello")
    shell.until("starting the host again")
    shell.key("c-c")
    shell.until("the host was not started")
    shell.ready()
    (tmp_path / "go").touch()
    assert "hello you" in shell.do("odd.hello")


def test_plugins_that_do_nothing_and_what_the_host_said_as_it_started_are_told(place: Place, tmp_path: Path) -> None:
    """Defence: the bar of the shell is all there is to be seen of a host that it has started behind itself."""
    (tmp_path / "gear.py").write_text("from trunnion import nothing_of_this_name\n")
    (tmp_path / "lamp.py").write_text(
        "from trunnion import Console, hookimpl\n\n\n@hookimpl\ndef trunnion_consoles():\n"
        '    return [Console(path="lamp", on_enter="lamp.not_there")]\n'
    )
    text = place.config.read_text().replace("only = ['odd', 'tty']", 'without = ["hostile"]')
    place.config.write_text(text.replace("dir = [", f'dir = ["{tmp_path}", '))
    shell = place.shell()
    shown = shell.until(re.compile(r"host: the console 'lamp' of lamp names 'lamp\.not_there'"))
    assert "host: plugin gear is broken: at import: ImportError: cannot import name 'nothing_of_this_name'" in shown
    assert "lamp" not in place.shell().until("host: plugin gear is broken"), "only once, to whoever started the host"


def test_an_alias_named_like_a_word_of_the_shell_is_said_not_to_be_used(place: Place) -> None:
    text = place.config.read_text()
    place.config.write_text(text.replace("aliases = {", 'aliases = { jobs = "odd.hello", '))
    shell = place.shell().ready()
    assert "[tty.aliases] jobs is not used: it is a word of the shell itself" in shell.text()
    assert "hello" not in shell.do("jobs")


@pytest.mark.parametrize("waiting", ["", "wait", "jobs follow"])
def test_a_host_that_dies_under_a_run_that_is_waited_for_is_started_again(place: Place, waiting: str) -> None:
    """Defence: ``awaited``. There is no next line that starts it as long as the run is waited for."""
    shell = place.shell().ready()
    shell.start("odd.nap &" if waiting else "odd.nap")
    shell.until("asleep")
    if waiting:
        shell.ready()
        shell.start(waiting)
        shell.until(lambda terminal: "> " not in terminal.line)
    kill(place, shell)
    shown = shell.ready().text()
    assert "the next line" not in shown
    assert "start one with" not in shown, "one is being started"
    assert "odd.nap was interrupted: the host stopped while it was running" in shown.replace("\n", "")


def test_one_that_cannot_be_started_again_says_so_and_the_prompt_is_to_be_had(place: Place) -> None:
    shell = place.shell().ready()
    shell.start("odd.nap")
    shell.until("asleep")
    good = place.config.read_text()
    place.config.write_text(good + "\n[tty]\n")
    kill(place, shell)
    shell.until("the host was not started: ")
    shell.key("c-z")
    shell.ready()
    place.config.write_text(good)
    shell.do("odd.hello", until="odd.nap interrupted after")
