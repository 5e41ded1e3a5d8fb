"""A host on a configuration file that tests rewrite, with a plugin that registers what its section says."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from trunnion import Context, Daemon, Host, HostOptions, Invocation, Run, Setting, hookimpl
from trunnion.model.commands import Command
from trunnion.model.contributions import Provider
from trunnion.model.json import Json


class Shelf:
    """What a provider opens; counted."""

    opened = 0


class Words:
    """A plugin: each word of ``words`` is a command; ``size`` needs a restart; ``key`` is a secret.

    Attributes:
        followed: what its daemon was told of.
        asked, daemons, opened: how often.
        failing: what the hook for commands raises, None for nothing.
        pausing: whether that hook waits the next time: ``entered`` tells that it does, ``pause`` lets it go on.
        crash: makes the daemon crash, once.
    """

    def __init__(self) -> None:
        self.followed: list[Mapping[str, Json]] = []
        self.asked = self.daemons = self.opened = 0
        self.failing: Exception | None = None
        self.let_go = asyncio.Event()
        self.handle = None
        self.raising = False
        self.entered, self.pause = threading.Event(), threading.Event()
        self.pausing = False
        self.crash = asyncio.Event()

    @hookimpl
    def trunnion_settings(self):
        words = {"type": "array", "items": {"type": "string"}, "default": []}
        yield Setting(key="words", schema=words, reload="live", check=_no_swearing)
        yield Setting(key="size", schema={"type": "integer", "default": 1})
        yield Setting(key="key", schema={"type": "string", "writeOnly": True})

    @hookimpl
    def trunnion_commands(self, settings):
        self.asked += 1
        if self.pausing:
            self.pausing = False
            self.entered.set()
            self.pause.wait(10)
        if self.failing is not None:
            raise self.failing
        return [Command(id=f"words.{word}", handler=self._wait) for word in settings["words"]]

    async def _wait(self, ctx: Context) -> str:
        ctx.echo("begun")
        await self.let_go.wait()
        return ctx.run.command_id

    @hookimpl
    def trunnion_provides(self):
        async def opened(handle) -> Shelf:
            self.opened += 1
            return Shelf()

        yield Provider(type=Shelf, open=opened)

    @hookimpl
    def trunnion_daemons(self):
        yield Daemon(name="words", run=self._follow, on_crash="restart")

    async def _follow(self, handle, ready) -> None:
        self.daemons += 1
        self.handle = handle
        handle.on_settings(self._told)
        ready()
        await self.crash.wait()
        self.crash.clear()
        raise RuntimeError("as it was told to")

    def _told(self, section) -> None:
        if self.raising:
            raise RuntimeError("cannot follow")
        self.followed.append(section)


def _no_swearing(words: Json):
    for at, word in enumerate(words):
        if word == "darn":
            yield (str(at),), "is not said here"


class Reloaded:
    """A running host and its file."""

    def __init__(self, host: Host, file: Path, words: Words) -> None:
        self.host, self.file, self.words = host, file, words
        self.kernel = host.kernel

    def write(self, text: str) -> None:
        """Write the file as an editor does that knows its trade."""
        partial = self.file.with_suffix(".new")
        partial.write_text(text)
        partial.replace(self.file)

    async def reload(self, text: str | None = None) -> dict:
        if text is not None:
            self.write(text)
        return await self.host.run("host.reload")

    async def query(self, name: str) -> Json:
        return await self.host.door("cli").query(self.host.local_caller(), name)

    async def submit(self, command: str, **more) -> Run:
        return await self.host.door("cli").submit(self.host.local_caller(), Invocation(command_id=command, **more))

    async def wait(self, run: Run) -> Run:
        return await self.host.door("cli").wait(self.host.local_caller(), run.id, 10)

    def commands(self) -> set[str]:
        return {entry.id for entry in self.kernel.registry.all_commands() if entry.id.startswith("words.")}

    async def told(self, code: str) -> list[dict]:
        """What stream ``host`` tells under a code; a marker says that all of it was read."""
        self.kernel.host_log.report("marker", "here")
        found = []
        async with asyncio.timeout(10):
            async for batch in self.kernel.follow("host", 0, live=True):
                for event in batch:
                    data = event.data if isinstance(event.data, Mapping) else {}
                    if data.get("code") == "marker":
                        return found
                    if data.get("code") == code:
                        found.append({"text": event.text, "level": event.level, **data})
        raise AssertionError("the stream ended")


async def until(condition, seconds: float = 10) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def reloadable(root: Path, text: str = "", *, file: bool = True, **options) -> AsyncIterator[Reloaded]:
    """A host on ``root/trunnion.toml``."""
    path, words = root / "trunnion.toml", Words()
    if file:
        path.write_text(text)
    environ = options.pop("environ", {})
    chosen = HostOptions(
        config_path=path if file else None,
        data_dir=root / "data",
        overrides=("executor.shutdown_grace=0.1", "executor.cancel_grace=1"),
        **options,
    )
    plugins = {"words": words}
    async with Host(chosen, plugins=plugins, discovery=False, frontends=(), environ=environ) as host:
        yield Reloaded(host, path, words)


def rss() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


__all__ = ["Reloaded", "Shelf", "Words", "reloadable", "rss", "until"]
