"""N2, N3: text that acts on the terminal it is shown on, or reads as something it is not."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pyte
import pytest
from faults_kit import PATIENCE, Ground, until
from terminal_kit import NASTY

from trunnion.model.names import is_dotted, is_stream_name
from trunnion.model.runs import Invocation
from trunnion.rendering import visible

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
DRAWN = ("\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[K", "\x1b[1A", "\r")
"""What the launcher's own bar of progress is drawn with."""
HERE = Path(__file__).parent


@pytest.fixture
def nasty(ground: Ground) -> Ground:
    place = ground.root / "nasty.json"
    place.write_text(json.dumps(list(NASTY.values())))
    ground.only = "terminal"
    ground.up(NASTY=str(place))
    return ground


LAUNCHER = "from trunnion.launcher.main import main; main()"
BARE = "from trunnion.rendering import neutral; neutral.visible = lambda text: text; " + LAUNCHER


def words(ground: Ground, *args: str, program: str = LAUNCHER) -> list[str]:
    return [sys.executable, "-c", program, "--data-dir", str(ground.data), *args]


def seen(ground: Ground, *args: str, program: str = LAUNCHER) -> str:
    """What a terminal is given by the launcher."""
    command, *rest = words(ground, *args, program=program)
    environment = {**ground.environment(), "TERM": "xterm-256color", "COLUMNS": "200"}
    terminal = pexpect.spawn(command, rest, env=environment, dimensions=(50, 200), timeout=PATIENCE, encoding="utf-8")
    try:
        return str(terminal.read())
    finally:
        terminal.close()


ACTS = ("set_title", "set_icon_name", "reset", "set_margins", "shift_out", "bell", "report_device_status",
        "report_device_attributes", "define_charset", "cursor_position", "cursor_up", "set_mode", "reset_mode",
        "erase_in_display")  # fmt: skip


class Model(pyte.Screen):
    """A terminal that keeps account of what is done to it beside showing text in colours."""

    def __init__(self) -> None:
        self.done: list[str] = []
        for name in ACTS:
            setattr(self, name, self._told(name))
        super().__init__(200, 50)
        self.done.clear()

    def _told(self, name: str) -> Callable[..., None]:
        act = getattr(super(), name)

        def tell(*args: object, **options: object) -> None:
            self.done.append(name)
            if name in ("reset", "set_mode"):  # of these a terminal is made
                act(*args, **options)

        return tell


