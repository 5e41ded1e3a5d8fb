"""Programs that take more than their share: rows E7 and E8."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from processes_kit import Programs, cgroup_place, end, without

from trunnion.process import Cgroups, Exit, Keeper, Limits, Process, SpawnFailed

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
BOMB = """
import os, sys, time
if os.getuid() == 0:
    os.setuid(int(sys.argv[1]))
told = False
while True:
    try:
        os.fork()
    except OSError:
        if not told:
            os.write(1, b'no more\\n')
        told = True
        time.sleep(0.05)
"""
HOG = """
blocks = []
while len(blocks) < 512:
    blocks.append(bytearray(1 << 20))
print("had 512 MiB")
"""
ROOM = 40


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path)
    yield made
    end(made.alive())


@pytest.fixture
async def limiting(programs: Programs) -> AsyncIterator[Keeper]:
    """A keeper with cgroups and their controllers."""
    place = cgroup_place()
    if place is None:
        pytest.skip("no cgroup v2 here that this user may write to")
    missing = {"memory", "pids", "cpu"} - set((place / "cgroup.controllers").read_text().split())
    if missing:
        pytest.skip(f"cgroup v2 of this system lacks the controllers {sorted(missing)}: they are bound to v1")
    async with Keeper(cgroups=Cgroups(place=str(place), host=programs.tag, boot="1")) as keeper:
        yield keeper


def own_user() -> tuple[str, int]:
    """A user for a bomb, and how many processes it may have: for root a user of its own, else room above today's."""
    if os.getuid() == 0:
        return str(100_000 + os.getpid()), ROOM
    mine = sum(entry.stat().st_uid == os.getuid() for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return "0", mine + ROOM


async def neighbour(keeper: Keeper, programs: Programs, count: int = 20) -> float:
    """The median time of another program, seconds."""
    times = []
    for _ in range(count):
        begun = time.monotonic()
        async with await keeper.spawn(programs.spawn("true")) as process:
            await process.wait()
        times.append(time.monotonic() - begun)
    return sorted(times)[count // 2]


async def full(process: Process) -> None:
    """Wait until a bomb has run into its limit."""
    hit = anyio.Event()
    process.stdout.start(lambda data: hit.set())
    with anyio.fail_after(60):
        await hit.wait()


# -- E7: fork bombs -------------------------------------------------------------------------------


@pytest.mark.alone
async def test_e7_a_fork_bomb_under_its_own_limit(programs: Programs, figure: Callable[..., None]) -> None:
    """Without a cgroup it is the limit of its user that contains it."""
    user, room = own_user()
    async with Keeper() as keeper:
        before = await neighbour(keeper, programs)
        async with await keeper.spawn(programs.python(BOMB, user, limits=Limits(processes=room))) as process:
            await full(process)
            grown = len(programs.alive())
            beside = await neighbour(keeper, programs)
            begun = time.monotonic()
            ended = await process.stop(0.1)
            took = time.monotonic() - begun
        assert grown <= room + 1
        assert ended.left == 0
        assert not programs.alive()
    figure("processes of a fork bomb under a limit of 40", grown)
    figure("its end after SIGTERM", round(took, 3), "s")
    figure("another program beside it, compared with before", round(beside / before, 1), "times")


@pytest.mark.alone
async def test_e7_a_fork_bomb_in_a_cgroup(limiting: Keeper, programs: Programs, figure: Callable[..., None]) -> None:
    """All processes and threads of the tree together, root's too, and the end names the limit."""
    async with await limiting.spawn(programs.python(BOMB, "0", limits=Limits(tasks=ROOM))) as process:
        await full(process)
        grown = len(await process.tree())
        ended = await process.stop(0.1)
    assert 2 <= grown <= ROOM
    assert (ended.limit, ended.left) == ("tasks", 0)
    assert not programs.alive()
    figure("processes of a fork bomb in a cgroup for 40", grown)


@pytest.mark.alone
async def test_e7_without_the_fault(programs: Programs) -> None:
    """A program that stays below its limit is left alone."""
    user, room = own_user()
    code = BOMB.replace("while True:", "for _ in range(3):")
    spawn = programs.python(code, user, limits=Limits(processes=room))
    async with Keeper() as keeper, await keeper.spawn(spawn) as process:
        ended = await process.wait()
    assert (ended.code, ended.limit, ended.killed_tree) == (0, "", 0)


@pytest.mark.alone
async def test_e7_without_the_defence(programs: Programs) -> None:
    """Without the limit it grows past it; a cap of its own keeps this test from being a bomb."""
    code = BOMB.replace("while True:", "for _ in range(6):") + "time.sleep(600)"
    async with Keeper() as keeper, await keeper.spawn(programs.python(code, own_user()[0])) as process:
        with anyio.fail_after(30):
            while len(programs.alive()) <= ROOM + 1:
                await anyio.sleep(0.02)
        process.kill()
        await process.wait()


# -- E8: memory hogs ------------------------------------------------------------------------------


async def hogged(keeper: Keeper, programs: Programs, limits: Limits) -> Exit:
    async with await keeper.spawn(programs.python(HOG, limits=limits)) as process:
        return await process.wait()


def own_size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_e8_a_memory_hog_in_a_cgroup(limiting: Keeper, programs: Programs, figure: Callable[..., None]) -> None:
    """The whole tree is killed, and only it; the end says memory."""
    script = 'sleep 600 & exec "$0" -I -S -c "$1"'
    async with await limiting.spawn(programs.spawn("sleep", "600")) as other:
        before = own_size()
        spawn = programs.spawn("sh", "-c", script, sys.executable, HOG, limits=Limits(memory=64 * MIB))
        async with await limiting.spawn(spawn) as process:
            ended = await process.wait()
        assert (ended.signal_name, ended.limit) == ("SIGKILL", "memory")
        assert programs.alive() == {other.pid}
        figure("memory the host grew by beside a hog", max(0, round((own_size() - before) / MIB)), "MiB")


async def test_e8_a_memory_hog_under_a_limit_of_its_address_space(programs: Programs) -> None:
    """Without a cgroup each process can be limited by itself: its allocation fails."""
    async with Keeper() as keeper:
        ended = await hogged(keeper, programs, Limits(address_space=256 * MIB))
    assert (ended.code, ended.limit) == (1, "")


@pytest.mark.parametrize("limits", [Limits(memory=64 * MIB), Limits(cpus=0.5), Limits(tasks=5)])
async def test_e8_a_limit_that_nothing_would_keep_is_refused(programs: Programs, limits: Limits) -> None:
    async with Keeper(cgroups=Cgroups(place="off", host="h", boot="1")) as keeper:
        with pytest.raises(SpawnFailed, match=r"'off'.*take the limit out") as caught:
            await keeper.spawn(programs.python(HOG, limits=limits))
        assert (caught.value.cause, caught.value.permanent) == ("bad_limits", True)
        assert keeper.census().failed == 1
    assert not programs.alive()


async def test_e8_without_the_fault(programs: Programs) -> None:
    async with Keeper() as keeper:
        ended = await hogged(keeper, programs, Limits(address_space=4096 * MIB))
    assert (ended.code, ended.limit) == (0, "")


async def test_e8_without_the_defence(programs: Programs) -> None:
    """With the limits forgotten on their way, the hog gets what it wants."""
    forget = "from trunnion.process.keeper import launch\nlaunch.resource.setrlimit = lambda kind, pair: None\n"
    with without(forget):
        async with Keeper() as keeper:
            ended = await hogged(keeper, programs, Limits(address_space=256 * MIB))
    assert ended.code == 0
    assert ended.max_rss > 256 * MIB


async def test_a_tree_in_a_cgroup_is_slowed_down_to_its_share(limiting: Keeper, programs: Programs) -> None:
    """Half a second of work at a fifth of a processor takes longer than two seconds less the first period."""
    code = "import time\nwhile time.process_time() < 0.5: pass"
    begun = time.monotonic()
    async with await limiting.spawn(programs.python(code, limits=Limits(cpus=0.2))) as process:
        assert (await process.wait()).ok
    assert time.monotonic() - begun > 1.5
