"""C2: the clock is set back while a run waits. What was told as a length goes by time that has passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from clocks_kit import DAY, Moved
from faults_kit import PATIENCE

from trunnion import Command, Context, Host, HostOptions, Invocation, Retry, hookimpl
from trunnion.kernel import placement
from trunnion.kernel.clock import Clock
from trunnion.kernel.live import LiveRun
from trunnion.model.errors import DeadlineExceeded, Unavailable

DELAY = 0.2


class Flaky:
    """A command that fails at first, and tells when its attempts began."""

    def __init__(self, delay: float) -> None:
        self.attempts: list[int] = []
        self._delay = delay

    @hookimpl
    def trunnion_commands(self) -> list[Command]:
        async def try_it(ctx: Context) -> int:
            self.attempts.append(ctx.attempt)
            if ctx.attempt == 1:
                raise Unavailable("not yet")
            return ctx.attempt

        retry = Retry(attempts=3, delay=self._delay, max_delay=self._delay)
        return [Command.of(try_it, console="t", lock=None, retry=retry)]


@asynccontextmanager
async def flaky(root: Path, clock: Clock, delay: float = DELAY) -> AsyncIterator[tuple[Host, Flaky]]:
    given = Flaky(delay)
    options = HostOptions(data_dir=root / "data")
    async with Host(options, plugins={"given": given}, discovery=False, environ={}, clock=clock) as host:
        yield host, given


async def waits(host: Host) -> str:
    """The id of a run that failed once and waits for its next attempt."""
    run = await host.door("cli").submit(host.local_caller(), Invocation(command_id="t.try_it"))
    async with asyncio.timeout(PATIENCE):
        while (live := host.kernel.executor.table.live[run.id]).phase != "delayed" or live.timer is None:
            await asyncio.sleep(0)
    return run.id


async def ended(host: Host, run: str, seconds: float = PATIENCE) -> str:
    """The status a run has come to, within so many seconds."""
    door, ann = host.door("cli"), host.local_caller()
    with suppress(DeadlineExceeded):
        await door.wait(ann, run, seconds)
    return (await door.get(ann, run)).status


async def set_back(root: Path, back: float, seconds: float = PATIENCE) -> str:
    """What becomes of a run that waits for its next attempt while the clock is set back."""
    clock = Moved()
    async with flaky(root, clock) as (host, given):
        run = await waits(host)
        clock.ahead = -back
        status = await ended(host, run, seconds)
        assert given.attempts == [1, 2][: len(given.attempts)]
        return status


async def test_c2_a_retry_waits_no_longer_for_it(tmp_path: Path) -> None:
    assert await set_back(tmp_path, DAY) == "succeeded"


async def test_c2_without_the_fault_a_retry_waits_its_time(tmp_path: Path) -> None:
    assert await set_back(tmp_path, 0.0) == "succeeded"


async def test_c2_without_the_defence_a_retry_waits_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_the_wall(live: LiveRun, clock: Clock) -> float:
        return ((live.run.not_before or 0) - clock.utc()) / 1e6

    monkeypatch.setattr(placement, "seconds_to_wait", by_the_wall)
    assert await set_back(tmp_path, DAY, 5 * DELAY) == "pending"


async def test_c2_a_start_believes_no_wait_longer_than_there_may_be(tmp_path: Path) -> None:
    """The clock is set back while no host runs, so that what is stored lies a day ahead."""
    clock = Moved()
    async with flaky(tmp_path, clock, 5.0) as (host, given):
        run = await waits(host)
    assert given.attempts == [1]
    clock.ahead = -DAY
    async with flaky(tmp_path, clock, DELAY) as (host, given):
        assert await ended(host, run) == "succeeded"
    assert given.attempts == [2]


async def test_c2_a_time_a_caller_named_is_a_time(tmp_path: Path) -> None:
    """It was told by the wall clock, so it goes by it: set back, there is more of it to wait."""
    clock = Moved()
    async with flaky(tmp_path, clock) as (host, _):
        at = clock.utc() + int(DELAY * 1e6)
        door, ann = host.door("cli"), host.local_caller()
        run = await door.submit(ann, Invocation(command_id="t.try_it", not_before=at))
        clock.ahead = -60.0
        assert await ended(host, run.id, 3 * DELAY) == "pending"
