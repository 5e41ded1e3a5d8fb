"""What a door offers for the word being typed: from the schema, and from queries with what each value means."""

from __future__ import annotations

from kernel_kit import ANN, cmd

from trunnion.arguments import Completion
from trunnion.model.commands import Query
from trunnion.model.runs import Caller


async def move(car: str, *, to: str = "") -> None: ...


async def cars() -> object:
    return {
        "items": [
            {"value": "bug", "description": "A beetle", "title": "not this"},
            {"id": "bus", "title": "A van"},
            {"name": "bike", "description": 0, "title": None},
            "barge",
            "van",
        ],
        "next": None,
    }


async def broken() -> object:
    raise ValueError("out of order")


CARS = Query.of(cars, console="t", role="admin")
MOVE = cmd(move, complete={"car": "t.cars", "to": "t.cars"})


async def test_values_of_a_query_come_with_what_they_mean(start) -> None:
    async with start(MOVE, plugin={"queries": [CARS]}) as rig:
        offered = await rig.door.complete(ANN, "t.move", [], "b")
    assert offered == [
        Completion("bug", "A beetle"),
        Completion("bus", "A van"),
        Completion("bike"),
        Completion("barge"),
    ]


async def test_they_are_offered_behind_the_name_of_a_flag_too(start) -> None:
    async with start(MOVE, plugin={"queries": [CARS]}) as rig:
        assert await rig.door.complete(ANN, "t.move", ["x"], "--to=bu") == [
            Completion("--to=bug", "A beetle"),
            Completion("--to=bus", "A van"),
        ]
        assert await rig.door.complete(ANN, "t.move", ["x", "--to"], "va") == [Completion("van")]


async def test_a_query_that_fails_or_is_not_the_callers_offers_nothing(start) -> None:
    queries = [CARS, Query.of(broken, console="t")]
    async with start(MOVE, cmd(move, name="try", complete={"car": "t.broken"}), plugin={"queries": queries}) as rig:
        assert await rig.door.complete(ANN, "t.try", [], "") == []
        assert await rig.door.complete(Caller("bob", "cli", "operator"), "t.move", [], "") == []
