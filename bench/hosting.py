"""Hosts to measure: in this process, on a folder of their own, with nothing installed loaded."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from trunnion.hookspecs import hookimpl
from trunnion.host import Host, HostOptions
from trunnion.model.commands import Command
from trunnion.model.json import Json, JsonObject
from trunnion.model.runs import Invocation, Run
from trunnion.running import tune_collector

SCRATCH = Path(".bench")
"""Below the working folder and not in the system's, which may lie in memory."""


class Given:
    """A plugin that brings some commands."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands

    @hookimpl
    def trunnion_commands(self, settings: Mapping[str, JsonObject]) -> Sequence[Command]:
        return self._commands


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder for as long as it is needed."""
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, ignore_cleanup_errors=True) as name:
        yield Path(name).absolute()


@asynccontextmanager
async def open_host(
    folder: Path,
    durability: str,
    commands: Sequence[Command] = (),
    *,
    plugins: Mapping[str, object] | None = None,
    config: str = "",
) -> AsyncIterator[Host]:
    """A host with these commands, these plugins and no other; ``config`` is TOML that the plugins need."""
    options = HostOptions(
        config_path=_config_file(folder, config),
        data_dir=folder,
        overrides=(f"store.durability={durability}",),
        strict=True,
    )
    given = {"bench": Given(commands), **(plugins or {})}
    async with Host(options, plugins=given, discovery=False, environ={}) as host:
        tune_collector()
        yield host


def _config_file(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "trunnion.toml"
    path.write_text(text, encoding="utf-8")
    return path


class Client:
    """Submits one command and waits for its end, as a frontend does."""

    def __init__(self, host: Host, command_id: str, args: Mapping[str, Json] | None = None) -> None:
        self.door = host.door("cli")
        self.caller = host.local_caller()
        self.invocation = Invocation(command_id=command_id, args=dict(args) if args is not None else None)

    async def run(self) -> Run:
        """One run from submission to its end."""
        accepted = await self.door.submit(self.caller, self.invocation)
        return await self.door.wait(self.caller, accepted.id)


async def noop() -> None:
    """Do nothing."""


NOOP = Command.of(noop, console="bench", lock=None)
