"""What plugins contribute: frozen descriptors. The host acts on them; a descriptor does nothing itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

import msgspec

from trunnion.model.commands import Command, Effect, Query
from trunnion.model.events import Event
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import is_dotted
from trunnion.model.runs import Caller, Role

if TYPE_CHECKING:
    import click

    from trunnion.kernel.handle import HostHandle


SYSTEM_SHELL: Final = "shell.run"
"""The command that lines go to where a console accepts undefined ones for the system."""


class StreamSource(msgspec.Struct, frozen=True, kw_only=True):
    """A family of streams.

    Attributes:
        pattern: name, or prefix ending in ``*``: ``unit/*``. No stream belongs to the families of two plugins; of
            several of one plugin that with the longest pattern counts.
        read: returns committed events after a number, at most ``limit``; None when the streams live
            in the host's own event log.
        follow: yields batches from a number on for ever; None as above.
    """

    pattern: str
    title: str = ""
    description: str = ""
    role: Role = "viewer"
    expose: frozenset[str] = frozenset()
    read: Callable[[str, int, int], Awaitable[Sequence[Event]]] | None = None
    follow: Callable[[str, int], AsyncIterator[Sequence[Event]]] | None = None


class Console(msgspec.Struct, frozen=True, kw_only=True):
    """Describes one console, a dotted prefix of command names. All but the path is optional.

    It is exported in meta for frontends that have consoles; of two that describe one path, the host's own counts,
    else that of the plugin whose name comes first.

    Attributes:
        path: the prefix; ``""`` is the main console.
        order: among its siblings, lowest first.
        prompt: a template over ``{console}``, ``{title}``, ``{principal}``, ``{host}`` and ``{jobs}``.
        style: parts of the prompt line and the console (``prompt``, ``banner``, ``toolbar``), each with a style such
            as ``"bold ansigreen"``.
        banner: printed when the console is entered.
        completer: id of a query that takes ``line`` (the text before the cursor) and may take ``console``, and
            answers values, each a text or ``{value, description}``. They are offered beside the names of commands.
        validator: id of a query that takes ``line`` and may take ``console``; asked about a line that is no command
            before it goes to ``on_miss``, it answers null, or what is wrong with the line.
        accept_undefined: what an unknown line does: refuse it, hand it to ``on_miss``, or ``system``: hand it to
            the shell of the system, by ``shell.run``. A console that has no command of its own is shown to those who
            may call the one its lines go to.
        on_miss: id of a command that takes ``line`` (the raw line) and may take ``console``.
        on_enter, on_leave: ids of commands without arguments, run when the console is entered and left.
    """

    path: str
    title: str = ""
    description: str = ""
    order: int = 0
    prompt: str = ""
    style: Mapping[str, str] = {}
    banner: str = ""
    completer: str = ""
    validator: str = ""
    accept_undefined: bool | Literal["system"] = False
    on_miss: str = ""
    on_enter: str = ""
    on_leave: str = ""

    def __post_init__(self) -> None:
        if self.path and not is_dotted(self.path):
            raise ValueError(f"console {self.path!r} is no dotted name")
        if not isinstance(self.accept_undefined, bool) and self.accept_undefined != "system":
            raise ValueError(
                f"console {self.path!r}: accept_undefined is {self.accept_undefined!r}, not a bool or 'system'"
            )
        if self.accept_undefined is True and not self.on_miss:
            raise ValueError(f"console {self.path!r} accepts undefined lines, but on_miss names no command for them")
        for name in (self.on_miss, self.on_enter, self.on_leave, self.completer, self.validator):
            if name and not is_dotted(name):
                raise ValueError(f"console {self.path!r} names {name!r}, which is no dotted name")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a plugin's section of the configuration.

    Attributes:
        key: name below ``[<plugin>]``; ``""`` describes the section as a whole (free-form tables).
        schema: JSON Schema with description and, where there is one, default.
        reload: whether a change takes effect live or at the next start.
        check: for what a schema cannot say: is given a value that fits the schema, returns what is wrong with
            it, each as the keys below the value and a sentence.
        check_section: the same for what several keys have to agree on: is given the whole section, once each value in
            it fits; the keys are those below the section.
    """

    key: str
    schema: JsonObject
    reload: Literal["live", "restart"] = "restart"
    check: Callable[[Json], Iterable[tuple[tuple[str, ...], str]]] | None = None
    check_section: Callable[[JsonObject], Iterable[tuple[tuple[str, ...], str]]] | None = None


class Ready(Protocol):
    """Called once by a frontend or daemon when it serves; ``address`` is shown to the operator."""

    def __call__(self, address: str = "") -> None:
        """Say that it serves."""


Serve: TypeAlias = "Callable[[HostHandle, Ready], Awaitable[None]]"
CrashPolicy: TypeAlias = Literal["degrade", "restart", "fatal"]


class Frontend(msgspec.Struct, frozen=True, kw_only=True):
    """A long-running door.

    Attributes:
        name: shown to the operator and named in ``[frontends]``.
        run: one coroutine in its own task: ``ready()`` ends the wait at start, cancellation means stop.
        source: what runs through this door are stamped with.
        enabled: whether it starts without being named in ``[frontends]``.
        after: names of frontends or daemons that must be ready before.
        on_crash: what an exception does: carry on without it, start it again with backoff, or end the host.
        start_timeout: seconds until ``ready()`` must have been called.
    """

    name: str
    run: Serve
    source: str
    enabled: bool = True
    after: tuple[str, ...] = ()
    on_crash: CrashPolicy = "degrade"
    start_timeout: float = 30.0


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """Any other long-running part of a plugin; attributes as in ``Frontend``."""

    name: str
    run: Serve
    after: tuple[str, ...] = ()
    on_crash: CrashPolicy = "restart"
    start_timeout: float = 30.0


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate is asked about.

    Attributes:
        kind: ``command``, ``query`` or ``stream``.
        target: the command id, query id or stream name.
        run_id: the run to be, empty for queries and streams.
        args: redacted arguments.
        decision: the rule that allowed it so far.
    """

    kind: Literal["command", "query", "stream"]
    target: str
    revision: str
    caller: Caller
    run_id: str = ""
    args: Mapping[str, Json] = {}
    args_digest: str = ""
    parent_run_id: str | None = None
    session_id: str | None = None
    decision: str = ""
    effect: Effect = "write"


class Allow(msgspec.Struct, frozen=True):
    """The gate lets it pass."""


class Deny(msgspec.Struct, frozen=True):
    """The gate refuses it; the reason is shown to the caller."""

    reason: str
    code: Literal["forbidden", "unavailable", "busy"] = "forbidden"


class Hold(msgspec.Struct, frozen=True):
    """The gate keeps the run in ``held`` until somebody decides."""

    reason: str


Verdict: TypeAlias = Allow | Deny | Hold


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Asked before anything happens, in batches, fail-closed.

    Attributes:
        admit: answers each admission of the batch, in order. An exception, a wrong count or a missed
            deadline refuses the whole batch.
        covers: which kinds it is asked about.
        records: whether what passes is on record before it takes effect (an audit). It is asked after all gates that
            do not record; a host that only reads does not ask it.
        deadline: seconds for one batch.
        of: a type that a provider of the plugin gives: ``admit`` then gets that object before the batch.
    """

    name: str
    admit: Callable[..., Awaitable[Sequence[Verdict]]]
    covers: frozenset[str] = frozenset({"commands"})
    records: bool = False
    deadline: float = 5.0
    of: type | None = None


class AuthorizeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What ``trunnion_authorize`` is asked about: something the host's own rules allow.

    Attributes:
        target: the command id, query id or stream name.
        decision: the rule that allowed it so far.
    """

    kind: Literal["command", "query", "stream"]
    target: str
    caller: Caller
    effect: Effect
    decision: str


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One object per host that handlers ask for by its type: ``ctx.require(Type)``.

    Attributes:
        type: what handlers ask for: a type of the plugin's own, of ``trunnion`` or of a third library.
            Two plugins cannot provide the same one.
        open: makes the object, before daemons and frontends start; may ``await host.require(Other)``, which
            opens the other one first.
        close: called last of all, in reverse order of opening; None where there is nothing to close.
        start_timeout: seconds ``open`` may take.
    """

    type: type
    open: Callable[[HostHandle], Awaitable[object]]
    close: Callable[[object], Awaitable[None]] | None = None
    start_timeout: float = 30.0


class Observer(msgspec.Struct, frozen=True, kw_only=True):
    """A durable follower of everything committed: at least once, in order, never dropped.

    Attributes:
        name: its position is kept under this name.
        on_events: awaited with each batch; the position moves on when it returns. An exception is
            reported and the batch given again after a delay.
        streams: name, or prefix ending in ``*``, of the streams it wants.
        of: a type that a provider of the plugin gives: ``on_events`` then gets that object before the batch.
    """

    name: str
    on_events: Callable[..., Awaitable[None]]
    streams: str = "*"
    of: type | None = None


class MetaSection(msgspec.Struct, frozen=True, kw_only=True):
    """An open descriptor exported in meta, for frontends that know its point.

    Attributes:
        point: what it extends, such as ``menu``.
        requires: ids of commands, queries or streams a caller must see for the section to be shown.
    """

    point: str
    id: str
    data: Json
    requires: tuple[str, ...] = ()


class LazyCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A launcher subcommand that is imported only when it is used.

    Attributes:
        name: the subcommand.
        help: one line for ``--help``.
        load: returns the click command.
        elsewhere: whether it can be about a host elsewhere, as ``trunnion --connect URL`` names one; it then asks
            ``trunnion.launcher.elsewhere``. Otherwise it is refused there.
    """

    name: str
    help: str
    load: Callable[[], click.Command]
    elsewhere: bool = False


Contribution: TypeAlias = (
    Command
    | Query
    | StreamSource
    | Console
    | Setting
    | Frontend
    | Daemon
    | Provider
    | Gate
    | Observer
    | MetaSection
    | LazyCommand
)
Contributions: TypeAlias = Iterable[Contribution]


class PluginRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one plugin.

    Attributes:
        id: its entry point's name.
        reason: why it is not loaded, in one line.
        hooks: names of the hooks it implements.
    """

    id: str
    state: Literal["loaded", "disabled", "incompatible", "broken"]
    distribution: str = ""
    version: str = ""
    origin: str = ""
    reason: str = ""
    hooks: tuple[str, ...] = ()
