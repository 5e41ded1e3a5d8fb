"""A plugin in a host: whether it starts, serves, ends in time, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from trunnion.model.commands import Command
from trunnion.model.errors import TrunnionError
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import plugin_of
from trunnion.plugins.contained import Patience, PluginFailure, contained
from trunnion.running import run
from trunnion.testing.harness import Harness
from trunnion.testing.hosting import Hosting
from trunnion.testing.report import Finding

SLOW_END = 3.0
"""Seconds a host may take to stop that has nothing to do."""

PATIENCE = 90.0
OBSERVING = 1.0
"""Seconds that observers have for the one thing that happens; one that fails then is named."""

SETTLE = 2.0
"""Seconds in which threads and descriptors on their way out may go."""


async def _something() -> None:
    """Something for observers to see."""


SOMETHING = Command.of(_something, console="check_plugin", name="something", effect="read")


class Life(msgspec.Struct, frozen=True):
    """What was seen of one life of a host with nothing but this plugin.

    Attributes:
        commands, queries, streams: its descriptors, as in meta.
        status: the answer of ``host.status``.
        ending: seconds the host took to stop.
    """

    commands: list[JsonObject]
    queries: list[JsonObject]
    streams: list[JsonObject]
    status: JsonObject
    ending: float


def live(plugin_id: str, plugin: object, settings: Mapping[str, JsonObject]) -> Life:
    """Start a host with this plugin, ask what there is, stop it; in a thread, so that nothing can hold the caller up.

    Raises:
        PluginFailure: it did not start, or did not come to its end.
    """
    patience = Patience(warn_after=PATIENCE, give_up_after=PATIENCE)
    return contained(lambda: run(_live(plugin_id, plugin, settings)), f"a host with {plugin_id!r}", patience)


async def _live(plugin_id: str, plugin: object, settings: Mapping[str, JsonObject]) -> Life:
    async with Hosting(plugins={plugin_id: plugin}, commands=[SOMETHING], settings=settings, capture=False) as host:
        await _let_it_see(host)
        meta, status = await host.meta(), await _status(host)
        ending = -time.monotonic()
    ending += time.monotonic()
    commands, queries, streams = (_own(meta, kind, plugin_id) for kind in ("commands", "queries", "streams"))
    return Life(commands, queries, streams, status, ending)


async def _let_it_see(host: Harness) -> None:
    """Have something happen, and give observers time for it; whether a gate lets it pass is the plugin's affair."""
    with suppress(TimeoutError, TrunnionError):
        async with asyncio.timeout(OBSERVING):
            await host.invoke(SOMETHING.id)
            await host.settle()


async def _status(host: Harness) -> JsonObject:
    status = await host.query("host.status")
    return status if isinstance(status, Mapping) else {}


def _own(meta: JsonObject, kind: str, plugin_id: str) -> list[JsonObject]:
    return [entry for entry in _tables(meta.get(kind)) if plugin_of(str(entry.get("plugin"))) == plugin_id]


def twice(plugin_id: str, plugin: object, settings: Mapping[str, JsonObject]) -> tuple[Life | None, list[Finding]]:
    """Have it live twice in one process; the second life must be as the first and leave no more behind."""
    try:
        first = live(plugin_id, plugin, settings)
        before = _census()
        second = live(plugin_id, plugin, settings)
    except PluginFailure as failure:
        return None, [Finding("starts", "error", _reason(failure))]
    findings = [*_compared(first, second), *_left_behind(before), *_parts(second)]
    slowest = max(first.ending, second.ending)
    if slowest > SLOW_END:
        findings.append(Finding("stops", "error", f"the host took {slowest:.1f} s to stop: end when cancelled"))
    else:
        findings.append(Finding("stops", "ok", f"started twice, stopped within {slowest * 1000:.0f} ms"))
    return second, findings


def _reason(failure: PluginFailure) -> str:
    return failure.__cause__.message if isinstance(failure.__cause__, TrunnionError) else str(failure)


def _compared(first: Life, second: Life) -> Iterator[Finding]:
    for kind in "commands", "queries":
        once, again = ({entry["id"] for entry in getattr(life, kind)} for life in (first, second))
        if once != again:
            odd = ", ".join(sorted(map(str, once ^ again)))
            yield Finding("starts", "error", f"{kind} differ at the second start: {odd}")


def _parts(life: Life) -> Iterator[Finding]:
    """What of it does not serve, though the host is up; a provider that fails ends the start."""
    for daemon in _tables(life.status.get("daemons")):
        if daemon.get("status") not in ("ready", "stopped"):
            yield Finding("starts", "error", f"daemon {daemon.get('name')} is {daemon['status']}: {daemon['reason']}")
    for observer in _tables(life.status.get("observers")):
        if observer.get("last_error"):
            yield Finding("starts", "error", f"observer {observer.get('name')}: {observer['last_error']}")


Census = tuple[frozenset[int], int]


def _census() -> Census:
    """Threads by identity, and how many descriptors there are; -1 where the system does not tell."""
    threads = frozenset(thread.ident or 0 for thread in threading.enumerate())
    with suppress(OSError):
        return threads, sum(1 for _ in Path("/proc/self/fd").iterdir())
    return threads, -1


def _left_behind(before: Census) -> Iterator[Finding]:
    deadline = time.monotonic() + SETTLE
    threads, descriptors = _census()
    while (threads - before[0] or descriptors > before[1]) and time.monotonic() < deadline:
        time.sleep(0.02)
        threads, descriptors = _census()
    for thread in (t for t in threading.enumerate() if t.ident in threads - before[0]):
        yield Finding("leaks", "error", f"thread {thread.name!r} goes on after the host has stopped")
    if descriptors > before[1]:
        more = descriptors - before[1]
        yield Finding("leaks", "error", f"descriptors still open after the host has stopped: {more} more")


def _tables(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []
