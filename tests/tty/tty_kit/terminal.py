"""A program on a real terminal, and a model of what a person sees there.

The program has a pseudo-terminal of its own. A thread reads what it writes, always, so that it never waits for
whoever looks; the model is brought up to date when somebody does.
"""

from __future__ import annotations

import os
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pyte
from ptyprocess import PtyProcess

PATIENCE = 15.0
DRAWN = b"\x1b[?25h"
"""The end of each drawing of the prompt: the cursor is shown again."""
BRACKETS = ("\x1b[200~", "\x1b[201~")

KEYS = {
    "enter": "\r",
    "tab": "\t",
    "shift-tab": "\x1b[Z",
    "escape": "\x1b",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "end": "\x1b[F",
    "home": "\x1b[H",
    "alt-enter": "\x1b\r",
}


class Model(pyte.Screen):
    """The screen, and all lines that have left it at the top."""

    def __init__(self, columns: int, rows: int) -> None:
        self.gone: list[str] = []
        self.title_set: list[str] = []
        self.answers: list[str] = []
        super().__init__(columns, rows)

    def index(self) -> None:
        bottom = self.margins.bottom if self.margins else self.lines - 1
        if self.cursor.y == bottom and not (self.margins and self.margins.top):
            self.gone.append(self._row(0))
        super().index()

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """As terminals do it: what has no room at the top is kept, the cursor stays on its line."""
        lines, columns = lines or self.lines, columns or self.columns
        while self.lines > lines and self.cursor.y >= lines:
            self.gone.append(self._row(0))
            for row in range(self.lines - 1):
                self.buffer[row] = self.buffer[row + 1]
            self.buffer.pop(self.lines - 1)
            self.cursor.y -= 1
            self.lines -= 1
        self.lines = lines
        for row in [row for row in self.buffer if row >= lines]:
            self.buffer.pop(row)
        for line in self.buffer.values():
            for column in [column for column in line if column >= columns]:
                line.pop(column)
        self.columns = columns
        self.cursor.x = min(self.cursor.x, columns - 1)
        self.margins = None
        self.dirty.update(range(lines))

    def set_title(self, param: str) -> None:
        self.title_set.append(param)

    set_icon_name = set_title

    def write_process_input(self, data: str) -> None:
        self.answers.append(data)

    def _row(self, number: int) -> str:
        row, columns = self.buffer[number], range(self.columns)
        return "".join(row[column].data for column in columns).rstrip()

    @property
    def rows(self) -> list[str]:
        return [self._row(number) for number in range(self.lines)]


Wanted: TypeAlias = "str | re.Pattern[str] | Callable[[Terminal], object]"
"""What is waited for: some text, a pattern, or a condition."""


