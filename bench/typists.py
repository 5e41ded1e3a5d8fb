"""People at terminals: who types lines and waits for what comes, who asks for a flood, who types into one."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from bench.filling import blocks
from bench.harness import Effort, Figure
from bench.terminals import KILL_LINE, OVERLAP, PATIENCE, Terminal, cpu_of

DRAWN = b"\x1b[?7h"
"""Comes at the end of what prompt_toolkit draws."""

LEFT = b"\x1b[?2004l"
"""Comes when a line is done and the prompt is left."""

KEY_EVERY = 0.01
"""Seconds between a key and the next one."""

KEYS_OF_A_LINE, FEWEST_KEYS = 20, 3
FIRST_KEY = 0x4E00
"""No two keys are alike, and none is in any output: where one is shown it was typed."""


@contextmanager
def ready(terminal: Terminal, mark: bytes = DRAWN) -> Iterator[Terminal]:
    """A program that has drawn its prompt."""
    with terminal:
        terminal.until(mark)
        terminal.settle()
        yield terminal


class Said(msgspec.Struct):
    """One line: what is typed, what is typed then, and the mark of what that brings."""

    first: bytes
    then: bytes
    mark: bytes


class Typist:
    """Types lines into one program, again and again.

    Args:
        terminal: of the program.
        says: makes the line of a number.
        pids: those whose CPU counts.
        clear: whether something that nothing is offered for is typed behind each line, and waited for: what was open
            is closed by then, and is drawn anew when it opens.

    Attributes:
        walls: seconds from the last key of each line to its mark.
    """

    def __init__(
        self, terminal: Terminal, says: Callable[[int], Said], pids: Sequence[int], *, clear: bool = False
    ) -> None:
        self.walls: list[float] = []
        self._cpus: list[float] = []
        self._terminal = terminal
        self._says = says
        self._pids = pids
        self._clear = clear
        self._numbers = itertools.count()

    def once(self) -> None:
        """One line. The first is not counted: with it comes what is imported late."""
        number = next(self._numbers)
        said = self._says(number)
        cpu = sum(map(cpu_of, self._pids))
        if said.first:
            self._terminal.type(said.first)
        began = time.perf_counter()
        self._terminal.press(said.then)
        self._terminal.until(said.mark)
        wall = time.perf_counter() - began
        self._terminal.settle()
        if self._clear:
            self._terminal.type(KILL_LINE + chr(FIRST_KEY + number).encode())
        if number:
            self.walls.append(wall)
            self._cpus.append(sum(map(cpu_of, self._pids)) - cpu)

    def figure(self, effort: Effort) -> Figure:
        """Of a line: the median of each round's."""
        walls, cpus = blocks(self.walls, effort.typed_lines), blocks(self._cpus, effort.typed_lines)
        return Figure(tuple(map(statistics.median, walls)), tuple(map(statistics.median, cpus)))


def in_turn(typists: Sequence[Typist], effort: Effort) -> list[Figure]:
    """A line each, one after the other, so that what disturbs one disturbs its neighbour too."""
    for number in range(1 + effort.rounds * effort.typed_lines):
        for typist in typists if number % 2 == 0 else reversed(typists):
            typist.once()
    return [typist.figure(effort) for typist in typists]


class Flood:
    """A line that brings a great many, again and again.

    Args:
        terminal: of the program.
        line: what is typed.
        mark: stands in the last one that comes.
        pids: those whose CPU counts.
        enter: ends the line.
    """

    def __init__(self, terminal: Terminal, line: str, mark: bytes, pids: Sequence[int], enter: bytes = b"\r") -> None:
        self._terminal = terminal
        self._line = line
        self._mark = mark
        self._pids = pids
        self._enter = enter
        self._taken: list[tuple[float, float]] = []

    def once(self) -> None:
        """From Enter to the last line."""
        self._terminal.type(self._line.encode())
        cpu, began = sum(map(cpu_of, self._pids)), time.perf_counter()
        self._terminal.press(self._enter)
        self._terminal.until(self._mark)
        self._taken.append((time.perf_counter() - began, sum(map(cpu_of, self._pids)) - cpu))
        self._terminal.settle()

    def figure(self, lines: int) -> Figure:
        """Of one of the lines that come; the first time is not counted."""
        taken = self._taken[1:]
        return Figure(tuple(wall / lines for wall, _ in taken), tuple(cpu / lines for _, cpu in taken))


class Typing:
    """Keys into one program while it prints.

    Args:
        terminal: of the program.
        counted: what stands in each line that is shown.

    Attributes:
        echoes: seconds from each key to its echo.
        seconds: how long each flood took.
        shown: lines that were shown.
    """

    def __init__(self, terminal: Terminal, counted: bytes) -> None:
        self.echoes: list[float] = []
        self.seconds: list[float] = []
        self.shown = 0
        self._terminal = terminal
        self._counted = counted
        self._end = b""
        self._ended = 0.0
        self._keys = map(chr, itertools.count(FIRST_KEY))
        self._seen = b""

    def into(self, line: str, end: bytes, before: bytes) -> None:
        """Have lines come, and type until they have.

        Args:
            line: brings them.
            end: comes with the last one.
            before: typed at the beginning of each line of keys.
        """
        self._terminal.type(line.encode())
        self._seen, self._end, self._ended = b"", end, 0.0
        began = time.perf_counter()
        self._terminal.press(b"\r")
        self._until(LEFT)  # a key that comes together with Enter makes it part of what is pasted
        for number in itertools.count():
            if self._ended and number >= FEWEST_KEYS:
                break
            if number % KEYS_OF_A_LINE == 0:
                self._terminal.press(KILL_LINE + before)
            self._press(next(self._keys).encode())
        self.seconds.append(self._ended - began)

    def _press(self, key: bytes) -> None:
        """One key, and what comes until the next."""
        pressed = time.perf_counter()
        self._terminal.press(key)
        self._until(key)
        self.echoes.append(time.perf_counter() - pressed)
        while (left := pressed + KEY_EVERY - time.perf_counter()) > 0:
            self._shows(key, left)

    def _until(self, mark: bytes) -> None:
        while not self._shows(mark, PATIENCE):
            pass

    def _shows(self, mark: bytes, timeout: float) -> bool:
        """Look at what comes next; whether the mark is in it."""
        data = self._terminal.read(timeout)
        if not data and timeout == PATIENCE:
            raise TimeoutError(f"{mark!r} was not shown; the last was {self._seen!r}")
        counted = self._seen[len(self._seen) - len(self._counted) + 1 :] + data if self._counted else b""
        self.shown += counted.count(self._counted) if counted else 0
        self._seen = self._seen[-OVERLAP:] + data
        if not self._ended and self._end in self._seen:
            self._ended = time.perf_counter()
        return mark in self._seen
