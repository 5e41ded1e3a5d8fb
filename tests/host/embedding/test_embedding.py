"""A host in a program of somebody's own: what it is given, what it reads, and how it ends with its program."""

from __future__ import annotations

import asyncio
import os

import pytest
from embedding_kit import Shop, Warehouse, put

from trunnion import (
    CommandFailed,
    Conflict,
    Console,
    Context,
    Frontend,
    Host,
    HostOptions,
    InvalidArguments,
    InvalidConfig,
    NotFound,
    Provider,
    Query,
    hookimpl,
)
from trunnion.model.commands import Command, commands_of
from trunnion.model.errors import BrokenPlugin


async def frontends(host: Host) -> dict[str, str]:
    status = await host.door("cli").query(host.local_caller(), "host.status")
    return {part["name"]: part["status"] for part in status["frontends"]}


# -- what is given --------------------------------------------------------------------------------


async def test_an_object_becomes_a_provider_and_its_methods_commands(embed) -> None:
    warehouse, shop = Warehouse(), Shop()
    commands = [put, Command.of(warehouse.add, console="stock"), *commands_of(shop)]
    queries = [Query.of(lambda: dict(warehouse.shelf), console="stock", name="shelf")]
    async with embed(commands=commands, queries=queries, provide=[warehouse]) as host:
        assert await host.run("stock.put", item="bolt", count=3) == 3
        assert await host.run("stock.add", item="bolt") == 4
        assert await host.run("shop.sell", item="nut") == -1
        caller = host.caller
        assert await host.door(caller.source).query(caller, "stock.shelf") == {"bolt": 4}
        listed = await host.door(caller.source).query(caller, "runs.list")
        assert {run["source"] for run in listed["items"]} == {"system:app"}
        assert [c.id for c in host.registry.commands("stock")] == ["stock.add", "stock.put"]
        assert host.registry.get("stock.put").id == "stock.put"
    assert (warehouse.shelf, shop.shelf) == ({"bolt": 4}, {"nut": -1})


async def test_a_bound_method_given_by_itself_stays_bound(embed) -> None:
    """Defence: ``command_of`` puts the bound method into the descriptor."""
    shop = Shop()
    async with embed(commands=[shop.sell]) as host:
        await host.run("shop.sell", item="nut")
    assert shop.shelf == {"nut": -1}


async def test_errors_of_a_run_come_out_as_they_are(embed) -> None:
    async def fail() -> None:
        raise CommandFailed("no space on the shelf", {"shelf": 3})

    async with embed(commands=[Command.of(fail, console="t"), put], provide=[Warehouse()]) as host:
        with pytest.raises(CommandFailed, match="no space on the shelf") as failed:
            await host.run("t.fail")
        assert failed.value.details == {"shelf": 3}
        with pytest.raises(InvalidArguments, match="count"):
            await host.run("stock.put", item="bolt", count="many")
        with pytest.raises(NotFound):
            await host.run("stock.tkae")


async def test_cancelling_the_wait_cancels_the_run(embed) -> None:
    began = asyncio.Event()

    async def stay() -> None:
        began.set()
        await asyncio.Event().wait()

    async with embed(commands=[Command.of(stay, console="t")]) as host:
        waiting = asyncio.create_task(host.run("t.stay"))
        await began.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        (run,) = (await host.door("cli").query(host.local_caller(), "runs.list"))["items"]
        ended = await host.door("cli").wait(host.local_caller(), run["id"], 5)
        assert ended.status == "cancelled"


async def test_a_provider_of_its_own_opens_and_closes_with_the_host(embed) -> None:
    notes = []

    async def open_it(host) -> Warehouse:
        notes.append("open")
        return Warehouse()

    async def close(warehouse: object) -> None:
        notes.append(("close", warehouse.shelf))

    provider = Provider(type=Warehouse, open=open_it, close=close)
    async with embed(commands=[put], provide=[provider]) as host:
        await host.run("stock.put", item="bolt")
    assert notes == ["open", ("close", {"bolt": 1})]


async def test_a_provider_of_its_own_that_fails_ends_the_start(embed) -> None:
    async def fails(host) -> Warehouse:
        raise ValueError("no roof")

    with pytest.raises(BrokenPlugin, match="no roof"):
        async with embed(provide=[Provider(type=Warehouse, open=fails)]):
            pass


class Rival:
    """A plugin that wants what the program has too."""

    @hookimpl
    def trunnion_commands(self):
        return [Command.of(lambda: 2, console="stock", name="put")]


class RivalProvider:
    @hookimpl
    def trunnion_provides(self):
        async def open_it(host) -> Warehouse:
            return Warehouse()

        return [Provider(type=Warehouse, open=open_it)]


@pytest.mark.parametrize("rival", [Rival(), RivalProvider()])
async def test_what_the_program_gives_wins_over_plugins(embed, rival) -> None:
    """Defence: the program counts as a built-in, after the host itself."""
    async with embed(commands=[put], provide=[Warehouse()], plugins={"aa": rival}) as host:
        assert await host.run("stock.put", item="bolt") == 1
        (record,) = host.kernel.records()
        assert (record.id, record.state, "app" in record.reason) == ("aa", "broken", True)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"commands": [lambda: 1]}, InvalidArguments, "put @command on"),
        ({"queries": [put]}, InvalidArguments, "Query.of"),
        ({"provide": [Warehouse]}, InvalidArguments, "give an instance"),
        ({"provide": [None]}, InvalidArguments, "give an instance"),
        ({"provide": [Warehouse(), Warehouse()]}, Conflict, "twice"),
        ({"frontends": "socket"}, InvalidArguments, r"give \['socket'\]"),
        ({"frontends": ["web"]}, InvalidConfig, "no loaded plugin has a frontend 'web'; there are socket"),
        (
            {"commands": [Command(id="runs.cancel", handler=lambda: 1)]},
            Conflict,
            "'runs.cancel', which host already has",
        ),
    ],
)
async def test_a_mistake_of_the_program_ends_its_start(embed, given, error, words) -> None:
    with pytest.raises(error, match=words):
        async with embed(**given):
            pass


