"""Pids that were reused, children nobody waits for, and wishes that overtake each other: rows A11, E18 and E20."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from figures import ROUNDS, SEED
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from processes_kit import Programs, end, lines_of, without

from trunnion.process import Keeper, Process

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path)
    yield made
    end(made.alive())


# -- A11: pids come round -------------------------------------------------------------------------

REUSE = """
    import os, signal, subprocess, sys
    from pathlib import Path
    from trunnion.process.keeper import cgroups, tree

    LAST = Path("/proc/sys/kernel/ns_last_pid")

    def sleeper():
        return subprocess.Popen(["sleep", "600"], start_new_session=True)

    def stranger_with(pid):
        while True:
            LAST.write_text(str(pid - 1))
            stranger = sleeper()
            if stranger.pid == pid:
                return stranger
            stranger.kill()
            stranger.wait()

    def send(member, number):
        os.killpg(member.group, number)

    defended, present = sys.argv[1] == "defended", sys.argv[2] == "present"
    if not defended:
        tree.send_group = send
    killed = 0
    for _ in range(int(sys.argv[3])):
        victim = sleeper()
        seen = tree.look(victim.pid)
        assert seen is not None and cgroups._minded(f"{seen.pid}-{seen.start}-1")
        if present:
            # The start time has the resolution of the kernel's clock: a later process has a later one.
            victim.kill()
            victim.wait()
            while int(float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK")) <= seen.start:
                pass
            victim = stranger_with(seen.pid)
            assert not cgroups._minded(f"{seen.pid}-{seen.start}-1") or not defended
        tree.send_group(seen, signal.SIGTERM)
        victim.send_signal(signal.SIGKILL)
        killed += victim.wait() == -signal.SIGTERM
    print(killed)
"""


def reused(*words: str) -> int:
    """Have pids come round in a pid namespace of its own; how often the process that was there then got the signal."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare(1) to make a pid namespace with")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [unshare, *as_root, "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c"]
    done = subprocess.run(
        [*command, textwrap.dedent(REUSE), *words], check=False, capture_output=True, text=True, timeout=120
    )
    if done.stderr.startswith("unshare:") or "PermissionError" in done.stderr:
        pytest.skip(f"pids cannot be chosen here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a11_a_pid_that_belongs_to_another_program_by_now(rounds: int, figure: Callable[..., None]) -> None:
    assert reused("defended", "present", str(rounds)) == 0
    figure("strangers signalled", f"0 of {rounds}")


def test_a11_without_the_fault(rounds: int) -> None:
    """The process that was meant gets its signal."""
    assert reused("defended", "absent", str(rounds)) == rounds


def test_a11_without_the_defence(rounds: int) -> None:
    """A signal by number alone hits whoever has the number."""
    assert reused("undefended", "present", str(rounds)) == rounds


# -- E20: zombies ---------------------------------------------------------------------------------

FERTILE = """
import os, sys, time
for number in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
os.write(1, b'done\\n')
time.sleep(600)
"""
NO_WAITING = "from trunnion.process.keeper import minder\nminder.Minder._reap = lambda self: None\n"


async def zombies_after(programs: Programs, children: int, seconds: float) -> int:
    """Zombies, once a program has had so many grandchildren that nobody of its own waits for."""
    async with Keeper() as keeper:
        process = await keeper.spawn(programs.python(FERTILE, str(children)))
        await lines_of(process, 1, 300)
        with anyio.move_on_after(seconds):
            while keeper.surveyor()().zombies:
                await anyio.sleep(0.02)
        seen = keeper.surveyor()()
        assert (seen.orphans, seen.processes) == ([], 1)
        process.close()
        return len(seen.zombies)


async def test_e20_children_nobody_waits_for(programs: Programs, rounds: int, figure: Callable[..., None]) -> None:
    children = rounds * 50
    assert await zombies_after(programs, children, 10) == 0
    figure("zombies left of grandchildren", f"0 of {children}")


async def test_e20_without_the_fault(programs: Programs) -> None:
    assert await zombies_after(programs, 0, 10) == 0


async def test_e20_without_the_defence(programs: Programs) -> None:
    with without(NO_WAITING):
        async with Keeper() as keeper:
            process = await keeper.spawn(programs.python(FERTILE, "20"))
            await lines_of(process, 1)
            # The parent of each was waited for, not each itself: the last may be about to end.
            with anyio.fail_after(30):
                while len(keeper.surveyor()().zombies) < 20:
                    await anyio.sleep(0.02)
            end({keeper.pid, process.minder, process.pid})
            process.close()


# -- E18: wishes that overtake each other ---------------------------------------------------------

PROGRAMS = {
    "lasting": ("sleep", "600"),
    "stubborn": ("sh", "-c", "trap '' TERM; while :; do sleep 600; done"),
    "short": ("true",),
    "missing": ("/nowhere/program",),
}
STARTS = st.sampled_from(sorted(PROGRAMS)).map(lambda kind: f"start {kind}")
STOPS = st.sampled_from(["stop", "stop now", "kill", "close", "leave"])
TURNS = st.integers(0, 3).map(lambda turns: f"turn {turns}")
WISHES = st.lists(st.one_of(STARTS, STOPS, TURNS), min_size=2, max_size=12)
ORDER = ["close_stdin", "terminate", "kill"]


class Unit:
    """One place for a program; it obeys the last wish, whatever is still under way."""

    def __init__(self, keeper: Keeper, programs: Programs) -> None:
        self.keeper = keeper
        self.programs = programs
        self.wanted = ""
        self.starting: asyncio.Task[Process] | None = None
        self.made: list[Process] = []
        self.ending: list[asyncio.Task[object]] = []

    async def obey(self, wish: str) -> None:
        verb, _, word = wish.partition(" ")
        if verb == "turn":
            for _ in range(int(word)):
                await asyncio.sleep(0)
        elif verb == "start":
            self.let_go("kill")
            self.wanted = word
            self.starting = asyncio.ensure_future(self.start(PROGRAMS[word]))
        else:
            self.wanted = ""
            self.let_go(wish)

    async def start(self, argv: tuple[str, ...]) -> Process:
        process = await self.keeper.spawn(self.programs.spawn(*argv))
        self.made.append(process)
        return process

    def let_go(self, how: str) -> None:
        """Wish for the end of what runs or is about to."""
        if self.starting is not None and not self.starting.done():
            self.starting.cancel()
        for process in self.made:
            if how in ("stop", "stop now"):
                self.ending.append(asyncio.ensure_future(process.stop(0.02 if how == "stop" else 0)))
            elif how in ("close", "leave"):
                process.close()
            else:
                process.kill()

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        tasks: list[asyncio.Task[object]] = [*self.ending, *([self.starting] if self.starting else [])]
        await asyncio.gather(*tasks, return_exceptions=True)

    def lawful(self) -> None:
        for process in self.made:
            names = [step.name for step in process.steps]
            assert names == sorted(names, key=ORDER.index), names
            assert names.count("kill") <= 1
            assert process.pid > 0, "a process that was handed out has started"


async def sequence(keeper: Keeper, programs: Programs, wishes: list[str]) -> None:
    """Obey all wishes at the pace they come, then compare the world with the last one."""
    unit = Unit(keeper, programs)
    for wish in wishes:
        await unit.obey(wish)
    await unit.settled()
    unit.lawful()
    wanted = {"lasting": 1, "stubborn": 2}.get(unit.wanted, 0)
    with anyio.fail_after(10):
        while len(programs.alive()) != wanted:
            await asyncio.sleep(0.005)
    for process in unit.made:
        process.close()
    with anyio.fail_after(10):
        while programs.alive() or keeper.census().alive:
            await asyncio.sleep(0.005)


async def nothing_left(keeper: Keeper) -> None:
    """What was killed last may be about to end: it is waited for, and anything else never does."""
    with anyio.fail_after(10):
        while (seen := keeper.surveyor()()).processes or seen.orphans or seen.zombies:
            await anyio.sleep(0.02)


def test_e18_wishes_that_overtake_each_other(programs: Programs, figure: Callable[..., None]) -> None:
    """Stop during start, start during stop, kill and close at any moment: the last wish wins, nothing is left."""
    done = 0

    @seed(int(SEED, 16))
    @settings(max_examples=ROUNDS * 2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(WISHES)
    def run(wishes: list[str]) -> None:
        nonlocal done
        loop.run_until_complete(asyncio.wait_for(sequence(keeper, programs, wishes), 60))
        done += 1

    loop = asyncio.new_event_loop()
    try:
        keeper = Keeper()
        run()
        loop.run_until_complete(nothing_left(keeper))
        loop.run_until_complete(keeper.close())
    finally:
        loop.close()
    figure("sequences of wishes after which the world was as wished last", f"{done} of {done}")


@pytest.mark.heavy
def test_e18_many_sequences(programs: Programs, figure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROUNDS", 5000)
    test_e18_wishes_that_overtake_each_other(programs, figure)


def test_e18_without_the_fault(programs: Programs) -> None:
    """One wish at a time, each settled before the next."""

    async def one_by_one() -> None:
        async with Keeper() as keeper:
            unit = Unit(keeper, programs)
            for wish in ("start lasting", "stop", "start stubborn", "kill", "start short"):
                await unit.obey(wish)
                await unit.settled()
            unit.lawful()
            assert len(unit.made) == 3

    asyncio.run(one_by_one())
    assert not programs.alive()


def test_e18_without_the_defence(programs: Programs) -> None:
    """A spawn that is given up, and does not let go of its minder, leaves its program."""

    async def given_up() -> None:
        keeper = Keeper()
        for process in [await keeper.spawn(programs.spawn("true"))]:
            await process.wait()
            process.close()
        with pytest.MonkeyPatch.context() as change:
            change.setattr(Process, "close", lambda self: None)
            unit = Unit(keeper, programs)
            await unit.obey("start lasting")
            await unit.obey("turn 2")
            await unit.obey("stop")
            await unit.settled()
            with anyio.fail_after(10):
                while not programs.alive():
                    await asyncio.sleep(0.005)
        await keeper.close()

    asyncio.run(given_up())