class Terminal:
    """One program on a terminal.

    Args:
        command: the program and its arguments.
        env: its environment.
        cwd: where it runs.
        size: rows and columns.

    Attributes:
        raw: all it wrote.
        model: the screen as it was when somebody last looked.
        checks: called after each drawing of the prompt, with the terminal.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, size: tuple[int, int] = (30, 100)
    ) -> None:
        self._child = PtyProcess.spawn(list(command), env=dict(env), cwd=str(cwd), dimensions=size)
        self._fd = self._child.fd
        self.pid = self._child.pid
        self.raw = bytearray()
        self.checks: list[Callable[[Terminal], None]] = []
        self.model = Model(size[1], size[0])
        self._stream = pyte.ByteStream(self.model)
        self._shown = 0
        self._over = False
        self._mark = 0
        self._news = threading.Condition()
        self._stop = os.eventfd(0)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        data = b"begun"
        while data:
            ready, _, _ = select.select([self._fd, self._stop], [], [])
            try:
                data = os.read(self._fd, 1 << 16) if self._fd in ready else b""
            except OSError:  # nobody has the other end open any more
                data = b""
            with self._news:
                self.raw += data
                self._over = not data
                self._news.notify_all()

    # -- the person -------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        """Type text, all of it at once."""
        self.send(text.encode())

    def send(self, data: bytes) -> None:
        """Send bytes as if they were typed."""
        while data:
            data = data[os.write(self._fd, data) :]

    def enter(self, line: str) -> None:
        """Type a line and Enter."""
        self.type(line + "\r")

    def key(self, *names: str) -> None:
        """Press keys: ``c-c``, ``enter``, ``up`` and so on."""
        for name in names:
            self.type(chr(ord(name[2].upper()) & 0x1F) if name.startswith("c-") else KEYS[name])

    def paste(self, text: str, *, bracketed: bool = True) -> None:
        """Paste, as a terminal does it: line ends become returns."""
        begin, end = BRACKETS if bracketed else ("", "")
        self.type(begin + text.replace("\n", "\r") + end)

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size; the program is told by SIGWINCH."""
        self.look()
        self.model.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    def pause(self) -> None:
        """Take nothing any more that the program writes."""
        os.eventfd_write(self._stop, 1)
        self._reader.join(PATIENCE)

    def hang_up(self) -> None:
        """Close the window: the program has no terminal any more."""
        self.pause()
        self._child.fileobj.close()

    # -- what is seen -----------------------------------------------------------------------------

    def look(self) -> Model:
        """The screen as it is now."""
        with self._news:
            new, self._shown = bytes(self.raw[self._shown :]), len(self.raw)
        self._feed(new)
        return self.model

    def menu(self) -> list[str]:
        """What stands below the line, without the bar."""
        model = self.look()
        below = [row.strip() for row in model.rows[model.cursor.y + 1 :]]
        return [row for row in below if row and not row.startswith("●")]

    def _feed(self, data: bytes) -> None:
        if not self.checks:
            self._stream.feed(data)
            return
        *drawn, rest = data.split(DRAWN)
        for piece in drawn:
            self._stream.feed(piece + DRAWN)
            for check in self.checks:
                check(self)
        self._stream.feed(rest)

    def screen(self) -> list[str]:
        """The lines of the screen, without blanks at their ends."""
        return self.look().rows

    def lines(self) -> list[str]:
        """All lines there ever were, those of the screen last."""
        screen = self.screen()
        return self.model.gone + screen

    def text(self) -> str:
        """What is to be seen since the last mark, the screen last."""
        return "\n".join(self.lines()[self._mark :])

    def mark(self) -> None:
        """From now on only what comes below the cursor's line counts for ``until`` and ``text``.

        Amid a drawing the cursor is anywhere, so the end of one is waited for, unless nothing is being drawn.
        """
        with self._news:
            self._news.wait_for(lambda: self.raw.endswith(DRAWN) or self._over, 0.2)
        model = self.look()
        self._mark = len(model.gone) + model.cursor.y + 1

    @property
    def line(self) -> str:
        """The line the cursor is in, up to the cursor; rows that are full to the edge go on in the next one."""
        return self.at_cursor(self.look())

    @staticmethod
    def at_cursor(model: Model) -> str:
        first = model.cursor.y
        while first > 0 and model.buffer[first - 1][model.columns - 1].data.strip():
            first -= 1
        rows = [(row, model.columns) for row in range(first, model.cursor.y)] + [(model.cursor.y, model.cursor.x)]
        return "".join(model.buffer[row][column].data for row, end in rows for column in range(end))

    def until(self, wanted: Wanted, patience: float = PATIENCE) -> str:
        """Wait until something is to be seen since the last mark, or a condition is met; returns the text then."""
        deadline = time.monotonic() + patience
        while True:
            with self._news:
                seen, over = len(self.raw), self._over
            text = self.text()
            if _is_there(wanted, text, self):
                return text
            assert not over, f"it ended before: {wanted}\n{text.rstrip()}"
            with self._news:
                # A condition may be met without anything being written, so it is looked at again soon.
                left = min(deadline - time.monotonic(), 0.02 if callable(wanted) else patience)
                self._news.wait_for(partial(self._goes_on_from, seen), left)
            assert time.monotonic() < deadline, f"not within {patience:g} s: {wanted}\n{text.rstrip()}"

    def until_raw(self, wanted: bytes, patience: float = PATIENCE, *, since: int = 0) -> int:
        """Wait until some bytes were written; quicker than ``until`` where there are many.

        Args:
            wanted: the bytes.
            patience: seconds to wait.
            since: a place in all that was written, before which they do not count.

        Returns:
            The place behind them.
        """
        where = -1

        def found() -> bool:
            nonlocal since, where
            where = self.raw.find(wanted, since)
            since = max(since, len(self.raw) - len(wanted))
            return where >= 0

        with self._news:
            there = self._news.wait_for(lambda: found() or self._over, patience)
        assert there and where >= 0, f"not within {patience:g} s: {wanted!r}"
        return where + len(wanted)

    def _goes_on_from(self, seen: int) -> bool:
        return len(self.raw) > seen or self._over

    # -- the end ----------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        os.kill(self.pid, number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for its end; its exit status, or minus the signal that killed it."""
        deadline = time.monotonic() + patience
        while self._child.isalive():
            assert time.monotonic() < deadline, f"it goes on:\n{self.text().rstrip()}"
            time.sleep(0.005)
        self._reader.join(PATIENCE)
        return -int(self._child.signalstatus) if self._child.signalstatus else int(self._child.exitstatus)

    def close(self) -> None:
        """Close the window, if it is open; the program has to end then."""
        if not self._child.fileobj.closed:
            self.hang_up()
            os.close(self._stop)
        try:
            self.wait()
        finally:
            if self._child.isalive():
                self._child.kill(signal.SIGKILL)
                self._child.wait()


def _is_there(wanted: Wanted, text: str, terminal: Terminal) -> bool:
    if isinstance(wanted, str):
        return wanted in text
    if isinstance(wanted, re.Pattern):
        return wanted.search(text) is not None
    return bool(wanted(terminal))
