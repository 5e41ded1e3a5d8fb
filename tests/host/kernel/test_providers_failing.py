"""Providers that fail: as they open, as they close, too late, in the midst of a start."""

from __future__ import annotations

import asyncio
import sys

import kernel_kit
import pytest
from kernel_kit import Plugin, cmd, until
from providers_kit import TANK, Notes, Pump, Tank, Valve, opens, raises, shown

from trunnion.host import Host, HostOptions
from trunnion.kernel import providers
from trunnion.kernel.blame import Blame
from trunnion.kernel.clock import SystemClock
from trunnion.kernel.context import Context
from trunnion.kernel.providers import type_name
from trunnion.model.contributions import Provider
from trunnion.model.errors import BrokenPlugin


async def exits(host) -> object:
    sys.exit(3)


async def interrupts(host) -> object:
    raise KeyboardInterrupt


async def cancels(host) -> object:
    raise asyncio.CancelledError


async def hangs(host) -> object:
    await asyncio.Event().wait()


async def returns_nothing(host) -> object:
    return None


def is_no_coroutine(host) -> object:
    return Tank()


FAILING = [
    (raises, "ValueError: no water"),
    (exits, "SystemExit: 3"),
    (interrupts, "KeyboardInterrupt"),
    (cancels, "CancelledError"),
    (hangs, "not open within 0.2 s"),
    (returns_nothing, "returned no object"),
    (is_no_coroutine, "TypeError"),
]


@pytest.mark.parametrize(("how", "reason"), FAILING, ids=lambda v: getattr(v, "__name__", ""))
async def test_a_failing_one_is_named_and_the_host_goes_on(start, how, reason) -> None:
    """Defence: ``_outcome`` and the deadline in ``Providers._open``."""
    notes = Notes()

    async def fill(ctx: Context) -> None:
        ctx.require(Tank)

    async def other(ctx: Context) -> str:
        return type(ctx.require(Pump)).__name__

    plugin = {"providers": [opens(Tank, how), notes.provider(Pump)]}
    async with start(cmd(fill), cmd(other), plugin=plugin) as rig:
        row = await shown(rig, Tank)
        assert (row["plugin"], row["state"]) == ("p", "failed")
        assert reason in row["reason"]
        told = [e.text for e in await rig.host_events() if e.kind == "log" and e.data["code"] == "provider.failed"]
        assert len(told) == 1
        assert all(part in told[0] for part in ("'p'", TANK, reason))
        run = await rig.run("t.fill")
        assert (run.status, run.error.code) == ("failed", "unavailable")
        assert all(part in run.error.message for part in ("'p'", TANK, reason))
        assert (await rig.run("t.other")).result == "Pump"


async def test_one_that_comes_too_late_is_closed_at_once(start) -> None:
    """Defence: ``Providers._close_late``."""
    closed = []

    async def deaf(host) -> object:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Tank()

    async def close(value: object) -> None:
        closed.append(value)

    plugin = {"providers": [Provider(type=Tank, open=deaf, close=close, start_timeout=0.05)]}
    async with start(plugin=plugin) as rig:
        assert (await shown(rig, Tank))["state"] == "failed"
        assert [type(value) for value in closed] == [Tank]
    assert len(closed) == 1


async def test_what_needs_a_failing_one_says_why(start) -> None:
    notes = Notes()
    plugin = {"providers": [notes.provider(Pump, Tank), opens(Tank, raises)]}
    async with start(plugin=plugin) as rig:
        assert f"cannot provide {TANK}: ValueError: no water" in (await shown(rig, Pump))["reason"]


@pytest.mark.parametrize("asked", [{"only": ("p",)}, {"strict": True}])
async def test_a_failing_one_of_a_plugin_that_was_asked_for_ends_the_start(start, tmp_path, asked) -> None:
    """Defence: ``refuse_failed_providers``. What was open already is closed."""
    notes = Notes()
    plugins = {"p": Plugin(providers=[notes.provider(Pump), opens(Tank, raises)])}
    options = HostOptions(data_dir=tmp_path / "data", **asked)
    with pytest.raises(BrokenPlugin, match=r"'p' cannot provide .*Tank: ValueError: no water"):
        async with Host(options, plugins=plugins, discovery=False, environ={}):
            pass
    assert notes.lines == ["open Pump", "close Pump"]


async def test_a_failing_close_is_named_and_the_others_are_closed(start, monkeypatch) -> None:
    """Defence: ``_outcome`` and ``CLOSE_GRACE`` in ``Providers._close``."""
    monkeypatch.setattr(providers, "CLOSE_GRACE", 0.05)
    notes = Notes()

    async def fails(value: object) -> None:
        sys.exit("stuck")

    async def never(value: object) -> None:
        await asyncio.Event().wait()

    made = [notes.provider(Tank), notes.provider(Pump, close=fails), notes.provider(Valve, close=never)]
    async with start(plugin={"providers": made}, durability="process") as rig:
        log, database = rig.host.data.host_log, rig.host.data.database.parent
    said = log.read_text()
    assert f"'p' did not close {type_name(Pump)}: SystemExit: stuck" in said
    assert f"'p' did not close {type_name(Valve)}: not within 0.05 s" in said
    assert notes.lines[-1] == "close Tank"
    stored = b"".join(path.read_bytes() for path in database.iterdir())
    assert f"did not close {type_name(Pump)}".encode() in stored, "it is on record in stream host too"


async def test_what_a_close_says_at_the_very_end_is_on_record(start) -> None:
    """Defence: the store is flushed once more after the providers, however long a commit takes."""
    valves: list[kernel_kit.Valve] = []

    async def open_it(host) -> object:
        return Tank()

    async def close(value: object) -> None:
        valves[0].close()
        rig.kernel.host_log.report("tank.first", "the first word")
        await until(lambda: valves[0].waiting)
        rig.kernel.host_log.report("tank.last", "the last word")
        asyncio.get_running_loop().call_later(0.1, valves[0].open)

    plugin = {"providers": [Provider(type=Tank, open=open_it, close=close)]}
    async with start(plugin=plugin, durability="process") as rig:
        valves.append(kernel_kit.Valve(rig.kernel.store))
        database = rig.host.data.database.parent
    assert b"the last word" in b"".join(path.read_bytes() for path in database.iterdir())


async def test_a_start_that_is_broken_off_closes_what_was_open(tmp_path, start) -> None:
    """Defence: ``Providers.close`` ends what is being opened."""
    notes, opening, ended = Notes(), asyncio.Event(), asyncio.Event()

    async def waits(host) -> object:
        opening.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def begin() -> None:
        async with start(plugin={"providers": [notes.provider(Pump), Provider(type=Tank, open=waits)]}):
            pass

    task = asyncio.create_task(begin())
    await asyncio.wait_for(opening.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert ended.is_set()
    assert notes.lines == ["open Pump", "close Pump"]


async def test_one_that_came_as_the_start_was_broken_off_is_closed() -> None:
    """Defence: ``Providers._open`` closes what it is given while it is cancelled."""
    notes, opening = Notes(), asyncio.Event()

    async def comes_all_the_same(host) -> object:
        opening.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Tank()

    provided = providers.Providers(lambda *_: None, Blame(lambda *_, **__: None, SystemClock()))
    tank = notes.provider(Tank, open=comes_all_the_same)
    provided.add("p", [tank])
    task = asyncio.create_task(provided.open(lambda asking: asking))
    await asyncio.wait_for(opening.wait(), 5)
    task.cancel()
    await asyncio.wait({task})
    await provided.close()
    assert notes.lines == ["close Tank"]
