"""How much of a run's output is kept: its beginning, its end, and one event that says what is missing between."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_kit import ANN, cmd

from trunnion.kernel.capping import Amount, Cap, Emitted, Tail
from trunnion.kernel.context import Context
from trunnion.kernel.eventlog import EVENT_OVERHEAD
from trunnion.kernel.limits import Limits
from trunnion.model.commands import Retry
from trunnion.model.errors import CommandFailed
from trunnion.model.events import NULL, Event
from trunnion.store.base import Store

# -- the last part, beside the simplest thing that keeps one -------------------------------------------------

line_lists = st.lists(st.text("aé\t", max_size=12), min_size=1, max_size=8)


def block(lines: list[str], first: int) -> Emitted:
    return Emitted("text", "".join(line + "\n" for line in lines), NULL, "info", "h", "stdout", 0, len(lines), first)


@given(st.lists(line_lists, max_size=30), st.integers(0, 20), st.integers(0, 1500))
def test_the_last_part_is_as_many_whole_lines_as_fit(blocks: list[list[str]], lines: int, size: int) -> None:
    """Defence: ``Tail.end`` cuts between lines. Model: take lines from the end while they fit."""
    tail = Tail(Amount(lines=lines, bytes=size))
    every: list[tuple[int, int, str]] = []  # number of its block, number of the line, the line
    for number, texts in enumerate(blocks):
        tail.add(block(texts, len(every) + 1))
        every += [(number, len(every) + n, text + "\n") for n, text in enumerate(texts, 1)]
    kept = tail.end()
    shown = [line for event in kept for line in event.text.splitlines(keepends=True)]
    model = fitting(every, lines, size)
    assert shown == [text for _, _, text in model]
    left = every[: len(every) - len(model)]
    assert (tail.left_out.lines, tail.left_out.bytes) == (len(left), sum(len(text.encode()) for *_, text in left))
    numbers = [event.first_line + n for event in kept for n in range(event.lines)]
    assert numbers == [number for _, number, _ in model]


def fitting(every: list[tuple[int, int, str]], lines: int, size: int) -> list[tuple[int, int, str]]:
    taken: list[tuple[int, int, str]] = []
    used = 0
    for entry in reversed(every):
        cost = len(entry[2].encode()) + (EVENT_OVERHEAD if not taken or taken[-1][0] != entry[0] else 0)
        if len(taken) == lines or used + cost > size:
            break
        used += cost
        taken.append(entry)
    return taken[::-1]


@given(st.lists(st.tuples(st.booleans(), line_lists), max_size=40), st.integers(1, 40), st.integers(1, 4000))
def test_beginning_and_end_stay_within_the_limit_and_everything_is_counted(
    said: list[tuple[bool, list[str]]], lines: int, size: int
) -> None:
    """Defence: ``Cap`` takes the room of the end from that of the beginning."""
    cap = Cap(Limits(max_output_lines=lines, max_output_bytes=size))
    shown: list[Emitted] = []
    for is_text, texts in said:
        event = block(texts, 1) if is_text else Emitted("log", texts[0], NULL, "info", "h")
        if cap.takes(event.bytes, event.lines):
            shown.append(event)
        elif (first := cap.hold(event)) is not None:
            shown.append(first)
    kept = shown + (cap.held.end() if cap.held is not None else [])
    assert sum(event.lines for event in kept) <= lines
    assert sum(event.bytes + EVENT_OVERHEAD for event in kept) <= size
    lost = cap.held.left_out if cap.held is not None else Amount()
    assert sum(event.lines for event in kept) + lost.lines == sum(len(t) if is_text else 1 for is_text, t in said)
    assert sum(event.bytes for event in kept) + lost.bytes == cap.came.bytes


def test_what_is_held_is_bounded_however_much_comes() -> None:
    tail = Tail(Amount(lines=1000, bytes=10_000))
    for n in range(5000):
        tail.add(block(["x" * 50] * 10, 10 * n + 1))
        assert tail._has.size <= 10_000 + 10 * 51 + EVENT_OVERHEAD


# -- in a run ------------------------------------------------------------------------------------------------


def small(rig: object, lines: int = 100, size: int = 1 << 20) -> None:
    limits = rig.kernel.executor.limits
    limits.max_output_lines, limits.max_output_bytes = lines, size


@pytest.mark.parametrize("where", ["loop", "thread"])
async def test_a_run_that_says_too_much_keeps_its_beginning_and_its_end(start, where: str) -> None:
    def lines(ctx: Context) -> None:
        for n in range(1, 1001):
            ctx.echo(f"line {n}")

    async def coroutine(ctx: Context) -> None:
        lines(ctx)

    async with start(cmd(coroutine if where == "loop" else lines, name="say")) as rig:
        small(rig)
        run = await rig.run("t.say")
        assert run.status == "succeeded"
        events = [e for e in await rig.events(run) if e.kind != "state"]
        gap = next(n for n, e in enumerate(events) if e.kind == "gap")
        blocks = [e for e in events if e.kind == "text"]  # a flood from a thread comes in blocks
        assert lines_of(blocks) == [*range(1, 51), *range(951, 1001)]
        assert [e.data["first_line"] for e in blocks] == [lines_of([e])[0] for e in blocks]
        assert lines_of(events[gap + 1 :]) == list(range(951, 1001))
        lost = sum(len(f"line {n}\n") for n in range(51, 951))
        left_out = events[gap].data
        assert left_out["events"] == 900 if where == "loop" else left_out["events"] <= 900
        assert left_out == {"reason": "limit", "events": left_out["events"], "lines": 900, "bytes": lost}
        assert run.stats["output_lines"] == 1000
        assert (run.stats["output_lines_left_out"], run.stats["output_bytes_left_out"]) == (900, lost)
        limited, *going_on = [e.data["code"] for e in events if e.kind == "log"]
        assert limited == "output.limited"
        assert going_on == ["output.goes_on"] * (4 if where == "loop" else len(going_on))


def lines_of(blocks: list[Event]) -> list[int]:
    return [int(line.split()[1]) for block in blocks for line in block.text.splitlines()]


async def test_what_stays_within_the_limit_is_shown_as_it_comes(start) -> None:
    async def say(ctx: Context) -> None:
        for n in range(100):
            ctx.log(f"line {n}")

    async with start(cmd(say)) as rig:
        small(rig, lines=200)
        run = await rig.run("t.say")
        assert [e.text for e in await rig.events(run) if e.kind != "state"] == [f"line {n}" for n in range(100)]
        assert not run.stats


async def test_an_end_that_is_kept_whole_leaves_no_gap(start) -> None:
    async def say(ctx: Context) -> None:
        for n in range(90):
            ctx.data({"n": n})

    async with start(cmd(say)) as rig:
        small(rig)
        run = await rig.run("t.say")
        events = await rig.events(run)
        assert [e.data["n"] for e in events if e.kind == "data"] == list(range(90))
        assert "gap" not in [e.kind for e in events]
        assert run.stats["output_lines_left_out"] == 0


async def test_followers_are_never_shown_what_is_dropped_later(start) -> None:
    """What went by while a run was followed is what its stream says for ever."""
    go_on = threading.Event()

    def say(ctx: Context) -> None:
        for n in range(2000):
            ctx.log(f"line {n}")
            if n == 1000:
                assert go_on.wait(20)

    async with start(cmd(say)) as rig:
        small(rig)
        run = await rig.submit("t.say")
        seen = []
        async for batch in rig.door.follow(ANN, f"run/{run.id}"):
            seen += batch
            if any(e.data and e.data.get("code") == "output.limited" for e in batch if e.kind == "log"):
                go_on.set()
        assert seen == await rig.events(run)
        assert [e.seq for e in seen] == list(range(1, len(seen) + 1))


async def test_each_attempt_shows_the_end_of_its_output(start) -> None:
    """Defence: ``Ending._retry`` ends the output; what is only in memory would be lost with a host that stops."""

    async def fails(ctx: Context) -> None:
        for n in range(300):
            ctx.log(f"{ctx.attempt}: {n}")
        raise CommandFailed("no")

    retry = Retry(attempts=2, delay=0.0, codes=frozenset({"failed"}))
    async with start(cmd(fails, retry=retry)) as rig:
        small(rig)
        run = await rig.run("t.fails")
        assert (run.status, run.attempt) == ("failed", 2)
        said = [e for e in await rig.events(run) if e.by == "handler" or e.kind in ("gap", "state")]
        first, last = [f"1: {n}" for n in (*range(50), *range(250, 300))], [f"2: {n}" for n in range(250, 300)]
        assert [e.text for e in said if e.kind == "log"] == [*first, *last]
        assert [e.data["lines"] for e in said if e.kind == "gap"] == [200, 250]
        assert [e.kind for e in said if e.kind != "log"] == ["state", "gap", "state", "state", "gap", "state"]
        assert said.index(next(e for e in said if e.text == "1: 299")) + 1 == said.index(
            next(e for e in said if e.text.startswith("attempt 1 failed"))
        )
        assert (run.stats["output_lines"], run.stats["output_lines_left_out"]) == (600, 450)


async def test_no_limit_is_no_limit(start) -> None:
    async def say(ctx: Context) -> None:
        ctx.text("x\n" * 300_000)

    async with start(cmd(say)) as rig:
        small(rig, 0, 0)
        run = await rig.run("t.say")
        assert len(await rig.texts(run)) == 600_000
        small(rig, 200_000, 0)
        run = await rig.run("t.say")
        assert len(await rig.texts(run)) < 600_000


async def test_a_cut_line_says_how_much_it_lost(start) -> None:
    async def say(ctx: Context) -> None:
        ctx.text("a\n" * 40_000 + "b [...]\n", cut=77)

    async with start(cmd(say)) as rig:
        run = await rig.run("t.say")
        cuts = [e.data.get("cut") for e in await rig.events(run) if e.kind == "text"]
        assert cuts == [None] * (len(cuts) - 1) + [77]


async def test_the_limit_spares_the_disk(start) -> None:
    """The row: the events of a run are on the disk with at most the bytes that are set, whatever it says."""

    async def say(ctx: Context) -> None:
        for _ in range(200):
            ctx.text("0123456789abcdef\n" * 4000)
            await ctx.flush()

    async with start(cmd(say), durability="process") as rig:
        small(rig, 0, 2 << 20)
        run = await rig.run("t.say")
        assert run.status == "succeeded"
        assert stored(rig.kernel.store, run.id) <= 2 << 20
        assert run.stats["output_bytes"] == 200 * 68_000


def stored(store: Store, run_id: str) -> int:
    events, after = 0, 0
    while batch := store.read_events(f"run/{run_id}", after, 1000):
        events += sum(len(e.text.encode()) for e in batch)
        after = batch[-1].seq
    return events
