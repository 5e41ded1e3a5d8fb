"""What plugins contribute: frozen descriptors. The host acts on them; a descriptor does nothing itself."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar, overload

import msgspec
from msgspec import UNSET, UnsetType

from trunnion.model.events import Event
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import is_dotted, to_segment
from trunnion.model.runs import Caller, Role

if TYPE_CHECKING:
    import click

    from trunnion.kernel.handle import HostHandle

Effect: TypeAlias = Literal["read", "write", "destroy"]
Handler: TypeAlias = Callable[..., object]
"""A sync or async function. One taking a first parameter annotated ``Context`` (or named ``ctx``) gets
the run's context; the rest are its arguments, or one mapping where the descriptor brings a schema."""


class Lock(msgspec.Struct, frozen=True):
    """At most ``limit`` runs at a time under one key.

    Args:
        key: a template over ``{command_id}``, ``{console}``, ``{session}``, ``{principal}`` and the
            names of the command's arguments, such as ``"plc:{device}"``; ``"global"`` is one key for all.
        limit: how many runs may hold the key together.
    """

    key: str
    limit: int = 1


class Retry(msgspec.Struct, frozen=True):
    """When a run that failed is tried again.

    Args:
        attempts: how often it may run altogether.
        delay: seconds before the second attempt; doubles each time, with jitter.
        max_delay: ceiling of the delay, seconds.
        codes: error codes that are worth another attempt; ``interrupted`` means that the host died under it.
    """

    attempts: int = 3
    delay: float = 1.0
    max_delay: float = 60.0
    codes: frozenset[str] = frozenset({"interrupted", "unavailable"})


class Category(msgspec.Struct, frozen=True, omit_defaults=True):
    """What panels show a command as."""

    name: str
    icon: str = ""
    colour: str = ""


Validate: TypeAlias = Callable[[Mapping[str, object]], str | None]
"""Looks at all arguments together; returns the problem as text, or None. No I/O."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that becomes a run.

    Attributes:
        id: dotted name, ``console.path.command``.
        handler: see ``Handler``.
        args: JSON Schema 2020-12 of the arguments; None takes it from the handler's signature.
            A property with ``writeOnly: true`` is secret.
        returns: JSON Schema of the result, None if unknown.
        positional: names of arguments that argv may give by position, in order; None takes them from
            the signature, or from the schema's required properties in their order.
        aliases: further dotted names, resolved before policy.
        confirm: a question a person should answer first, ``""`` for none.
        role: the least role that may run it.
        expose: remote sources that may reach it: ``web``, ``rpc``, ``schedule``, ``agent``.
        lock: template, ``Lock``, None for parallel runs; unset takes ``executor.default_lock``.
        timeout: seconds from start; None takes ``executor.default_timeout``.
        abandon: whether the lane of a thread that ignores its end is kept or released.
        deprecated: what to use instead, ``""`` when current.
        http: an HTTP alias such as ``POST /api/instances/{id}/start``, for the web plugin.
        complete: argument name -> query id that offers its values.
        validate: see ``Validate``; runs after policy.
        keep: ``none`` for clicks and layout saves: no row, no stream, at most 5 s.
        scope: ``global`` commands appear in every console.
    """

    id: str
    handler: Handler
    args: JsonObject | None = None
    returns: JsonObject | None = None
    positional: tuple[str, ...] | None = None
    title: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    category: Category | None = None
    effect: Effect = "write"
    confirm: str = ""
    role: Role = "operator"
    expose: frozenset[str] = frozenset()
    lock: str | Lock | UnsetType | None = UNSET
    timeout: float | None = None
    retry: Retry | None = None
    abandon: Literal["keep", "release"] = "keep"
    deprecated: str = ""
    http: str = ""
    complete: Mapping[str, str] = {}
    validate: Validate | None = None
    keep: Literal["history", "none"] = "history"
    scope: Literal["console", "global"] = "console"

    def __post_init__(self) -> None:
        for name in (self.id, *self.aliases):
            if not is_dotted(name):
                raise ValueError(
                    f"command name {name!r} is not dotted segments of a-z, 0-9, '_' and '-', "
                    "each starting with a letter"
                )

    @classmethod
    def of(cls, function: Handler, *, console: str = "", name: str = "", **options: object) -> Command:
        """Make a command of a function: its name, signature and docstring say the rest.

        Args:
            function: sync or async.
            console: dotted prefix, empty for the root.
            name: last segment; by default the function's own name with ``_`` kept.
            **options: any other attribute of ``Command``.

        Raises:
            ValueError: no valid name comes of it.
            TypeError: an unknown option.
        """
        segment = name or to_segment(function.__name__)
        fields = {"description": inspect.getdoc(function) or "", **options}
        if "title" not in fields:
            fields["title"] = str(fields["description"]).partition("\n")[0].rstrip(".")
        identity = f"{console}.{segment}" if console else segment
        return _make_command(cls, id=identity, handler=function, **fields)


