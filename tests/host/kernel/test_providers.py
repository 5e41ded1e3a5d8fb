"""Providers: when they open and close, what a failing one does, and what handlers get of them."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from kernel_kit import Plugin, cmd, until
from providers_kit import TANK, Notes, Pump, Tank, Valve, opens, raises, shown

from trunnion.host import Host
from trunnion.kernel.context import Context
from trunnion.kernel.core import Kernel
from trunnion.kernel.registry import Contributed
from trunnion.kernel.upload_upkeep import UploadUpkeep
from trunnion.model.contributions import Daemon, Frontend, Observer, Provider
from trunnion.model.errors import Conflict, InvalidArguments, Unavailable
from trunnion.model.runs import Invocation
from trunnion.process import Keeper

# -- order ----------------------------------------------------------------------------------------


async def test_they_open_by_plugin_then_as_declared_before_all_else_and_close_after_it_in_reverse(start) -> None:
    """Defence: ``Host._open_providers`` stands before recovery and parts, and first on the stack of what is closed."""
    notes, follows = Notes(), asyncio.Event()

    def part(name: str):
        async def run(host, ready) -> None:
            assert type(await host.require(Pump)) is Pump
            notes.lines.append(f"{name} starts")
            ready()
            try:
                await asyncio.Event().wait()
            finally:
                notes.lines.append(f"{name} stops")

        return run

    async def observe(batch) -> None:
        follows.set()
        try:
            await asyncio.Event().wait()
        finally:
            notes.lines.append("observer ends")

    async def stays(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert type(ctx.require(Pump)) is Pump
            notes.lines.append("run ends")

    mine = {
        "providers": [notes.provider(Valve), notes.provider(Pump)],
        "daemons": [Daemon(name="d", run=part("daemon"))],
        "frontends": [Frontend(name="f", run=part("frontend"), source="web")],
        "observers": [Observer(name="o", on_events=observe)],
    }
    more = {"a": Plugin(providers=[notes.provider(Tank)])}
    async with start(cmd(stays), plugin=mine, more_plugins=more) as rig:
        run = await rig.submit("t.stays")
        await until(lambda: rig.phase(run) == "running")
        await asyncio.wait_for(follows.wait(), 5)
    assert notes.lines == [
        "open Tank", "open Valve", "open Pump", "daemon starts", "frontend starts",
        "run ends", "frontend stops", "daemon stops", "observer ends", "close Pump", "close Valve", "close Tank",
    ]  # fmt: skip


async def test_what_was_pending_finds_them_open(start, tmp_path) -> None:
    """Defence: they open before recovery starts anything."""
    notes = Notes()

    async def fill(ctx: Context) -> str:
        return type(ctx.require(Tank)).__name__

    async def gone(ctx: Context) -> None:
        ctx.require(Tank)
        await asyncio.Event().wait()

    plugin = {"providers": [notes.provider(Tank)]}
    async with start(cmd(fill, lock="one"), cmd(gone, lock="one"), plugin=plugin, durability="process") as rig:
        await rig.submit("t.gone")
        waits = await rig.submit("t.fill")
        image = rig.disk_image()
    async with start(cmd(fill, lock="one"), plugin=plugin, durability="process", data=image) as rig:
        assert (await rig.ended(waits)).result == "Tank"


async def test_nothing_is_accepted_while_they_open(start) -> None:
    """Defence: ``admissions.closed`` meanwhile; recovery would take such a run for one of the last host."""
    refused = []

    async def eager(host) -> object:
        with pytest.raises(Unavailable, match="is starting"):
            await host.door.submit(host.owner_caller(), Invocation(command_id="t.quick"))
        refused.append(1)
        return Tank()

    async def quick() -> None: ...

    async with start(cmd(quick), plugin={"providers": [opens(Tank, eager)]}) as rig:
        assert refused == [1]
        assert (await rig.run("t.quick")).status == "succeeded"


async def test_nothing_is_accepted_before_what_was_pending_has_its_place_again(start, monkeypatch) -> None:
    """Defence: ``Host._go_live`` opens admissions last; an object that is open may ask for runs by itself."""
    closed, take_up = list[str](), UploadUpkeep.take_up

    async def looked_at(upkeep: UploadUpkeep) -> None:
        await take_up(upkeep)
        closed.append(kernels[-1].admissions.closed)

    kernels, open_providers = list[Kernel](), Host._open_providers

    async def noted(host: Host) -> None:
        kernels.append(host.kernel)
        await open_providers(host)

    monkeypatch.setattr(Host, "_open_providers", noted)
    monkeypatch.setattr(UploadUpkeep, "take_up", looked_at)
    async with start() as rig:
        assert closed == ["the host is starting and accepts nothing yet"]
        assert not rig.kernel.admissions.closed


async def test_one_that_needs_another_opens_it_first(start) -> None:
    """Defence: ``Providers.require`` opens what waits."""
    notes = Notes()
    plugin = {"providers": [notes.provider(Pump, Valve, Tank), notes.provider(Valve, Tank), notes.provider(Tank)]}
    async with start(plugin=plugin):
        assert notes.lines == ["open Tank", "open Valve", "open Pump"]
        notes.lines.clear()
    assert notes.lines == ["close Pump", "close Valve", "close Tank"]


async def test_the_time_of_another_does_not_count(start) -> None:
    """Defence: ``Provision.time_left`` leaves out what was spent waiting."""
    own = 1.0

    async def slow(host) -> object:
        await asyncio.sleep(1.5 * own)
        return Tank()

    async def needs_it(host) -> object:
        await host.require(Tank)
        return Pump()

    plugin = {"providers": [Provider(type=Pump, open=needs_it, start_timeout=own), Provider(type=Tank, open=slow)]}
    async with start(plugin=plugin) as rig:
        assert (await shown(rig, Pump))["state"] == "open"


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_a_circle_is_named_in_all_that_are_part_of_it(start, length) -> None:
    """Defence: ``_path`` finds the way back; without it they would wait until their deadlines."""
    kinds = [Pump, Valve, Tank][:length]
    notes = Notes()
    made = [notes.provider(kind, kinds[(n + 1) % length]) for n, kind in enumerate(kinds)]

    class Apart: ...

    began = time.monotonic()
    async with start(plugin={"providers": [*made, notes.provider(Apart)]}) as rig:
        assert time.monotonic() - began < 5
        for kind in kinds:
            row = await shown(rig, kind)
            assert row["state"] == "failed"
            assert "in a circle" in row["reason"]
            assert all(f".{k.__name__} of 'p'" in row["reason"] for k in kinds)
        assert notes.lines == ["open Apart"]


# -- asking ---------------------------------------------------------------------------------------


async def test_every_run_gets_the_same_object_in_the_loop_and_in_threads(start) -> None:
    seen = []

    async def on_loop(ctx: Context) -> None:
        seen.append((ctx.require(Tank), threading.current_thread()))

    def in_thread(ctx: Context) -> None:
        seen.append((ctx.require(Tank), threading.current_thread()))

    notes = Notes()
    async with start(cmd(on_loop), cmd(in_thread), plugin={"providers": [notes.provider(Tank)]}) as rig:
        await rig.run("t.on_loop")
        await rig.run("t.in_thread")
    assert seen[0][0] is seen[1][0]
    assert seen[0][1] is not seen[1][1]


async def test_what_nobody_provides_is_said_so(start) -> None:
    async def fill(ctx: Context) -> None:
        ctx.require(Tank)

    async with start(cmd(fill)) as rig:
        error = (await rig.run("t.fill")).error
        assert error.code == "unavailable"
        assert f"nothing provides {TANK}" in error.message


async def test_an_ended_run_asks_for_nothing_and_a_stopped_host_gives_nothing(start) -> None:
    kept = []

    async def fill(ctx: Context) -> None:
        kept.append(ctx)

    notes = Notes()
    async with start(cmd(fill), plugin={"providers": [notes.provider(Tank)]}) as rig:
        await rig.run("t.fill")
        with pytest.raises(Unavailable, match="has ended"):
            kept[0].require(Tank)
    with pytest.raises(Unavailable, match="the host has stopped"):
        rig.kernel.providers.get(Tank, "p")


async def test_an_instance_of_a_plugin_gets_what_belongs_to_the_plugin(start) -> None:
    """Defence: ``plugin_of``: the part of an owner before the first ``/``."""

    class Own(str):
        __slots__ = ()

    async def ask(ctx: Context) -> str:
        return str(ctx.require(Own))

    async with start(cmd(ask)) as rig:
        rig.kernel.providers.give_each(Own, lambda plugin: Own(f"of {plugin}"))
        rig.kernel.registry.replace("drivers/plc1", Contributed(commands=[cmd(ask, name="plc1")]))
        rig.kernel.registry.replace("drivers/plc2/x", Contributed(commands=[cmd(ask, name="plc2")]))
        assert (await rig.run("t.ask")).result == "of p"
        assert (await rig.run("t.plc1")).result == "of drivers"
        assert (await rig.run("t.plc2")).result == "of drivers"
        with pytest.raises(Conflict, match="as host does"):
            rig.kernel.providers.check("p", [Notes().provider(Own)])


# -- who provides what ----------------------------------------------------------------------------


async def test_of_two_plugins_with_one_type_the_later_is_withdrawn_whole(start) -> None:
    """Defence: ``Providers.check`` before anything of the plugin is registered."""

    async def late() -> None: ...

    notes = Notes()
    more = {"q": Plugin([cmd(late)], providers=[notes.provider(Pump), notes.provider(Tank)])}
    async with start(plugin={"providers": [notes.provider(Tank)]}, more_plugins=more) as rig:
        record = next(r for r in rig.kernel.records() if r.id == "q")
        assert record.state == "broken"
        assert all(part in record.reason for part in ("q", TANK, "as p does"))
        assert rig.kernel.registry.command("t.late") is None
        assert notes.lines == ["open Tank"]


async def test_the_hosts_own_type_is_the_hosts(start) -> None:
    notes = Notes()
    async with start(plugin={"providers": [notes.provider(Keeper)]}) as rig:
        record = next(r for r in rig.kernel.records() if r.id == "p")
        assert (record.state, "as host does" in record.reason) == ("broken", True)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: [Provider(type="tank", open=raises)], "no class"),
        (lambda: [Provider(type=Tank, open=None)], "without a function"),
        (lambda: [opens(Tank, raises), opens(Tank, raises)], "twice"),
    ],
)
async def test_a_descriptor_that_is_none_withdraws_its_plugin(start, made, reason) -> None:
    async with start(plugin={"providers": made()}) as rig:
        record = next(r for r in rig.kernel.records() if r.id == "p")
        assert (record.state, reason in record.reason) == ("broken", True)


async def test_providers_open_for_a_cold_run_but_not_to_read(start) -> None:
    notes = Notes()
    plugin = {"providers": [notes.provider(Tank)]}
    async with start(plugin=plugin, mode="cold", durability="process"):
        assert notes.lines == ["open Tank"]
    notes.lines.clear()
    async with start(plugin=plugin, mode="readonly"):
        pass
    assert notes.lines == []


# -- sets of one's own ----------------------------------------------------------------------------


async def test_a_plugin_changes_its_own_sets_only(start) -> None:
    """Defence: ``PluginRegistry._own``."""

    async def quick() -> int:
        return 1

    async with start(cmd(quick)) as rig:
        registry = rig.host.handle("system:q", "q").registry
        for name in ("p", "host", "q/", "q2", "qq/x", "", "p/q"):
            for change in (
                lambda name=name: registry.replace(name, Contributed()),
                lambda name=name: registry.withdraw(name),
                lambda name=name: registry.set_available(name, available=False),
            ):
                with pytest.raises(InvalidArguments, match="no set of plugin 'q'"):
                    change()
        registry.replace("q", Contributed(commands=[cmd(quick, name="one")]))
        registry.replace("q/plc1", Contributed(commands=[cmd(quick, name="two", aliases=("t.zwei",))]))
        assert [command.id for command in registry.commands("t")] == ["t.one", "t.quick", "t.two"]
        assert registry.get("t.zwei").id == "t.two"
        assert registry.get("host.status").id == "host.status"
        assert registry.query("t.two") is None
        assert {"host", "runs", "t"} <= {console.path for console in registry.consoles()}
        assert registry.root().path == ""
        generation = registry.generation
        registry.set_available("q/plc1", available=False)
        registry.withdraw("q/plc1")
        assert registry.get("t.two") is None
        assert registry.generation == generation + 2
