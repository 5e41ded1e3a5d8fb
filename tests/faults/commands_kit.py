"""Hosts inside the test's own process, for the rows about commands: opened as often as wanted on one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from trunnion import Host, HostOptions, Invocation
from trunnion.model.runs import Run
from trunnion_scripts import plugin as scripts

Open: TypeAlias = Callable[..., AbstractAsyncContextManager[Host]]


def opener(root: Path) -> Open:
    """What opens hosts below ``root``: it takes the configuration's text, and plugins by their name."""

    @asynccontextmanager
    async def start(config: str = "", **plugins: object) -> AsyncIterator[Host]:
        path = root / "trunnion.toml"
        path.write_text(config)
        options = HostOptions(config_path=path, data_dir=root / "data")
        given = {"scripts": scripts, **plugins}
        async with Host(options, plugins=given, discovery=False, environ={}) as host:
            yield host

    return start


async def ended(host: Host, **asked: object) -> Run:
    """The run of an invocation by the owner, at its end."""
    door, caller = host.door("cli"), host.local_caller()
    run = await door.submit(caller, Invocation(**asked))  # type: ignore[arg-type]
    return await door.wait(caller, run.id, 20)
