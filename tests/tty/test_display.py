"""The one writer of the terminal: nothing lost, in order, a frame at a time, nothing drawn left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunnion_tty.display import BACKLOG, CLEAR_LINE, FRAME, FRAME_SIZE, Display

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Screen:
    """A terminal that understands no more than the display needs: lines, and one that is cleared."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.line = ""

    def write(self, text: str) -> None:
        self.writes.append(text)
        self.line = (self.line + text).rpartition("\n")[2].rpartition(CLEAR_LINE)[2]

    @property
    def text(self) -> str:
        """All that was written, without what was cleared again."""
        return "\n".join(line.rpartition(CLEAR_LINE)[2] for line in "".join(self.writes).split("\n"))


class Prompt:
    """Stands for a prompt: keeps what is written above it, and whether it was asked to while it could not."""

    def __init__(self, screen: Screen, ready: bool = True) -> None:
        self.ready = ready
        self.drawn = 0
        self._screen = screen

    def above(self, text: str) -> None:
        assert self.ready
        assert self._screen.line == "", "something is drawn where the prompt is"
        self.drawn += 1
        if text:
            self._screen.write(text)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.001)


def longest(screen: Screen) -> int:
    return max(map(len, screen.writes), default=0)


async def test_the_first_line_of_a_quiet_time_comes_at_once() -> None:
    screen = Screen()
    display = Display(screen.write)
    display.put("one")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert screen.writes == ["one\n"]
    display.put("two\n")
    display.put("three\nfour")
    await asyncio.sleep(0)
    assert screen.writes == ["one\n"], "what comes right behind it is collected"
    await until(lambda: len(screen.writes) > 1)
    assert screen.writes == ["one\n", "two\nthree\nfour\n"]
    display.put("")
    await asyncio.sleep(2 * FRAME)
    assert len(screen.writes) == 2


async def test_a_great_backlog_is_written_in_parts_and_the_loop_has_its_turns() -> None:
    screen = Screen()
    display = Display(screen.write)
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while len(screen.text) < 4 * FRAME_SIZE:
            turns += 1
            await asyncio.sleep(0)

    for _ in range(4 * FRAME_SIZE // 1024):
        display.put("x" * 1023)
    async with asyncio.timeout(10):
        await turning()
    assert longest(screen) <= FRAME_SIZE + 1024
    assert turns >= 4
    assert screen.text == ("x" * 1023 + "\n") * (4 * FRAME_SIZE // 1024)


async def test_whoever_makes_more_than_can_be_written_waits() -> None:
    screen = Screen()
    display, prompt = Display(screen.write), Prompt(screen, ready=False)
    with display.asking(prompt):
        await asyncio.wait_for(display.room(), 1)
        display.put("x" * BACKLOG)
        waiting = asyncio.create_task(display.room())
        await asyncio.sleep(3 * FRAME)
        assert not waiting.done()
        assert screen.writes == []
        prompt.ready = True
        await asyncio.wait_for(waiting, 5)
    assert screen.text == "x" * BACKLOG + "\n"


async def test_while_the_prompt_is_not_ready_nothing_is_written_and_nothing_is_forgotten() -> None:
    screen = Screen()
    display, prompt = Display(screen.write), Prompt(screen, ready=False)
    with display.asking(prompt):
        display.put("one")
        display.live("a", "half")
        await asyncio.sleep(3 * FRAME)
        assert (screen.writes, prompt.drawn) == ([], 0)
        prompt.ready = True
        await until(lambda: screen.writes == ["one\n"])
        prompt.ready = False
        drawn = prompt.drawn
        display.live("a", "more")
        await asyncio.sleep(3 * FRAME)
        prompt.ready = True
        await until(lambda: prompt.drawn > drawn)


async def test_a_line_drawn_below_gives_way_to_what_is_written() -> None:
    screen = Screen()
    display = Display(screen.write)
    display.front("10 %")
    await until(lambda: screen.line == "10 %")
    display.put("line")
    await until(lambda: "line\n" in screen.text)
    assert screen.writes[-1] == CLEAR_LINE + "line\n10 %"
    display.front("20 %")
    await until(lambda: screen.line == "20 %")
    display.front("")
    await until(lambda: screen.line == "")
    assert screen.text == "line\n"


async def test_before_a_prompt_comes_all_is_written_and_what_was_drawn_is_gone() -> None:
    screen = Screen()
    display = Display(screen.write)
    display.front("10 %")
    await until(lambda: screen.line == "10 %")
    for number in range(1000):
        display.put(f"{number}" + "x" * 1000)
    with display.asking(Prompt(screen)):
        assert screen.line == ""
        assert screen.text.count("\n") == 1000
        display.put("above")
        await until(lambda: screen.writes[-1] == "above\n")
    display.put("after")
    await until(lambda: screen.writes[-1] == "after\n")


async def test_what_is_live_is_told_as_long_as_it_lasts() -> None:
    display = Display(Screen().write)
    display.live("a", "1 %")
    display.live("b", "2 %")
    display.live("a", "3 %")
    assert display.lives == ["3 %", "2 %"]
    display.live("a", "")
    display.live("c", "")
    assert display.lives == ["2 %"]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 3)),
        st.tuples(st.just("front"), st.integers(0, 3)),
        st.tuples(st.just("live"), st.integers(0, 3)),
        st.tuples(st.just("ready"), st.integers(0, 1)),
        st.tuples(st.sampled_from(["ask", "answered", "turn", "frame", "flush"]), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(ACTIONS)
def test_whatever_happens_in_whatever_order(actions: list[tuple[str, int]]) -> None:
    asyncio.run(in_order(actions))


async def in_order(actions: list[tuple[str, int]]) -> None:
    """Every line is there once, in order; what is drawn below stands alone; a prompt that is not ready rests."""
    screen = Screen()
    display = Display(screen.write)
    prompt: Prompt | None = None
    expected, front = "", ""
    with ExitStack() as asking:
        for action, number in actions:
            if action == "put":
                lines = "".join(f"line {len(expected)} of {number}\n" for _ in range(number))
                display.put(lines)
                expected += lines
            elif action == "front":
                front = "%" * number
                display.front(front)
            elif action == "live":
                display.live(str(number), "%" * number)
            elif action == "ready" and prompt is not None:
                prompt.ready = bool(number)
            elif action == "ask" and prompt is None:
                prompt = Prompt(screen)
                asking.enter_context(display.asking(prompt))
                front = ""
                assert screen.text == expected
                assert screen.line == ""
            elif action == "answered" and prompt is not None:
                asking.pop_all().close()
                prompt = None
            elif action == "flush" and prompt is None:
                display.flush()
                front = ""
                assert screen.text == expected
            elif action in ("turn", "frame"):
                await asyncio.sleep(FRAME * 1.2 if action == "frame" else 0)
            assert expected.startswith(screen.text[: len(screen.text) - len(screen.line)])
        if prompt is not None:
            prompt.ready = True
        await until(lambda: screen.text == expected + screen.line)
        if prompt is None:
            await until(lambda: screen.line == front)
