"""G9: a run is cancelled in the very moment it ends by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import checker
import pytest
from faults_kit import Ground
from streams_kit import Line, line

ENDED = checker.TERMINAL


class Race:
    """One run, what whoever waited for it was told, and what whoever cancelled it was told."""

    def __init__(self, run: str, waited: dict[str, Any], cancelled: dict[str, Any]) -> None:
        self.run, self.waited, self.cancelled = run, waited, cancelled

    def lies(self) -> list[str]:
        """What was told that is not so."""
        found = []
        if self.waited["status"] not in ENDED:
            found.append(f"waited for and {self.waited['status']}")
        if self.cancelled["status"] in ENDED and self.cancelled["status"] != self.waited["status"]:
            found.append(f"{self.cancelled['status']} to one, {self.waited['status']} to the other")
        if self.cancelled["status"] not in ENDED and "cancel_requested_at" not in self.cancelled:
            found.append("neither ended nor asked to end")
        if "cancel_requested_at" in self.cancelled and self.waited.get("cancel_requested_at") is None:
            found.append("the wish that was on record is gone")
        return found


async def race(talker: Line, turns: int, wait: int) -> Race:
    frame = await talker.call("command.submit", {"command_id": "streams.nap", "args": {"turns": turns}})
    run = frame.result["id"]
    waiting = asyncio.create_task(talker.call("run.wait", {"run_id": run}))
    for _ in range(wait):
        await asyncio.sleep(0)
    cancelled = await talker.call("run.cancel", {"run_id": run})
    waited = await waiting
    assert (waited.type, cancelled.type) == ("rpc_result", "rpc_result"), (waited, cancelled)
    return Race(run, waited.result, cancelled.result)


async def races(ground: Ground, count: int) -> list[Race]:
    found: list[Race] = []
    async with line(ground.socket) as talker:
        while len(found) < count:
            chosen = [(ground.random.choice((0, 5, 20, 60)), ground.random.randrange(8)) for _ in range(40)]
            found += await asyncio.gather(*(race(talker, *choice) for choice in chosen))
    return found


def judged(ground: Ground, found: list[Race]) -> tuple[list[str], Counter[str]]:
    """What was not so by what is on record, and how the races ended."""
    stored = checker.Stored(ground.data)
    try:
        wrong, ends = [], Counter[str]()
        verdict = checker.Verdict()
        for raced in found:
            run = stored.runs[raced.run]
            wrong += raced.lies()
            if run["status"] != raced.waited["status"]:
                wrong.append(f"{run['status']} on record, told {raced.waited['status']}")
            states = [event["data"]["status"] for event, _ in stored.events(run, verdict) if event["kind"] == "state"]
            if [status for status in states if status in ENDED] != [run["status"]]:
                wrong.append(f"its stream says {states}, its row {run['status']}")
            ends[run["status"]] += 1
    finally:
        stored.close()
    return wrong + [verdict.shown()] * bool(verdict.wrong), ends


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.heavy)])
def test_g9_cancel_races_completion(ground: Ground, count: int, figure: Callable[..., None]) -> None:
    ground.only = "streams"
    host = ground.up()
    found = asyncio.run(races(ground, count))
    assert host.stop() == 0
    wrong, ends = judged(ground, found)
    figure("races", len(found))
    figure("ended by themselves", ends["succeeded"])
    figure("double ends and lies", len(wrong))
    assert wrong == []
    assert ends.keys() == {"succeeded", "cancelled"}, ends


def test_g9_without_the_fault_runs_end_by_themselves(ground: Ground) -> None:
    ground.only = "streams"
    host = ground.up()

    async def spared() -> list[str]:
        async with line(ground.socket) as talker:
            asked = {"command_id": "streams.nap", "args": {"turns": 20}}
            return [(await talker.call("command.run", asked)).result["status"] for _ in range(10)]

    assert asyncio.run(spared()) == ["succeeded"] * 10
    assert host.stop() == 0


def test_g9_without_the_defence_an_end_is_said_twice(ground: Ground) -> None:
    ground.only = "streams"
    host = ground.up(without="end_twice")
    found = asyncio.run(races(ground, 40))
    assert host.stop() == 0
    wrong, _ = judged(ground, found)
    assert any("its stream says" in text for text in wrong)