def acted(said: str) -> list[str]:
    """What some output does to a terminal beside showing text."""
    for own in DRAWN:
        said = said.replace(own, "")
    found = [name for name, text in NASTY.items() if text in said and text not in DRAWN and not text.startswith("\r")]
    rest = COLOUR.sub("", said)
    found += sorted({f"{ord(c):#04x}" for c in rest if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"})
    model = Model()
    pyte.Stream(model).feed(said.replace("\n", "\r\n"))
    return found + model.done


async def _run(client: object) -> str:
    run = await client.run(Invocation(command_id="terminal.speak", labels={"x": "\x1b]0;owned\x07"}))  # type: ignore[attr-defined]
    return str(run.id)


def test_n2_terminal_codes_are_shown_and_not_obeyed(nasty: Ground, figure: Callable[..., None]) -> None:
    """In output, errors, names, titles and results, by every subcommand that shows them."""
    run = nasty.talk(_run)
    looks = (
        ("run", "terminal.speak"),
        ("run", "terminal.fail"),
        ("run", "terminal.described", "--help"),
        ("run", "terminal.\x1b]0;owned\x07"),
        ("follow", f"run/{run}"),
        ("runs", "show", run),
        ("runs", "list"),
        ("runs", "export", run),
        ("query", "runs.get", run),
        ("query", "runs.artifacts", run),
        ("query", "runs.get", "\x1b[2J"),
        ("meta",),
    )
    for look in looks:
        said = seen(nasty, *look)
        assert acted(said) == [], (look, said[:2000])
    figure("codes", len(NASTY))
    figure("ways to look", len(looks))
    figure("changes of state beside colour", 0)


def test_n2_in_the_store_they_are_as_they_came(nasty: Ground) -> None:
    run = nasty.talk(_run)
    done = subprocess.run(
        words(nasty, "runs", "export", run), check=True, capture_output=True, env=nasty.environment(), timeout=PATIENCE
    )
    texts = "".join(json.loads(line).get("text", "") for line in done.stdout.decode().splitlines())
    assert [name for name, text in NASTY.items() if text not in texts] == []


def test_n2_without_the_fault_colour_passes() -> None:
    assert acted(visible("\x1b[1;31mred\x1b[0m and \x1b[38;5;82mgreen\x1b[0m\n")) == []
    assert "\x1b[1;31m" in visible("\x1b[1;31mred")


def test_n2_without_the_defence_they_are_obeyed(nasty: Ground) -> None:
    found = acted(seen(nasty, "run", "terminal.speak", program=BARE))
    assert {"title", "clipboard", "clear", "set_title", "report_device_status"} <= set(found)


@contextmanager
def multiplexer(ground: Ground) -> Iterator[Callable[..., str]]:
    """A terminal that is no model; what is called with words asks it something."""
    name = f"faults-{os.getpid()}"

    def ask(*args: str) -> str:
        command = ["tmux", "-L", name, "-f", "/dev/null", *args]
        environment = {**ground.environment(), "TERM": "xterm-256color", "TMUX_TMPDIR": str(ground.root)}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=30).stdout

    try:
        yield ask
    finally:
        ask("kill-server")


def in_a_multiplexer(ground: Ground, program: str) -> tuple[str, str, str]:
    """The title, what was typed by nobody, and the clipboard, after the launcher has shown it all."""
    typed, script = ground.root / "typed", ground.root / "script"
    shown = shlex.join(words(ground, "run", "terminal.speak", program=program))
    script.write_text(f"stty -echo -icanon min 0 time 10\n{shown}\ncat > {typed}\ntouch {ground.root}/over\ncat\n")
    with multiplexer(ground) as ask:
        ask("new-session", "-d", "-x", "200", "-y", "50", "-n", "faults", f"sh {script}")
        ask("set", "-g", "set-clipboard", "on")
        ask("select-pane", "-T", "untouched")
        until((ground.root / "over").exists, "the launcher has shown all")
        return ask("display-message", "-p", "#{pane_title}").strip(), typed.read_text(), ask("list-buffers").strip()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_n2_in_a_terminal_multiplexer(nasty: Ground) -> None:
    assert in_a_multiplexer(nasty, LAUNCHER) == ("untouched", "", "")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_n2_in_a_terminal_multiplexer_without_the_defence(nasty: Ground) -> None:
    title, typed, _ = in_a_multiplexer(nasty, BARE)
    assert title.startswith("owned")
    assert "\x1b[" in typed


# -- N3 ---------------------------------------------------------------------------------------------

TRICKS = [chr(code) for code in (0x00AD, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F),
                                 *range(0x2060, 0x2070), 0xFEFF, 0xFFF9, 0xE0001, 0xE0041, 0xE0101)]  # fmt: skip
"""Characters that turn text round, or are not seen at all."""


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: f"{ord(trick):04x}")
def test_n3_text_that_reads_as_something_else(trick: str) -> None:
    name = f"invoice{trick}exe.txt"
    assert not is_dotted(f"scripts.a{trick}b")
    assert not is_stream_name(f"run/a{trick}b")
    assert trick not in visible(name)
    assert f"{ord(trick):x}" in visible(name)


def test_n3_without_the_fault_languages_are_shown_as_they_are() -> None:
    hebrew, persian = "\u05e9\u05dc\u05d5\u05dd", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    for text in (hebrew, persian, "\U0001f469\u200d\U0001f4bb", "na\u00efve"):
        assert visible(text) == text


def test_n3_in_the_list_of_a_runs_files(ground: Ground) -> None:
    place = ground.root / "nasty.json"
    place.write_text(json.dumps(["\u202egpj.exe", "a\u200bb"]))
    ground.only = "terminal"
    ground.up(NASTY=str(place))
    run = ground.talk(_run)
    said = seen(ground, "query", "runs.artifacts", run) + seen(ground, "follow", f"run/{run}")
    assert "\\u202egpj.exe" in said
    assert "a\\u200bb" in said
    assert not set(said) & set(TRICKS)
