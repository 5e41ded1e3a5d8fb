"""What frontends, daemons and embedding programs hold: a stamped door, and the host around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, cast

import msgspec

from trunnion.kernel.core import Identity, Kernel
from trunnion.kernel.door import Door
from trunnion.kernel.gates import question_of
from trunnion.kernel.history import History
from trunnion.kernel.plugin_registry import PluginRegistry
from trunnion.kernel.settings import Settings
from trunnion.kernel.state import State
from trunnion.kernel.telling import followed
from trunnion.kernel.threads import in_thread
from trunnion.model.access import SYSTEM
from trunnion.model.contributions import Admission, PluginRecord
from trunnion.model.errors import ErrorInfo, InvalidArguments, TrunnionError, Unauthenticated
from trunnion.model.events import event_word
from trunnion.model.json import Json, JsonObject, encode
from trunnion.model.names import is_stream_name
from trunnion.model.runs import LOCAL_DOORS, Caller, Run
from trunnion.model.told import HostChange, Refused

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from trunnion.kernel.providers import Provision

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
Published: TypeAlias = Callable[[str, type[msgspec.Struct]], tuple[Sequence[tuple[str, msgspec.Struct]], Sequence[str]]]
"""Asks all plugins for the items of a hook that one of them published; see ``PluginSet.published``."""


class DataPaths(Protocol):
    """The places of a data directory that parts of plugins need."""

    @property
    def root(self) -> Path:
        """The data directory."""

    @property
    def run(self) -> Path:
        """Sockets, 0700."""

    @property
    def socket(self) -> Path:
        """The host's local socket."""


