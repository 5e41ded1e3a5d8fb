"""How much of a backlog one frame takes: as much as the terminal does in the time a key may have to wait."""

from __future__ import annotations

import asyncio
import time

from trunnion_tty.display import BACKLOG, FRAME_SIZE, LEAST_SIZE, WRITING, Display

LINE = "x" * 99 + "\n"
SLOW = 2_000_000
"""Characters a second."""


class Slow:
    """A terminal that takes so many characters a second, and says how many it took at a time."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.frames: list[str] = []

    def write(self, text: str) -> None:
        until = time.perf_counter() + len(text) / self.rate
        self.frames.append(text)
        while time.perf_counter() < until:
            pass


async def drained(terminal: Slow, texts: list[str]) -> list[int]:
    """The sizes of the frames in which some texts reach a terminal."""
    display = Display(terminal.write)
    for text in texts:
        display.put(text)
    while display._waiting:
        await asyncio.sleep(0)
    assert "".join(terminal.frames) == "".join(texts)
    assert all(frame.endswith("\n") for frame in terminal.frames)
    return [len(frame) for frame in terminal.frames]


async def test_a_slow_terminal_is_given_small_frames() -> None:
    """Defence: ``Display._learn``, and ``_take``, which cuts what was put in one piece. Model: the terminal's rate."""
    sizes = await drained(Slow(SLOW), [LINE * 1000] * 2)
    assert max(sizes[1:]) <= SLOW * WRITING + len(LINE)
    assert len(sizes) > 200_000 / (SLOW * WRITING)


async def test_a_quick_terminal_is_given_large_ones() -> None:
    sizes = await drained(Slow(1e12), [LINE] * (BACKLOG // len(LINE)))
    assert max(sizes) >= FRAME_SIZE / 2
    assert max(sizes) <= FRAME_SIZE + len(LINE)
    assert sizes[0] <= LEAST_SIZE + len(LINE)


async def test_a_line_is_never_cut() -> None:
    """Defence: ``_take`` looks for a line's end; one that is longer than a frame goes alone."""
    long = "y" * (3 * LEAST_SIZE) + "\n"
    sizes = await drained(Slow(1e12), [long + LINE + long, LINE])
    assert sizes[0] == len(long)


async def test_little_by_little_teaches_nothing() -> None:
    """Defence: ``_learn`` looks at frames that were full: one that was small and slow says nothing of the terminal."""
    terminal, learned = Slow(1e12), list[int]()
    display = Display(terminal.write)
    for text in (LINE * (FRAME_SIZE // len(LINE)), "short\n"):
        display.put(text)
        while display._waiting:
            await asyncio.sleep(0)
        learned.append(display._most)
        terminal.rate = 200
    assert learned[0] == learned[1] > LEAST_SIZE
