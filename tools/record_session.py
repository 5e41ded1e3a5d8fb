"""Types a session into a real shell on the quick-start host and keeps what the terminal showed: ``make screenshots``.

Writes ``docs/shell.cast`` (asciicast 2, for players of terminal recordings) and ``docs/shell.svg``, the same as a
moving picture. Nothing of it is made up: what is seen is what the shell wrote.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import NamedTuple

import pexpect
import pyte

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 92, 22
KEY = 0.045
"""Seconds between two keys."""

PATIENCE = 20.0
MOMENT = 0.04
"""Seconds for which something has to stand to be part of the picture."""

LINGER = 4.0
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 12
COLOURS = {
    "default": "#d0d0d0", "black": "#3a3a3a", "red": "#ff6b6b", "green": "#6bd968", "brown": "#e5c07b",
    "blue": "#6ca8ff", "magenta": "#d58bff", "cyan": "#5ad1d1", "white": "#f0f0f0",
    "brightblack": "#8a8a8a", "brightred": "#ff8787",
}  # fmt: skip
BACKGROUND = "#16181d"

SESSION: Sequence[tuple[str, str]] = (
    ("use gre\t", "greenhouse"),
    ("\r", "greenhouse>"),
    ("water ", "tomatoes"),
    ("roses ", "expected one of"),
    ("\x7f" * 6, "greenhouse>"),
    ("basil litres=3 pause=0.3\r", "succeeded"),
    ("water tomatoes 40 &\r", "[1]>"),
    ("!uname -s\r", "Linux"),
    ("jobs\r", "running"),
    ("jobs cancel 2\r", "cancelled after"),
    ("use .scripts\r", "scripts>"),
    ("checksum trunnion.toml nope\r", "failed after"),
    ("quit\r", ""),
)
"""What is typed, and what has to be on the screen before the next."""


class Piece(NamedTuple):
    """Some output, and when it came."""

    at: float
    text: str


def record() -> list[Piece]:
    """Type the session; returns all the terminal was given."""
    with tempfile.TemporaryDirectory(prefix="trunnion-session-") as folder:
        place = Path(folder) / "quickstart"
        shutil.copytree(ROOT / "examples/quickstart", place, ignore=shutil.ignore_patterns("data"))
        environ = {**os.environ, "HOME": folder, "TERM": "xterm-256color", "XDG_STATE_HOME": folder, "USER": "you"}
        environ = {k: v for k, v in environ.items() if not k.startswith(("TRUNNION", "NO_COLOR", "COV"))}
        program = "from trunnion.launcher.main import main; main()"
        shell = pexpect.spawn(
            sys.executable, ["-c", program, "shell"], cwd=str(place), env=environ, dimensions=(ROWS, COLUMNS),
            encoding="utf-8", timeout=PATIENCE,
        )  # fmt: skip
        try:
            return list(_typed(shell))
        finally:
            shell.close(force=True)


def _typed(shell: pexpect.spawn[str]) -> Iterator[Piece]:
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    began = time.monotonic()

    def read(until: str, least: float) -> Iterator[Piece]:
        deadline, quiet = time.monotonic() + PATIENCE, time.monotonic() + least
        while time.monotonic() < deadline:
            try:
                text = shell.read_nonblocking(65_536, timeout=0.03)
            except pexpect.TIMEOUT:
                text = ""
            except pexpect.EOF:
                return
            if text:
                stream.feed(text)
                yield Piece(time.monotonic() - began, text)
            if time.monotonic() >= quiet and until in "\n".join(screen.display):
                return
        raise SystemExit(f"{until!r} never came:\n" + "\n".join(screen.display))

    yield from read("trunnion>", 0.8)
    for keys, until in SESSION:
        for key in keys:
            shell.send(key)
            yield from read("", KEY)
        yield from read(until, 1.2)


def cast(pieces: Sequence[Piece]) -> str:
    """The recording as asciicast, version 2."""
    header = {
        "version": 2,
        "width": COLUMNS,
        "height": ROWS,
        "env": {"TERM": "xterm-256color"},
        "title": "trunnion shell",
    }
    return "".join(json.dumps(line) + "\n" for line in [header, *([round(p.at, 3), "o", p.text] for p in pieces)])


def picture(pieces: Sequence[Piece]) -> str:
    """The recording as one moving picture: each state of a line of the screen, shown in its time."""
    states, whole = _states(pieces)
    width, height = MARGIN * 2 + CELL_WIDTH * COLUMNS, MARGIN * 2 + CELL_HEIGHT * ROWS
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">',
        "<title>A session in the shell of Trunnion</title>",
        "<style>text{font:14px ui-monospace,Menlo,Consolas,monospace;white-space:pre}"
        f"g{{visibility:hidden;animation:{whole:.1f}s step-end infinite}}</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
    ]
    for number, (begin, end, drawn) in enumerate(states):
        first, last = 100 * begin / whole, 100 * end / whole
        parts.append(
            f"<style>@keyframes f{number}{{0%{{visibility:hidden}}{first:.2f}%{{visibility:visible}}"
            f'{last:.2f}%{{visibility:hidden}}}}</style><g style="animation-name:f{number}">{drawn}</g>'
        )
    return "\n".join([*parts, "</svg>\n"])


State = tuple[float, float, str]


def _states(pieces: Sequence[Piece]) -> tuple[list[State], float]:
    """What each line showed from when to when, and how long all takes; what stood for a moment only is left out."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    states: list[State] = []
    now: dict[int, tuple[float, str]] = {}
    for number, piece in enumerate(pieces):
        stream.feed(piece.text)
        after = pieces[number + 1].at if number + 1 < len(pieces) else piece.at + 1
        if after - piece.at > MOMENT:
            for y, drawn in enumerate([*map(partial(_row, screen), range(ROWS)), _cursor(screen)]):
                begun, before = now.get(y, (piece.at, ""))
                if before != drawn:
                    states += [(begun, piece.at, before)] if before else []
                    now[y] = (piece.at, drawn)
    end = pieces[-1].at + LINGER
    return [*states, *((begun, end, drawn) for begun, drawn in now.values() if drawn)], end + 0.1


