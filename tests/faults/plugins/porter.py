"""A door on a port, with the policy that PORTER_POLICY names; only where PORTER_PORT is set."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

from trunnion import Frontend, HostHandle, Ready, hookimpl

PORT = int(os.environ.get("PORTER_PORT", "0"))


async def serve(host: HostHandle, ready: Ready) -> None:
    """Look whether the port is free, as careful programs do, and listen."""
    with suppress(ConnectionRefusedError):
        _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.close()
    thief = None
    if "PORTER_STOLEN" in os.environ:
        # Somebody takes it in between.
        thief = socket.create_server(("127.0.0.1", PORT))
    try:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", PORT) as server:
            ready(f"127.0.0.1:{PORT}")
            await server.serve_forever()
    finally:
        if thief is not None:
            thief.close()


@hookimpl
def trunnion_frontends() -> list[Frontend]:
    policy = os.environ.get("PORTER_POLICY", "degrade")
    return [Frontend(name="porter", run=serve, source="porter", on_crash=policy)] if PORT else []  # type: ignore[arg-type]
