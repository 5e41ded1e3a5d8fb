"""Which plugins are wanted: decided from flags, environment and file before any of them is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from trunnion.config.host_settings import HOST_SETTINGS
from trunnion.config.schema import violations
from trunnion.config.toml_file import TomlFile
from trunnion.model.errors import InvalidConfig
from trunnion.model.json import Json

ENV_PLUGINS = "TRUNNION_PLUGINS"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What to load.

    Attributes:
        only: nothing but these; None is everything installed.
        without: not these.
        safe_mode: built-ins only, whatever else is asked.
        strict: any broken plugin ends the start.
        plugin_dirs: folders with single-file plugins.
        left_out: of ``without``, those named at this start, which must be there; a file may serve many hosts.
    """

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    safe_mode: bool = False
    strict: bool = False
    plugin_dirs: tuple[Path, ...] = ()
    left_out: frozenset[str] = frozenset()

    @property
    def requested(self) -> frozenset[str]:
        """Plugins asked for by name: they must load, or the start fails."""
        return frozenset() if self.safe_mode else (self.only or frozenset()) - self.without

    def refusal(self, plugin_id: str) -> str:
        """Why this plugin is left out, ``""`` when it is wanted."""
        if self.safe_mode:
            return "safe mode loads built-ins only"
        if plugin_id in self.without:
            return "switched off by name"
        if self.only is not None and plugin_id not in self.only:
            return "not among the plugins selected"
        return ""


def select(
    *,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    safe_mode: bool = False,
    strict: bool = False,
    plugin_dirs: Iterable[Path] = (),
    environ: Mapping[str, str],
    file: TomlFile | None = None,
) -> Selection:
    """Combine the flags with ``TRUNNION_PLUGINS=a,b`` and the file's ``[plugins]`` table.

    ``only`` is taken from the strongest source that has it: flag, then environment, then file; a name
    in it lifts a ``without`` of a weaker source. A ``without`` adds to those of weaker sources.

    Args:
        only: names of ``--only``; None when the flag was not given.
        without: names of ``--without``.
        safe_mode: whether ``--safe-mode`` was given.
        strict: whether ``--strict`` was given.
        plugin_dirs: folders of ``--plugin-dir``.
        environ: the process environment.
        file: the configuration file as read, None for none.

    Raises:
        InvalidConfig: the ``[plugins]`` table cannot be used.
    """
    table = _plugins_table(file)
    wanted = _names(table["only"]) if "only" in table else None
    unwanted = _names(table.get("without", []))
    if ENV_PLUGINS in environ:
        wanted = split_names(environ[ENV_PLUGINS])
        unwanted -= wanted
    if only is not None:
        wanted = frozenset(only)
        unwanted -= wanted
    base = file.path.parent if file else Path()
    dirs = [base / name for name in sorted(_names(table.get("dir", [])))]
    return Selection(
        only=wanted,
        without=unwanted | frozenset(without),
        safe_mode=safe_mode,
        strict=strict,
        plugin_dirs=(*dirs, *plugin_dirs),
        left_out=frozenset(without),
    )


def split_names(text: str) -> frozenset[str]:
    """The names in ``a,b``; spaces and empty ones do not count."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _names(value: Json) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, list | tuple) else frozenset()


def _plugins_table(file: TomlFile | None) -> Mapping[str, Json]:
    """The file's ``[plugins]`` table; unknown keys are left to ``load_config`` to report."""
    table = file.table.get("plugins", {}) if file else {}
    if not isinstance(table, Mapping) or not file:
        return {}
    for setting in HOST_SETTINGS["plugins"]:
        for violation in violations(setting.schema, table[setting.key]) if setting.key in table else ():
            key = ("plugins", setting.key, *violation.path)
            raise InvalidConfig(f"{file.path}:{file.line_of(key)}: {'.'.join(key)}: {violation.message}")
    return table