def _row(screen: pyte.Screen, y: int) -> str:
    cells = [screen.buffer[y][column] for column in range(COLUMNS)]
    parts: list[str] = []
    x = 0
    while x < COLUMNS:
        end = x
        while end < COLUMNS and _look(cells[end]) == _look(cells[x]):
            end += 1
        parts += _run("".join(cell.data for cell in cells[x:end]), x, y, _look(cells[x]))
        x = end
    return "".join(parts)


def _cursor(screen: pyte.Screen) -> str:
    if screen.cursor.hidden:
        return ""
    left, top = MARGIN + screen.cursor.x * CELL_WIDTH, MARGIN + screen.cursor.y * CELL_HEIGHT
    return f'<rect x="{left:.1f}" y="{top}" width="{CELL_WIDTH}" height="{CELL_HEIGHT}" fill="#fff" opacity=".5"/>'


Look = tuple[str, str, bool, bool]


def _look(cell: pyte.screens.Char) -> Look:
    front, back = _colour(cell.fg, COLOURS["default"]), _colour(cell.bg, BACKGROUND)
    return (back, front, cell.bold, cell.italics) if cell.reverse else (front, back, cell.bold, cell.italics)


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return COLOURS.get(name) or f"#{name}"


def _run(text: str, x: int, y: int, look: Look) -> Iterator[str]:
    front, back, bold, italics = look
    left, top = MARGIN + x * CELL_WIDTH, MARGIN + y * CELL_HEIGHT
    if back != BACKGROUND:
        size = len(text) * CELL_WIDTH
        yield f'<rect x="{left:.1f}" y="{top}" width="{size:.1f}" height="{CELL_HEIGHT}" fill="{back}"/>'
    shown = text.rstrip()
    if not shown:
        return
    blanks = len(shown) - len(shown.lstrip())
    left += blanks * CELL_WIDTH
    shown = shown.lstrip()
    style = (' font-weight="bold"' if bold else "") + (' font-style="italic"' if italics else "")
    length = f' textLength="{len(shown) * CELL_WIDTH:.1f}"'
    yield f'<text x="{left:.1f}" y="{top + 13}" fill="{front}"{style}{length}>{escape(shown)}</text>'


def main() -> None:
    """Record, and write both files."""
    pieces = record()
    (ROOT / "docs/shell.cast").write_text(cast(pieces), encoding="utf-8")
    (ROOT / "docs/shell.svg").write_text(picture(pieces), encoding="utf-8")


if __name__ == "__main__":
    main()
