"""The host: the only place where all parts are put together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from trunnion._version import VERSION
from trunnion.access.redaction import Redaction, Redactor
from trunnion.assembly import (
    HOST_PLUGIN,
    data_root,
    declared_parts,
    gates_of,
    make_kernel,
    open_access,
    refuse_failed_providers,
    register,
    store_for,
)
from trunnion.builtin.plugin import HostPlugin
from trunnion.config.data_dir import DataDir, Hold, hold
from trunnion.config.values import Config
from trunnion.embedding import APP, AppPlugin, door_names, environment, run_to_result
from trunnion.kernel.authentication import local_caller
from trunnion.kernel.capturing import capture
from trunnion.kernel.clock import Clock, SystemClock
from trunnion.kernel.clock_watch import ClockWatch
from trunnion.kernel.core import Kernel
from trunnion.kernel.door import Door
from trunnion.kernel.handle import HostHandle
from trunnion.kernel.observers import ObserverPump
from trunnion.kernel.parts import Part, Parts
from trunnion.kernel.plugin_registry import PluginRegistry
from trunnion.kernel.providers import Provision
from trunnion.kernel.reporting import HostLog
from trunnion.kernel.settings import Settings
from trunnion.late_portal import LatePortal
from trunnion.life import Life
from trunnion.live_settings import consume_settings
from trunnion.loading import HostOptions, Setup, load_setup
from trunnion.model.commands import Command, Query
from trunnion.model.contributions import Frontend, Ready
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Role
from trunnion.plugins.hooks import Contributed as PluginContribution
from trunnion.plugins.plugin_set import PluginSet
from trunnion.reloading import Reloading
from trunnion.retention import keep_trimmed
from trunnion.store import Store
from trunnion.winding_down import flushed, wind_down

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["Host", "HostOptions"]

ANSWERING = 0.25
"""Seconds in which whoever asked the host to drain can still ask how that run ended."""


class Host:
    """One host on one data directory: ``async with Host(...) as host``.

    Args:
        options: what the start is asked for.
        plugins: plugin objects or modules, beside or instead of the installed ones.
        discovery: whether installed plugins and a configuration file are looked for. Without it the host has what it
            is given: ``plugins``, the arguments below and ``options.config_path``.
        commands: commands of the program that embeds the host: descriptors, or functions and bound methods with
            ``@command`` on them.
        queries: queries of that program.
        provide: its objects, which handlers get by their type with ``ctx.require``, or ``Provider`` descriptors.
        frontends: the only doors to open, by name or as descriptors of its own; None opens what the configuration
            says, ``()`` none at all.
        environ: the environment that is read; by default the process's own, without discovery but for
            ``TRUNNION`` variables.
        clock: for tests.

    Attributes:
        data: the data directory.
        kernel: everything that runs on the loop.
        stop_reason: why it stops.
        failure: the part that failed it, ``""`` while none did.
    """

    def __init__(
        self,
        options: HostOptions | None = None,
        *,
        plugins: Mapping[str, object] | Sequence[object] = (),
        discovery: bool = True,
        commands: Iterable[Command | Callable[..., object]] = (),
        queries: Iterable[Query] = (),
        provide: Iterable[object] = (),
        frontends: Sequence[str | Frontend] | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.options = options or HostOptions()
        self.clock: Clock = clock or SystemClock()
        self._settings: Settings
        self._reloading: Reloading
        self.data: DataDir
        self.kernel: Kernel
        self._portal: LatePortal
        self._given = plugins
        self._discovery = discovery
        self._environ = environment(environ, discovery=discovery)
        self._app = AppPlugin(commands=commands, queries=queries, provide=provide, frontends=frontends)
        self._doors = door_names(frontends)
        self._life = Life(self._start_or_undo, self._stop)
        self._plugins: PluginSet
        self._setup: Setup
        self._builtin: HostPlugin
        self._parts: Parts
        self._stop_wish = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stack = AsyncExitStack()
        self._hold: Hold | None = None
        self._started = 0
        self.stop_reason = ""
        self.failure = ""

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Host:
        """Start.

        Raises:
            TrunnionError: it cannot; nothing is left behind.
        """
        await self._life.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def run_until_stopped(self) -> None:
        """Wait until somebody wants the host to stop; the reason is in ``stop_reason``."""
        await self._stop_wish.wait()

    def request_stop(self, reason: str = "") -> None:
        """Have the host stop; asked a second time, it waits for nothing any more. On the loop only."""
        if self._stop_wish.is_set():
            self._hurry.set()
        self.stop_reason = self.stop_reason or reason
        self._stop_wish.set()

    def _fail(self, reason: str) -> None:
        """A part without which the host cannot go on has failed."""
        self.failure = reason
        self.request_stop(reason)

    async def stop(self) -> None:
        """Drain, settle what is left as interrupted, flush, close. Always ends; if it is cancelled, all the sooner."""
        await self._life.end(self._hurry.set)

    async def _stop(self) -> None:
        self._stop_wish.set()
        try:
            if self.options.mode != "readonly":
                await wind_down(self.kernel, self._hurry, self.stop_reason)
        finally:
            await self._stack.aclose()

    async def _start_or_undo(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        options, stack = self.options, self._stack
        self._builtin = HostPlugin()
        builtins = {HOST_PLUGIN: self._builtin, APP: self._app}
        self._setup = load_setup(
            options, self._environ, builtins=builtins, given=self._given, discovery=self._discovery
        )
        self._plugins, self._settings = self._setup.plugins, Settings(self._setup.config, self.clock.utc())
        self.data = DataDir(data_root(self.config, options.data_dir, self._environ))
        if options.mode != "readonly":
            self._hold = stack.enter_context(hold(self.data))
        store = store_for(self.config, self.data, options.mode, self.clock)
        stack.callback(store.close)
        self._redaction = Redaction.of(self.config)
        log_path = None if options.mode == "readonly" else self.data.host_log
        host_log = HostLog(self.clock, log_path, self._log_level(), Redactor(self._redaction), options.told)
        stack.callback(host_log.close)
        contributions = self._make_kernel(store, host_log)
        stack.callback(self.kernel.close)
        await open_access(self.kernel, self.config, self.data)
        if options.capture:
            stack.enter_context(capture(host_log))
        self._portal = LatePortal()
        stack.push_async_callback(self._portal.close)
        self._started = self.clock.utc()
        if options.mode != "readonly":
            await self._go_live(contributions, host_log)

    async def _go_live(self, contributions: Sequence[PluginContribution], host_log: HostLog) -> None:
        clock_watch = ClockWatch(self.clock, host_log.report, self.kernel.store)
        host_log.report("host.started", f"trunnion {VERSION} on {self.data.root}")
        self._reloading.tell_doubts()
        parts = declared_parts(self.config, contributions, cold=self.options.mode == "cold", only=self._doors)
        self.kernel.admissions.closed = "the host is starting and accepts nothing yet"
        await self.kernel.secrets.open()
        await self._open_providers()
        self.kernel.executor.placement.park_all = self.options.mode == "cold"
        await self.kernel.files.upkeep.take_up()
        self.kernel.recovery.recover()
        self.kernel.admissions.closed = ""
        self._start_observers(contributions)
        self._parts = Parts(parts, self._serve, host_log.report, self._fail)
        self.kernel.parts = self._parts.parts
        self._stack.push_async_callback(flushed, self.kernel)
        self._background(clock_watch.run(), "clock")
        self._background(keep_trimmed(self.kernel, self._settings, clock_watch), "retention")
        self._stack.push_async_callback(self._reloading.close)
        self._stack.push_async_callback(self._parts.stop)
        await self._parts.start()

    async def _open_providers(self) -> None:
        """Before anything asks for them."""
        kernel = self.kernel
        self._stack.push_async_callback(flushed, kernel)
        self._stack.push_async_callback(kernel.providers.close)
        await kernel.providers.open(lambda asking: self.handle(f"system:{asking.owner}", asking.owner, asking))
        refuse_failed_providers(kernel, self._plugins)

    # -- what it is made of -----------------------------------------------------------------------

    def _log_level(self) -> str:
        return str(self.config.get("log.level"))

    def _make_kernel(self, store: Store, host_log: HostLog) -> Sequence[PluginContribution]:
        self.kernel = make_kernel(
            self.config,
            self.data,
            store=store,
            clock=self.clock,
            host_log=host_log,
            redaction=self._redaction,
            records=lambda: self._plugins.records,
            readonly=self.options.mode == "readonly",
        )
        self._reloading = Reloading(self.kernel, self._setup, self._settings)
        self._builtin.attach(self.kernel, self, self._reloading)
        contributions = self._plugins.contributions(self.config.values)
        kept = [c for c in contributions if register(self.kernel, self._plugins, c)]
        self.kernel.watch_consoles()
        self.kernel.gates.add(gates_of(kept, readonly=self.options.mode == "readonly"))
        self.kernel.authorizers.add(self._plugins.authorizers())
        consume_settings(self.kernel, self._settings, self._plugins, contributions)
        return kept

    # -- long-running parts -----------------------------------------------------------------------

    async def _serve(self, part: Part, ready: Ready) -> None:
        handle = self.handle(part.source, part.owner)
        try:
            await part.run(handle, ready)
        finally:
            handle.let_go()

    def _start_observers(self, contributions: Sequence[PluginContribution]) -> None:
        kernel = self.kernel
        pumps = [
            ObserverPump(
                c.plugin_id,
                observer,
                kernel.store,
                kernel.readers,
                kernel.host_log.report,
                kernel.blame,
                kernel.providers.get,
            )
            for c in contributions
            for observer in c.observers
        ]
        kernel.observers = pumps
        for pump in pumps:
            kernel.committer.event_listeners.append(pump.committed)
            self._background(pump.run(), f"observer {pump.observer.name}")

    def _background(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        """Run something until the host stops."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.wait({task})

        self._stack.push_async_callback(end)

    @property
    def portal(self) -> BlockingPortal:
        """By which threads call what belongs on the loop."""
        return self._portal.get()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._settings.config

    # -- what others hold of it -------------------------------------------------------------------

    def door(self, source: str) -> Door:
        """A way in, stamped with ``source``."""
        return Door(self.kernel, source)

    def handle(self, source: str, owner: str = HOST_PLUGIN, asking: Provision | None = None) -> HostHandle:
        """The host as a frontend, daemon or provider of plugin ``owner`` holds it."""
        return HostHandle(
            self.kernel,
            door=self.door(source),
            owner=owner,
            data=self.data,
            settings=self._settings,
            portal=self._portal.get,
            published=lambda hook, kind: self._plugins.published(hook, kind, self.config.values),
            asking=asking,
        )

    @property
    def registry(self) -> PluginRegistry:
        """What there is to run and ask, and the embedding program's own sets."""
        return PluginRegistry(self.kernel.registry, APP)

    @property
    def caller(self) -> Caller:
        """The embedding program as a caller: the user it runs as, at the door ``system:app``."""
        return self.local_caller(f"system:{APP}")

    async def run(self, command_id: str, /, *, timeout: float | None = None, **args: Json) -> Json:
        """Run a command in the name of the embedding program and return its result.

        Cancelling the wait cancels the run. For everything else there is ``door`` with ``caller``.

        Args:
            command_id: dotted name.
            timeout: seconds it may take.
            **args: its arguments.

        Raises:
            TrunnionError: it was refused, or the run's own error.
        """
        caller = self.caller
        return await run_to_result(self.door(caller.source), caller, command_id, args, timeout)

    def local_caller(self, source: str = "cli", role: Role = "admin") -> Caller:
        """The user this process runs as."""
        return local_caller(os.getuid(), source, role)

    # -- what its own commands need ---------------------------------------------------------------

    async def drain(self) -> None:
        """Finish what runs, start nothing new, then stop.

        Runs that wait stay on record and go on when a host starts on this data directory again.
        """
        self.kernel.admissions.closed = "the host is draining and accepts nothing new"
        self.kernel.loop.call_later(ANSWERING, self.request_stop, "drained")

    async def reload(self) -> dict[str, Json]:
        """Put the configuration in force as file, environment and flags say now.

        Settings that may change while the host runs do so at once; the others are named under ``restart``. If
        anything is wrong, all of it is named and everything stays as it is.

        Raises:
            InvalidConfig: something is wrong with it.
        """
        return await self._reloading.reload()

    def request_reload(self) -> None:
        """Reload soon; what comes of it is told on stream ``host``. On the loop only."""
        self._reloading.wish()

    def describe(self) -> dict[str, Json]:
        """Facts about this host."""
        identity = self.kernel.identity
        return {
            "host_id": identity.host_id,
            "boot_id": identity.boot_id,
            "version": identity.version,
            "pid": os.getpid(),
            "mode": self.options.mode,
            "started": self._started,
            "data_dir": str(self.data.root),
        }
