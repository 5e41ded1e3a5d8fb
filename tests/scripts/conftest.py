"""A real host with the scripts plugin alone, and folders to drop scripts into."""

import asyncio
import os
import textwrap
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trunnion import Event, Host, HostOptions, Invocation, Run
from trunnion_scripts import plugin


class Served:
    """A host and one caller."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.door = host.door("cli")
        self.caller = host.local_caller()

    async def submit(self, command: str, **args) -> Run:
        return await self.door.submit(self.caller, Invocation(command_id=command, args=args))

    async def run(self, command: str, **args) -> Run:
        run = await self.submit(command, **args)
        return await self.door.wait(self.caller, run.id, 30)

    async def events(self, run: Run) -> list[Event]:
        return [e async for batch in self.door.follow(self.caller, f"run/{run.id}") for e in batch]

    async def text(self, run: Run, channel: str = "stdout") -> str:
        found = [e for e in await self.events(run) if e.kind == "text"]
        return "".join(e.text for e in found if e.data["channel"] == channel)

    async def until_text(self, run: Run, part: str) -> None:
        """Wait until a running script has said something."""
        async with asyncio.timeout(10):
            async for batch in self.door.follow(self.caller, f"run/{run.id}"):
                if any(part in e.text for e in batch):
                    return
        pytest.fail(f"the run ended without {part!r}")

    async def until_host_says(self, *parts: str) -> str:
        async with asyncio.timeout(10):
            async for batch in self.door.follow(self.caller, "host"):
                for event in batch:
                    if all(part in event.text for part in parts):
                        return event.text
        pytest.fail("the stream ended")

    def names(self) -> set[str]:
        return {e.id for e in self.host.kernel.registry.all_commands() if e.id.startswith("scripts.")}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def serve(tmp_path):
    @asynccontextmanager
    async def serve(config: str = "", mode: str = "serve", **options):
        path = tmp_path / "trunnion.toml"
        path.write_text(textwrap.dedent(config))
        chosen = HostOptions(config_path=path, data_dir=tmp_path / "data", mode=mode, **options)
        async with Host(chosen, plugins={"scripts": plugin}, discovery=False) as host:
            yield Served(host)

    return serve


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "scripts"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def drop(folder):
    """Put a script into the folder: the program first, then what declares it."""

    def drop(name: str, program: str, declaration: str = "", suffix: str = "") -> Path:
        file = folder / (name + suffix)
        file.write_text(program)
        file.chmod(0o755)
        (folder / f"{name}.toml").write_text(textwrap.dedent(declaration))
        return file

    return drop


class Marked:
    """Processes that carry a mark in their environment."""

    def __init__(self) -> None:
        self.name = f"MARK_{uuid.uuid4().hex}"

    def pids(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and f"{self.name}=1".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


@pytest.fixture
def marked():
    mark = Marked()
    yield mark
    for pid in mark.pids():
        os.kill(pid, 9)


@pytest.fixture
def until():
    def until(condition, what: str, deadline: float = 5.0) -> None:
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < deadline, what
            time.sleep(0.005)

    return until
