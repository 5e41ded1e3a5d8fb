"""Asking one plugin through its hooks: the typed questions, each contained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
import pluggy

from trunnion.config.schema import problem_of_setting
from trunnion.model.commands import Command, Query
from trunnion.model.contributions import (
    AuthorizeRequest,
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
from trunnion.model.json import Json
from trunnion.plugins.contained import Patience, PluginFailure, contained
from trunnion.plugins.hooks import Contributed, checked_items

T = TypeVar("T", bound=msgspec.Struct)


class Plugin:
    """One registered plugin, to be asked.

    Every method raises ``PluginFailure`` with one line that names the plugin, the hook and the reason.
    """

    def __init__(self, manager: pluggy.PluginManager, plugin_id: str, patience: Patience) -> None:
        self._manager = manager
        self._id = plugin_id
        self._patience = patience

    def settings(self) -> tuple[Setting, ...]:
        """The declared settings: keys unique, each schema valid, each default fitting its schema."""
        declared = self._items("trunnion_settings", Setting)
        keys = [setting.key for setting in declared]
        for setting in declared:
            twice = "is declared twice" if keys.count(setting.key) > 1 else None
            if problem := twice or problem_of_setting(setting):
                raise PluginFailure(f"plugin {self._id!r} in trunnion_settings: setting {setting.key!r}: {problem}")
        return declared

    def registered(self, settings: Mapping[str, Json]) -> Contributed:
        """What the registry holds of it, for these values of its section: nothing that is started or opened."""
        return Contributed(
            plugin_id=self._id,
            commands=self._items("trunnion_commands", Command, settings),
            queries=self._items("trunnion_queries", Query, settings),
            streams=self._items("trunnion_streams", StreamSource, settings),
            consoles=self._items("trunnion_consoles", Console, settings),
            sections=self._items("trunnion_meta", MetaSection, settings),
        )

    def contributed(self, settings: Mapping[str, Json]) -> Contributed:
        """Everything but settings and launcher subcommands, for these values of its section."""
        return msgspec.structs.replace(
            self.registered(settings),
            frontends=self._items("trunnion_frontends", Frontend, settings),
            daemons=self._items("trunnion_daemons", Daemon, settings),
            providers=self._items("trunnion_provides", Provider, settings),
            gates=self._items("trunnion_gates", Gate, settings),
            observers=self._items("trunnion_observers", Observer, settings),
        )

    def cli(self) -> tuple[LazyCommand, ...]:
        """Subcommands for the launcher."""
        return self._items("trunnion_cli", LazyCommand)

    def published(self, hook: str, kind: type[T], settings: Mapping[str, Json]) -> tuple[T, ...]:
        """What it yields for a hook that another plugin published; empty where nobody implements it."""
        return self._items(hook, kind, settings) if hasattr(self._manager.hook, hook) else ()

    def authorizers(self) -> list[Callable[[AuthorizeRequest], object]]:
        """What it is to be asked by; the function may do without the request."""
        found = self._manager.hook.trunnion_authorize.get_hookimpls()
        return [_asking(impl) for impl in found if impl.plugin_name == self._id]

    def _items(self, hook: str, kind: type[T], settings: Mapping[str, Json] | None = None) -> tuple[T, ...]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        mine = (impl for impl in caller.get_hookimpls() if impl.plugin_name == self._id)
        return tuple(item for impl in mine for item in self._call(hook, kind, impl, settings))

    def _call(
        self, hook: str, kind: type[T], impl: pluggy.HookImpl, settings: Mapping[str, Json] | None
    ) -> tuple[T, ...]:
        arguments = [dict(settings or {}) for _ in impl.argnames]
        what = f"plugin {self._id!r} in {hook}"
        return contained(lambda: checked_items(impl.function(*arguments), kind), what, self._patience)


def _asking(impl: pluggy.HookImpl) -> Callable[[AuthorizeRequest], object]:
    function: Callable[..., object] = impl.function
    return function if impl.argnames else lambda _: function()
