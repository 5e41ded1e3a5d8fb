"""What the headers of frames tell of a client, however its bytes are cut into pieces."""

from __future__ import annotations

import asyncio
import random

import pytest
from figures import SEED
from http2_kit import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from rpc_kit import until

from trunnion_rpc import pause
from trunnion_rpc.frames import EMPTY_PER_SECOND, LARGER, MOST_EMPTY, FrameWatch
from trunnion_rpc.knocks import FREE, Knocks
from trunnion_rpc.pause import Pause, TooMuch

MOST = 1000
TOO_LARGE = "the metadata of a call has more than 4000 bytes"


def watch(clock: list[float] | None = None) -> FrameWatch:
    made = FrameWatch(MOST, lambda: clock[0] if clock else 0.0)
    assert made.look(PREFACE + frame(SETTINGS)) == ""
    return made


def block(*sizes: int) -> bytes:
    """Headers in so many pieces."""
    first, *rest = sizes
    return frame(HEADERS, 0, 1, b"x" * first) + b"".join(frame(CONTINUATION, 0, 1, b"x" * size) for size in rest)


@pytest.mark.parametrize("sizes", [(LARGER * MOST,), (3000, 999, 1), (1,) * 100])
def test_metadata_that_may_be(sizes: tuple[int, ...]) -> None:
    assert watch().look(block(*sizes) * 3) == ""


@pytest.mark.parametrize("sizes", [(LARGER * MOST + 1,), (3000, 1000, 1), (100,) * 41])
def test_metadata_that_is_too_large(sizes: tuple[int, ...]) -> None:
    assert watch().look(block(*sizes)) == TOO_LARGE


def test_it_is_seen_before_it_has_come() -> None:
    assert watch().look(block(LARGER * MOST + 1)[:9]) == TOO_LARGE


EMPTY = [
    frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
    frame(PING, payload=b"12345678"),
    frame(SETTINGS),
    frame(DATA, 0, 1),
    frame(2, 0, 1, b"\0\0\0\0\1"),
    frame(99, 0, 1, b"whatever"),
    block(1) + frame(CONTINUATION, 0, 1),
]


@pytest.mark.parametrize("empty", EMPTY)
def test_frames_without_content_come_so_often_and_no_more(empty: bytes) -> None:
    clock = [0.0]
    seen = watch(clock)
    assert seen.look(empty * (MOST_EMPTY - 1)) == ""
    assert seen.look(empty) == "frames without content come too often"
    clock[0] = 1.0
    assert seen.look(empty * int(EMPTY_PER_SECOND - 2)) == ""
    assert seen.look(empty * 10) == "frames without content come too often"


def test_what_has_content_may_come_at_any_rate() -> None:
    call = frame(HEADERS, END_HEADERS, 1, b"x" * 50) + frame(DATA, 0, 1, b"x" * 9) + frame(DATA, END_STREAM, 1)
    assert watch().look((call + frame(WINDOW_UPDATE, payload=b"\0\0\0\1")) * 5 * MOST_EMPTY) == ""


def test_it_is_the_same_however_the_bytes_are_cut() -> None:
    chance = random.Random(SEED)
    good = b"".join(
        chance.choice([block(300, 20), frame(DATA, 0, 1, b"y" * chance.randrange(1, 500))]) for _ in range(60)
    )
    whole = PREFACE + good + block(4001)
    cut_at = len(PREFACE + good) + 9
    for _ in range(50):
        seen, at, said = FrameWatch(MOST, lambda: 0.0), 0, ""
        while not said and at < len(whole):
            size = chance.choice([1, 2, 8, 9, 10, 100, 1000])
            said = seen.look(whole[at : at + size])
            at += size
        assert said == TOO_LARGE
        assert cut_at <= at < cut_at + 1000


# -- who asks for too much ---------------------------------------------------------------------------------


async def test_a_refusal_waits_unless_too_many_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "MOST_HELD", 2)
    waiting = Pause()
    tasks = [asyncio.create_task(waiting.hold(TooMuch("x", 60))) for _ in range(3)]
    await until(tasks[2].done)
    assert waiting.held == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert waiting.held == 0


def test_who_had_to_be_put_out_is_kept_out_longer_each_time() -> None:
    clock = [0.0]
    knocks = Knocks(lambda: clock[0])
    knocks.failed("ann", 40)
    assert not knocks.welcome("ann")
    assert knocks.welcome("bob")
    clock[0] = 40.0 - FREE + 1
    assert knocks.welcome("ann")
    knocks.failed("ann", 40)
    clock[0] += 30
    assert not knocks.welcome("ann")
