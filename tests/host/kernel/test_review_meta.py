"""Meta of many commands: canonical, and no walk over everything for each console."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
import rfc8785
from kernel_kit import ANN, Rig
from stopwatch import stopwatch

from trunnion.kernel.meta import MetaBuilder
from trunnion.kernel.registry import Contributed
from trunnion.model.commands import Command

Start = Callable[..., AbstractAsyncContextManager[Rig]]
pytestmark = pytest.mark.anyio


def command(number: int, consoles: int) -> Command:
    async def handler(item: int) -> int:
        return item

    path = f"c{number % consoles}.tools"
    return Command.of(handler, console=path, name=f"n{number}", lock=None, description=f'N° {number} \t\u2028 "q"')


async def test_the_document_is_canonical_json_put_together_from_its_parts(start: Start) -> None:
    async with start() as rig:
        rig.kernel.registry.replace("many", Contributed(commands=[command(n, 5) for n in range(20)]))
        for available in (False, True):
            rig.kernel.registry.set_available("many", available)
            body = rig.door.meta(ANN).body
            document = json.loads(body)
            assert rfc8785.dumps(document) == body
            assert {c["available"] for c in document["commands"] if c["plugin"] == "many"} == {available}


async def test_what_is_remembered_of_meta_is_bounded_in_bytes(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``MetaBuilder.MOST``; a document of 10,000 commands for each of 256 callers would be gigabytes."""
    async with start() as rig:
        meta = rig.kernel.meta.meta
        size = len(meta(ANN).body)
        monkeypatch.setattr(MetaBuilder, "MOST", 3 * size)
        for number in range(20):
            caller = msgspec.structs.replace(ANN, principal=f"p{number}")
            assert meta(caller) is meta(caller)
            assert sum(len(known.body) for _, known in rig.kernel.meta._built.values()) <= 5 * size


@pytest.mark.alone
async def test_meta_is_built_in_time_that_grows_with_what_there_is(start: Start) -> None:
    async with start() as rig:
        rig.kernel.registry.replace("many", Contributed(commands=[command(n, 1000) for n in range(1000)]))
        rig.door.meta(ANN)
        rig.kernel.registry.replace("one", Contributed(commands=[command(1001, 5000)]))
        with stopwatch() as cost:
            meta = rig.door.meta(ANN)
        assert cost.seconds < 0.5
        consoles = {c["path"]: c for c in json.loads(meta.body)["consoles"]}
        assert consoles["c7"]["children"] == ["c7.tools"]
        assert consoles["c7.tools"]["commands"] == ["c7.tools.n7"]
