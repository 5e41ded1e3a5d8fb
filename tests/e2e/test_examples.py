"""The examples do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from trunnion import Command, CommandFailed, Forbidden, Host, HostOptions, Invocation, hookimpl

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "night_shift"


class Plant:
    """Two commands: one that destroys, one that fails."""

    @hookimpl
    def trunnion_commands(self):
        async def scrap() -> None: ...

        async def jam() -> None:
            raise CommandFailed("the belt is stuck")

        return [Command.of(scrap, console="plant", effect="destroy"), Command.of(jam, console="plant")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def options(folder: Path, begins: int, ends: int) -> HostOptions:
    hours = (f"night_shift.begins={begins}", f"night_shift.ends={ends}", "store.durability=memory")
    return HostOptions(data_dir=folder, plugin_dirs=(EXAMPLE,), overrides=hours)


@pytest.mark.anyio
async def test_the_night_shift_refuses_and_remembers(tmp_path):
    async with Host(options(tmp_path, 0, 24), plugins={"plant": Plant()}, discovery=False, environ={}) as host:
        door, me = host.door("cli"), host.local_caller()
        with pytest.raises(Forbidden, match="nobody is in before 24"):
            await door.submit(me, Invocation(command_id="plant.scrap"))
        run = await door.submit(me, Invocation(command_id="plant.jam"))
        await door.wait(me, run.id)
        for pump in host.kernel.observers:
            await pump.catch_up()
        found = await door.query(me, "night_shift.failed")
        assert f"run/{run.id}" in {item["stream"] for item in found["items"]}


@pytest.mark.anyio
async def test_by_day_everything_goes(tmp_path):
    async with Host(options(tmp_path, 0, 0), plugins={"plant": Plant()}, discovery=False, environ={}) as host:
        door, me = host.door("cli"), host.local_caller()
        run = await door.submit(me, Invocation(command_id="plant.scrap"))
        assert (await door.wait(me, run.id)).status == "succeeded"


@pytest.mark.parametrize(("hour", "night"), [(23, True), (5, True), (6, False), (21, False)])
def test_a_night_reaches_over_midnight(hour, night):
    is_night = runpy.run_path(str(EXAMPLE / "night_shift.py"))["is_night"]
    assert is_night(hour, 22, 6) is night


def test_its_subcommand(place):
    assert "see trunnion query" in place.run("--plugin-dir", str(EXAMPLE), "--only", "night_shift", "night-shift").out
