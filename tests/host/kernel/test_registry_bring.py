"""A large set is registered in slices, and is there as one change."""

from __future__ import annotations

import asyncio

import pytest

from trunnion.kernel.entries import Compiler
from trunnion.kernel.registry import SLICE, Contributed, Registry
from trunnion.model.commands import Command
from trunnion.model.errors import Conflict, InvalidArguments

SIZE = 10 * SLICE


async def quick(n: int = 0) -> int:
    return n


def commands(prefix: str, size: int = SIZE) -> list[Command]:
    return [Command(id=f"t.{prefix}{number}", handler=quick) for number in range(size)]


async def test_others_have_their_turn_while_a_large_set_is_registered() -> None:
    """Defence: the wait after each slice."""
    registry, seen = Registry(Compiler()), list[int]()
    registry.replace("p", Contributed(commands=commands("old", 1)))
    bringing = asyncio.create_task(registry.bring("p", Contributed(commands=commands("new"))))
    while not bringing.done():
        await asyncio.sleep(0)
        seen.append(len(registry.all_commands()))
    await bringing
    assert len(seen) >= SIZE / SLICE
    assert set(seen) == {1, SIZE}
    assert [e.id for e in registry.all_commands()] == sorted(c.id for c in commands("new"))
    assert registry.generation == 2


async def test_a_set_that_clashes_or_cannot_be_used_changes_nothing() -> None:
    registry = Registry(Compiler())
    registry.replace("p", Contributed(commands=commands("a", 1)))
    with pytest.raises(Conflict):
        await registry.bring("q", Contributed(commands=[*commands("b"), *commands("a", 1)]))
    with pytest.raises(InvalidArguments):
        await registry.bring("q", Contributed(commands=[*commands("b"), Command(id="t.x", handler=quick, lock="{y}")]))
    assert registry.owners() == ["p"]
    assert registry.generation == 1


async def test_a_name_taken_meanwhile_is_a_clash() -> None:
    """Defence: names are judged when all is compiled, not before."""
    registry = Registry(Compiler())
    bringing = asyncio.create_task(registry.bring("q", Contributed(commands=commands("a"))))
    await asyncio.sleep(0)
    registry.replace("p", Contributed(commands=commands("a", 1)))
    with pytest.raises(Conflict):
        await bringing
    assert registry.owners() == ["p"]


@pytest.mark.parametrize("available", [True, False])
async def test_what_was_marked_meanwhile_is_as_the_newer_set_says(available: bool) -> None:
    """Defence: entries taken over from the set before are marked once more."""
    registry, given = Registry(Compiler()), commands("a")
    registry.replace("p", Contributed(commands=given), available=available)
    bringing = asyncio.create_task(registry.bring("p", Contributed(commands=given), available=available))
    await asyncio.sleep(0)
    registry.set_available("p", not available)
    await bringing
    assert {e.available for e in registry.all_commands()} == {available}
