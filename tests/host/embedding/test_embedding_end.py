"""The end of an embedded host: cancelled, hurried, interrupted."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap

import anyio
import pytest

from trunnion import (
    Invocation,
    Provider,
)
from trunnion.model.commands import Command


class Watched:
    """A provider and a command whose ends are noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.began = asyncio.Event()

    async def _open(self, host) -> Watched:
        return self

    async def _close(self, value: object) -> None:
        await asyncio.sleep(0)
        self.notes.append("closed")

    async def stay(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.notes.append("run ended")

    @property
    def given(self) -> dict:
        provider = Provider(type=Watched, open=self._open, close=self._close)
        return {"provide": [provider], "commands": [Command.of(self.stay, console="t")]}


async def test_cancelling_the_embedding_task_ends_the_host_in_order(embed) -> None:
    watched = Watched()

    async def program() -> None:
        async with embed(**watched.given) as host:
            await host.run("t.stay")

    task = asyncio.create_task(program())
    await watched.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watched.notes == ["run ended", "closed"]
    async with embed():
        pass


async def test_being_cancelled_while_it_stops_hurries_the_stop_and_does_not_break_it_off(embed) -> None:
    """Defence: ``Life`` and ``_outlast``: the host stops in a task of its own, which a second cancel does not reach."""
    watched, stopping = Watched(), asyncio.Event()

    async def program() -> None:
        async with embed(overrides=("executor.shutdown_grace=600",), **watched.given) as host:
            await host.door("cli").submit(host.local_caller(), Invocation(command_id="t.stay"))
            await watched.began.wait()
            stopping.set()

    task = asyncio.create_task(program())
    await stopping.wait()
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert watched.notes == ["run ended", "closed"]
    async with embed():
        pass


async def test_a_scope_that_cancels_every_wait_does_not_hurry_it(embed) -> None:
    """Defence: the shield in ``_outlast``: what runs has its grace all the same."""
    watched, go = Watched(), asyncio.Event()

    async def brief() -> None:
        await go.wait()
        watched.notes.append("run done")

    given = watched.given
    commands = [Command.of(brief, console="t")]
    with anyio.CancelScope() as scope:
        async with embed(overrides=("executor.shutdown_grace=600",), **{**given, "commands": commands}) as host:
            await host.door("cli").submit(host.local_caller(), Invocation(command_id="t.brief"))
            asyncio.get_running_loop().call_later(0.2, go.set)
            scope.cancel()
            await anyio.sleep(60)
    assert watched.notes == ["run done", "closed"]


PROGRAM = """
import asyncio, sys
from pathlib import Path
from trunnion import Host, HostOptions, Provider
from trunnion.model.commands import Command

class Thing: ...

async def open_it(host): return Thing()
async def close(thing): print("closed", flush=True)

async def stay():
    print("runs", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("run ended", flush=True)

async def main():
    options = HostOptions(data_dir=Path(sys.argv[1]), overrides=("executor.shutdown_grace=0.1",))
    given = dict(commands=[Command.of(stay, console="t")], provide=[Provider(type=Thing, open=open_it, close=close)])
    async with Host(options, discovery=False, **given) as host:
        await host.run("t.stay")

asyncio.run(main())
"""


def test_ctrl_c_ends_the_host_in_order(tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert out == "run ended\nclosed\n", err
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