async def test_the_programs_own_id_is_taken(embed) -> None:
    async with embed(plugins={"app": Rival()}) as host:
        (record,) = host.kernel.records()
        assert (record.state, record.reason) == ("broken", "this name is the host's own")


# -- doors ----------------------------------------------------------------------------------------


class Doors:
    """Two doors, one of which has to be asked for."""

    @hookimpl
    def trunnion_frontends(self):
        return [door("open"), door("closed", enabled=False)]


def door(name: str, **more: object) -> Frontend:
    async def serve(host, ready) -> None:
        ready(f"at {host.door.source}")
        await asyncio.Event().wait()

    return Frontend(name=name, run=serve, source=name, **more)


@pytest.mark.parametrize(
    ("asked", "opened"),
    [
        (None, {"socket", "open"}),
        ((), set()),
        (["closed"], {"closed"}),
        ([door("mine"), "socket"], {"mine", "socket"}),
    ],
)
async def test_only_the_doors_that_are_named_open(embed, asked, opened) -> None:
    """Defence: ``only`` of ``declared_parts``."""
    async with embed(frontends=asked, plugins={"doors": Doors()}) as host:
        assert set(await frontends(host)) == opened
        assert host.data.socket.exists() == ("socket" in opened)


# -- what is read ---------------------------------------------------------------------------------


@pytest.fixture
def strange_place(tmp_path, monkeypatch):
    """A working directory and an environment meant for another host."""
    (tmp_path / "trunnion.toml").write_text("[executor]\nmax_running = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNNION_PLUGINS", "no-such-plugin")
    monkeypatch.setenv("TRUNNION__EXECUTOR__THREADS", "2")
    return tmp_path


async def test_without_discovery_nothing_that_lies_about_is_read(embed, strange_place) -> None:
    """Defences: ``environment`` and the condition before ``find_config``."""
    async with embed() as host:
        assert host.config.path is None
        assert host.config.get("executor.max_running") != 3
        assert host.config.get("executor.threads") != 2


async def test_a_configuration_that_is_named_is_read(strange_place) -> None:
    options = HostOptions(config_path=strange_place / "trunnion.toml", data_dir=strange_place / "data")
    async with Host(options, discovery=False, environ={"TRUNNION__EXECUTOR__THREADS": "2"}) as host:
        assert host.config.get("executor.max_running") == 3
        assert host.config.get("executor.threads") == 2


async def test_print_stays_the_programs(embed, capsys) -> None:
    def speak() -> None:
        print("to the terminal")

    async with embed(commands=[Command.of(speak, console="t")]) as host:
        await host.run("t.speak")
    assert capsys.readouterr().out == "to the terminal\n"


# -- several --------------------------------------------------------------------------------------


async def test_two_hosts_in_one_process_share_nothing(embed) -> None:
    first, second = Warehouse(), Warehouse()

    async def whose(ctx: Context) -> str:
        ctx.echo(ctx.run_id)
        return ctx.require(Console).path

    def given(name: str, warehouse: Warehouse) -> dict:
        return {
            "name": name,
            "commands": [put, Command.of(whose, console="t")],
            "provide": [warehouse, Console(path=name)],
        }

    async with embed(**given("one", first)) as one, embed(**given("two", second)) as two:
        await one.run("stock.put", item="bolt")
        assert (first.shelf, second.shelf) == ({"bolt": 1}, {})
        assert [await host.run("t.whose") for host in (one, two, one)] == ["one", "two", "one"]
        counts = []
        for host in (one, two):
            listed = await host.door("cli").query(host.local_caller(), "runs.list")
            counts.append(len(listed["items"]))
            texts = [
                event.text
                async for batch in host.door("cli").follow(host.local_caller(), "host", live=False)
                for event in batch
            ]
            assert str(host.data.root) in "".join(texts)
        assert counts == [3, 1]
        assert one.kernel.identity.host_id != two.kernel.identity.host_id
        stray = (await one.door("cli").query(one.local_caller(), "runs.list"))["items"][0]["id"]
        with pytest.raises(NotFound):
            await two.door("cli").get(two.local_caller(), stray)


async def test_the_same_data_directory_twice_is_refused_and_the_first_goes_on(embed) -> None:
    async with embed(commands=[put], provide=[Warehouse()]) as host:
        with pytest.raises(Conflict, match=f"process {os.getpid()}"):
            async with embed():
                pass
        assert await host.run("stock.put", item="bolt") == 1
    async with embed(commands=[put], provide=[Warehouse()]) as again:
        assert await again.run("stock.put", item="bolt") == 1


async def test_a_host_starts_once(embed) -> None:
    host = embed()
    async with host:
        pass
    await host.stop()
    with pytest.raises(RuntimeError, match="starts once"):
        async with host:
            pass
