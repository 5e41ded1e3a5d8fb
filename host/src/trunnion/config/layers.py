"""What environment variables and ``--set`` flags say, as tables beside that of the file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trunnion.config.toml_file import KeyPath, Table, parse_toml, plain_table
from trunnion.config.values import Origin
from trunnion.model.contributions import Setting
from trunnion.model.errors import InvalidConfig
from trunnion.model.json import Json, JsonObject

ENV_PREFIX = "TRUNNION__"
SettingsBySection = Mapping[str, Sequence[Setting]]


class Layer(msgspec.Struct, frozen=True):
    """One source's table."""

    origin: Origin
    table: JsonObject


def env_layers(environ: Mapping[str, str], settings: SettingsBySection) -> list[Layer]:
    """One layer for each variable such as ``TRUNNION__EXECUTOR__MAX_RUNNING=4``, in order of name."""
    names = sorted(name for name in environ if name.startswith(ENV_PREFIX))
    return [_env_layer(name, environ[name], settings) for name in names]


def flag_layers(overrides: Sequence[str], settings: SettingsBySection) -> list[Layer]:
    """One layer for each ``--set key=value``, later ones stronger.

    Raises:
        InvalidConfig: one of them is not ``section.key=value``.
    """
    return [_flag_layer(text, settings) for text in overrides]


def merge(layers: Iterable[Layer]) -> tuple[Table, dict[KeyPath, Origin]]:
    """Lay tables over each other, later ones stronger, and note where each leaf came from."""
    merged: Table = {}
    origins: dict[KeyPath, Origin] = {}
    for layer in layers:
        merged = _overlay(merged, layer.table)
        for path in _leaves(layer.table):
            origins = {at: o for at, o in origins.items() if at[: len(path)] != path and path[: len(at)] != at}
            origins[path] = layer.origin
    return merged, origins


def _env_layer(name: str, text: str, settings: SettingsBySection) -> Layer:
    section, *rest = name.removeprefix(ENV_PREFIX).lower().split("__")
    section = next((known for known in settings if known.replace("-", "_") == section), section)
    keys = [setting.key for setting in settings.get(section, ())]
    if rest:
        rest[0] = next((key for key in keys if key.lower().replace("-", "_") == rest[0]), rest[0])
    return _layer(Origin("env", f"environment variable {name}"), (section, *rest), text, settings)


def _flag_layer(override: str, settings: SettingsBySection) -> Layer:
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path) or len(path) < 2:
        raise InvalidConfig(f"--set {key}: expected section.key=value, such as --set executor.max_running=4")
    return _layer(Origin("flag", f"--set {key}"), path, text, settings)


def _layer(origin: Origin, path: KeyPath, text: str, settings: SettingsBySection) -> Layer:
    value = parse_text(text, _schema_of(path, settings))
    for part in reversed(path):
        value = {part: value}
    return Layer(origin, value if isinstance(value, Mapping) else {})


def _schema_of(path: KeyPath, settings: SettingsBySection) -> JsonObject:
    declared = {setting.key: setting.schema for setting in settings.get(path[0], ())}
    return declared.get(path[1], {}) if len(path) == 2 else {}


def parse_text(text: str, schema: JsonObject) -> Json:
    """Read a value given as text: as TOML where it is TOML, else as the text itself.

    A setting of type string takes the text as it is, so that a password of digits stays a text; a list
    of strings may be given as ``a,b``.
    """
    if schema.get("type") == "string":
        return text
    try:
        return plain_table(parse_toml(f"value = {text}"))["value"]
    except tomllib.TOMLDecodeError:
        return [part for part in text.split(",") if part] if schema.get("type") == "array" else text


def _overlay(below: JsonObject, above: JsonObject) -> Table:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _leaves(table: JsonObject, prefix: KeyPath = ()) -> Iterable[KeyPath]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)
