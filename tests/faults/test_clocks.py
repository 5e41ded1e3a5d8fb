"""Part C: the clock is set while the host works. Nothing is timed out, removed or told twice for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clocks_kit import DAY, Clocks, Moved, up
from faults_kit import Ground

from trunnion import Command, hookimpl
from trunnion import retention as retention_module
from trunnion.host import Host, HostOptions
from trunnion.kernel import clock_watch
from trunnion.kernel.clock_watch import ClockWatch, doubts
from trunnion.model.errors import NotFound
from trunnion.model.runs import Caller, Invocation
from trunnion.protocol.client import Client

Figure = Callable[..., None]
ANN = Caller("ann", "cli", "admin")
MINUTE = 60_000_000


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[Clocks]:
    made = Clocks(tmp_path)
    yield made
    made.close()


async def jumps(client: Client) -> list[float]:
    """What is told of jumps, in seconds."""
    found = [e async for batch in client.follow("host", live=False) for e in batch]
    return [e.data["seconds"] for e in found if e.kind == "log" and e.data["code"] == "clock.jumped"]


async def told(client: Client, count: int) -> list[float]:
    for _ in range(2000):
        if len(found := await jumps(client)) >= count:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"not {count} jumps: {await jumps(client)}")


def asked(number: int, seconds: float = 0.0) -> Invocation:
    token = f"clock-{number}"
    command, args = ("faults.sleeper", {"seconds": seconds}) if seconds else ("faults.quick", {})
    return Invocation(command_id=command, args={"token": token, **args}, timeout=15.0, idempotency_key=token)


def judge_a_jump(ground: Ground, clocks: Clocks, wall: float, growing: float) -> tuple[int, int]:
    """Runs before, over and after a jump; how many ended otherwise than they should, and jumps that were told of."""

    async def work(client: Client) -> tuple[int, int]:
        before = [await client.run(asked(n)) for n in range(3)]
        over = [await client.submit(asked(10 + n, 1.0)) for n in range(4)]
        clocks.move(wall=wall, growing=growing)
        after = [await client.run(asked(20 + n)) for n in range(3)]
        ended = [*before, *[await client.wait(run.id, 20) for run in over], *after]
        again = [await client.run(asked(n)) for n in range(3)] if wall < 0 else []
        assert [run.id for run in again] == [run.id for run in before[: len(again)]], "a key is joined, not run again"
        listed: list[str] = []
        page = await client.query("runs.list", {"limit": 2})
        while True:
            listed += [item["id"] for item in page["items"]]  # type: ignore[index, call-overload]
            if not page["next"]:  # type: ignore[index, call-overload]
                break
            page = await client.query("runs.list", {"limit": 2, "cursor": page["next"]})  # type: ignore[index, call-overload]
        in_order = [run.id for run in [*before, *over, *after]]
        assert listed == in_order[::-1], "the order is that of numbers, whatever the clock said"
        jumped = await told(client, 1) if wall else await jumps(client)
        assert all(abs(seconds - (wall - growing)) < 60 for seconds in jumped)
        return sum(run.status != "succeeded" for run in ended), len(jumped)

    host = up(ground, clocks)
    wrong, jumped = ground.talk(work)
    assert host.stop() == 0
    ground.judged()
    return wrong, jumped


def test_c1_a_month_ahead(ground: Ground, clocks: Clocks, figure: Figure) -> None:
    wrong, jumped = judge_a_jump(ground, clocks, 30 * DAY, 0.0)
    figure("spurious timeouts", wrong)
    assert (wrong, jumped) == (0, 1)


def test_c1_a_month_ahead_and_the_clock_that_only_grows_too(ground: Ground, clocks: Clocks) -> None:
    """T16: deadlines of runs and waits go by it, so it is moved by less than they have left."""
    assert judge_a_jump(ground, clocks, 30 * DAY, 5.0) == (0, 1)


def test_c1_without_the_fault_no_jump_is_told(ground: Ground, clocks: Clocks) -> None:
    assert judge_a_jump(ground, clocks, 0.0, 0.0) == (0, 0)


def test_c2_a_day_back(ground: Ground, clocks: Clocks, figure: Figure) -> None:
    wrong, jumped = judge_a_jump(ground, clocks, -DAY, 0.0)
    figure("runs that ended otherwise or twice", wrong)
    assert (wrong, jumped) == (0, 1)


# -- history, which a wrong clock makes old ---------------------------------------------------------


class Quick:
    @hookimpl
    def trunnion_commands(self) -> list[Command]:
        async def quick() -> None:
            pass

        return [Command.of(quick, console="t", lock=None)]


class Trimmed:
    """A host that trims its history all the time."""

    def __init__(self, host: Host, clock: Moved, rounds: list[int]) -> None:
        self.host, self.clock, self._rounds = host, clock, rounds
        self.door = host.door("cli")

    async def kept(self) -> int:
        """Runs that are kept after a few more rounds."""
        enough = len(self._rounds) + 3
        while len(self._rounds) < enough:
            await asyncio.sleep(0.005)
        page = await self.door.query(ANN, "runs.list", {})
        return len(page["items"])


@asynccontextmanager
async def trimmed(root: Path, clock: Moved, patch: pytest.MonkeyPatch) -> AsyncIterator[Trimmed]:
    rounds: list[int] = []
    prune = retention_module.prune

    def counted(*args: object) -> object:
        found = prune(*args)  # type: ignore[arg-type]
        rounds.append(args[2])  # type: ignore[arg-type]
        return found

    patch.setattr(retention_module, "RETENTION_INTERVAL", 0.01)
    patch.setattr(retention_module, "prune", counted)
    options = HostOptions(data_dir=root / "data")
    async with Host(options, plugins={"quick": Quick()}, discovery=False, environ={}, clock=clock) as host:
        yield Trimmed(host, clock, rounds)


async def make_history(on: Trimmed) -> None:
    for _ in range(4):
        run = await on.door.submit(ANN, Invocation(command_id="t.quick", args={}))
        await on.door.wait(ANN, run.id, 20)


async def test_c1_a_jump_ahead_removes_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while the host runs, not after a restart, and not once the clock is right again."""
    clock = Moved()
    async with trimmed(tmp_path, clock, monkeypatch) as on:
        await make_history(on)
        clock.ahead = 31 * DAY
        assert await on.kept() == 4
    async with trimmed(tmp_path, clock, monkeypatch) as on:
        assert await on.kept() == 4
        clock.ahead = 0.0
        assert await on.kept() == 4


