"""Q1: a flood of output while somebody types; N9: more of it than is kept."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest
from tty_kit.place import LAUNCHER, Place, Shell
from tty_kit.terminal import Terminal

MILLION = 1_000_000
RATE = 10_000
"""Lines a second."""
LIMIT = 200
"""Lines a second that are shown of them; see the configuration of the place."""
TOLD = re.compile(r"│ … (\d+) lines more; jobs follow 1 shows all")
PROMPT = re.compile(r"^\w+@trunnion( \[\d\])?> ")
SENTENCE = "odd.hello 'the quick brown fox jumps over the lazy dog'"

STRAIGHT = (
    "from trunnion_tty.prompting import Prompt; "
    "Prompt.above = lambda self, text: (self.app.output.write_raw(text), self.app.output.flush()); "
)
"""Lines are written where the cursor happens to be."""


class Typist:
    """Types a sentence, key by key, again and again, and looks at each drawing of the prompt meanwhile.

    Attributes:
        checks: drawings looked at.
        corrupted: those where the line was not what was typed, as far as that had arrived.
        echoes: seconds from each key to when it was seen.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._typed = ""
        self._seen = 0
        self.checks = 0
        self.corrupted: list[str] = []
        self.echoes: list[float] = []
        shell.checks.append(self._look)

    def _look(self, terminal: Terminal) -> None:
        line = terminal.at_cursor(terminal.model)
        prompt = PROMPT.match(line)
        typed = line[prompt.end() :] if prompt else None
        self.checks += 1
        if typed is None or not self._typed.startswith(typed) or len(typed) < self._seen:
            self.corrupted.append(line)
        else:
            self._seen = len(typed)

    def begin(self, text: str) -> None:
        """Type the beginning of a line, and leave it there."""
        self._typed = text
        self._shell.type(text)

    def press(self, keys: int) -> None:
        """Press so many keys, each once the one before is seen."""
        for key in islice(cycle(SENTENCE), keys):
            if len(self._typed) == len(SENTENCE):
                self._clear()
            self._typed += key
            began = time.monotonic()
            self._shell.type(key)
            self._shell.until(lambda terminal: self._seen == len(self._typed) or self.corrupted)
            self.echoes.append(time.monotonic() - began)
            if self.corrupted:
                return
        self._clear()

    def _clear(self) -> None:
        self._typed, self._seen = "", 0
        self._shell.checks.remove(self._look)
        self._shell.key("c-c")
        self._shell.ready()
        self._shell.checks.append(self._look)


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


@pytest.fixture
def shell(place: Place) -> Shell:
    return place.shell().ready()


def flood(shell: Shell) -> None:
    shell.do(f"odd.flood 1000000 --rate {RATE} &", until="│ line 0 of the flood")


@pytest.mark.alone
def test_q1_the_line_is_whole_while_lines_rush_by(shell: Shell, rounds: int, figure: Callable[..., None]) -> None:
    flood(shell)
    shell.ready()
    began, typist = time.monotonic(), Typist(shell)
    typist.press(15 * rounds)
    shell.until(TOLD)  # once a second, however quickly the keys were seen
    took = time.monotonic() - began
    shell.checks.clear()
    assert not typist.corrupted, typist.corrupted[:5]
    shown = shell.lines()
    lines = [line for line in shown if re.match(r"[0-9a-f]{4}│ line \d+ of the flood$", line)]
    others = [line for line in shown if "of the flood" in line and line not in set(lines)]
    assert not others, others[:5]
    held = sum(int(n) for n in TOLD.findall("\n".join(shown)))
    assert len(lines) <= LIMIT * (took + 2)
    assert held > len(lines)
    assert p99(typist.echoes) < 0.25  # a machine that is busy with other things, too
    figure("checks of the prompt", typist.checks)
    figure("corrupted prompts", 0)
    figure("lines a second made", RATE)
    figure("lines a second shown", round(len(lines) / took))
    figure("echo of a key, p99", round(p99(typist.echoes) * 1000, 1), "ms")


def test_a_million_lines_are_shown_and_none_is_lost(place: Place, figure: Callable[..., None]) -> None:
    shell = place.shell().ready()
    began = time.monotonic()
    shell.enter(f"odd.flood {MILLION}")
    shell.until_raw(b"succeeded after", 120)
    took = time.monotonic() - began
    shown = re.findall(rb"^line (\d+) of the flood\r?$", bytes(shell.raw), re.MULTILINE)
    assert shown == [b"%d" % number for number in range(MILLION)]
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{shell.pid}/status").read_text())
    assert peak is not None
    assert int(peak[1]) < 200_000
    figure("lines", MILLION)
    figure("lines a second", round(MILLION / took))
    figure("memory of the shell at most", int(peak[1]) // 1024, "MB")


def test_ctrl_c_is_heard_amid_a_flood(place: Place) -> None:
    shell = place.shell().ready()
    shell.enter(f"odd.flood {MILLION}")
    shell.until_raw(b"line 50000 of")
    shell.key("c-c")
    began = time.monotonic()
    over = shell.until_raw(b"cancelled after")
    assert time.monotonic() - began < 5
    shell.until_raw(b"\x1b[?2004h", since=over)  # the next prompt


def test_q1_without_the_fault(shell: Shell, rounds: int) -> None:
    typist = Typist(shell)
    typist.press(3 * rounds)
    assert not typist.corrupted
    assert typist.checks >= 3 * rounds
    assert "lines more" not in shell.text()


def test_q1_without_the_defence_the_line_is_torn(place: Place) -> None:
    shell = place.shell(program=STRAIGHT + LAUNCHER).ready()
    flood(shell)
    typist = Typist(shell)
    typist.begin("odd")
    shell.until(lambda _: bool(typist.corrupted))  # with the next lines of the flood at the latest


def test_n9_in_the_shell_what_is_left_out_is_told(make_place: Callable[..., Place]) -> None:
    shell = make_place(most=1000).up().shell()
    shown = shell.do("odd.flood 5000", patience=30)
    numbers = [int(number) for number in re.findall(r"^line (\d+) of the flood$", shown, re.MULTILINE)]
    left_out = re.search(r"([\d,]+) lines \([\d,]+ bytes\) of output are left out here", shown.replace("\n", " "))
    assert left_out is not None
    assert (numbers[0], numbers[-1]) == (0, 4999)
    assert len(numbers) + int(left_out[1].replace(",", "")) == 5000