class HostHandle:
    """The host as a frontend, a daemon or an embedding program holds it.

    Attributes:
        door: the way in, stamped with the holder's source.
        identity: which host this is.
        data: the places of the data directory.
        registry: to add and withdraw the holder's own sets of commands, queries and streams at run time.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        door: Door,
        owner: str,
        data: DataPaths,
        settings: Settings,
        portal: Callable[[], BlockingPortal],
        published: Published,
        asking: Provision | None = None,
    ) -> None:
        self._kernel = kernel
        self.door = door
        self.owner = owner
        self.data = data
        self._settings = settings
        self._ends: list[Callable[[], None]] = []
        self._open_portal = portal
        self.registry = PluginRegistry(kernel.registry, owner)
        self._asking = asking
        self._published = published

    @property
    def portal(self) -> BlockingPortal:
        """By which threads call what belongs on the loop."""
        return self._open_portal()

    @property
    def settings(self) -> JsonObject:
        """The holder's own section of the configuration, as it is in force now."""
        return self._settings.section(self.owner)

    def on_settings(self, callback: Callable[[JsonObject], None]) -> None:
        """Be told of the holder's section whenever live keys of it have changed; on the loop, until the holder ends.

        The change is in force then, so the callback cannot refuse it: what a schema cannot say about a value is for
        ``Setting.check``.
        """
        watched = self._kernel.blame.watched(self.owner, "the follower of its settings", callback, tell=False)
        self._ends.append(self._settings.follow(self.owner, watched))

    def on_refusal(self, callback: Callable[[Refused], None]) -> None:
        """Be told of everything that was asked for and refused, at any door; on the loop, until the holder ends.

        It is called for every single one, as fast as strangers can ask, so it has to be quick.
        """
        self._ends.append(followed(self._kernel.telling.on_refusal, callback))

    def on_end(self, callback: Callable[[Run, bool], None]) -> None:
        """Be told of every run that has ended, with its end on record; on the loop, until the holder ends.

        The callback is given the run and whether it is kept in the history. An observer is told of the ends of runs
        that are kept, too, and will not miss one when the host dies; this is for those that are not, and is sooner.
        """
        self._ends.append(followed(self._kernel.telling.on_end, callback))

    def before_change(self, callback: Callable[[HostChange], Awaitable[None]]) -> None:
        """Be asked before a change of configuration or access takes effect, until the holder ends.

        It takes effect when the callback has returned; should it raise, or take more than ten seconds, the change is
        not made, and whoever wanted it is told why.
        """
        self._ends.append(followed(self._kernel.telling.before_change, callback))

    def let_go(self) -> None:
        """The holder has ended and is told nothing any more. The host does this by itself."""
        while self._ends:
            self._ends.pop()()

    @property
    def identity(self) -> Identity:
        """Which host this is."""
        return self._kernel.identity

    @property
    def host_id(self) -> str:
        """Made once per data directory."""
        return self._kernel.identity.host_id

    @property
    def boot_id(self) -> str:
        """Made at each start."""
        return self._kernel.identity.boot_id

    @property
    def version(self) -> str:
        """The host's version."""
        return self._kernel.identity.version

    @property
    def recorded(self) -> frozenset[str]:
        """Of ``commands``, ``queries`` and ``streams`` those that a gate which ``records`` is asked about."""
        return self._kernel.gates.recorded

    @property
    def durability(self) -> str:
        """What stored data outlives, as ``[store] durability`` says: ``power``, ``process`` or ``memory``."""
        return str(self._settings.config.get("store.durability"))

    @property
    def plugins(self) -> Sequence[PluginRecord]:
        """What became of each plugin."""
        return self._kernel.records()

    @property
    def history(self) -> History:
        """What is on record of runs and streams, as an observer gets to see it."""
        return History(self._kernel.store, self._kernel.readers)

    async def accepted(self) -> Sequence[Admission]:
        """Runs on record that have not ended, each as gates were, or would have been, asked about it.

        Asked for while a provider opens, these are what an earlier host left: none of them goes on before the
        providers are open, and no gate is asked about them again.
        """
        kernel = self._kernel
        stored = await in_thread(kernel.readers, kernel.store.live)
        asked = list[Admission]()
        for run in (row.run for row in stored):
            entry = kernel.registry.command(run.command_id)
            caller = Caller(run.principal, run.source, run.role, run.chain, run.credential)
            asked.append(question_of(run, caller, "write" if entry is None else entry.command.effect))
        return asked

    async def contributed(self, hook: str, kind: type[S]) -> list[tuple[str, S]]:
        """What other plugins yield for a hook that the holder's plugin publishes.

        They implement it with ``hookimpl(optionalhook=True)``, so that they load without the plugin too; it may take
        ``settings``, their own section. Whoever fails is reported and left out.

        Args:
            hook: its name, ``trunnion_<plugin>_<what>``.
            kind: the type of each item.

        Returns:
            Each item with the id of its plugin, in order of name.

        Raises:
            InvalidArguments: the hook is not one of the holder's plugin.
        """
        if not hook.startswith(f"trunnion_{self.owner.replace('-', '_')}_"):
            raise InvalidArguments(f"{hook} is no hook of plugin {self.owner!r}")
        found, problems = await in_thread(self._kernel.readers, lambda: self._published(hook, kind))
        for problem in problems:
            self._kernel.host_log.report("plugin.hook.failed", problem)
        return [(name, item) for name, item in found if isinstance(item, kind)]

    async def require(self, kind: type[T]) -> T:
        """The object of a type that a plugin, the host or the embedding program provides.

        In a provider's ``open`` it opens the other provider first, which does not count against its own time.

        Raises:
            Unavailable: nobody provides it, or it could not be opened; the message says why.
            Conflict: the other provider is itself waiting for this one.
        """
        return await self._kernel.providers.require(kind, self.owner, self._asking)

    @property
    def state(self) -> State:
        """The holder's own documents, kept in the host's database."""
        return self._kernel.documents.state(self.owner)

    def owner_caller(self) -> Caller:
        """The plugin itself as a caller: ``system:<plugin>``, operator unless the configuration says otherwise."""
        name = f"{SYSTEM}{self.owner}"
        return Caller(name, name, self._kernel.identities.system_role(self.owner))

    def local_door(self, source: str) -> Door:
        """The way in for another kind of local client, for a frontend that serves several of them.

        Args:
            source: the kind, as in ``LOCAL_DOORS``.

        Raises:
            InvalidArguments: there is no such kind, or the holder's own door is not local.
        """
        if self.door.source not in LOCAL_DOORS or source not in LOCAL_DOORS:
            raise InvalidArguments(f"the door is {self.door.source} here, not {source}", {"source": self.door.source})
        return Door(self._kernel, source)

    def refuse(self, kind: str, reason: str, text: str, facts: JsonObject | None = None) -> Unauthenticated:
        """Put on record that the holder's door refused what somebody showed it, where no ``Credential`` came of it.

        It is counted, and told on stream ``host/access`` and in the log; the same thing again only as a number.

        Args:
            kind: of what was shown, as in ``certificate``.
            reason: a stable word for what is wrong with it.
            text: the same as the end of a sentence.
            facts: go with the event; no secret is among them.

        Returns:
            What to raise; it never says why.
        """
        return self._kernel.authentication.refuse(self.door.source, kind, reason, text, facts or {})

    def turned_down(self, what: str, error: TrunnionError, caller: Caller | None = None) -> None:
        """Put on record that the holder's door refused something itself, of which nothing reached the host.

        Args:
            what: in a word, such as ``message``.
            error: as the client is told.
            caller: who it was, where that is known.
        """
        telling, source = self._kernel.telling, self.door.source
        telling.counts[error.code] += 1
        reason = self.shown(error).message
        telling.tell(Refused(kind="call", target=what, source=source, caller=caller, code=error.code, reason=reason))

    def shown(self, error: TrunnionError) -> ErrorInfo:
        """An error as a client may be told of it: without what the host keeps from sight."""
        return self._kernel.redactor.error(error.info)

    def report(self, code: str, text: str, error: BaseException | None = None) -> None:
        """Tell operators something, on stream ``host`` and in the log; from any thread."""
        self._kernel.host_log.report(f"{self.owner}.{code}", text, error)

    def emit(self, stream: str, kind: str, text: str = "", data: Json = None, level: str = "info") -> None:
        """Append an event to a stream of the holder's own, such as ``unit/<id>/log``. On the loop only.

        Raises:
            InvalidArguments: the name is no stream's, or belongs to the host.
        """
        if not is_stream_name(stream) or stream.partition("/")[0] in ("run", "host", "state"):
            raise InvalidArguments(f"{stream!r} is not a stream {self.owner} may write to")
        redactor = self._kernel.redactor
        raw = msgspec.Raw(redactor.encoded(encode(data)))
        log = self._kernel.log.stream(stream)
        log.append(event_word(kind), redactor.text(text), raw, level=event_word(level), by=self.owner)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Await a blocking call made in a thread that never holds up the host's end."""
        return cast(T, await in_thread(self._kernel.readers, function))
