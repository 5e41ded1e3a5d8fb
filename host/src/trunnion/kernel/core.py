"""The kernel put together: everything below the host that runs on its loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trunnion.access.policy import Policy
from trunnion.access.redaction import Redaction, Redactor
from trunnion.access.sealing import Sealer
from trunnion.kernel.admission import Admissions
from trunnion.kernel.authentication import Authentication
from trunnion.kernel.authorizers import Authorizers
from trunnion.kernel.blame import Blame
from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Committer
from trunnion.kernel.consoles import ConsoleWatch
from trunnion.kernel.context import Context
from trunnion.kernel.documents import DocumentLimits, Documents
from trunnion.kernel.entries import Compiler
from trunnion.kernel.eventlog import EventLog, StreamLog
from trunnion.kernel.executor import Executor
from trunnion.kernel.file_limits import FileLimits
from trunnion.kernel.gates import Gates
from trunnion.kernel.history import History
from trunnion.kernel.identity import Identities
from trunnion.kernel.kept_files import KeptFiles
from trunnion.kernel.limits import Limits
from trunnion.kernel.live import LiveRun, Phase
from trunnion.kernel.lookup import Lookup
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.meta import MetaBuilder
from trunnion.kernel.nested import NestedRuns
from trunnion.kernel.plugin_secrets import Secrets
from trunnion.kernel.providers import Providers
from trunnion.kernel.queries import Queries
from trunnion.kernel.recovery import Recovery
from trunnion.kernel.registry import Registry
from trunnion.kernel.reporting import HostLog
from trunnion.kernel.run_feed import RunFeed
from trunnion.kernel.secrets import SecretStore
from trunnion.kernel.state import State
from trunnion.kernel.telling import Telling
from trunnion.kernel.threads import DaemonThreads
from trunnion.kernel.waiting import Waiting
from trunnion.kernel.wards import Ward, Wards
from trunnion.kernel.watching import Watching
from trunnion.model.contributions import Gate, PluginRecord
from trunnion.model.errors import NotFound
from trunnion.model.events import HOST_STREAM, META, Event
from trunnion.model.json import encode
from trunnion.model.runs import Caller
from trunnion.store.base import Store

if TYPE_CHECKING:
    from trunnion.kernel.observers import ObserverPump
    from trunnion.kernel.parts import Part


NO_OTHER_LIMITS = DocumentLimits()
NO_OTHER_FILE_LIMITS = FileLimits()
CLOSING = 1.0
"""Seconds the last words of threads may take when the host closes."""


class Identity(msgspec.Struct, frozen=True):
    """Which host this is.

    Attributes:
        host_id: made once per data directory.
        boot_id: made at each start.
        version: of the host.
    """

    host_id: str
    boot_id: str
    version: str


class Kernel:
    """Registry, event log, executor and everything between. Made on the loop it lives on.

    Attributes:
        parts: frontends and daemons, once the host has them.
        documents: what plugins keep.
        blame: which plugins were slow, raised, or kept the loop from turning.
        watching: sees to it that the last of these is noticed.
        files: kept with runs, and brought by clients.
        observers: the pumps of all observers.
        providers: the objects that handlers ask for by type.
        telling: who is told of refusals, ends of runs and changes.
        records: what became of each plugin.
    """

    parts: Sequence[Part] = ()
    observers: Sequence[ObserverPump] = ()

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        limits: Limits,
        sealer: Sealer,
        identity: Identity,
        host_log: HostLog,
        gates: Sequence[tuple[str, Gate]] = (),
        records: Callable[[], Sequence[PluginRecord]] = tuple,
        readonly: bool = False,
        documents: DocumentLimits = NO_OTHER_LIMITS,
        backups: Path | None = None,
        redaction: Redaction | None = None,
        files: FileLimits = NO_OTHER_FILE_LIMITS,
        uploads: Path,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.store = store
        self.clock = clock
        self.limits = limits
        self.identity = identity
        self.readonly = readonly
        self.sealer = sealer
        self.redaction = redaction or Redaction()
        self.redactor = Redactor(self.redaction)
        self.records = records
        self.readers = DaemonThreads("trunnion-reader")
        self.policy = Policy(clock.utc)
        self.blame = Blame(host_log.report, clock)
        self.registry = Registry(Compiler((Context, Caller), limits.default_lock or None, self.blame.watched))
        self.mailbox = Mailbox(loop)
        self.committer = Committer(store, clock, loop.call_soon, host_log.report)
        self.log = EventLog(self.committer, History(store, self.readers), store.last_seq, clock)
        self.documents = Documents(
            store, self.committer, self.log, clock, self.readers, limits=documents, backups=backups
        )
        if readonly:
            self.documents.closed = "no host is running on this data directory"
        self.telling = Telling(host_log.report)
        self.providers = Providers(host_log.report, self.blame)
        self.gates = Gates(gates, host_log.report, self.blame, self.providers.get)
        self.authorizers = Authorizers(host_log.report, clock, self.blame)
        self.wards = Wards(clock)
        self.policy.listeners.append(self.wards.look_again)
        self.registry.listeners.append(self.wards.look_soon)
        self.secrets = SecretStore(
            self.documents.state("host"),
            store,
            self.committer,
            self.log,
            sealer,
            self.redaction,
            host_log.report,
            self.readers,
        )
        self.providers.give_each(Secrets, self.secrets.for_plugin)
        self.providers.give_each(State, self.documents.state)
        self.lookup = Lookup(self.registry, self.policy)
        nested = NestedRuns()
        self.files = KeptFiles(
            uploads,
            files,
            store=store,
            committer=self.committer,
            policy=self.policy,
            clock=clock,
            state=self.documents.state("host"),
            threads=self.readers,
            report=host_log.report,
            is_live=lambda run_id: run_id in self.executor.table.live,
        )
        self.executor = Executor(
            registry=self.registry,
            committer=self.committer,
            log=self.log,
            mailbox=self.mailbox,
            clock=clock,
            limits=limits,
            report=host_log.report,
            nested=nested,
            keep_result=self.files.keeper.keep_result,
            locate=self.files.arguments.located,
            lost=self.lookup.lost,
            ended=self.telling.ended,
        )
        self.watching = Watching(loop, self.executor.table, self.mailbox, host_log, self.blame, clock)
        self.admissions = Admissions(
            lookup=self.lookup,
            gates=self.gates,
            authorizers=self.authorizers,
            executor=self.executor,
            committer=self.committer,
            store=store,
            log=self.log,
            mailbox=self.mailbox,
            clock=clock,
            sealer=sealer,
            redactor=self.redactor,
            host_id=identity.host_id,
            files=self.files.claims,
            telling=self.telling,
        )
        self.identities = Identities(self.policy, self.log, host_log.report, self.telling.about_to)
        self.authentication = Authentication(self.identities, clock, self.readers, self.telling, host_log)
        self.waiting = Waiting(self.executor, store, self.committer, self.readers, self.wards)
        nested.wire(self.executor, self.admissions, self.waiting, self.files.keeper, self.providers)
        self.queries = Queries(
            self.lookup,
            self.gates,
            self.authorizers,
            self.telling,
            self.readers,
            host_log.report,
            self.redactor,
            self.files.arguments,
        )
        self.recovery = Recovery(
            registry=self.registry,
            executor=self.executor,
            committer=self.committer,
            store=store,
            log=self.log,
            mailbox=self.mailbox,
            clock=clock,
            sealer=sealer,
            redactor=self.redactor,
            host_id=identity.host_id,
            report=host_log.report,
        )
        self.meta = MetaBuilder(
            self.registry,
            self.policy,
            msgspec.structs.asdict(identity),
            records,
            self.redactor.without_names,
            self.blame,
        )
        self.host_log = host_log
        if not readonly:
            host_log.attach(self.log, self.mailbox)
            self.registry.listeners.append(self._meta_changed)
            self.policy.listeners.append(self._meta_changed)

    @cached_property
    def run_feed(self) -> RunFeed:
        """Which runs changed."""
        return RunFeed(self.committer, self.identity.boot_id)

    def watch_consoles(self) -> None:
        """All plugins have been heard: from now on report what is wrong with their descriptions of consoles."""
        watch = ConsoleWatch(self.registry.console_problems, self.host_log.report)
        watch.look()
        self.registry.listeners.append(watch.look)

    def _meta_changed(self) -> None:
        raw = msgspec.Raw(encode({"generation": self.meta.generation}))
        self.log.stream(HOST_STREAM).append(META, "meta has changed", raw)

    def take_limits(self, limits: Limits) -> None:
        """Go by other limits from now on; runs that work already keep the times they were given."""
        self.limits.take(limits)
        self.executor.placement.resize()

    # -- stopping ---------------------------------------------------------------------------------

    async def drain(self, grace: float) -> None:
        """Accept nothing new and let what runs go on for ``grace`` seconds."""
        self.admissions.closed = "the host is stopping and accepts nothing new"
        self.executor.table.draining = True
        self.executor.placement.closed = True
        self.committer.flush()  # what nobody waited for is waited for now
        await self.settled(grace)

    def interrupt(self) -> None:
        """Tell what still runs to end."""
        for live in self._in_phase("running"):
            self.executor.ending.stop(live, "interrupted")

    async def settled(self, grace: float) -> None:
        """Wait until nothing runs any more, at most ``grace`` seconds."""
        rested = self.executor.table.rested
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._in_phase("running", "ending"):
                    rested.clear()
                    await rested.wait()

    def give_up(self, *, dying: bool = False) -> None:
        """Settle what ignores its end without it; processes are killed, with ``dying`` those settled that were."""
        for live in self._in_phase("running"):
            if dying or not live.dying:
                self.executor.ending.give_up(live)

    def _in_phase(self, *phases: Phase) -> list[LiveRun]:
        return [live for live in self.executor.table.live.values() if live.phase in phases]

    def close(self) -> None:
        """Flush and close. Nothing may be called afterwards."""
        self.watching.close()
        self.documents.closed = self.documents.closed or "the host is stopping"
        self.mailbox.drain(CLOSING)
        if not self.readonly:
            self.committer.close()
        self.waiting.give_up()
        self.log.give_up()
        self.run_feed.give_up()
        self.executor.close()
        self.readers.close()

    # -- streams ----------------------------------------------------------------------------------

    def follow(
        self, name: str, after: int, *, live: bool, ward: Ward | None = None, end: int = 0, log: StreamLog | None = None
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Follow one of the host's own streams; ``end`` and ``log`` as for ``EventLog.follow``.

        Raises:
            NotFound: there is no such stream.
        """
        if not name.startswith("run/") and not self.readonly:
            self.log.stream(name)
        return self.log.follow(name, after, live=live, ward=ward, end=end, log=log)

    def not_found(self, kind: str, name: str) -> NotFound:
        """The one answer for what is not there and for what may not be seen."""
        return NotFound(f"there is no {kind} {name!r}", {kind: name})
