"""Ending programs that do not want to end, and every way the host's own side can die."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import anyio
import pytest

from trunnion.model.errors import Interrupted
from trunnion.process import Keeper, read_blocks
from trunnion.process.keeper import tree

GRACE = 0.2


async def lines_of(process, count: int) -> None:
    """Wait until the program has written so many lines."""
    seen = 0
    enough = anyio.Event()

    def take(data: bytes) -> None:
        nonlocal seen
        seen += data.count(b"\n")
        if seen >= count:
            enough.set()

    process.stdout.start(take)
    with anyio.fail_after(20):
        await enough.wait()


async def test_a_polite_program_ends_on_its_own(keeper, marked):
    script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done"
    async with await keeper.spawn(marked.spawn("sh", "-c", script)) as process:
        await lines_of(process, 1)
        end = await process.stop(20)
    assert (end.code, end.killed_tree) == (5, 0)
    assert [step.name for step in process.steps] == ["terminate"]


async def test_closing_stdin_comes_first(keeper, marked):
    script = "trap 'exit 9' TERM; echo up; cat; exit 3"
    async with await keeper.spawn(marked.spawn("sh", "-c", script, stdin="pipe")) as process:
        await lines_of(process, 1)
        await process.stop(20)
    assert [step.name for step in process.steps] == ["close_stdin", "terminate"]


@pytest.mark.alone
async def test_e4_a_stubborn_program_is_killed_after_its_grace_and_each_step_is_told(any_keeper, marked, figure):
    """The least of three times is the host's own; what others take of a processor comes on top."""
    took = min([await stubborn_one_killed(any_keeper, marked) for _ in range(3)])
    assert took < GRACE + 1
    figure("stop of a program that ignores SIGTERM, past its grace", round(took - GRACE, 3), "s")


async def stubborn_one_killed(keeper, marked) -> float:
    told = []
    spawn = marked.spawn("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done", stdin="pipe")
    async with await keeper.spawn(spawn, on_step=told.append) as process:
        await lines_of(process, 1)
        start = time.monotonic()
        end = await process.stop(GRACE)
        took = time.monotonic() - start
    assert end.signal_name == "SIGKILL"
    assert end.killed_tree >= 1
    assert took >= GRACE
    assert [step.name for step in told] == ["close_stdin", "terminate", "kill"]
    assert told[2].seconds - told[1].seconds >= GRACE * 0.95
    assert told == process.steps
    return took


async def test_a_second_stop_with_a_shorter_grace_hastens_it(keeper, marked):
    async with await keeper.spawn(marked.spawn("sh", "-c", "trap '' TERM; echo up; sleep 600")) as process:
        await lines_of(process, 1)
        with anyio.move_on_after(0.05):
            await process.stop(600)
        with anyio.fail_after(5):
            assert (await process.stop(0)).signal_name == "SIGKILL"


async def test_a_stopped_program_that_handles_sigterm_is_woken_to_do_so(keeper, marked):
    script = "trap 'exit 6' TERM; echo up; kill -STOP $$; while :; do sleep 0.02; done"
    async with await keeper.spawn(marked.spawn("sh", "-c", script)) as process:
        await lines_of(process, 1)
        with anyio.fail_after(5):
            while "T (stopped)" not in Path(f"/proc/{process.pid}/status").read_text():
                await anyio.sleep(0.005)
        end = await process.stop(20)
    assert (end.code, end.killed_tree) == (6, 0)


async def test_e5_no_tree_survives_a_stop(any_keeper, marked, tree_script, figure, auntil):
    async with await any_keeper.spawn(marked.spawn(tree_script, "3", "5")) as process:
        await lines_of(process, 156)
        # While one becomes the program it goes on as, its environment is not to be seen.
        await auntil(lambda: len(marked.pids()) == 156, "the tree at rest")
        assert len(await process.tree()) == 156
        start = time.monotonic()
        end = await process.stop(GRACE)
        figure("a tree of 156 gone after its grace", round(time.monotonic() - start - GRACE, 3), "s")
        assert marked.pids() == []
    assert (end.killed_tree, end.left) == (156, 0)


@pytest.mark.alone
async def test_e15_what_lives_on_after_its_leader_gets_the_drain_grace_only(any_keeper, marked, figure):
    """The least of three times, as above."""
    took = min([await left_behind(any_keeper, marked) for _ in range(3)])
    assert took < 0.3 + 0.5
    figure("end of a run past its drain grace", round(took - 0.3, 3), "s")


async def left_behind(keeper, marked) -> float:
    script = "setsid sh -c 'trap \"\" TERM; echo up; exec sleep 600' & exit 4"
    async with await keeper.spawn(marked.spawn("sh", "-c", script, drain_grace=0.3)) as process:
        await lines_of(process, 1)
        left = await process.exited()
        start = time.monotonic()
        end = await process.wait()
        await process.stdout.ended()
        took = time.monotonic() - start
    assert (left.code, end.code, end.killed_tree) == (4, 4, 1)
    assert marked.pids() == []
    return took


async def test_a_short_grandchild_may_finish_its_sentence(keeper, marked):
    script = "sh -c 'sleep 0.1; echo late' & exit 0"
    text = []
    async with await keeper.spawn(marked.spawn("sh", "-c", script, drain_grace=20)) as process:
        await read_blocks(process.stdout, lambda block: text.append(block.text))
        assert (await process.wait()).killed_tree == 0
    assert text == ["late\n"]


CHAIN = """
import os
os.write(1, b'up\\n')
while True:
    if os.fork():
        os._exit(0)
"""
BOMB = """
import os, time
tokens, writer = os.pipe()
os.write(writer, b'x' * 3000)
os.close(writer)
while os.read(tokens, 1):
    if os.fork() == 0:
        os.write(1, b'\\n')
time.sleep(600)
"""


