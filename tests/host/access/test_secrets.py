"""The sealed store and what plugins get of it; secret arguments from the first to the last moment."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import pytest
from kernel_kit import Valve, until

from trunnion.arguments import Secret
from trunnion.host import Host, HostOptions
from trunnion.kernel.context import Context
from trunnion.kernel.plugin_secrets import Secrets
from trunnion.model.commands import Command, Query
from trunnion.model.errors import InvalidArguments, NotFound, TrunnionError, Unavailable
from trunnion.model.events import run_stream
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Invocation, Run

ANN = Caller("ann", "cli", "admin")
MASK = "•••"


@asynccontextmanager
async def running(
    data: Path, *commands: Command, queries: tuple[Query, ...] = (), **options: str
) -> AsyncIterator[Host]:
    overrides = tuple(f"{key.replace('__', '.')}={value}" for key, value in options.items())
    host = Host(
        HostOptions(data_dir=data, overrides=overrides, capture=True),
        commands=commands, queries=queries, discovery=False, frontends=(), environ={},
    )  # fmt: skip
    async with host:
        yield host


async def run(host: Host, command_id: str, /, **args: Json) -> Run:
    door = host.door("cli")
    return await door.wait(ANN, (await door.submit(ANN, Invocation(command_id=command_id, args=args))).id, 20)


async def said(host: Host, run: Run) -> str:
    door = host.door("cli")
    batches = [batch async for batch in door.follow(ANN, run_stream(run.id))]
    return "\n".join(f"{event.text} {bytes(event.raw).decode()}" for batch in batches for event in batch)


async def use(ctx: Context, name: str) -> str:
    """Gets a secret and says it in pieces."""
    value = await ctx.require(Secrets).get(name)
    ctx.write(f"it is {value[:6]}")
    ctx.write(f"{value[6:]}\n")
    return f"got {value}"


def names(ctx: Context) -> list[str]:
    return ctx.require(Secrets).names()


USE = (Command.of(use, console="t"), Command.of(names, console="t"))


async def test_a_plugin_reads_its_own_and_the_shared_ones(tmp_path: Path) -> None:
    async with running(tmp_path, *USE) as host:
        for name in ("app/token", "shared/token", "shared/other", "plc/token"):
            assert (await run(host, "secrets.set", name=name, value=f"hunter2-{name}")).status == "succeeded"
        assert (await run(host, "t.names")).result == ["app/token", "shared/other", "shared/token"]
        store = host.kernel.secrets.for_plugin("app")
        assert store.get_blocking("token") == "hunter2-app/token"
        assert store.get_blocking("other") == "hunter2-shared/other"
        assert store.get_blocking("shared/token") == "hunter2-shared/token"
        for name in ("plc/token", "plc/none"):
            with pytest.raises(NotFound, match=f"no secret '{name}'.*trunnion secrets set {name}"):
                store.get_blocking(name)


async def test_what_a_run_gets_is_cut_from_all_it_says(tmp_path: Path) -> None:
    async with running(tmp_path, *USE) as host:
        await run(host, "secrets.set", name="app/token", value="hunter2-canary")
        ended = await run(host, "t.use", name="token")
        assert ended.result == f"got {MASK}"
        assert f"it is {MASK}" in await said(host, ended)


async def test_secrets_outlive_the_host_and_are_cut_from_its_start_on(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        await run(host, "secrets.set", name="app/token", value="hunter2-canary")
    async with running(tmp_path, *USE) as host:
        assert host.kernel.redactor.text("a hunter2-canary") == f"a {MASK}"
        assert host.kernel.secrets.for_plugin("app").get_blocking("token") == "hunter2-canary"
        listed = await host.door("cli").query(ANN, "secrets.list")
        assert [(item["name"], item["readable"]) for item in listed["items"]] == [("app/token", True)]
        assert "hunter2" not in str(listed)


async def test_the_value_before_the_last_is_cut_still_and_older_ones_are_let_go(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        for number in range(4):
            await run(host, "secrets.set", name="app/token", value=f"hunter2-{number}")
        shown = [host.kernel.redactor.text(f"hunter2-{number}") for number in range(4)]
        assert shown == ["hunter2-0", "hunter2-1", MASK, MASK]


async def test_what_is_deleted_is_gone_and_cut_still(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        await run(host, "secrets.set", name="app/token", value="hunter2-canary")
        assert (await run(host, "secrets.delete", name="app/token")).result == {"deleted": "app/token"}
        assert host.kernel.secrets.names() == []
        assert host.kernel.redactor.text("hunter2-canary") == MASK
        again = await run(host, "secrets.delete", name="app/token")
        assert (again.status, again.error.code) == ("failed", "not_found")


@pytest.mark.parametrize(
    "name", ["token", "Plc/token", "plc/", "/token", "plc/a/b", "plc/..", "a b/c", "plc/" + "x" * 64]
)
async def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as host:
        with pytest.raises(InvalidArguments, match="cannot name a secret"):
            await host.kernel.secrets.set(name, "hunter2-canary")


async def test_a_value_is_never_empty_and_bounded(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        for value in ("", "x" * 70_000):
            with pytest.raises(InvalidArguments, match="1 to 65536 bytes"):
                await host.kernel.secrets.set("app/token", value)


async def test_secrets_are_for_admins_at_local_doors(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        for source, role in (("cli", "operator"), ("web", "admin"), ("rpc", "admin")):
            caller, door = Caller("bob", source, role), host.door(source)
            args: dict[str, Json] = {"name": "a/b", "value": "hunter2-canary"}
            with pytest.raises(TrunnionError) as refused:
                await door.submit(caller, Invocation(command_id="secrets.set", args=args))
            assert refused.value.code in ("not_found", "forbidden")
            with pytest.raises(TrunnionError) as refused:
                await door.query(caller, "secrets.list")
            assert refused.value.code in ("not_found", "forbidden")
        assert host.kernel.secrets.names() == []


async def test_a_sealed_value_moved_to_another_name_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        await host.kernel.secrets.set("plc/token", "hunter2-canary")
        state = host.kernel.documents.state("host")
        await state.put("secrets/app/token", (await state.get("secrets/plc/token")).value)
    async with running(tmp_path) as host:
        with pytest.raises(Unavailable, match="was changed or belongs elsewhere"):
            host.kernel.secrets.for_plugin("app").get_blocking("token")
        assert host.kernel.secrets.for_plugin("plc").get_blocking("token") == "hunter2-canary"


# -- the key -------------------------------------------------------------------------------------------


async def test_a_new_key_seals_everything_anew(tmp_path: Path) -> None:
    hold = asyncio.Event()

    async def wait(*, word: Annotated[str, Secret()]) -> None:
        await hold.wait()

    command = Command.of(wait, console="t")
    async with running(tmp_path, command) as host:
        await run(host, "secrets.set", name="app/token", value="hunter2-canary")
        door = host.door("cli")
        held = await door.submit(ANN, Invocation(command_id="t.wait", args={"word": "hunter3-canary"}))
        (old,) = [row.sealed for row in host.kernel.store.live() if row.run.id == held.id]
        key = (tmp_path / "secret.key").read_bytes()
        done = await run(host, "secrets.rotate")
        assert done.result == {"secrets": 1, "runs": 1}
        assert (tmp_path / "secret.key").read_bytes() != key
        (new,) = [row.sealed for row in host.kernel.store.live() if row.run.id == held.id]
        assert new[:4] != old[:4]
        assert host.kernel.sealer.open(held.id, new) == b'{"word":"hunter3-canary"}'
        assert not list(tmp_path.glob("secret.key.*"))
        hold.set()
        await door.wait(ANN, held.id, 20)
    async with running(tmp_path) as host:
        assert host.kernel.secrets.value("app/token") == "hunter2-canary"


async def test_keyed_digests_outlive_the_key(tmp_path: Path) -> None:
    def login(*, word: Annotated[str, Secret()]) -> None:
        pass

    async with running(tmp_path, Command.of(login, console="t")) as host:
        door, wish = host.door("cli"), Invocation(command_id="t.login", args={"word": "hunter2"}, idempotency_key="k")
        first = await door.submit(ANN, wish)
        await run(host, "secrets.rotate")
        assert (await door.submit(ANN, wish)).id == first.id


# -- secret arguments ----------------------------------------------------------------------------------


async def test_an_argument_in_which_redaction_finds_something_is_secret_for_that_run(tmp_path: Path) -> None:
    got: list[object] = []

    async def call(ctx: Context, url: str = "", config: dict[str, Json] | None = None, token: str = "") -> str:
        got.append((url, config, token))
        assert ctx.run.args == {"url": MASK, "config": MASK, "token": MASK}
        return f"{url} {config} {token}"

    async with running(tmp_path, Command.of(call, console="t")) as host:
        await host.kernel.secrets.set("app/token", "hunter2-canary")
        given = {
            "url": "https://h/?k=hunter2-canary",
            "config": {"db": {"password": "open sesame"}},
            "token": "abc-xyz",
        }
        ended = await run(host, "t.call", **given)
        assert got == [("https://h/?k=hunter2-canary", {"db": {"password": "open sesame"}}, "abc-xyz")]
        assert ended.status == "succeeded"
        assert ended.args == {"url": MASK, "config": MASK, "token": MASK}
        for word in ("hunter2", "sesame", "abc-xyz"):
            assert word not in str(ended.result) + await said(host, ended)
        again = await run(host, "runs.rerun", run_id=ended.id)
        assert (again.status, again.error.code) == ("failed", "invalid_arguments")
        for name in given:
            assert name in again.error.message
        assert (await run(host, "runs.rerun", run_id=ended.id, args=given)).status == "succeeded"


def sealed_rows(data: Path) -> list[bytes]:
    connection = sqlite3.connect(data / "db" / "trunnion.sqlite")
    try:
        return [sealed for (sealed,) in connection.execute("SELECT sealed FROM live WHERE sealed IS NOT NULL")]
    finally:
        connection.close()


async def test_sealed_arguments_are_erased_however_the_run_ends(tmp_path: Path) -> None:
    async def wait(*, word: Annotated[str, Secret()], lock: str = "") -> None:
        await asyncio.Event().wait()

    async def work(*, word: Annotated[str, Secret()], how: str) -> None:
        if how == "fails":
            raise ValueError(f"no {word}")

    commands = (
        Command.of(wait, console="t", lock="one"), Command.of(work, console="t"),
        Command.of(wait, name="gone", console="t", retry=None),
    )  # fmt: skip
    async with running(tmp_path, *commands, executor__shutdown_grace="0.05") as host:
        door = host.door("cli")

        async def submit(command_id: str, **fields: object) -> Run:
            return await door.submit(ANN, Invocation(command_id=command_id, **fields))

        word = {"word": "hunter2-canary"}
        works = await submit("t.wait", args=word)
        waits = await submit("t.wait", args=word)
        late = await submit("t.wait", args=word, timeout=0.05)
        assert len(sealed_rows(tmp_path)) >= 2
        assert (await door.cancel(ANN, waits.id)).status == "cancelled"
        assert (await door.wait(ANN, late.id, 20)).status == "timed_out"
        await door.cancel(ANN, works.id)
        assert (await door.wait(ANN, works.id, 20)).status == "cancelled"
        assert (await run(host, "t.work", word="hunter2-canary", how="fails")).status == "failed"
        assert (await run(host, "t.work", word="hunter2-canary", how="succeeds")).status == "succeeded"
        assert sealed_rows(tmp_path) == []
        left = await submit("t.gone", args=word)
    assert sealed_rows(tmp_path) == [], f"run {left.id} was interrupted by the stop of the host"


async def test_who_stops_waiting_leaves_store_and_memory_of_one_mind(tmp_path: Path) -> None:
    async with running(tmp_path, *USE) as host:
        secrets = host.kernel.secrets
        await secrets.set("app/gone", "hunter2-before")
        valve = Valve(host.kernel.store)
        valve.close()
        asked = [asyncio.create_task(secrets.set("app/new", "hunter2-new-one")),
                 asyncio.create_task(secrets.delete("app/gone"))]  # fmt: skip
        await until(lambda: valve.waiting)
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)
        valve.open()
        await until(lambda: secrets.names() == ["app/new"])
        assert secrets.value("app/new") == "hunter2-new-one"
        assert host.kernel.redactor.text("hunter2-new-one") == MASK
        await secrets.rotate()
    async with running(tmp_path, *USE) as host:
        assert host.kernel.secrets.value("app/new") == "hunter2-new-one"


@pytest.mark.parametrize("then", ["secrets.rotate", "secrets.list"])
async def test_a_key_that_was_put_right_is_used_from_then_on(tmp_path: Path, then: str) -> None:
    """Defence: who follows the hint (chmod 600, then rotate) must not lose what the old key alone opens."""
    async with running(tmp_path, *USE) as host:
        await host.kernel.secrets.set("app/token", "hunter2-canary")
    key = tmp_path / "secret.key"
    key.chmod(0o644)
    async with running(tmp_path, *USE) as host:
        with pytest.raises(Unavailable, match="chmod 600"):
            host.kernel.secrets.value("app/token")
        key.chmod(0o600)
        if then == "secrets.rotate":
            assert (await run(host, then)).result == {"secrets": 1, "runs": 0}
        else:
            page = await host.door("cli").query(ANN, then)
            assert page["items"][0]["readable"]
        assert host.kernel.secrets.value("app/token") == "hunter2-canary"
        assert (await run(host, "t.use", name="token")).result == f"got {MASK}"
    async with running(tmp_path, *USE) as host:
        assert host.kernel.secrets.value("app/token") == "hunter2-canary"


async def test_what_a_lost_key_sealed_is_left_as_it_is_by_a_change_of_the_key(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        await host.kernel.secrets.set("app/old", "hunter2-canary")
    key = tmp_path / "secret.key"
    kept = key.read_bytes()
    key.unlink()
    async with running(tmp_path) as host:
        await host.kernel.secrets.set("app/new", "hunter3-canary")
        assert (await run(host, "secrets.rotate")).result == {"secrets": 1, "runs": 0}
        assert host.kernel.secrets.value("app/new") == "hunter3-canary"
    key.write_bytes(kept)
    async with running(tmp_path) as host:
        assert host.kernel.secrets.value("app/old") == "hunter2-canary"
