"""I7, I8: locks that are waited for in a circle, by many, by oneself; and more runs than may wait."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).parents[1] / "host" / "kernel"))

from kernel_kit import ANN, Gatehouse, Rig, cmd, rig
from lanes_machine import LaneMachine

from trunnion import Caller, Context, Run
from trunnion.kernel.admission import Admissions
from trunnion.kernel.ending import Ending
from trunnion.model.errors import Busy, DeadlineExceeded

Figure = Callable[..., None]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# -- I7: locks --------------------------------------------------------------------------------------


def any_order(machine: type[LaneMachine], examples: int, **more: Any) -> None:
    limits = settings(
        max_examples=examples, stateful_step_count=40, deadline=None, database=None, report_multiple_bugs=False, **more
    )
    run_state_machine_as_test(machine, settings=limits)  # type: ignore[no-untyped-call]


def test_i7_in_any_order_nobody_waits_for_ever(rounds: int, figure: Figure) -> None:
    examples = 3 * rounds if rounds <= 20 else 50 * rounds
    any_order(LaneMachine, examples)
    figure("sequences of 40 steps", examples)
    figure("of them stuck", 0)


def test_i7_in_any_order_without_the_defence_they_are_stuck() -> None:
    class Trusting(LaneMachine):
        refuses = False

    with pytest.raises(AssertionError, match="stuck"):
        any_order(Trusting, 2000, phases=[Phase.generate], derandomize=True)


async def both(root: Path, other: dict[str, str], seconds: float = 20) -> list[Run]:
    """Two runs that each hold a key and then want another, as they are when they have ended, or after so long."""
    inside, everybody = set[str](), asyncio.Event()

    async def outer(ctx: Context, mine: str, then: str) -> object:
        inside.add(mine)
        if len(inside) == 2:
            everybody.set()
        await everybody.wait()
        return await ctx.invoke("t.inner", key=then)

    async def inner(key: str) -> str:
        return key

    async with rig(root, cmd(outer, lock="key-{mine}"), cmd(inner, lock="key-{key}")) as on:
        runs = [await on.submit("t.outer", mine=mine, then=then) for mine, then in other.items()]
        return [await as_it_is(on, run, seconds) for run in runs]


async def as_it_is(on: Rig, run: Run, seconds: float) -> Run:
    try:
        return await on.door.wait(ANN, run.id, seconds)
    except DeadlineExceeded:
        return await on.door.get(ANN, run.id)


async def test_i7_a_circle_is_named_and_broken(tmp_path: Path) -> None:
    ended = await both(tmp_path, {"a": "b", "b": "a"})
    assert sorted(run.status for run in ended) == ["failed", "succeeded"]
    (failed,) = [run for run in ended if run.error is not None]
    assert failed.error is not None
    assert "would wait for ever" in failed.error.message
    assert "held by t.outer" in failed.error.message


async def test_i7_without_the_fault_each_wants_what_it_holds_or_what_is_free(tmp_path: Path) -> None:
    """The key a run holds is its children's too."""
    assert [run.status for run in await both(tmp_path, {"a": "a", "b": "c"})] == ["succeeded", "succeeded"]


async def test_i7_without_the_defence_both_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ending, "refuse_cycle", lambda self, live: None)
    assert [run.status for run in await both(tmp_path, {"a": "b", "b": "a"}, 0.3)] == ["running", "running"]


# -- I8: runs that wait -----------------------------------------------------------------------------

BOB = Caller("bob", "cli", "operator")


async def asked(on: Rig, number: int, caller: Caller = ANN) -> tuple[list[Run], list[Busy]]:
    """So many runs of one lane were asked for; those that wait, and the refusals."""
    accepted, refused = [], []
    for n in range(number):
        try:
            accepted.append(await on.submit("t.stay", caller, n=n))
        except Busy as busy:
            refused.append(busy)
    return accepted, refused


async def crowd(root: Path, number: int, places: int) -> tuple[int, list[Busy], int, list[Busy]]:
    """What becomes of so many runs of one user, and then of ten of another."""
    house = Gatehouse()
    limits = {"max_pending": places + 5, "max_pending_per_principal": places}
    async with rig(root, cmd(house.stay, lock="one"), **limits) as on:
        mine, refused = await asked(on, number)
        others, refused_others = await asked(on, 10, BOB)
        for run in reversed(mine + others):
            await on.door.cancel(ANN, run.id)
        return len(mine), refused, len(others), refused_others


@pytest.mark.parametrize("number", [400, pytest.param(100_000, marks=pytest.mark.heavy)])
async def test_i8_no_more_wait_than_may(tmp_path: Path, number: int, figure: Figure) -> None:
    """A limit for each and one for all, each with its own words and with the time after which to ask again."""
    places = number // 10
    accepted, refused, others, refused_others = await crowd(tmp_path, number, places)
    figure("runs that wait", accepted)
    figure("runs refused", len(refused))
    assert accepted == places + 1, "one of them works"
    assert len(refused) == number - accepted
    assert {(busy.code, busy.details["retry_after"]) for busy in refused} == {("busy", 1)}
    assert all(f"{places} runs of ann wait" in busy.message for busy in refused)
    assert (others, len(refused_others)) == (5, 5), "one user's crowd leaves the others their places"
    assert all(f"{places + 5} runs wait" in busy.message for busy in refused_others)


async def test_i8_without_the_fault_none_is_refused(tmp_path: Path) -> None:
    accepted, refused, others, refused_others = await crowd(tmp_path, 40, 100)
    assert (accepted, refused, others, refused_others) == (40, [], 10, [])


async def test_i8_without_the_defence_all_of_them_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admissions, "_has_room", lambda *_: None)
    accepted, refused, others, _ = await crowd(tmp_path, 60, 10)
    assert (accepted, refused, others) == (60, [], 10)
