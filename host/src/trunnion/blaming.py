"""Which code is whose, so that what keeps the loop from turning can be named."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import msgspec

from trunnion.kernel.core import Kernel
from trunnion.kernel.settings import Settings, Swap
from trunnion.model.json import JsonObject
from trunnion.plugins.hooks import Contributed
from trunnion.plugins.plugin_set import PluginSet


def watch_loop(kernel: Kernel, settings: Settings, plugins: PluginSet, contributions: Sequence[Contributed]) -> None:
    """Have the loop watched from now on, as ``host.lag_limit`` says.

    A host that only reads has no plugin's code at work, so it is not watched.
    """
    for plugin, module in plugins.modules.items():
        kernel.watching.owners.add(plugin, module)
    for contributed in contributions:
        for module in modules_of(contributed):
            kernel.watching.owners.add(contributed.plugin_id, module)

    def prepare(section: JsonObject) -> Swap:
        limit = msgspec.convert(section["lag_limit"], float)
        return lambda: kernel.watching.set_limit(0 if kernel.readonly else limit)

    settings.consume("host", prepare)
    prepare(settings.section("host"))()


def modules_of(contributed: Contributed) -> Iterator[str]:
    """The modules of all functions that a plugin has the host call."""
    for function in _functions(contributed):
        yield str(getattr(_inner(function), "__module__", None) or "")


def _inner(function: Callable[..., object]) -> Callable[..., object]:
    return _inner(function.func) if isinstance(function, functools.partial) else function


def _functions(contributed: Contributed) -> Iterator[Callable[..., object]]:
    for command in contributed.commands:
        yield command.handler
        if command.validate is not None:
            yield command.validate
    yield from (query.handler for query in contributed.queries)
    yield from (frontend.run for frontend in contributed.frontends)
    yield from (daemon.run for daemon in contributed.daemons)
    yield from (provider.open for provider in contributed.providers)
    yield from (gate.admit for gate in contributed.gates)
    yield from (observer.on_events for observer in contributed.observers)
