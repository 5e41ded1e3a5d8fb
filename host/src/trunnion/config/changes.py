"""What differs between two configurations, and what of it may take effect while the host runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from trunnion.config.schema import is_secret
from trunnion.config.toml_file import KeyPath
from trunnion.config.values import Config, Origin
from trunnion.model.contributions import Setting
from trunnion.model.errors import InvalidConfig
from trunnion.model.json import Json


class Changes(msgspec.Struct, frozen=True):
    """Names of settings, never their values.

    Attributes:
        changed: what takes effect or ceases to wait for a restart, by this reading of the configuration.
        live: of these, what is in force at once.
        restart: everything that waits for the next start, also from earlier readings.
    """

    changed: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    @property
    def sections(self) -> frozenset[str]:
        """The sections with something that is in force at once."""
        return frozenset(key.partition(".")[0] for key in self.live)


def setting_of(config: Config, section: str, key: str) -> Setting | None:
    """The declaration a key falls under: its own, or that of the section as a whole."""
    declared = {setting.key: setting for setting in config.settings[section]}
    return declared.get(key) or declared.get("")


def taken_up(current: Config, fresh: Config) -> tuple[Config, Changes]:
    """The configuration in force once ``fresh`` was read, and how it differs from ``current``.

    Live keys have their fresh values. The others keep those in force, and the fresh ones are ``pending``. A key
    that was changed back is pending no more.
    """
    values = {name: dict(section) for name, section in current.values.items()}
    pending: dict[KeyPath, Json] = {}
    live: list[str] = []
    for path in _differing(current, fresh):
        section, key = path
        if _is_live(current, path):
            live.append(".".join(path))
            _put(values[section], key, fresh.values[section])
        else:
            pending[path] = fresh.values[section].get(key)
    waiting = [".".join(path) for path in pending]
    news = [".".join(at) for at in pending.keys() | current.pending.keys() if _is_news(at, current, pending)]
    config = msgspec.structs.replace(
        current,
        path=fresh.path,
        values=values,
        origins=_origins(current, fresh, pending),
        unread=fresh.unread,
        pending=pending,
    )
    return config, Changes(tuple(sorted([*live, *news])), tuple(sorted(live)), tuple(sorted(waiting)))


def refuse_emptied(current: Config, fresh: Config) -> None:
    """Refuse a file that says nothing any more: an editor may be just about to write it.

    Raises:
        InvalidConfig: so it is.
    """
    if _said(current) and not _said(fresh) and fresh.path is not None and not fresh.path.read_bytes().strip():
        raise InvalidConfig(
            f"{fresh.path}: the file is empty, as it is while it is being written; "
            "to go back to all defaults, leave a comment in it"
        )


def _said(config: Config) -> bool:
    return any(origin.source == "file" for origin in config.origins.values())


def secret_of_file(config: Config) -> str | None:
    """The name of a secret that stands in the file, None if none does."""
    found = (at for section in sorted(config.values) for at in _secrets_of(config, section))
    return next((".".join(at) for at in found if _from_file(config, at)), None)


def _secrets_of(config: Config, section: str) -> Iterator[KeyPath]:
    for key, value in sorted(config.values[section].items()):
        setting = setting_of(config, section, key)
        if setting is not None and setting.key:
            yield from _secrets(setting.schema, value, (section, key))
        elif setting is not None:
            yield from _secrets(setting.schema, {key: value}, (section,))


def _secrets(schema: Mapping[str, Json], value: Json, at: KeyPath) -> Iterator[KeyPath]:
    if is_secret(schema):
        if value not in (None, "", [], {}):
            yield at
    elif isinstance(value, Mapping):
        properties = schema.get("properties")
        declared: Mapping[str, Json] = properties if isinstance(properties, Mapping) else {}
        for key, item in value.items():
            child = declared.get(key, schema.get("additionalProperties"))
            if isinstance(child, Mapping):
                yield from _secrets(child, item, (*at, key))


def _from_file(config: Config, path: KeyPath) -> bool:
    origins = config.origins.items()
    return any(o.source == "file" for at, o in origins if at[: len(path)] == path or path[: len(at)] == at)


def _differing(current: Config, fresh: Config) -> list[KeyPath]:
    return [
        (section, key)
        for section in sorted(current.values)
        for key in sorted(current.values[section].keys() | fresh.values[section].keys())
        if not _same(current.values[section].get(key), fresh.values[section].get(key))
    ]


def _same(one: Json, other: Json) -> bool:
    """Equal as JSON: unlike in Python, ``1`` is not ``true``."""
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")


def _is_live(config: Config, path: KeyPath) -> bool:
    setting = setting_of(config, *path)
    return setting is not None and setting.reload == "live"


def _put(values: dict[str, Json], key: str, fresh: Mapping[str, Json]) -> None:
    if key in fresh:
        values[key] = fresh[key]
    else:
        del values[key]


def _is_news(at: KeyPath, current: Config, pending: Mapping[KeyPath, Json]) -> bool:
    if (at in current.pending) != (at in pending):
        return True
    return not _same(current.pending.get(at), pending.get(at))


def _origins(current: Config, fresh: Config, pending: Mapping[KeyPath, Json]) -> dict[KeyPath, Origin]:
    """Where the values in force came from: those that wait for a restart are not in force."""
    kept = {at: origin for at, origin in current.origins.items() if at[:2] in pending}
    return {**{at: origin for at, origin in fresh.origins.items() if at[:2] not in pending}, **kept}
