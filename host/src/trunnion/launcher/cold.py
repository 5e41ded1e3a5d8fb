"""Without a running host: one started here for a run, or one that only reads."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from trunnion.host import Host, HostOptions
from trunnion.model.json import Json
from trunnion.model.runs import Run
from trunnion.running import run

if TYPE_CHECKING:
    from trunnion.launcher.options import Options
    from trunnion.launcher.place import Place
    from trunnion.launcher.screen import Screen
    from trunnion.launcher.signals import Interrupts

GUESTS_EVERY = 0.1
"""Seconds between looks at whether runs of others still need this process."""

IMPATIENCE = 1.0
"""Seconds a handler has to end once somebody has interrupted it twice."""


def host_options(options: Options, mode: Literal["serve", "cold", "readonly"]) -> HostOptions:
    """What the global options ask of a host that starts."""
    return HostOptions(
        config_path=Path(options.config) if options.config else None,
        data_dir=Path(options.data_dir) if options.data_dir else None,
        mode=mode,
        overrides=options.set,
        only=options.only,
        without=options.without,
        safe_mode=options.safe_mode,
        strict=options.strict,
        plugin_dirs=tuple(map(Path, options.plugin_dirs)),
        capture=mode != "readonly",
    )


@asynccontextmanager
async def launched(options: HostOptions) -> AsyncIterator[Host]:
    """A host in this process. Standard output stays the launcher's, whatever plugins print as they are loaded."""
    with redirect_stdout(sys.stderr):
        async with Host(options) as host:
            yield host


@asynccontextmanager
async def cold_host(options: Options, screen: Screen, interrupts: Interrupts) -> AsyncIterator[Host]:
    """A host for one run: no frontends or daemons, other pending runs parked, the socket served.

    Other processes may have joined it meanwhile: at the end of the block it stays until their runs have
    ended too, unless it was asked to stop or somebody interrupts.

    Raises:
        Conflict: another host holds the data directory.
        TrunnionError: it cannot start.
    """
    async with launched(host_options(options, "cold")) as host:
        yield host
        if _at_work(host) and not host.stop_reason:
            screen.note("waiting for what other processes run here; Ctrl-C to interrupt it")
            await _until_idle(host, interrupts)


async def _until_idle(host: Host, interrupts: Interrupts) -> None:
    interrupted = asyncio.create_task(interrupts.reached(interrupts.count + 1))
    while _at_work(host) and not interrupted.done():
        await asyncio.wait([interrupted], timeout=GUESTS_EVERY)
    if interrupted.done():
        hurry(host)
    interrupted.cancel()


def hurry(host: Host) -> None:
    """Have a host stop without waiting for its runs."""
    host.request_stop("interrupted")
    host.request_stop()


async def interrupt(host: Host) -> None:
    """Have a host settle its runs now and stop as soon as it is let go."""
    hurry(host)
    host.kernel.interrupt()
    await host.kernel.settled(IMPATIENCE)
    host.kernel.give_up()
    await host.kernel.settled(IMPATIENCE)


def _at_work(host: Host) -> bool:
    executor = host.kernel.executor
    return bool(executor.table.live.keys() - executor.placement.parked.keys())


def ask_store(
    options: Options, place: Place, query_id: str, args: Mapping[str, Json] | None, argv: Sequence[str] | None
) -> Json:
    """Answer a query from what the last host left, changing nothing.

    Raises:
        Unavailable: there is no history yet.
        TrunnionError: whatever refuses it.
    """
    return run(_ask(host_options(options, "readonly"), query_id, args, argv))


async def recorded(options: Options, run_id: str) -> Run:
    """A run as the last host left it, read without changing anything.

    Raises:
        TrunnionError: it is not there, or cannot be read.
    """
    return msgspec.convert(await _ask(host_options(options, "readonly"), "runs.get", {"run_id": run_id}, None), Run)


def ask_fresh(options: Options, query_id: str) -> Json:
    """Answer a query that needs no history, as a host would that starts now."""
    with tempfile.TemporaryDirectory(prefix="trunnion-") as folder:
        return run(_ask(host_options(options._replace(data_dir=folder), "cold"), query_id, None, None))


async def _ask(
    options: HostOptions, query_id: str, args: Mapping[str, Json] | None, argv: Sequence[str] | None
) -> Json:
    async with launched(options) as host:
        return await host.door("cli").query(host.local_caller(), query_id, args, argv=argv)
