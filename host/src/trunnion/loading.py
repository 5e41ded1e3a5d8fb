"""Before a host can start: which plugins there are, and the configuration they and the host declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from trunnion.config.changes import refuse_emptied
from trunnion.config.host_settings import HOST_SETTINGS
from trunnion.config.load import load_config
from trunnion.config.paths import find_config
from trunnion.config.selection import select
from trunnion.config.toml_file import read_toml
from trunnion.config.values import Config
from trunnion.plugins.load import load_plugins
from trunnion.plugins.plugin_set import PluginSet


class HostOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a start is asked for, before the configuration is read.

    Attributes:
        mode: ``serve`` opens all doors; ``cold`` runs what it is given and parks what else waits, with no
            door but the local socket; ``readonly`` answers from the store and changes nothing.
        overrides: settings as ``key=value``, above file and environment.
        only, without, safe_mode, strict, plugin_dirs: which plugins are loaded.
        capture: whether ``print`` and ``logging`` of the whole process are the host's.
        told: called with the code and text of whatever the host tells its operators, from any thread; it must
            not raise.
    """

    config_path: Path | None = None
    data_dir: Path | None = None
    mode: Literal["serve", "cold", "readonly"] = "serve"
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    safe_mode: bool = False
    strict: bool = False
    plugin_dirs: tuple[Path, ...] = ()
    capture: bool = False
    told: Callable[[str, str], None] | None = None


class Setup(msgspec.Struct, frozen=True):
    """The plugins that were loaded and the configuration that was read with what they declare."""

    options: HostOptions
    environ: Mapping[str, str]
    plugins: PluginSet
    config: Config
    discovery: bool

    def read_again(self) -> Config:
        """The configuration as file, environment and flags say now, judged as at the start.

        A host that started without a file takes up one that has come since.

        Raises:
            InvalidConfig: it cannot be used.
        """
        path = self.config.path or (find_config(self.environ, Path.cwd()) if self.discovery else None)
        declared = {name: settings for name, settings in self.config.settings.items() if name not in HOST_SETTINGS}
        fresh = load_config(
            path,
            overrides=self.options.overrides,
            environ=self.environ,
            settings=declared,
            unread=self.plugins.unloaded,
        )
        refuse_emptied(self.config, fresh)
        return fresh


def load_setup(
    options: HostOptions,
    environ: Mapping[str, str],
    *,
    builtins: Mapping[str, object],
    given: Mapping[str, object] | Sequence[object] = (),
    discovery: bool = True,
) -> Setup:
    """Select before any import, then load the plugins, then read the configuration they declare.

    Without ``discovery`` neither installed plugins nor a configuration file are looked for.

    Raises:
        InvalidConfig: the configuration cannot be used.
        BrokenPlugin: a plugin that was asked for by name cannot be used.
    """
    path = options.config_path or (find_config(environ, Path.cwd()) if discovery else None)
    selection = select(
        only=options.only,
        without=options.without,
        safe_mode=options.safe_mode,
        strict=options.strict,
        plugin_dirs=options.plugin_dirs,
        environ=environ,
        file=read_toml(path) if path is not None else None,
    )
    plugins = load_plugins(selection, builtins=builtins, given=given, discovery=discovery)
    return Setup(options, environ, plugins, _read(options, environ, plugins, path), discovery)


def _read(options: HostOptions, environ: Mapping[str, str], plugins: PluginSet, path: Path | None) -> Config:
    return load_config(
        path, overrides=options.overrides, environ=environ, settings=plugins.settings(), unread=plugins.unloaded
    )
