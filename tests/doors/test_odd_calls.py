"""Calls no generator makes: values that JSON has no form for, and documents nobody reads to their end."""

from __future__ import annotations

import math

import pytest
from doors_kit.call import Call
from doors_kit.doors import InProcess, Socket, SocketById, SocketRun
from doors_kit.served import Served


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


NO_JSON = {
    "nan": math.nan,
    "infinity": [math.inf],
    "surrogate": "\ud800",
    "surrogate as a name": {"\udfff": 1},
    "name that is no text": {1: 2},
    "bytes": b"x",
    "object": {"a": [object]},
    "129 digits": 10**128,
    "101 deep": nested(100),
    "5,000 deep": nested(5000),
    "100,001 values": [0] * 100_001,
}


@pytest.mark.parametrize("value", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("kind", ["command", "query"])
def test_what_no_document_could_hold_is_refused_of_a_program_too(served: Served, kind: str, value: object) -> None:
    """Without this a number that is none would reach the handler and stand in the row as null."""
    name = "d.typed" if kind == "command" else "d.count"
    before = served.do(served.newest())
    told = InProcess(served).call(Call(kind=kind, name=name, args={"whole": 1, "anything": value}), "")
    assert told.error is not None
    assert told.error.code == "invalid_arguments"
    assert "refused" in told.error.message
    assert len(told.error.message) < 200
    assert served.do(served.since(before)) == []


@pytest.mark.parametrize("door", [InProcess, Socket, SocketRun, SocketById])
@pytest.mark.parametrize("name", ["129 digits", "101 deep"])
def test_a_document_refused_unread_is_answered(served: Served, door: type, name: str) -> None:
    """The one who sent it learns so, by the id it gave its call; it would wait for ever else."""
    told = door(served).call(Call(name="d.typed", args={"whole": 1, "anything": NO_JSON[name]}), "")
    assert told.error is not None
    assert told.error.code == "invalid_arguments"
    assert ("128 digits" if "digits" in name else "deeper than 100") in told.error.message


@pytest.mark.parametrize("depth", [97, 98])
@pytest.mark.parametrize("door", [InProcess, Socket, SocketRun, SocketById])
def test_the_envelope_counts_for_nothing(served: Served, door: type, depth: int) -> None:
    """What nests as deep as it may does so at each door."""
    told = door(served).call(
        Call(name="d.typed", args={"whole": 1, "anything": nested(depth)}), f"{door.__name__} {depth}"
    )
    assert told.error is None
