"""The loaded plugins of one host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TypeVar

import msgspec
import pluggy

from trunnion.model.access import SYSTEM
from trunnion.model.contributions import AuthorizeRequest, LazyCommand, PluginRecord, Setting
from trunnion.model.errors import BrokenPlugin, InternalError
from trunnion.model.json import Json
from trunnion.plugins.asking import Plugin
from trunnion.plugins.contained import Patience, PluginFailure
from trunnion.plugins.hooks import Contributed

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
RESERVED = frozenset({"cli", "command"})
"""Sources that reach everything their role allows because only the host stamps them."""


class PluginSet:
    """What was found, what became of it, and the ways to ask those that are loaded.

    A plugin whose hook fails is withdrawn whole at once: it is not asked again, and nothing of what it
    said in that call is returned. Answers come built-ins first, then in order of name.

    Args:
        manager: holds the registered plugins under their ids.
        builtins: ids that are part of the host, the strongest first.
        records: one for each plugin found.
        required: whether the failure of this plugin ends the start.
        patience: for each call to a hook.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        *,
        builtins: Iterable[str],
        records: Iterable[PluginRecord],
        required: Callable[[str], bool],
        patience: Patience,
    ) -> None:
        self._manager = manager
        self._builtins = tuple(builtins)
        self._records = list(records)
        self._required = required
        self._patience = patience

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """One record for each plugin found, in order of name; built-ins are part of the host and not listed."""
        return tuple(sorted(self._records, key=lambda record: (record.id, record.origin)))

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of what is loaded: the built-ins as they were given, then by name."""
        names = {name for name, plugin in self._manager.list_name_plugin() if plugin is not None}
        return (*(name for name in self._builtins if name in names), *sorted(names - set(self._builtins)))

    @property
    def configurable(self) -> tuple[str, ...]:
        """Ids of what is loaded and has a section of its own in the configuration: all but the built-ins."""
        return tuple(name for name in self.loaded if name not in self._builtins)

    @property
    def unloaded(self) -> tuple[str, ...]:
        """Ids that were found but are not loaded: their sections of the configuration are left alone."""
        return tuple(sorted({record.id for record in self._records} - set(self.loaded)))

    @property
    def modules(self) -> dict[str, str]:
        """The module of each loaded plugin: itself, or where the object's class is from."""
        found = {name: self._manager.get_plugin(name) for name in self.configurable}
        return {
            name: plugin.__name__ if isinstance(plugin, ModuleType) else str(getattr(plugin, "__module__", ""))
            for name, plugin in found.items()
        }

    def settings(self) -> dict[str, tuple[Setting, ...]]:
        """The declared settings by plugin id; those of the host itself are in ``config.host_settings``."""
        return dict(self._ask(self.configurable, lambda plugin, _: plugin.settings()))

    def contributions(self, settings: Mapping[str, Mapping[str, Json]]) -> list[Contributed]:
        """Everything the plugins contribute.

        Args:
            settings: the validated section of each plugin by id; a missing one counts as empty.
        """
        answers = self._ask(self.loaded, lambda plugin, name: self._contributed(plugin, settings.get(name, {}), name))
        return [contributed for _, contributed in answers]

    def registered(self, settings: Mapping[str, Mapping[str, Json]]) -> list[Contributed]:
        """What loaded plugins would have registered with other settings; nobody is withdrawn for a bad answer.

        Args:
            settings: the validated sections of the plugins to ask, by id.

        Raises:
            PluginFailure: one of them failed.
        """
        return [Plugin(self._manager, name, self._patience).registered(settings[name]) for name in sorted(settings)]

    def authorizers(self) -> list[tuple[str, Callable[[AuthorizeRequest], object]]]:
        """``trunnion_authorize`` of each loaded plugin that has it; whoever calls it contains it."""
        return [
            (name, ask) for name in self.loaded for ask in Plugin(self._manager, name, self._patience).authorizers()
        ]

    def cli(self) -> list[tuple[str, LazyCommand]]:
        """Subcommands for the launcher, each with the id of its plugin."""
        answers = self._ask(self.loaded, lambda plugin, _: plugin.cli())
        return [(name, command) for name, commands in answers for command in commands]

    def published(
        self, hook: str, kind: type[S], settings: Mapping[str, Mapping[str, Json]]
    ) -> tuple[list[tuple[str, S]], list[str]]:
        """What plugins yield for a hook that one of them published, with their ids; and who failed, in sentences.

        A plugin that fails here stays what it is: only this answer of it is missing.
        """
        found, problems = list[tuple[str, S]](), list[str]()
        for name in self.loaded:
            try:
                items = Plugin(self._manager, name, self._patience).published(hook, kind, settings.get(name, {}))
                found += [(name, item) for item in items]
            except PluginFailure as failure:
                problems.append(str(failure))
        return found, problems

    def is_required(self, plugin_id: str) -> bool:
        """Whether the start fails without this plugin: it was asked for by name, or the start is strict."""
        return plugin_id in self._builtins or self._required(plugin_id)

    def withdraw(self, plugin_id: str, reason: str) -> None:
        """Take a loaded plugin out, as broken. What it contributed so far is the caller's to remove.

        Raises:
            BrokenPlugin: it was asked for by name, or the start is strict.
            InternalError: it is part of the host.
        """
        if plugin_id in self._builtins:
            raise InternalError(f"built-in plugin {plugin_id!r}: {reason}")
        self._manager.unregister(name=plugin_id)
        self._records = [
            msgspec.structs.replace(record, state="broken", reason=reason)
            if record.id == plugin_id and record.state == "loaded"
            else record
            for record in self._records
        ]
        if self._required(plugin_id):
            raise BrokenPlugin(f"plugin {plugin_id!r} cannot be used: {reason}", {"plugin": plugin_id})

    def _contributed(self, plugin: Plugin, settings: Mapping[str, Json], name: str) -> Contributed:
        contributed = plugin.contributed(settings)
        taken = [f for f in contributed.frontends if f.source in RESERVED or f.source.startswith(SYSTEM)]
        if taken and name not in self._builtins:
            raise PluginFailure(f"frontend {taken[0].name!r}: the source {taken[0].source!r} is the host's own")
        return contributed

    def _ask(self, names: Iterable[str], question: Callable[[Plugin, str], T]) -> list[tuple[str, T]]:
        """Ask one plugin after the other; whoever fails is withdrawn and has no answer."""
        answers = []
        for name in names:
            try:
                answers.append((name, question(Plugin(self._manager, name, self._patience), name)))
            except PluginFailure as failure:
                self.withdraw(name, str(failure))
        return answers
