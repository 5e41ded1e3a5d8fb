"""Commands and queries as descriptors, and the ways to make one of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from math import inf
from typing import Literal, Protocol, TypeAlias, TypeVar, overload

import msgspec
from msgspec import UNSET, UnsetType

from trunnion.model.json import JsonObject
from trunnion.model.names import is_dotted, to_segment
from trunnion.model.runs import Role

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
    """When a run that failed is tried again. A command without one is never tried again.

    Args:
        attempts: how often it may run altogether.
        delay: seconds before the second attempt; doubles each time, with jitter.
        max_delay: ceiling of the delay, seconds.
        codes: error codes that are worth another attempt. ``interrupted`` means that the host died under it,
            ``deadline_exceeded`` that it took longer than its own ``timeout``. None takes ``unavailable`` and
            ``interrupted``; without the latter for a command that destroys, which has to name it.
    """

    attempts: int = 3
    delay: float = 1.0
    max_delay: float = 60.0
    codes: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"retry: attempts is at least 1, the first one, not {self.attempts}")
        if not (0 <= self.delay < inf and 0 <= self.max_delay < inf):
            raise ValueError(f"retry: delays are seconds from 0 on, not {self.delay} and {self.max_delay}")

    def codes_for(self, effect: Effect) -> frozenset[str]:
        """The codes, for a command with this effect."""
        if self.codes is not None:
            return self.codes
        return frozenset({"unavailable"} if effect == "destroy" else {"unavailable", "interrupted"})


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
        local: only the owner of the data directory, at this machine, ever reaches it, whatever the configuration says:
            by the doors ``cli`` and ``tty`` and by commands they run there. Its runs know the caller's folder,
            ``ctx.run.cwd``.
        lock: template, ``Lock``, None for parallel runs; unset takes ``executor.default_lock``.
        timeout: seconds from start; None takes ``executor.default_timeout``.
        abandon: whether the lane of a thread that ignores its end is kept or released.
        isolate: ``process`` runs the handler, a function of a module, in a process of its own, which can be killed.
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
    local: bool = False
    lock: str | Lock | UnsetType | None = UNSET
    timeout: float | None = None
    retry: Retry | None = None
    abandon: Literal["keep", "release"] = "keep"
    isolate: Literal["none", "process"] = "none"
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
        if self.isolate not in ("none", "process"):
            raise ValueError(f"{self.id}: isolate is 'none' or 'process', not {self.isolate!r}")
        if self.local and self.expose:
            raise ValueError(f"{self.id} is local, so it cannot be exposed to {', '.join(sorted(self.expose))}")

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
        make: Callable[..., Command] = cls
        return make(**_from_function(function, console, name, options))


def _from_function(function: Handler, console: str, name: str, options: Mapping[str, object]) -> dict[str, object]:
    """The attributes a function gives by itself, under those that were said."""
    segment = name or to_segment(function.__name__)
    description = str(options.get("description", inspect.getdoc(function) or ""))
    return {
        "id": f"{console}.{segment}" if console else segment,
        "handler": function,
        "title": description.partition("\n")[0].rstrip("."),
        "description": description,
        **options,
    }


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


def command_of(item: object) -> Command | None:
    """The command an item is or was declared as with ``@command``; a bound method stays bound. None if it is none."""
    descriptor = item if isinstance(item, Command) else getattr(item, "__trunnion_command__", None)
    if not isinstance(descriptor, Command):
        return None
    return msgspec.structs.replace(descriptor, handler=item) if inspect.ismethod(item) else descriptor


def commands_of(namespace: object) -> list[Command]:
    """All commands declared with ``@command`` in a module, class or instance, in order of name."""
    declared = (getattr(namespace, attribute, None) for attribute in dir(namespace))
    found = {made.id: made for item in declared if not isinstance(item, Command) and (made := command_of(item))}
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
        make: Callable[..., Query] = cls
        return make(**_from_function(function, console, name, options))
