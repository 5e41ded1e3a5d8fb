"""N1, N2, N3: text that acts on the terminal, or reads as something it is not, wherever the shell shows text."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal_kit import NASTY
from tty_kit.place import LAUNCHER, Place, Shell

from trunnion.rendering import visible

OWN = re.compile(
    rb"\x1b\[[0-9;:]*m|\x1b\[\?(?:25|7|2004|12|1)[hl]|\x1b\[[0-9]{0,3}[ABCD]|\x1b\[[JK]|\x1b\[H\x1b\[2J|\r|\n|\t"
)
"""What prompts, menus and bars are drawn with."""
ONE_BACK = re.compile(rb"(?<!\x08)\x08(?!\x08)")
"""How prompt_toolkit goes one column back; what is tried here are several in a row."""
BARE = "from trunnion.rendering import neutral; neutral.visible = lambda text: text; "
"""Text is shown as it comes."""
TRICKS = {
    "turned round": "\u202egpj.exe",
    "nothing to see": "a\u200bb",
    "from the right": "\u200fabc",
    "tag": "\U000e0041",
}


@pytest.fixture
def hostile(make_place: Callable[..., Place], tmp_path: Path) -> Place:
    place = tmp_path / "nasty.json"
    place.write_text(json.dumps([*NASTY.values(), *TRICKS.values()]))
    return make_place("hostile", only=["hostile", "tty"], env={"NASTY": str(place)}).up()


def acted(shell: Shell) -> list[str]:
    """What was done to the terminal beside showing text in colours."""
    model, raw = shell.look(), bytes(shell.raw)
    left = OWN.sub(b"", ONE_BACK.sub(b"", raw)).decode()
    found = [f"{ord(c):#04x}" for c in left if c < " " or "\x7f" <= c <= "\x9f"]
    found += [name for name, trick in TRICKS.items() if trick in raw.decode()]
    found += [
        name for name, text in NASTY.items() if len(text) > 3 and not OWN.fullmatch(text.encode()) and text in left
    ]
    found += [f"title {title!r}" for title in model.title_set] + [f"typed {text!r}" for text in model.answers]
    return found + ["other screen"] * (b"\x1b[?1049h" in raw) + ["up"] * (b"\x1b[99A" in raw)


def look_everywhere(shell: Shell, place: Place) -> None:
    """Have all of it shown that a plugin has a say in."""
    until = place.root / "until"
    for line in (
        "hostile.speak",
        "hostile.fail",
        "hostile.told",
        "help hostile.described",
        "help",
        "hostile.described",
    ):
        shell.do(line)
    for line in (
        "jobs",
        "jobs --all",
        "jobs show 1",
        "jobs result 1",
        "jobs export 1",
        "jobs follow 1",
        "use hostile",
        "back",
    ):
        shell.do(line)
    shell.do(f"hostile.hold {until} &")
    shell.until("1 running")
    shell.until("50 %")
    until.touch()
    shell.until("hostile.hold succeeded")
    shell.do("hostile.ask", until="[y/N]")
    shell.key("enter")
    shell.ready()
    for line in ("hostile.plain ", "hostile.d", "jobs show "):
        shell.type(line)
        shell.until(lambda terminal, line=line: terminal.line.endswith(line))
        shell.key("tab", "tab", "tab")
        shell.until(lambda terminal: len(terminal.menu()) > 0)
        shell.key("c-c")
        shell.ready()
    shell.start("use hostile.place")
    shell.until(lambda terminal: terminal.line.endswith("$ "))
    shell.type("xyz")
    shell.until(lambda terminal: len(terminal.menu()) > 0)
    shell.key("tab", "tab")
    shell.until("owned^")
    shell.key("c-c")
    shell.until(lambda terminal: terminal.line.endswith("$ "))
    shell.enter("zzz")
    shell.until("error: ")
    shell.until(lambda terminal: terminal.line.endswith("$ "))
    shell.do_here("help")
    shell.do_here("back")
    shell.ready()


def test_n2_in_the_shell_codes_are_shown_and_not_obeyed(hostile: Place, figure: Callable[..., None]) -> None:
    shell = hostile.shell(size=(50, 200))
    look_everywhere(shell, hostile)
    assert acted(shell) == []
    shown = "\n".join(shell.lines())
    for number, text in enumerate(NASTY.values()):
        if "\r" not in text:
            assert f"<{number}{visible(text)}>" in shown
    figure("codes", len(NASTY))
    figure("changes of state beside colour", 0)


def test_n3_in_the_shell_what_is_not_seen_is_marked(hostile: Place) -> None:
    shell = hostile.shell(size=(50, 200))
    shell.do("hostile.speak")
    shell.do("help hostile.described")
    raw = bytes(shell.raw).decode()
    shown = "\n".join(shell.lines())
    for trick in TRICKS.values():
        assert trick not in raw
        assert visible(trick) in shown


def test_n2_in_a_shell_without_the_fault_only_colours_are_used(hosted: Place) -> None:
    shell = hosted.shell()
    shell.do("odd.levels")
    shell.type("odd.he")
    shell.until("odd.hello")
    assert acted(shell) == []


def test_n2_in_a_shell_without_the_defence_they_are_obeyed(hostile: Place) -> None:
    shell = hostile.shell(program=BARE + LAUNCHER, size=(50, 200))
    shell.until_raw(b"\x1b[?2004h")
    shell.enter("hostile.fail")
    shell.until_raw(b"owned")
    shell.until(lambda terminal: "title 'owned'" in acted(shell))


@pytest.mark.parametrize("mode", ["pipe", "plain"])
def test_n2_where_nothing_is_drawn(hostile: Place, mode: str) -> None:
    """At a terminal nothing acts either; a pipe is given what was said, as it was said."""
    if mode == "pipe":
        done = hostile.batch("-c", "hostile.speak")
        assert done.returncode == 0
        assert NASTY["title"] in done.stdout
        return
    shell = hostile.shell("--plain")
    shell.until(lambda terminal: terminal.line == "> ")
    shell.enter("hostile.speak")
    shell.until("succeeded")
    shell.enter("hostile.fail")
    shell.until("failed")
    assert acted(shell) == []
    assert b"\x1b" not in shell.raw


# -- what the person has typed, or a file holds ------------------------------------------------------


def test_n2_a_line_of_history_does_not_act(make_place: Callable[..., Place]) -> None:
    place = make_place()
    place.history.parent.mkdir(parents=True)
    place.history.write_text("".join(json.dumps(f"odd.hello '{text}'") + "\n" for text in NASTY.values()))
    shell = place.shell()
    shell.do("history 100")
    for _ in range(len(NASTY)):
        shell.key("up")
    shell.type("x")
    shell.key("c-c")
    shell.ready()
    assert acted(shell) == []


def test_n1_a_line_of_the_shells_own_is_one(hostile: Place) -> None:
    """Line ends in what a plugin says make no second line that looks as if the shell had said it."""
    shell = hostile.shell(size=(50, 200)).ready()
    shell.do("hostile.forge &", until="hostile.forge failed after")
    shell.ready()
    shell.do("hostile.forge")
    forged = [line for line in shell.lines() if re.match(r"\[9\] ffff|succeeded after 9 s", line)]
    assert not forged


# -- in a terminal that is no model ---------------------------------------------------------------------


@pytest.fixture
def multiplexer(tmp_path: Path) -> Iterator[Callable[..., str]]:
    name = f"shell-{os.getpid()}"

    def ask(*args: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-L", name, "-f", "/dev/null", *args]
        environment = {**os.environ, "TERM": "xterm-256color", "TMUX_TMPDIR": str(tmp_path), **(env or {})}
        environment.pop("TMUX", None)
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=30).stdout

    yield ask
    ask("kill-server")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
@pytest.mark.parametrize("program", [LAUNCHER, BARE + LAUNCHER], ids=["shown", "without_the_defence"])
def test_n2_in_a_shell_in_a_multiplexer(hostile: Place, multiplexer: Callable[..., str], program: str) -> None:
    hostile.env.pop("TMUX", None)
    command = shlex.join(hostile.command("shell", program=program))
    multiplexer("new-session", "-d", "-x", "200", "-y", "50", command, env=hostile.env)
    multiplexer("set", "-g", "set-clipboard", "on")
    multiplexer("select-pane", "-T", "untouched")
    watched(multiplexer, "trunnion>")
    multiplexer("send-keys", "hostile.speak", "Enter")
    if program == LAUNCHER:
        watched(multiplexer, "succeeded after")
        multiplexer("send-keys", "hostile.fail", "Enter")
        watched(multiplexer, "failed after")
        assert title(multiplexer) == "untouched"
        assert multiplexer("list-buffers").strip() == ""
        screen = watched(multiplexer, r"> *\n")
        assert "\\x1b" in screen
        prompts = [line for line in screen.split("\n") if "trunnion>" in line]
        assert prompts[-1].strip() == prompts[-1].split()[0], "nobody typed"
        return
    deadline = time.monotonic() + 20
    while not title(multiplexer).startswith("owned"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def title(ask: Callable[..., str]) -> str:
    return ask("display-message", "-p", "#{pane_title}").strip()


def watched(ask: Callable[..., str], pattern: str) -> str:
    deadline = time.monotonic() + 20
    while not re.search(pattern, screen := ask("capture-pane", "-p", "-S", "-2000")):
        assert time.monotonic() < deadline, screen
        time.sleep(0.05)
    return screen
