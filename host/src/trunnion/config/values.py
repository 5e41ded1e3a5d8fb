"""The configuration as one immutable value."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from trunnion.config.schema import masked
from trunnion.config.toml_file import KeyPath
from trunnion.model.contributions import Setting
from trunnion.model.errors import NotFound
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import nearest

Source: TypeAlias = Literal["default", "file", "env", "flag"]
RANK: dict[Source, int] = {"default": 0, "file": 1, "env": 2, "flag": 3}


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from; ``label`` names the file, variable or flag for messages."""

    source: Source
    label: str


class Entry(msgspec.Struct, frozen=True):
    """One line of ``config show``; secrets are masked. What is pending takes effect at the next start."""

    key: str
    value: Json
    source: Source
    reload: Literal["live", "restart"]
    description: str = ""
    pending: bool = False
    pending_value: Json = None


class Config(msgspec.Struct, frozen=True):
    """Every setting with its value. Whoever reads a value gets a copy of its own.

    Attributes:
        path: the file that was read, None without one.
        values: section -> key -> value, complete with defaults.
        settings: the declarations by section.
        origins: where each value that is not a default came from.
        unread: sections left alone because their plugin is known but not loaded.
        pending: values by section and key that were read while the host ran and wait for the next start.
    """

    path: Path | None
    values: Mapping[str, Mapping[str, Json]]
    settings: Mapping[str, tuple[Setting, ...]]
    origins: Mapping[KeyPath, Origin]
    unread: tuple[str, ...] = ()
    pending: Mapping[KeyPath, Json] = {}

    def get(self, key: str) -> Json:
        """The value under a dotted key such as ``executor.max_running``; None where nothing is set.

        Raises:
            NotFound: no such setting is declared.
        """
        section, _, rest = key.partition(".")
        value: Json = self.section(section)
        for part in rest.split("."):
            if not isinstance(value, Mapping) or part not in value:
                known = [f"{section}.{name}" for name in self.values[section]]
                raise NotFound(f"there is no setting {key!r}{did_you_mean(key, known)}")
            value = value[part]
        return value

    def section(self, name: str) -> JsonObject:
        """One section, complete with defaults; a declared key without value is None.

        Raises:
            NotFound: no such section.
        """
        if name not in self.values:
            raise NotFound(f"there is no section {name!r} in the configuration{did_you_mean(name, self.values)}")
        return copy.deepcopy(dict(self.values[name]))

    def source_of(self, key: str) -> Source:
        """Where the value under a dotted key came from; for a table, the strongest source inside it."""
        path = tuple(key.split("."))
        inside = [o.source for at, o in self.origins.items() if at[: len(path)] == path or path[: len(at)] == at]
        return max(inside, key=RANK.__getitem__, default="default")


def did_you_mean(name: str, known: Mapping[str, object] | list[str]) -> str:
    """The end of a message about an unknown name: the nearest ones, or all if they are few."""
    close = nearest(name, known)
    return f"; did you mean {' or '.join(repr(n) for n in close)}?" if close else ""


def describe(config: Config) -> list[Entry]:
    """All settings in order of section and key, secrets masked, for ``config show``."""
    return [entry for section in sorted(config.values) for entry in _describe_section(config, section)]


def _describe_section(config: Config, section: str) -> list[Entry]:
    named = {setting.key: setting for setting in config.settings[section] if setting.key}
    whole = next((setting for setting in config.settings[section] if not setting.key), None)
    shown = masked(whole.schema, config.values[section]) if whole else config.values[section]
    values = shown if isinstance(shown, Mapping) else dict.fromkeys(config.values[section], shown)
    keys = values.keys() | {key for at, key in config.pending if at == section}
    return [
        _entry(config, (section, key), values.get(key), named.get(key) or whole, own_schema=key in named)
        for key in sorted(keys)
    ]


def _entry(config: Config, path: KeyPath, value: Json, setting: Setting | None, *, own_schema: bool) -> Entry:
    schema = setting.schema if setting and own_schema else {}
    key, description = ".".join(path), str(schema.get("description", ""))
    reload = setting.reload if setting else "restart"
    shown = masked(schema, value)
    return Entry(key, shown, config.source_of(key), reload, description, path in config.pending, _waiting(config, path))


def _waiting(config: Config, path: KeyPath) -> Json:
    """The value that waits for the next start, secrets masked; None for none."""
    section, key = path
    declared = {setting.key: setting.schema for setting in config.settings[section]}
    if key in declared:
        return masked(declared[key], config.pending.get(path))
    shown = masked(declared.get("", {}), {key: config.pending.get(path)})
    return shown[key] if isinstance(shown, Mapping) else shown
