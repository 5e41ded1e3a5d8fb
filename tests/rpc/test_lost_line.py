"""A host that is killed, and clients that go on with the next one as if nothing had been."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trunnion import Event, Invocation, Unavailable
from trunnion.model.events import encode_event
from trunnion_rpc.client import Client

HOST = """
import asyncio, os, sys
from pathlib import Path
from trunnion import Command, Context, Host, HostOptions, hookimpl
from trunnion_rpc import plugin as rpc

class Plugin:
    async def count(self, ctx: Context, to: int) -> int:
        for n in range(to):
            ctx.echo(str(n))
            await ctx.flush()
            await asyncio.sleep(0.002)
        return to

    async def effect(self, file: str) -> int:
        with open(file, "a") as out:
            out.write("done\\n")
        await asyncio.sleep(0.05)
        return 1

    @hookimpl
    def trunnion_commands(self, settings):
        return [Command.of(f, console="d", lock=None, expose=frozenset({"rpc"})) for f in (self.count, self.effect)]

async def main():
    overrides = ("rpc.enabled=true", "rpc.audit=off-i-know", "executor.shutdown_grace=0.2")
    options = HostOptions(data_dir=Path(sys.argv[1]), overrides=overrides, strict=True)
    async with Host(options, plugins={"rpc": rpc, "d": Plugin()}, discovery=False, environ={}) as host:
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Machine:
    """A host in a process of its own, again and again on one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.socket = data / "run" / "rpc.sock"
        self.process: subprocess.Popen[str]

    async def start(self) -> None:
        words = [sys.executable, "-c", HOST, str(self.data)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert await asyncio.to_thread(self.process.stdout.readline) == "ready\n"

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path / "data")
    await made.start()
    yield made
    made.kill()


@asynccontextmanager
async def killed_while(machine: Machine, working: asyncio.Task, when: asyncio.Event) -> AsyncIterator[None]:
    """Kill the host once something has happened, start the next one, and wait for the work."""
    await asyncio.wait_for(when.wait(), 20)
    machine.kill()
    yield
    await machine.start()
    await asyncio.wait_for(working, 30)


async def test_a_stream_goes_on_where_the_line_broke(machine: Machine) -> None:
    """Without loss or repetition, to the end of the run, which the kill interrupted."""
    seen: list[Event] = []
    some = asyncio.Event()

    async def follow(client: Client, stream: str) -> None:
        async for batch in client.follow(stream):
            seen.extend(batch)
            if len(seen) > 30:
                some.set()

    async with await Client.connect(machine.socket) as client:
        run = await client.submit(Invocation(command_id="d.count", args={"to": 100_000}))
        following = asyncio.create_task(follow(client, f"run/{run.id}"))
        async with killed_while(machine, following, some):
            pass
        ended = await client.get(run.id)
        assert ended.status == "interrupted"
        assert [event.seq for event in seen] == list(range(1, ended.last_seq + 1))
        stored = [event async for batch in client.follow(f"run/{run.id}") for event in batch]
        assert [encode_event(event) for event in seen] == [encode_event(event) for event in stored]


async def test_changes_of_runs_begin_anew_with_the_next_host(machine: Machine) -> None:
    seen, begun = [], asyncio.Event()

    async def follow(client: Client) -> None:
        async for change in client.follow_runs():
            seen.append(change)
            begun.set()
            if len(seen) == 2:
                return

    async with await Client.connect(machine.socket) as client:
        following = asyncio.create_task(follow(client))
        async with killed_while(machine, following, begun):
            pass
        assert [change.reset for change in seen] == [True, True]
        assert seen[0].cursor.split(":")[0] != seen[1].cursor.split(":")[0]


@pytest.mark.parametrize("late", [0.0, 0.02, 0.06])
async def test_a_start_that_is_asked_for_again_has_one_effect(machine: Machine, tmp_path: Path, late: float) -> None:
    """``kill -9`` of the host during Invoke: the client asks the next one with the same key."""
    file = tmp_path / "effects"
    file.touch()
    async with await Client.connect(machine.socket) as client:
        asked = asyncio.create_task(client.run(Invocation(command_id="d.effect", args={"file": str(file)})))
        await asyncio.sleep(late)  # anywhere between the call and the end of the run
        machine.kill()
        await machine.start()
        run = await asyncio.wait_for(asked, 30)
        effects = file.read_text().splitlines()
        assert (run.status, len(effects)) in (("succeeded", 1), ("interrupted", 1), ("interrupted", 0))
        assert [each.id for each in (await client.list_runs()).items] == [run.id]


async def test_patience_has_an_end(machine: Machine) -> None:
    async with Client(machine.socket, patience=0.3) as client:
        assert (await client.host()).source == "rpc"
        machine.kill()
        try:
            for call in (
                client.host(),
                client.query("host.status"),
                _all(client.follow("host")),
                _all(client.follow_runs()),
            ):
                with pytest.raises(Unavailable, match="cannot be reached"):
                    await call
        finally:
            await machine.start()


async def _all(batches: AsyncIterator) -> list:
    return [batch async for batch in batches]


async def test_connecting_to_nobody_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await asyncio.wait_for(Client.connect(tmp_path / "no.sock", patience=60), 10)
