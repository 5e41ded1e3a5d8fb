"""A batch of events reaches the display in as few pieces as it has parts: a flood is paid for by the batch."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import msgspec

from trunnion import Event, Run
from trunnion.launcher.screen import Screen
from trunnion_tty.jobs import Job
from trunnion_tty.reporter import Reporter
from trunnion_tty.settings import ShellSettings


class Shown:
    """Stands for the display and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def put(self, text: str) -> None:
        self.told.append(("put", text))

    def front(self, text: str) -> None:
        self.told.append(("front", text))

    def live(self, key: str, text: str) -> None:
        self.told.append(("live", text))

    async def room(self) -> None:
        """There is."""


class Paper(io.StringIO):
    """A stream of its own, of no terminal."""

    def fileno(self) -> int:
        return -1


def text(seq: int, text: str, **data: object) -> Event:
    return Event("run/a", seq, seq, "text", text=text, raw=msgspec.Raw(msgspec.json.encode(data)))


async def told(batch: list[Event], *, foreground: bool) -> list[tuple[str, str]]:
    display = Shown()
    link = SimpleNamespace(catalog=SimpleNamespace(settings=ShellSettings()), principal="me")
    reporter = Reporter(link, display, Screen(out=Paper(), err=Paper()), Path())  # type: ignore[arg-type]
    run = Run(
        id="a", num=1, command_id="t.c", command_revision="", status="running", created=1, source="tty", principal="me"
    )
    job = Job(1, run, "abcd")
    job.foreground = foreground
    await reporter.events(job, batch)
    return display.told


async def test_lines_that_follow_one_another_are_shown_at_once() -> None:
    """Defence: ``Reporter._show_all``."""
    lines = [f"line {number}\n" for number in range(100)]
    batch = [text(number, line) for number, line in enumerate(lines, 1)]
    assert await told(batch, foreground=True) == [("front", ""), ("put", "".join(lines))]
    marked = [f"abcd│ {line}" for line in lines]
    assert await told(batch, foreground=False) == [("live", ""), ("put", "".join(marked))]


async def test_what_is_live_stands_below_what_was_said_before() -> None:
    batch = [
        text(1, "one\n"),
        text(2, "10 %", update=True),
        text(3, "two"),
        text(4, "three\n"),
        text(5, "9", update=True),
    ]
    assert await told(batch, foreground=True) == [
        ("front", ""),
        ("put", "one\n"),
        ("front", "10 %"),
        ("front", ""),
        ("put", "two\nthree\n"),
        ("front", "9"),
    ]
