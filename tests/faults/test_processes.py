"""Trees of programs and the death of whoever looks after them: rows E4 to E6, E15 and E19."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from figures import SEED
from processes_kit import Programs, cgroup_place, end, lines_of, living, parent, size_of, timed, without

from trunnion.process import Keeper
from trunnion.process.keeper import tree

pytestmark = pytest.mark.anyio

NO_SUBREAPER = "from trunnion.process.keeper import system\nsystem.become_subreaper = lambda: None\n"
NO_FORCE = "from trunnion.process.keeper import minder\nminder.Minder._advance = lambda self: True\n"
NO_ENDING = (
    "from trunnion.process.keeper import main as keeper, minder\n"
    "minder.Minder._kill = lambda self: None\n"
    "keeper.Keeper._insist = lambda self: None\n"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path)
    yield made
    end(made.alive())


@pytest.fixture(params=["walk", "cgroup"])
def place(request: pytest.FixtureRequest) -> str:
    """Both ways to hold a tree together."""
    if request.param == "walk":
        return "off"
    found = cgroup_place()
    if found is None:
        pytest.skip("no cgroup v2 here that this user may write to")
    return str(found)


def left_over(place: str, tag: str) -> list[str]:
    """The cgroups of one host."""
    return [] if place == "off" else [entry.name for entry in Path(place).glob(f"trunnion-{tag}-*")]


# -- one program ----------------------------------------------------------------------------------


async def test_e4_without_the_fault(programs: Programs) -> None:
    """A program that ends on SIGTERM is not killed."""
    async with Keeper() as keeper:
        script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done"
        async with await keeper.spawn(programs.spawn("sh", "-c", script, stdin="pipe")) as process:
            await lines_of(process, 1)
            end = await process.stop(20)
        assert (end.code, end.killed_tree) == (5, 0)
        assert [step.name for step in process.steps] == ["close_stdin", "terminate"]


async def test_e4_without_the_defence(programs: Programs) -> None:
    """Polite signals alone do not end it."""
    with without(NO_FORCE):
        async with Keeper() as keeper:
            process = await keeper.spawn(programs.spawn("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"))
            await lines_of(process, 1)
            with anyio.move_on_after(1.2):
                await process.stop(0.2)
            assert not process.ended
            end(programs.alive())
            await process.wait()
            process.close()


async def test_e5_without_the_fault(programs: Programs) -> None:
    """A tree in one session that listens to SIGTERM: nobody is killed."""
    spawn = programs.spawn("sh", "-c", "sleep 60 & sleep 60 & echo up; wait")
    async with Keeper() as keeper, await keeper.spawn(spawn) as process:
        await lines_of(process, 1)
        assert (await process.stop(20)).killed_tree == 0
    assert not programs.alive()


async def test_e5_without_the_defence(programs: Programs) -> None:
    """Without a subreaper above it, who forks twice is out of sight."""
    script = "(setsid sh -c 'echo up; exec sleep 600' &); echo up; exec sleep 600"
    with without(NO_SUBREAPER):
        async with Keeper() as keeper:
            async with await keeper.spawn(programs.spawn("sh", "-c", script)) as process:
                await lines_of(process, 2)
                await process.stop(0.1)
            assert len(programs.alive()) == 1, "the child of the second fork should have got away"


async def test_e15_without_the_fault(programs: Programs) -> None:
    """Nobody keeps the pipes: the run ends with its leader."""
    async with Keeper() as keeper:
        spawn = programs.spawn("sh", "-c", "exit 4", drain_grace=600)
        with anyio.fail_after(20):
            async with await keeper.spawn(spawn) as process:
                assert (await process.wait()).code == 4


async def test_e15_without_the_defence(programs: Programs) -> None:
    """Whoever waits for the end of the pipes waits as long as their last holder likes."""
    async with Keeper() as keeper:
        spawn = programs.spawn("sh", "-c", "setsid sleep 600 & exit 4", drain_grace=600)
        async with await keeper.spawn(spawn) as process:
            process.stdout.start(lambda data: None)
            await process.exited()
            with anyio.move_on_after(1.0) as waited:
                await process.stdout.ended()
            assert waited.cancelled_caught


# -- the host dies --------------------------------------------------------------------------------


def up(host: subprocess.Popen[str], trees: int) -> list[list[str]]:
    """Wait until a host has started its trees; what it said of each."""
    assert host.stdout is not None
    return [host.stdout.readline().split() for _ in range(trees)]


@pytest.mark.parametrize(
    ("depth", "width", "trees"), [(3, 5, 2), (1, 2, 50), pytest.param(3, 5, 50, marks=pytest.mark.heavy)]
)
def test_e6_no_tree_survives_the_host(
    programs: Programs, place: str, depth: int, width: int, trees: int, figure: Callable[..., None]
) -> None:
    size = trees * size_of(depth, width)
    with programs.host(depth, width, trees, place=place) as host:
        said = up(host, trees)
        programs.up(size)
        before = programs.alive()
        host.kill()
        took = programs.gone("every tree of the killed host", before=before)
        assert not programs.alive()
    keeper = int(said[0][0])
    timed(lambda: not tree.look(keeper), "the keeper itself", 10)
    assert not left_over(place, programs.tag)
    figure(f"{trees} trees of {size // trees} gone after kill -9 of the host", round(took, 3), "s")


@pytest.mark.parametrize("also", ["keeper", "minder", "both"])
def test_e6_with_whoever_looks_after_them(
    programs: Programs, place: str, also: str, figure: Callable[..., None]
) -> None:
    """The keeper or a minder is killed in the same moment, in any order."""
    seed = f"{SEED}/{also}"
    with programs.host(2, 3, 3, place=place) as host:
        said = up(host, 3)
        programs.up(3 * size_of(2, 3))
        keeper, minder = int(said[0][0]), int(said[0][1])
        pids = [host.pid, *([keeper] if also != "minder" else []), *([minder] if also != "keeper" else [])]
        random.Random(seed).shuffle(pids)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        took = programs.gone(f"every tree (seed {seed})")
    figure(f"trees gone after kill -9 of host and {also}", round(took, 3), "s")


def test_a_stopped_minder_whose_keeper_was_killed_too(programs: Programs) -> None:
    """Nobody but the guard is left to act; it gives the minder 3 s."""
    with programs.host(1, 2, 1) as host:
        said = up(host, 1)
        programs.up(3)
        keeper, minder = int(said[0][0]), int(said[0][1])
        guard = parent(keeper)
        os.kill(minder, signal.SIGSTOP)
        for pid in (keeper, host.pid):
            os.kill(pid, signal.SIGKILL)
        programs.gone("the tree below a stopped minder", 20)
    timed(lambda: not living(guard), "the guard itself", 10)


def test_e6_without_the_fault(programs: Programs, place: str) -> None:
    """A host that lives keeps its trees."""
    with programs.host(1, 2, 3, place=place) as host:
        up(host, 3)
        programs.up(9)
        before = programs.alive()
        assert host.poll() is None
        assert programs.alive() == before
        host.kill()
        programs.gone("the trees")


def test_e6_without_the_defence(programs: Programs) -> None:
    """Minders that do not take the closed socket for an order leave everything behind."""
    with programs.host(1, 2, 1, patch=NO_ENDING) as host:
        said = up(host, 1)
        programs.up(3)
        host.kill()
        with pytest.raises(AssertionError, match="the tree"):
            programs.gone("the tree", 1.5)
        end({int(said[0][0]), int(said[0][1])})


def test_e19_a_host_killed_while_it_spawns(programs: Programs, place: str, rounds: int) -> None:
    """Between the fork and the host's knowledge of it."""
    chance = random.Random(SEED)
    for number in range(max(rounds // 5, 3)):
        with programs.host(1, 2, 1000, place=place) as host:
            timed(programs.alive, "the first program", 60)
            with pytest.raises(subprocess.TimeoutExpired):
                host.wait(chance.uniform(0, 0.05))  # the moment of the fault
            host.kill()
        programs.gone(f"programs the host did not know of (seed {SEED}, round {number})")
    timed(lambda: not left_over(place, programs.tag), "no cgroup is left", 10)


async def test_e19_without_the_fault(programs: Programs) -> None:
    """A host that lives knows every program there is."""
    async with Keeper() as keeper:
        started = [await keeper.spawn(programs.spawn("sleep", "600")) for _ in range(30)]
        assert {owned.pid for owned in keeper.owned()} == programs.alive() == {process.pid for process in started}
    assert not programs.alive()


def test_e19_without_the_defence(programs: Programs) -> None:
    with programs.host(1, 2, 1000, patch=NO_ENDING) as host:
        timed(lambda: len(programs.alive()) > 20, "some programs", 60)
        host.kill()
        minders = {parent(pid) for pid in programs.alive()}
        with pytest.raises(AssertionError, match="programs"):
            programs.gone("programs the host did not know of", 1.5)
        end(minders - {1} | programs.alive())
