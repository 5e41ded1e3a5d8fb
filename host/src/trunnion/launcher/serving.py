"""The host in the foreground: what it says when it is up, and how signals end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from trunnion.host import Host
from trunnion.launcher.cold import host_options, launched
from trunnion.launcher.failures import exit_status
from trunnion.launcher.options import Options
from trunnion.launcher.screen import Screen
from trunnion.model.errors import TrunnionError
from trunnion.running import tune_collector

if TYPE_CHECKING:
    from trunnion.launcher.lifeline import Lifeline
    from trunnion.model.json import Json

DESCRIPTORS = 65_536
"""Open files the host asks for; every connection, log and driver takes some."""

ENDING = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask the host to stop."""

TRY_NEXT = (
    ("meta", "everything there is"),
    ("run COMMAND --help", "how a command is called"),
    ("run COMMAND [ARGS]", "run it and see its output"),
    ("runs list", "what was run, and what became of it"),
)


async def serve(options: Options, screen: Screen, lifeline: Lifeline | None = None) -> int:
    """Run a host until it is asked to stop; returns the exit status.

    Args:
        options: the global options.
        screen: where it says that it is up.
        lifeline: of the shell that started it, which it does not outlive.

    Raises:
        TrunnionError: it cannot start.
    """
    _raise_descriptor_limit()
    signals = _Signals(lifeline)
    with signals:
        asked = msgspec.structs.replace(host_options(options, "serve"), told=partial(_tell_operator, screen))
        async with launched(asked) as host:
            signals.is_up(host)
            await _tell(host, screen, options.to_reach)
            tune_collector()
            async with _kept_short(lifeline is not None):
                await host.run_until_stopped()
            if host.failure:
                screen.error("unavailable", f"the host stops: {host.failure}", {})
            elif not signals.terminal_closed:
                screen.note(f"stopping: {host.stop_reason or 'asked to'}; once more to stop at once")
    return exit_status("unavailable") if host.failure else 0


@contextlib.asynccontextmanager
async def _kept_short(is_behind: bool) -> AsyncIterator[None]:
    """Look after the file behind standard error meanwhile, where it is this host's alone."""
    if not is_behind:
        yield
        return
    from trunnion.launcher.lifeline import keep_short

    looking = asyncio.create_task(keep_short(), name="keep up.log short")
    try:
        yield
    finally:
        looking.cancel()


class _Signals:
    """What signals do while entered: those of ``ENDING`` end the host or its start, SIGHUP has it reload.

    SIGHUP is also what a terminal sends as it closes; the host it had in its foreground stops in order then. So does
    one behind a shell when that has ended.

    Attributes:
        terminal_closed: whether it did, so that nobody can be told anything any more.
    """

    def __init__(self, lifeline: Lifeline | None) -> None:
        self._lifeline = lifeline
        self._host: Host | None = None
        self._on_terminal = on_terminal()
        self.terminal_closed = False
        self._reload = False
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number in ENDING:
            self._loop.add_signal_handler(number, self._stop, number.name)
        self._loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        if self._lifeline is not None:
            self._lifeline.watch(self._shell_ended)

    def __exit__(self, *_: object) -> None:
        for number in (*ENDING, signal.SIGHUP):
            self._loop.remove_signal_handler(number)

    def is_up(self, host: Host) -> None:
        """From now on signals are for the host; a reload that was asked for as it started is made up for."""
        self._host = host
        if self._reload:
            host.request_reload()

    def _stop(self, reason: str) -> None:
        if self._host is not None:
            self._host.request_stop(reason)
        elif self._task is not None:
            self._task.cancel()

    def _shell_ended(self) -> None:
        if self._host is None or not self._host.stop_reason:  # that it also leaves is no second wish to stop
            self._stop("the shell in front of it has ended")

    def _hung_up(self) -> None:
        self.terminal_closed = self._on_terminal and not on_terminal()
        if self.terminal_closed:
            self._stop(signal.SIGHUP.name)
        elif self._host is not None:
            self._host.request_reload()
        else:
            self._reload = True


def on_terminal() -> bool:
    """Whether a terminal is open behind standard input, output or error. One that has closed is none any more."""
    return any(map(os.isatty, (0, 1, 2)))


async def _tell(host: Host, screen: Screen, to_reach: str) -> None:
    status, refused = await _status(host)
    parts = status.get("frontends") if isinstance(status, Mapping) else None
    if screen.as_json:
        screen.value(status)
        return
    screen.out(f"trunnion is up on {host.data.root}\n")
    if host.options.safe_mode:
        screen.out("  safe mode: no plugin but the host's own is loaded; runs of the others wait\n")
    if refused:
        screen.err(f"{refused}\n")
    for part in _objects(parts):
        about = " ".join(str(part.get(key) or "") for key in ("status", "address", "reason")).strip()
        screen.out(f"  {part.get('name')}: {about}\n")
    for provider in _objects(status.get("providers") if isinstance(status, Mapping) else None):
        if provider.get("state") == "failed":
            screen.err(
                f"plugin {provider.get('plugin')} cannot provide {provider.get('type')}: {provider.get('reason')}\n"
            )
    for record in host.kernel.records():
        if record.state in ("broken", "incompatible"):
            screen.err(f"plugin {record.id} is {record.state}: {record.reason}\n")
    screen.out("in another terminal, try:\n")
    for words, about in TRY_NEXT:
        screen.out(f"  trunnion {to_reach}{words:<22}{about}\n")


async def _status(host: Host) -> tuple[Json, str]:
    """How the host fares, and why that is not told: a plugin that refuses everything does not end the start."""
    try:
        return await host.door("cli").query(host.local_caller(), "host.status"), ""
    except TrunnionError as error:
        return host.describe(), error.message


def _tell_operator(screen: Screen, code: str, text: str) -> None:
    """Whoever stands at the terminal sees what came of SIGHUP, and why secrets cannot be opened.

    A terminal that is gone is told nothing.
    """
    if code.startswith(("config.", "secrets.")):
        with contextlib.suppress(OSError):
            screen.note(f"doubtful: {text}" if code == "config.doubtful" else text)


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
