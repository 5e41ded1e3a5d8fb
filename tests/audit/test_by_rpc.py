"""What comes by gRPC is always on record before it happens, whatever the policy says."""

from __future__ import annotations

from pathlib import Path

import grpc
import grpc.aio
import pytest
from audit_kit import of_kind

from trunnion import Command, Host, HostOptions, Invocation
from trunnion_audit import plugin as audit
from trunnion_rpc import plugin as rpc
from trunnion_rpc.client import Client
from trunnion_rpc.places import socket_of
from trunnion_rpc.service import SERVICE

pytestmark = pytest.mark.anyio
CONFIG = """
[rpc]
enabled = true

[audit]
commands = "off"
"""
DONE: list[int] = []


def do(number: int) -> int:
    DONE.append(number)
    return number


async def test_the_door_that_wants_a_record_opens_and_everything_there_is_strict(tmp_path: Path) -> None:
    DONE.clear()
    config, folder = tmp_path / "trunnion.toml", tmp_path / "data" / "audit"
    config.write_text(CONFIG)
    options = HostOptions(config_path=config, data_dir=tmp_path / "data")
    commands = [Command.of(do, console="t", expose=frozenset({"rpc"}))]
    plugins = {"audit": audit, "rpc": rpc}
    async with Host(options, plugins=plugins, commands=commands, discovery=False, environ={}) as host:
        place = socket_of(host.data.run)
        await host.run("t.do", number=1)
        async with Client(place) as client:
            run = await client.run(Invocation(command_id="t.do", args={"number": 2}))
        async with grpc.aio.insecure_channel(f"unix:{place}") as channel:
            call = channel.unary_unary(f"/{SERVICE}/GetRun")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"\xff\xff\xff")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert DONE == [1, 2]
    assert [(record["run"], record["source"], record["policy"]) for record in of_kind(folder, "intent")] == [
        (run.id, "rpc", "strict")
    ]
    (told,) = of_kind(folder, "refusal")
    assert (told["what"], told["target"], told["source"], told["code"]) == (
        "call",
        "message",
        "rpc",
        "invalid_arguments",
    )