def _make_command(cls: Callable[..., Command], **fields: object) -> Command:
    return cls(**fields)


F = TypeVar("F", bound=Handler)


class Declared(Protocol):
    """A function that carries the command made of it; calling it calls the function."""

    __trunnion_command__: Command

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Call the function itself."""


@overload
def command(function: F, /) -> F: ...
@overload
def command(*, console: str = "", name: str = "", **options: object) -> Callable[[F], F]: ...
def command(function: F | None = None, /, *, console: str = "", name: str = "", **options: object) -> object:
    """Declare a function as a command: ``@command`` or ``@command(console="db", role="admin")``.

    The function stays callable as it was; ``commands_of(module)`` collects what was declared.
    Options are the attributes of ``Command``.
    """

    def declare(target: F) -> F:
        descriptor = Command.of(target, console=console, name=name, **options)
        target.__trunnion_command__ = descriptor  # type: ignore[attr-defined]
        return target

    return declare if function is None else declare(function)


def commands_of(namespace: object) -> list[Command]:
    """All commands declared with ``@command`` in a module, class or instance, in order of name."""
    found: dict[str, Command] = {}
    for attribute in dir(namespace):
        value = getattr(namespace, attribute, None)
        descriptor = getattr(value, "__trunnion_command__", None)
        if isinstance(descriptor, Command):
            bound = msgspec.structs.replace(descriptor, handler=value) if inspect.ismethod(value) else descriptor
            found[bound.id] = bound
    return [found[key] for key in sorted(found)]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Reads something, without side effect and without a run.

    Attributes:
        handler: async, or sync (then called in a thread); a first parameter ``caller`` annotated
            ``Caller`` receives who asks. Lists take ``limit`` and ``cursor`` and return
            ``{"items": [...], "next": cursor or null}``.
        timeout: seconds, always bounded.
    """

    id: str
    handler: Handler
    args: JsonObject | None = None
    returns: JsonObject | None = None
    positional: tuple[str, ...] | None = None
    title: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    role: Role = "viewer"
    expose: frozenset[str] = frozenset()
    timeout: float = 30.0
    http: str = ""
    complete: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        for name in (self.id, *self.aliases):
            if not is_dotted(name):
                raise ValueError(f"query name {name!r} is not dotted segments of a-z, 0-9, '_' and '-'")

    @classmethod
    def of(cls, function: Handler, *, console: str = "", name: str = "", **options: object) -> Query:
        """Make a query of a function, as ``Command.of`` does."""
        segment = name or to_segment(function.__name__)
        fields = {"description": inspect.getdoc(function) or "", **options}
        if "title" not in fields:
            fields["title"] = str(fields["description"]).partition("\n")[0].rstrip(".")
        make: Callable[..., Query] = cls
        return make(id=f"{console}.{segment}" if console else segment, handler=function, **fields)


class StreamSource(msgspec.Struct, frozen=True, kw_only=True):
    """A family of streams.

    Attributes:
        pattern: name, or prefix ending in ``*``: ``unit/*``.
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

    Attributes:
        accept_undefined: what an unknown line does: refuse it, hand it to ``on_miss``, or ``system``.
        on_miss, on_enter, on_leave: ids of commands to run.
        completer, validator: ids of queries.
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


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a plugin's section of the configuration.

    Attributes:
        key: name below ``[<plugin>]``; ``""`` describes the section as a whole (free-form tables).
        schema: JSON Schema with description and, where there is one, default.
        reload: whether a change takes effect live or at the next start.
    """

    key: str
    schema: JsonObject
    reload: Literal["live", "restart"] = "restart"


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
        foreground: it owns the terminal; its end is the host's end.
        on_crash: what an exception does: carry on without it, start it again with backoff, or end the host.
        start_timeout: seconds until ``ready()`` must have been called.
    """

    name: str
    run: Serve
    source: str
    enabled: bool = True
    after: tuple[str, ...] = ()
    foreground: bool = False
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
        records: whether what passes is on record before it takes effect (an audit).
        deadline: seconds for one batch.
    """

    name: str
    admit: Callable[[Sequence[Admission]], Awaitable[Sequence[Verdict]]]
    covers: frozenset[str] = frozenset({"commands"})
    records: bool = False
    deadline: float = 5.0


class Observer(msgspec.Struct, frozen=True, kw_only=True):
    """A durable follower of everything committed: at least once, in order, never dropped.

    Attributes:
        name: its position is kept under this name.
        on_events: awaited with each batch; the position moves on when it returns. An exception is
            reported and the batch given again after a delay.
        streams: name, or prefix ending in ``*``, of the streams it wants.
    """

    name: str
    on_events: Callable[[Sequence[Event]], Awaitable[None]]
    streams: str = "*"


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
    """

    name: str
    help: str
    load: Callable[[], click.Command]


Contribution: TypeAlias = (
    Command | Query | StreamSource | Console | Setting | Frontend | Daemon | Gate | Observer | MetaSection | LazyCommand
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