async def test_c1_a_jump_ahead_removes_no_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Moved()
    async with trimmed(tmp_path, clock, monkeypatch) as on:
        begun = await on.door.open_upload(ANN, "half")
        clock.ahead = 31 * DAY
        await on.kept()
        await on.host.kernel.files.upkeep.sweep()
        assert await on.door.upload(ANN, begun.id)


async def test_c1_without_the_defence_a_jump_ahead_removes_uploads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Moved()
    monkeypatch.setattr(ClockWatch, "believed", lambda self: clock.utc())
    async with trimmed(tmp_path, clock, monkeypatch) as on:
        begun = await on.door.open_upload(ANN, "half")
        clock.ahead = 31 * DAY
        await on.host.kernel.files.upkeep.sweep()
        with pytest.raises(NotFound):
            await on.door.upload(ANN, begun.id)


async def test_c1_a_time_that_lasts_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Moved()
    async with trimmed(tmp_path, clock, monkeypatch) as on:
        await make_history(on)
        monkeypatch.setattr(clock_watch, "DOUBT", 0.05)
        clock.ahead = 31 * DAY
        while await on.kept():
            pass


async def test_c1_without_the_defence_a_jump_ahead_removes_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Moved()
    monkeypatch.setattr(ClockWatch, "believed", lambda self: clock.utc())
    async with trimmed(tmp_path, clock, monkeypatch) as on:
        await make_history(on)
        clock.ahead = 31 * DAY
        assert await on.kept() == 0


DAYS = 1440 * MINUTE


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([], []),
        ([100 * DAYS], []),
        ([70 * DAYS], [(86_400, 30)]),
        ([70 * DAYS, 100 * DAYS - MINUTE], [(86_340, 30)]),
        ([70 * DAYS, 98 * DAYS, 100 * DAYS - MINUTE], [(86_340, 2)]),
        ([70 * DAYS, 130 * DAYS, 70 * DAYS + MINUTE, 100 * DAYS], [(86_400, 30)]),
        ([60 * DAYS, 98 * DAYS, 99 * DAYS + MINUTE], [(60, 1)]),
    ],
    ids=["nothing", "just now", "while none ran", "a minute ago", "long ago too", "set back meanwhile", "a day"],
)
def test_what_a_start_doubts(times: list[int], found: list[tuple[float, float]]) -> None:
    said = [(round(left), round(ahead / DAY)) for left, ahead in doubts(times, 100 * DAYS)]
    assert said == found
