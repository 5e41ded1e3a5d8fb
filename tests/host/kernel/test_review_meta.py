"""Meta of many commands: canonical, and no walk over everything for each console."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import rfc8785
from kernel_kit import ANN, Rig

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


async def test_meta_is_built_in_time_that_grows_with_what_there_is(start: Start) -> None:
    async with start() as rig:
        rig.kernel.registry.replace("many", Contributed(commands=[command(n, 1000) for n in range(1000)]))
        rig.door.meta(ANN)
        rig.kernel.registry.replace("one", Contributed(commands=[command(1001, 5000)]))
        began = time.process_time()
        meta = rig.door.meta(ANN)
        assert time.process_time() - began < 0.5
        consoles = {c["path"]: c for c in json.loads(meta.body)["consoles"]}
        assert consoles["c7"]["children"] == ["c7.tools"]
        assert consoles["c7.tools"]["commands"] == ["c7.tools.n7"]
