"""Taking up a changed configuration while the host runs: all of it is judged, then all of it is swapped, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from trunnion.assembly import registered
from trunnion.config.changes import Changes, taken_up
from trunnion.config.retention_settings import retention_rules
from trunnion.config.values import Config, describe
from trunnion.kernel.core import Kernel
from trunnion.kernel.settings import Settings, Swap
from trunnion.kernel.threads import in_thread
from trunnion.loading import Setup
from trunnion.model.errors import InvalidConfig, TrunnionError
from trunnion.model.json import Json
from trunnion.model.retention import Rule
from trunnion.model.told import HostChange
from trunnion.plugins.contained import PluginFailure
from trunnion.plugins.hooks import Contributed

READING = 120.0
"""Seconds the reading may take, with the plugins' own checks; the hooks asked after it have their own deadline."""


class Reloading:
    """Reads the configuration again, one reading after the other.

    Args:
        kernel: whose registry gets the new sets of plugins.
        setup: how the host was started.
        settings: the configuration in force.
    """

    def __init__(self, kernel: Kernel, setup: Setup, settings: Settings) -> None:
        self._kernel = kernel
        self._setup = setup
        self._settings = settings
        self._one = asyncio.Lock()
        self._wished: asyncio.Task[None] | None = None
        self._again = False

    async def reload(self) -> dict[str, Json]:
        """Put the configuration in force as file, environment and flags say now.

        Settings that may change while the host runs do so at once; the others are named under ``restart``. If
        anything is wrong, all of it is named and everything stays as it is.

        Raises:
            InvalidConfig: something is wrong with it, ``details`` have all of it under ``problems``.
        """
        async with self._one:
            try:
                changes = await self._reload()
            except TrunnionError as error:
                text = f"the configuration stays as it is: {error.message}"
                self._kernel.host_log.report("config.refused", text, facts=error.details)
                raise
            self._kernel.host_log.report("config.reloaded", _told(changes), facts=_shown(changes))
            if "access" in changes.sections:
                self.tell_doubts()
            return _shown(changes)

    def tell_doubts(self) -> None:
        """Say what of the configuration in force is no error but hardly meant."""
        for text in self._doubts(self._settings.config):
            self._kernel.host_log.report("config.doubtful", text)

    def _doubts(self, config: Config) -> list[str]:
        return [text for doubt in self._settings.doubts for text in doubt(config)]

    def wish(self) -> None:
        """Reload soon, for somebody who waits for no answer; wishes that come meanwhile are one more reload."""
        self._again = True
        if self._wished is None:
            self._wished = self._kernel.loop.create_task(self._fulfil(), name="reload")

    async def close(self) -> None:
        """Let a wished reload go; what it has not swapped yet stays as it is."""
        if self._wished is not None:
            self._wished.cancel()
            await asyncio.wait({self._wished})

    def describe(self) -> list[dict[str, Json]]:
        """Every setting with its value, where it came from, and when a change takes effect; secrets masked."""
        return [msgspec.to_builtins(entry) for entry in describe(self._settings.config)]

    def state(self) -> dict[str, Json]:
        """Which configuration is in force, and what of a later one waits for the next start."""
        settings = self._settings
        return {
            "path": str(settings.config.path) if settings.config.path is not None else None,
            "generation": settings.generation,
            "loaded_at": settings.loaded_at,
            "pending_restart": sorted(".".join(path) for path in settings.config.pending),
        }

    def retention(self) -> Sequence[Rule]:
        """How long ended runs are kept, as the configuration in force says."""
        return retention_rules(self._settings.config.section("store"))

    def check(self) -> dict[str, Json]:
        """Whether a start with the configuration as it is now would succeed. From any thread; changes nothing."""
        path = self._settings.config.path
        place = str(path) if path is not None else None
        try:
            fresh = self._read()
        except TrunnionError as error:
            return {"ok": False, "problem": error.message, "doubts": [], "path": place}
        return {"ok": True, "problem": None, "doubts": list[Json](self._doubts(fresh)), "path": place}

    # -- inside -----------------------------------------------------------------------------------

    async def _fulfil(self) -> None:
        try:
            while self._again:
                self._again = False
                try:
                    await self.reload()
                except TrunnionError:
                    continue  # reported where it was refused
                except Exception as error:
                    text = f"the configuration could not be read again: a defect raised {type(error).__name__}"
                    self._kernel.host_log.report("config.refused", text, error)
        finally:
            self._wished = None

    async def _reload(self) -> Changes:
        """Everything up to the swap may fail and has changed nothing; the swap itself does not wait."""
        fresh = await self._in_time()
        config, changes = taken_up(self._settings.config, fresh)
        self._kernel.redaction.register_settings(config)  # before anybody can say them
        contributed = await self._ask_again(config, changes.sections)
        swaps = self._settings.prepared(config, changes.sections)
        if contributed:
            swaps.append(self._prepare_sets(contributed))
        kernel = self._kernel
        await kernel.telling.about_to(_announced(config, changes))
        self._settings.adopt(config, changes.sections, swaps, kernel.clock.utc(), kernel.host_log.report)
        return changes

    async def _in_time(self) -> Config:
        try:
            return await asyncio.wait_for(in_thread(self._kernel.readers, self._read), READING)
        except TimeoutError:
            raise InvalidConfig(
                f"the configuration was not read and checked within {READING:g} s; is its file system there, "
                "and does the check of some plugin's setting not end?"
            ) from None

    def _read(self) -> Config:
        fresh = self._setup.read_again()
        for check in self._settings.checks:
            check(fresh)
        return fresh

    async def _ask_again(self, config: Config, sections: frozenset[str]) -> list[Contributed]:
        """What plugins with changed live settings register now; whatever they start or open goes on as it is."""
        plugins = self._setup.plugins
        asked = {name: config.section(name) for name in plugins.configurable if name in sections}
        if not asked:
            return []
        try:
            return await in_thread(self._kernel.readers, lambda: plugins.registered(asked))
        except PluginFailure as failure:
            raise InvalidConfig(f"with its new settings, {failure}") from failure

    def _prepare_sets(self, contributed: list[Contributed]) -> Swap:
        try:
            return self._kernel.registry.prepare_all({c.plugin_id: registered(c) for c in contributed})
        except TrunnionError as error:
            raise InvalidConfig(f"with the new settings, {error.message}", error.details) from error


def _announced(config: Config, changes: Changes) -> HostChange:
    values = {entry.key: entry.pending_value if entry.pending else entry.value for entry in describe(config)}
    facts: dict[str, Json] = {**_shown(changes), "values": {key: values.get(key) for key in changes.changed}}
    return HostChange(kind="config", code="config.reload", text=_told(changes), facts=facts)


def _shown(changes: Changes) -> dict[str, Json]:
    return {"changed": list(changes.changed), "live": list(changes.live), "restart": list(changes.restart)}


def _told(changes: Changes) -> str:
    live = f"changed: {', '.join(changes.live)}" if changes.live else "nothing changed"
    waiting = f"; the next start brings {', '.join(changes.restart)}" if changes.restart else ""
    return f"the configuration was read again; {live}{waiting}"
