"""A run is started once, even when the answer that it was started is lost on the way."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from trunnion import Command, Host, HostOptions, Invocation, Unavailable, hookimpl
from trunnion.launcher import running
from trunnion.launcher.options import Options
from trunnion.launcher.screen import Screen
from trunnion.launcher.signals import Interrupts
from trunnion.protocol.address import socket_path
from trunnion.protocol.client import Client

pytestmark = pytest.mark.anyio


class LossyLine:
    """A socket that passes messages on to a host, but drops the line instead of the first answers."""

    def __init__(self, path, target, losses: int) -> None:
        self.path, self._target, self.losses = path, target, losses

    async def __aenter__(self):
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        host_reader, host_writer = await asyncio.open_unix_connection(str(self._target))
        try:
            while call := await reader.readline():
                host_writer.write(call)
                answer = await host_reader.readline()
                if b"command.submit" in call and self.losses:
                    self.losses -= 1
                    return
                writer.write(answer)
        finally:
            writer.close()
            host_writer.close()


@pytest.fixture
async def host(tmp_path):
    def work() -> int:
        return 1

    @hookimpl
    def trunnion_commands(settings):
        return [Command.of(work, console="demo", lock=None)]

    plugin = SimpleNamespace(trunnion_commands=trunnion_commands)
    options = HostOptions(data_dir=tmp_path / "data")
    async with Host(options, plugins={"demo": plugin}, discovery=False, environ={}) as started:
        yield started


async def submitted(host, path) -> tuple[str, list[str]]:
    async with await Client.connect(path) as client:
        run = await running.submit(client, Invocation(command_id="demo.work", idempotency_key="k"))
        await client.wait(run.id)
        listed = await client.query("runs.list", {"command": "demo.work"})
    return run.id, [item["id"] for item in listed["items"]]


@pytest.mark.parametrize("losses", [1, 3])
async def test_a_lost_answer_is_asked_for_again_and_is_the_same_run(host, tmp_path, monkeypatch, losses):
    monkeypatch.setattr(running, "PAUSE", 0.01)
    async with LossyLine(socket_path(tmp_path), host.data.socket, losses) as line:
        run_id, listed = await submitted(host, line.path)
    assert line.losses == 0
    assert listed == [run_id]


async def test_it_gives_up_when_no_answer_ever_comes(host, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "PAUSE", 0.001)
    async with LossyLine(socket_path(tmp_path), host.data.socket, 1000) as line:
        with pytest.raises(Unavailable):
            await submitted(host, line.path)


async def test_a_host_that_ends_before_it_was_asked_is_followed_by_another(host, tmp_path, monkeypatch):
    """Whoever joins a host that was started for one run may come too late; then the way to a host is gone again."""
    monkeypatch.setattr(running, "PAUSE", 0.001)
    async with LossyLine(socket_path(tmp_path), host.data.socket, 1000) as line, AsyncExitStack() as stack:
        ways = [line.path, host.data.socket]

        async def client(self, *, detach):
            return await stack.enter_async_context(await Client.connect(ways.pop(0))), None

        monkeypatch.setattr(running._Reach, "client", client)
        reach = running._Reach(Options(), Screen(as_json=True), Interrupts(), stack)
        reached, _, run = await reach.submitted(Invocation(command_id="demo.work", idempotency_key="k"), detach=False)
        await reached.wait(run.id)
        assert ways == []
        assert [item["id"] for item in (await reached.query("runs.list", {"command": "demo.work"}))["items"]] == [
            run.id
        ]


async def test_a_host_that_is_stopping_is_no_answer_either(host, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "PAUSE", 0.001)
    async with Host(HostOptions(data_dir=tmp_path / "other"), plugins={}, discovery=False, environ={}) as leaving:
        leaving.kernel.admissions.closed = "the host is stopping"
        async with AsyncExitStack() as stack:
            ways = [leaving.data.socket, host.data.socket]

            async def client(self, *, detach):
                return await stack.enter_async_context(await Client.connect(ways.pop(0))), None

            monkeypatch.setattr(running._Reach, "client", client)
            reach = running._Reach(Options(), Screen(as_json=True), Interrupts(), stack)
            _, _, run = await reach.submitted(Invocation(command_id="demo.work", idempotency_key="k"), detach=False)
    assert run.command_id == "demo.work"


async def test_what_ended_with_a_host_that_is_gone_is_read_from_its_record(host, tmp_path):
    async with await Client.connect(host.data.socket) as client:
        run = await client.run(Invocation(command_id="demo.work"))
    assert (await running._on_record(Options(data_dir=str(tmp_path / "data")), run.id)).result == 1
    assert await running._on_record(Options(data_dir=str(tmp_path / "data")), "unknown") is None
    assert await running._on_record(Options(data_dir=str(tmp_path / "nothing")), run.id) is None
