"""The examples do what they say."""

from __future__ import annotations

import asyncio
import contextlib
import runpy
from pathlib import Path
from types import ModuleType

import pytest

from trunnion import (
    Command,
    CommandFailed,
    Forbidden,
    Host,
    HostOptions,
    Invocation,
    NotFound,
    Unauthenticated,
    hookimpl,
)

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


# -- the guide for plugins ------------------------------------------------------------------------


def block(title: str) -> str:
    """The code under a title of the guide."""
    guide = (EXAMPLE.parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    return guide.partition(f"## {title}\n")[2].partition("```python\n")[2].partition("```")[0]


def as_plugin(text: str, **names: object) -> ModuleType:
    module = ModuleType("guide")
    module.__dict__.update(names)
    exec(compile(text, "docs/plugins.md", "exec"), module.__dict__)  # our own page
    return module


async def ended(host: Host, command_id: str, **args: object) -> dict:
    door, me = host.door("cli"), host.local_caller()
    run = await door.submit(me, Invocation(command_id=command_id, args=args))
    return (run if run.ended else await door.wait(me, run.id)).result


@pytest.mark.anyio
async def test_the_door_of_the_guide_lets_in_who_has_a_token_and_nobody_else(tmp_path):
    delivers, posted = [], asyncio.Event()

    @contextlib.asynccontextmanager
    async def post_office(deliver):
        delivers.append(deliver)
        posted.set()
        yield

    guide = as_plugin(block("A door of your own"), post_office=post_office, asyncio=asyncio)

    async def stamp(paper: str) -> str:
        return f"{paper} is stamped"

    commands = [Command.of(stamp, console="desk", expose=frozenset({"letters"}))]
    opened = 'access.expose={"runs.*"=["letters"]}'
    settings = HostOptions(data_dir=tmp_path, overrides=("store.durability=memory", opened))
    async with Host(settings, plugins={"post": guide}, commands=commands, discovery=False, environ={}) as host:
        await posted.wait()
        await ended(host, "principals.add", name="ada", role="operator")
        made = await ended(host, "tokens.create", principal="ada")
        [deliver] = delivers
        assert await deliver(made["token"], "desk.stamp", {"paper": "A4"}) == "A4 is stamped"
        with pytest.raises(NotFound):
            await deliver(made["token"], "principals.add", {"name": "eve"})
        with pytest.raises(Unauthenticated):
            await deliver("trn_no_token", "desk.stamp", {"paper": "A4"})
        await ended(host, "tokens.revoke", id=made["id"])
        with pytest.raises(Unauthenticated):
            await deliver(made["token"], "desk.stamp", {"paper": "A4"})


@pytest.mark.anyio
async def test_the_plugin_of_the_guide_that_says_no(tmp_path):
    guide = as_plugin(block("Saying no"))

    async def scrap() -> None: ...

    commands = [Command.of(scrap, console="plant", effect="destroy", expose=frozenset({"web"}))]
    settings = HostOptions(data_dir=tmp_path, overrides=("store.durability=memory",))
    async with Host(settings, plugins={"school": guide}, commands=commands, discovery=False, environ={}) as host:
        for name in ("trainee-eva", "eva"):
            await ended(host, "principals.add", name=name, role="operator")
            asked = {"target": "plant.scrap", "principal": name}
            found = await host.door("cli").query(host.local_caller(), "host.explain", asked)
            assert found["allowed"] == (name == "eva")
            assert ("ask the shift leader" in found["rule"]) == (name != "eva")