async def test_a_chain_of_forks_is_caught(any_keeper, marked):
    """Each process forks its successor and exits: what a walk shows is gone before a signal comes."""
    async with await any_keeper.spawn(marked.python(CHAIN, drain_grace=0)) as process:
        await lines_of(process, 1)
        with anyio.fail_after(5):
            assert (await process.wait()).left == 0
    assert marked.pids() == []


async def test_killing_is_faster_than_forking(any_keeper, marked):
    """One process at a time, all 3000 would be reached; by group, or by cgroup, it ends with those it has."""
    async with await any_keeper.spawn(marked.python(BOMB)) as process:
        await lines_of(process, 100)
        process.kill()
        end = await process.wait()
    (kill,) = process.steps
    print(f"{end.killed_tree} processes killed, {kill.processes} of them at once")
    assert end.killed_tree < kill.processes + 1000
    assert marked.pids() == []


async def test_leaving_the_block_kills(any_keeper, marked, tree_script):
    with pytest.raises(ZeroDivisionError):
        async with await any_keeper.spawn(marked.spawn(tree_script, "1", "3")) as process:
            await lines_of(process, 4)
            raise ZeroDivisionError
    assert marked.pids() == []
    assert (process.stdout.descriptor, process.ended) == (None, True)


async def test_a_cancelled_spawn_leaves_nothing(keeper, marked, auntil):
    for wait in (0, 0.0005, 0.001, 0.002):
        with anyio.move_on_after(wait):
            process = await keeper.spawn(marked.spawn("sleep", "600"))
            process.close()
    await auntil(lambda: not marked.pids(), "programs of cancelled spawns gone")
    assert keeper.census().alive == 0


async def test_closing_the_keeper_kills_all_and_ends_its_process(marked, tree_script):
    keeper = Keeper()
    await keeper.start()
    for _ in range(3):
        process = await keeper.spawn(marked.spawn(tree_script, "1", "3"))
        await lines_of(process, 4)
    pid = keeper.pid
    await keeper.close()
    assert marked.pids() == []
    assert not Path(f"/proc/{pid}").exists()
    assert process.stdout.descriptor is None


async def test_a_killed_minder_takes_its_tree_along(any_keeper, marked, tree_script, auntil):
    process = await any_keeper.spawn(marked.spawn(tree_script, "2", "3"))
    other = await any_keeper.spawn(marked.spawn("sleep", "600"))
    await lines_of(process, 13)
    os.kill(_parent(process.pid), signal.SIGKILL)
    with pytest.raises(Interrupted, match="minder"):
        await process.wait()
    process.close()
    await auntil(lambda: marked.pids() == [other.pid], "the tree of the killed minder")
    async with await any_keeper.spawn(marked.spawn("true")) as next_one:
        assert (await next_one.wait()).ok
    other.close()


async def test_a_killed_keeper_is_replaced_and_its_minders_carry_on(marked, tree_script, auntil):
    reports = []
    async with Keeper(reports.append) as keeper:
        process = await keeper.spawn(marked.spawn(tree_script, "1", "3"))
        await lines_of(process, 4)
        os.kill(keeper.pid, signal.SIGKILL)
        await auntil(lambda: tree.look(keeper.pid) is None, "the keeper dead")
        async with await keeper.spawn(marked.spawn("true")) as next_one:
            assert (await next_one.wait()).ok
        assert len(reports) == 1
        assert len(await process.tree()) == 4
        assert (await process.stop(0)).killed_tree == 4
    assert marked.pids() == []


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


HOST = """
    import asyncio, os, sys
    from trunnion.process import Keeper, Spawn
    async def main():
        script, depth, width, trees, mark = sys.argv[1:]
        async with Keeper() as keeper:
            for _ in range(int(trees)):
                spawn = Spawn(argv=(script, depth, width), env={mark: "1", "PATH": os.defpath})
                process = await keeper.spawn(spawn)
                process.stdout.start(lambda data: None)
            print("spawned", keeper.pid, flush=True)
            await asyncio.Event().wait()
    asyncio.run(main())
"""


def host(marked, tree_script: str, depth: int, width: int, trees: int) -> subprocess.Popen:
    words = [sys.executable, "-c", textwrap.dedent(HOST), tree_script, *map(str, (depth, width, trees)), marked.name]
    return subprocess.Popen(words, stdout=subprocess.PIPE)


def test_the_keeper_ends_with_its_host_even_when_a_minder_is_stopped(marked, tree_script, until):
    with host(marked, tree_script, 1, 2, 1) as process:
        keeper = int(process.stdout.readline().split()[1])
        until(lambda: len(marked.pids()) == 3, "the tree")
        minder = next(parent for pid in marked.pids() if _parent(parent := _parent(pid)) == keeper)
        os.kill(minder, signal.SIGSTOP)
        process.kill()
    until(lambda: not marked.pids(), "the tree below a stopped minder", 15)
    until(lambda: not Path(f"/proc/{keeper}").exists(), "the keeper itself")


def test_a_reused_pid_is_never_signalled(marked):
    with subprocess.Popen(["sleep", "600"], env=marked.env, start_new_session=True) as process:
        seen = tree.look(process.pid)
        assert seen is not None
        tree.send_group(seen._replace(start=seen.start - 1), signal.SIGKILL)
        tree.send_group(seen._replace(group=os.getpgid(os.getpid())), signal.SIGKILL)
        tree.send_group(seen, signal.SIGUSR1)
        assert process.wait() == -signal.SIGUSR1
