"""Defaults, file, environment and flags become one validated ``Config``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from trunnion.config.changes import secret_of_file
from trunnion.config.host_settings import HOST_SETTINGS, SECTION_CHECKS
from trunnion.config.layers import Layer, SettingsBySection, env_layers, flag_layers, merge
from trunnion.config.schema import violations, with_absolute_paths, with_defaults
from trunnion.config.toml_file import KeyPath, TomlFile, read_toml
from trunnion.config.trust import refuse_shown_secret
from trunnion.config.values import Config, Origin, did_you_mean
from trunnion.model.contributions import Setting
from trunnion.model.errors import InvalidConfig
from trunnion.model.json import Json, JsonObject

T = TypeVar("T")
_SELECTING = "--only, --without, --plugin-dir or the variable TRUNNION_PLUGINS"


def load_config(
    path: Path | None,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str],
    settings: SettingsBySection,
    unread: Collection[str] = (),
) -> Config:
    """Make the configuration; the stronger source wins: defaults < file < environment < flags.

    Args:
        path: the TOML file, None for none.
        overrides: ``section.key=value`` of each ``--set``.
        environ: the process environment; only ``TRUNNION__SECTION__KEY`` is read.
        settings: declared settings of the loaded plugins, by plugin id. The host's own are added here.
        unread: ids of plugins that are known but not loaded: their sections are left alone.

    Raises:
        InvalidConfig: the message has one line for each problem, ``details["problems"]`` the same as data; or every
            user can change the file, or read a secret in it.
    """
    declared: dict[str, tuple[Setting, ...]] = {**{k: tuple(v) for k, v in settings.items()}, **HOST_SETTINGS}
    file = read_toml(path) if path else None
    layers = [Layer(Origin("file", str(path)), file.table)] if file else []
    late = env_layers(environ, declared) + flag_layers(overrides, declared)
    config = _Loader(file, [*layers, *late], declared, unread).load(late)
    if path and (secret := secret_of_file(config)):
        refuse_shown_secret(path, secret)
    return config


class _Loader:
    """Collects problems over all sections, so that one look at the message repairs the file."""

    def __init__(
        self,
        file: TomlFile | None,
        layers: Sequence[Layer],
        declared: Mapping[str, tuple[Setting, ...]],
        unread: Collection[str],
    ) -> None:
        self._file = file
        self._declared = declared
        self._unread = frozenset(unread) - frozenset(declared)
        self._given, self._origins = merge(layers)
        self._problems: list[dict[str, Json]] = []

    def load(self, late: Sequence[Layer]) -> Config:
        for layer in late:
            if "plugins" in layer.table:
                self._problem(("plugins",), f"is read before any setting; use {_SELECTING}", layer.origin.label)
        for name in self._given:
            if name not in self._declared and name not in self._unread:
                hint = did_you_mean(name, [*self._declared, *self._unread]) or "; is its plugin installed?"
                self._problem((name,), f"no plugin and no part of the host has a section of this name{hint}")
        values = {name: self._section(name) for name in self._declared}
        for name, check in SECTION_CHECKS.items() if not self._problems else ():
            for keys, message in check(values[name]):
                self._problem((name, *keys), message)
        if self._problems:
            lines = "\n".join(str(problem["text"]) for problem in self._problems)
            raise InvalidConfig(lines, {"problems": self._problems})
        left = tuple(sorted(self._unread & self._given.keys()))
        return Config(self._file.path if self._file else None, values, self._declared, self._origins, left)

    def _section(self, name: str) -> JsonObject:
        given = self._given.get(name, {})
        if not isinstance(given, Mapping):
            self._problem((name,), "expected a table of settings")
            return {}
        named = {setting.key: setting for setting in self._declared[name] if setting.key}
        whole = next((setting for setting in self._declared[name] if not setting.key), None)
        rest = {key: value for key, value in given.items() if key not in named}
        before = len(self._problems)
        values = {key: self._value((name, key), setting, given.get(key)) for key, setting in named.items()}
        section = {**values, **self._rest(name, whole, rest, list(named))}
        for setting in self._declared[name] if len(self._problems) == before else ():
            for keys, message in _own_check(setting.check_section, section):
                self._problem((name, *keys), message)
        return section

    def _value(self, path: KeyPath, setting: Setting, given: Json) -> Json:
        if given is None:
            return setting.schema.get("default")
        self._check(path, setting, given)
        return self._complete(path, setting.schema, given)

    def _rest(self, name: str, whole: Setting | None, rest: JsonObject, known: list[str]) -> JsonObject:
        """The keys nobody named: free-form where the section says so, unknown otherwise."""
        if whole is None:
            for key in rest:
                hint = did_you_mean(key, known) or f"; known here: {', '.join(sorted(known)) or 'no setting'}"
                self._problem((name, key), f"unknown setting{hint}")
            return {}
        if rest:
            self._check((name,), whole, rest)
        filled = self._complete((name,), whole.schema, rest)
        return filled if isinstance(filled, Mapping) else {}

    def _complete(self, path: KeyPath, schema: JsonObject, value: Json) -> Json:
        """With defaults, and with paths that do not depend on where the host was started.

        What the file says is relative to the file; what flags and the environment say, to where they are said.
        """
        origin = self._origins.get(path)
        said_here = self._file is None or (origin is not None and origin.source != "file")
        base = Path.cwd() if said_here or self._file is None else self._file.path.absolute().parent
        return with_absolute_paths(schema, with_defaults(schema, value), base)

    def _check(self, path: KeyPath, setting: Setting, value: Json) -> None:
        found = [(violation.path, violation.message) for violation in violations(setting.schema, value)]
        for keys, message in found or _own_check(setting.check, value):
            self._problem(path + keys, message)

    def _problem(self, path: KeyPath, message: str, where: str = "") -> None:
        where, key = where or self._where(path), ".".join(path)
        self._problems.append({"where": where, "key": key, "message": message, "text": f"{where}: {key}: {message}"})

    def _where(self, path: KeyPath) -> str:
        origin = next((o for at, o in self._origins.items() if at[: len(path)] == path or path[: len(at)] == at), None)
        if origin is None or (origin.source == "file" and self._file):
            line = self._file.line_of(path) if self._file else None
            return f"{self._file.path if self._file else 'configuration'}{f':{line}' if line else ''}"
        return origin.label


def _own_check(check: Callable[[T], Iterable[tuple[KeyPath, str]]] | None, value: T) -> list[tuple[KeyPath, str]]:
    """What the plugin's own check says. One that raises has judged nothing, so the value cannot be used."""
    try:
        return list(check(value)) if check else []
    except Exception as error:
        return [((), f"the plugin's check of this setting failed: {type(error).__name__}: {error}")]
