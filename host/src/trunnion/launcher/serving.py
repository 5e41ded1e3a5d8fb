"""The host in the foreground: what it says when it is up, and how signals end it."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trunnion.host import Host
from trunnion.launcher.cold import host_options, launched
from trunnion.launcher.failures import exit_status
from trunnion.launcher.options import Options
from trunnion.launcher.screen import Screen

if TYPE_CHECKING:
    from trunnion.model.json import Json

DESCRIPTORS = 65_536
"""Open files the host asks for; every connection, log and driver takes some."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask the host to stop; SIGHUP is what a terminal that closes sends."""

TRY_NEXT = (
    ("meta", "everything there is"),
    ("run COMMAND --help", "how a command is called"),
    ("run COMMAND [ARGS]", "run it and see its output"),
    ("runs list", "what was run, and what became of it"),
)


async def serve(options: Options, screen: Screen) -> int:
    """Run a host until it is asked to stop; returns the exit status.

    Raises:
        TrunnionError: it cannot start.
    """
    _raise_descriptor_limit()
    stopping = _Stopping()
    with stopping:
        async with launched(host_options(options, "serve")) as host:
            stopping.host = host
            await _tell(host, screen, options.to_reach)
            await host.run_until_stopped()
            if host.failure:
                screen.error("unavailable", f"the host stops: {host.failure}", {})
            else:
                screen.note(f"stopping: {host.stop_reason or 'asked to'}; once more to stop at once")
    return exit_status("unavailable") if host.failure else 0


class _Stopping:
    """The signals of ``ENDING`` while entered: before the host is up they end its start, then they ask it to stop."""

    def __init__(self) -> None:
        self.host: Host | None = None
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number in ENDING:
            self._loop.add_signal_handler(number, self._stop, number)

    def __exit__(self, *_: object) -> None:
        for number in ENDING:
            self._loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        if self.host is not None:
            self.host.request_stop(number.name)
        elif self._task is not None:
            self._task.cancel()


async def _tell(host: Host, screen: Screen, to_reach: str) -> None:
    status = await host.door("cli").query(host.local_caller(), "host.status")
    parts = status.get("frontends") if isinstance(status, Mapping) else None
    if screen.as_json:
        screen.value(status)
        return
    screen.out(f"trunnion is up on {host.data.root}\n")
    for part in _objects(parts):
        about = " ".join(str(part.get(key) or "") for key in ("status", "address", "reason")).strip()
        screen.out(f"  {part.get('name')}: {about}\n")
    for record in host.kernel.records():
        if record.state in ("broken", "incompatible"):
            screen.err(f"plugin {record.id} is {record.state}: {record.reason}\n")
    screen.out("in another terminal, try:\n")
    for words, about in TRY_NEXT:
        screen.out(f"  trunnion {to_reach}{words:<22}{about}\n")


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
