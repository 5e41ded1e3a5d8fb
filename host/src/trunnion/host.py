"""The host: the only place where all parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from trunnion._version import VERSION
from trunnion.access.sealing import Sealer
from trunnion.assembly import HOST_PLUGIN, data_root, declared_parts, host_id, register, store_for
from trunnion.builtin.plugin import HostPlugin
from trunnion.config.data_dir import DataDir, Hold, hold
from trunnion.config.values import Config, describe
from trunnion.kernel.clock import Clock, SystemClock
from trunnion.kernel.core import Identity, Kernel
from trunnion.kernel.documents import DocumentLimits
from trunnion.kernel.door import Door
from trunnion.kernel.handle import HostHandle
from trunnion.kernel.ids import new_id
from trunnion.kernel.limits import Limits
from trunnion.kernel.observers import ObserverPump
from trunnion.kernel.output import capture
from trunnion.kernel.parts import Part, Parts
from trunnion.kernel.reporting import HostLog
from trunnion.kernel.threads import in_thread
from trunnion.loading import HostOptions, Setup, load_setup, plugin_cli
from trunnion.model.contributions import Ready
from trunnion.model.errors import TrunnionError
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Role
from trunnion.plugins.hooks import Contributed as PluginContribution
from trunnion.plugins.plugin_set import PluginSet
from trunnion.store import Store

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["Host", "HostOptions", "plugin_cli", "user_name"]

RETENTION_INTERVAL = 600.0
US_PER_DAY = 86_400_000_000
FLUSH_TIMEOUT = 5.0
SETTLE_TIMEOUT = 1.0
IMPATIENCE = 0.1
"""Seconds handlers have to end even when there is a hurry."""

ANSWERING = 0.25
"""Seconds in which whoever asked the host to drain can still ask how that run ended."""


class Host:
    """One host on one data directory: ``async with Host(...) as host``.

    Args:
        options: what the start is asked for.
        plugins: plugin objects or modules, beside or instead of the installed ones.
        discovery: whether installed plugins are looked for.
        environ: the environment that is read; by default the process's own.
        clock: for tests.

    Attributes:
        config: the configuration in force.
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
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.options = options or HostOptions()
        self.clock: Clock = clock or SystemClock()
        self.config: Config
        self.data: DataDir
        self.kernel: Kernel
        self.portal: BlockingPortal
        self._given = plugins
        self._discovery = discovery
        self._environ = os.environ if environ is None else environ
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
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
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
        """A part without which the host cannot go on has ended, for a reason or because it was done."""
        self.failure = reason
        self.request_stop(reason)

    async def stop(self) -> None:
        """Drain, settle what is left as interrupted, flush, close. Always ends."""
        if self.options.mode != "readonly":
            await self._wind_down()
        await self._stack.aclose()

    async def _wind_down(self) -> None:
        kernel = self.kernel
        hurry = asyncio.create_task(self._hurry.wait())
        await _unless(hurry, kernel.drain(kernel.limits.shutdown_grace))
        kernel.interrupt()
        await kernel.settled(IMPATIENCE)
        await _unless(hurry, kernel.settled(kernel.limits.cancel_grace))
        hurry.cancel()
        kernel.give_up()
        await kernel.settled(SETTLE_TIMEOUT)
        self.kernel.host_log.report("host.stopped", "the host stops")

    async def _start(self) -> None:
        options, stack = self.options, self._stack
        self._builtin = HostPlugin()
        builtins = {HOST_PLUGIN: self._builtin}
        self._setup = load_setup(
            options, self._environ, builtins=builtins, given=self._given, discovery=self._discovery
        )
        self.config, self._plugins = self._setup.config, self._setup.plugins
        self.data = DataDir(data_root(self.config, options.data_dir, self._environ))
        if options.mode != "readonly":
            self._hold = stack.enter_context(hold(self.data))
        store = store_for(self.config, self.data, options.mode, self.clock)
        stack.callback(store.close)
        host_log = HostLog(self.clock, None if options.mode == "readonly" else self.data.host_log, self._log_level())
        stack.callback(host_log.close)
        contributions = self._make_kernel(store, host_log)
        stack.callback(self.kernel.close)
        if options.capture:
            stack.enter_context(capture(host_log.printed, host_log.log, self._log_level()))
        await self._open_portal()
        self._started = self.clock.utc()
        if options.mode != "readonly":
            await self._go_live(contributions, host_log)

    async def _open_portal(self) -> None:
        from anyio.from_thread import BlockingPortal

        self.portal = await self._stack.enter_async_context(BlockingPortal())

        async def end_calls() -> None:
            """A thread's call that goes on does not hold up the host's end."""
            await self.portal.stop(cancel_remaining=True)

        self._stack.push_async_callback(end_calls)

    async def _go_live(self, contributions: Sequence[PluginContribution], host_log: HostLog) -> None:
        host_log.report("host.started", f"trunnion {VERSION} on {self.data.root}")
        self.kernel.executor.placement.park_all = self.options.mode == "cold"
        self.kernel.recovery.recover()
        self._start_observers(contributions)
        parts = declared_parts(self.config, contributions, cold=self.options.mode == "cold")
        self._parts = Parts(parts, self._serve, host_log.report, self._fail)
        self.kernel.parts = self._parts.parts
        self._stack.push_async_callback(self._flushed)
        self._background(self._retention(), "retention")
        self._stack.push_async_callback(self._parts.stop)
        await self._parts.start()

    # -- what it is made of -----------------------------------------------------------------------

    def _log_level(self) -> str:
        return str(self.config.get("log.level"))

    def _make_kernel(self, store: Store, host_log: HostLog) -> Sequence[PluginContribution]:
        limits = msgspec.convert(self.config.section("executor"), Limits)
        readonly = self.options.mode == "readonly"
        self.kernel = Kernel(
            store=store,
            clock=self.clock,
            limits=limits,
            sealer=Sealer(self.data.root / "secret.key"),
            identity=Identity(host_id(self.data, keep=not readonly), new_id(), VERSION),
            host_log=host_log,
            records=lambda: self._plugins.records,
            readonly=readonly,
            documents=msgspec.convert(self.config.section("state"), DocumentLimits),
            backups=None if self.config.get("store.durability") == "memory" else self.data.root / "db",
        )
        self._builtin.attach(self.kernel, self)
        contributions = self._plugins.contributions(self.config.values)
        kept = [c for c in contributions if register(self.kernel.registry, self._plugins, c)]
        self.kernel.gates.add([(c.plugin_id, gate) for c in kept for gate in c.gates])
        return kept

    # -- long-running parts -----------------------------------------------------------------------

    def _serve(self, part: Part, ready: Ready) -> Awaitable[None]:
        return part.run(self.handle(part.source, part.owner), ready)

    def _start_observers(self, contributions: Sequence[PluginContribution]) -> None:
        kernel = self.kernel
        pumps = [
            ObserverPump(c.plugin_id, observer, kernel.store, kernel.readers, kernel.host_log.report)
            for c in contributions
            for observer in c.observers
        ]
        kernel.observers = pumps
        for pump in pumps:
            kernel.committer.listeners.append(pump.wake)
            self._background(pump.run(), f"observer {pump.observer.name}")

    def _background(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        """Run something until the host stops."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.wait({task})

        self._stack.push_async_callback(end)

    async def _retention(self) -> None:
        """Remove what is too old or too much, a little at a time."""
        days, keep = self.config.get("store.retention_days"), self.config.get("store.retention_runs")
        while True:
            await asyncio.sleep(RETENTION_INTERVAL)
            before = self.clock.utc() - int(days) * US_PER_DAY if isinstance(days, int) and days else None
            most = keep if isinstance(keep, int) and keep else None
            if before is None and most is None:
                return
            prune = partial(self.kernel.store.prune, before, most, dry_run=False)
            try:
                await in_thread(self.kernel.readers, prune)
            except Exception as error:
                self.kernel.host_log.report("retention.failed", "old runs could not be removed", error)

    async def _flushed(self) -> None:
        """Have everything on record before the store closes."""
        quiet = asyncio.Event()
        self.kernel.committer.when_quiet(quiet.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await quiet.wait()

    # -- what others hold of it -------------------------------------------------------------------

    def door(self, source: str) -> Door:
        """A way in, stamped with ``source``."""
        return Door(self.kernel, source)

    def handle(self, source: str, owner: str = HOST_PLUGIN) -> HostHandle:
        """The host as a frontend or daemon of plugin ``owner`` holds it."""
        settings = self.config.values.get(owner, {})
        return HostHandle(
            self.kernel, door=self.door(source), owner=owner, data=self.data, settings=settings, portal=self.portal
        )

    def local_caller(self, source: str = "cli", role: Role = "admin") -> Caller:
        """The user this process runs as."""
        return Caller(user_name(os.getuid()), source, role)

    # -- what its own commands need ---------------------------------------------------------------

    async def drain(self) -> None:
        """Finish what runs, start nothing new, then stop.

        Runs that wait stay on record and go on when a host starts on this data directory again.
        """
        self.kernel.admissions.closed = "the host is draining and accepts nothing new"
        self.kernel.loop.call_later(ANSWERING, self.request_stop, "drained")

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
            "config": str(self.config.path) if self.config.path is not None else None,
        }

    def describe_config(self) -> list[dict[str, Json]]:
        """Every setting with its value and where it came from."""
        return [msgspec.to_builtins(entry) for entry in describe(self.config)]

    def check_config(self) -> dict[str, Json]:
        """Whether a start with the configuration as it is on disk now would succeed."""
        path = self.config.path
        try:
            self._setup.read_again()
        except TrunnionError as error:
            return {"ok": False, "problem": error.message, "path": str(path)}
        return {"ok": True, "problem": None, "path": str(path) if path is not None else None}


async def _unless(hurry: asyncio.Task[bool], step: Coroutine[None, None, None]) -> None:
    """Await a step, unless or until there is a hurry."""
    task = asyncio.create_task(step)
    await asyncio.wait({hurry, task}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.wait({task})


def user_name(uid: int) -> str:
    """The login name of a uid; its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
