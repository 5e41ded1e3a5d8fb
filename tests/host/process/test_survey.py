"""Counting what descends from a keeper: nothing is missed, and what is wrong shows."""

import os
import signal

import anyio
import pytest

from trunnion.process import Keeper
from trunnion.process.keeper import tree


async def test_a_keeper_that_was_never_used_counts_nothing():
    keeper = Keeper()
    seen = keeper.surveyor()()
    assert (seen.processes, seen.orphans, seen.cgroups) == (0, [], 0)
    assert (keeper.owned(), keeper.subtree.root) == ([], "")
    assert "no program was started yet" in keeper.subtree.why


async def test_programs_and_their_owners(any_keeper, marked, auntil):
    spawn = marked.spawn("sh", "-c", "setsid sleep 600 & (sleep 600 &); echo up; wait", owner="run-7")
    async with await any_keeper.spawn(spawn) as process:
        up = anyio.Event()
        process.stdout.start(lambda data: up.set())
        await up.wait()
        await auntil(lambda: len(marked.pids()) == 3, "the tree at rest")
        (owned,) = any_keeper.owned()
        seen = any_keeper.surveyor()()
        assert (owned.pid, owned.program, owned.owner) == (process.pid, "sh", "run-7")
        assert owned.mechanism == process.mechanism
        assert owned.age >= 0
        assert (seen.processes, seen.orphans) == (3, [])
    assert any_keeper.owned() == []
    assert any_keeper.surveyor()().processes == 0


async def test_idle_minders_and_refused_programs_are_not_orphans(keeper, marked):
    for _ in range(3):
        async with await keeper.spawn(marked.spawn("true")) as process:
            await process.wait()
    with pytest.raises(Exception, match="no-such"):
        await keeper.spawn(marked.spawn("no-such-program"))
    seen = keeper.surveyor()()
    assert (seen.processes, seen.orphans, seen.zombies) == (0, [], [])
    assert (keeper.census().started, keeper.census().failed) == (3, 1)


async def test_a_program_whose_minder_was_killed_is_an_orphan_until_the_keeper_has_ended_it(keeper, marked, auntil):
    process = await keeper.spawn(marked.spawn("sh", "-c", "sleep 600 & sleep 600 & wait"))
    await auntil(lambda: len(marked.pids()) == 3, "the tree")
    os.kill(keeper.pid, signal.SIGSTOP)
    try:
        os.kill(process.minder, signal.SIGKILL)
        await auntil(lambda: process.ended, "the host told")
        assert keeper.surveyor()().orphans == sorted(marked.pids())
        assert process.minder in keeper.surveyor()().zombies
    finally:
        os.kill(keeper.pid, signal.SIGCONT)
    await auntil(lambda: not marked.pids(), "the orphans")
    await auntil(lambda: not keeper.surveyor()().zombies, "the minder waited for")
    process.close()


async def test_zombies_are_seen_while_nobody_waits_for_them(keeper, marked, auntil):
    process = await keeper.spawn(marked.spawn("sleep", "600"))
    os.kill(process.minder, signal.SIGSTOP)
    try:
        os.kill(process.pid, signal.SIGKILL)
        await auntil(lambda: keeper.surveyor()().zombies == [process.pid], "the zombie")
    finally:
        os.kill(process.minder, signal.SIGCONT)
    await process.wait()
    assert keeper.surveyor()().zombies == []
    process.close()


async def test_trees_of_a_killed_keeper_still_count(keeper, marked, auntil):
    async with await keeper.spawn(marked.spawn("sleep", "600")) as old:
        os.kill(keeper.pid, signal.SIGKILL)
        await auntil(lambda: tree.look(old.keeper) is None, "the keeper gone")
        async with await keeper.spawn(marked.spawn("sleep", "600")) as new:
            seen = keeper.surveyor()()
            assert (seen.processes, seen.orphans) == (2, [])
            assert new.keeper != old.keeper
