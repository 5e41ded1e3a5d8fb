"""The hooks as data: what each yields, and what is checked of a plugin before any hook is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from trunnion.model.commands import Command, Query
from trunnion.model.contributions import (
    Console,
    Daemon,
    Frontend,
    Gate,
    LazyCommand,
    MetaSection,
    Observer,
    Provider,
    Setting,
    StreamSource,
)

ITEMS: dict[str, type[msgspec.Struct]] = {
    "trunnion_settings": Setting,
    "trunnion_commands": Command,
    "trunnion_queries": Query,
    "trunnion_streams": StreamSource,
    "trunnion_consoles": Console,
    "trunnion_frontends": Frontend,
    "trunnion_daemons": Daemon,
    "trunnion_provides": Provider,
    "trunnion_gates": Gate,
    "trunnion_observers": Observer,
    "trunnion_meta": MetaSection,
    "trunnion_cli": LazyCommand,
}
"""Hook -> the type of each item it yields."""

CALLS = frozenset({"trunnion_authorize"})
"""Hooks that are no registration hooks: each answers a question, again and again."""

HOOKS = (*ITEMS, *CALLS)

MAX_ITEMS = 10_000
PREFIX = "trunnion_"
T = TypeVar("T", bound=msgspec.Struct)


class Contributed(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one plugin contributes, by kind."""

    plugin_id: str
    commands: tuple[Command, ...] = ()
    queries: tuple[Query, ...] = ()
    streams: tuple[StreamSource, ...] = ()
    consoles: tuple[Console, ...] = ()
    frontends: tuple[Frontend, ...] = ()
    daemons: tuple[Daemon, ...] = ()
    providers: tuple[Provider, ...] = ()
    gates: tuple[Gate, ...] = ()
    observers: tuple[Observer, ...] = ()
    sections: tuple[MetaSection, ...] = ()


def checked_items(returned: object, kind: type[T]) -> tuple[T, ...]:
    """The items of a hook's answer, each of the right type and not more than a plugin can mean.

    Raises:
        TypeError: the answer is no iterable, or one item is of another type.
        ValueError: there are more than ``MAX_ITEMS``; an endless generator ends here too.
    """
    if not isinstance(returned, Iterable):
        raise TypeError(f"returned {type(returned).__name__}, expected an iterable of {kind.__name__}")
    items: list[T] = []
    for number, item in enumerate(returned, 1):
        if number > MAX_ITEMS:
            raise ValueError(f"yielded more than {MAX_ITEMS} items")
        if not isinstance(item, kind):
            raise TypeError(f"item {number} is {_described(item)}, expected {kind.__name__}{_remedy(item, kind)}")
        items.append(item)
    return tuple(items)


def _described(item: object) -> str:
    name = f" {item.__name__}" if inspect.isfunction(item) else ""
    return type(item).__name__ + name


def _remedy(item: object, kind: type[object]) -> str:
    """What ``@command`` was put on stays a function, so handing that over is a mistake easily made."""
    if kind is Command and inspect.isfunction(item):
        return f": return commands_of(sys.modules[__name__]) for all of @command, or Command.of({item.__name__})"
    return ""


def unmarked_hooks(plugin: object, marked: Iterable[str]) -> list[str]:
    """Functions of a plugin that are named like a hook but lack ``@hookimpl``, so nobody would call them."""
    known = set(marked)
    names = (name for name in dir(plugin) if name.startswith(PREFIX) and name not in known)
    return [name for name in names if inspect.isroutine(inspect.getattr_static(plugin, name, None))]


def refuse_async(function: Callable[..., object]) -> None:
    """Registration hooks are plain functions.

    Raises:
        TypeError: this one is async.
    """
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("is async; registration hooks are plain functions or generators")


def refuse_deferred(function: Callable[..., object]) -> None:
    """A hook that answers a question does so at once.

    Raises:
        TypeError: this one is async or a generator.
    """
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("is async; it must answer at once")
    if inspect.isgeneratorfunction(function):
        raise TypeError("is a generator; it must answer at once")
