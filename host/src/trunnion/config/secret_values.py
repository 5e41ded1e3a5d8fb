"""The values of a configuration that its schemas mark as secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trunnion.config.schema import is_secret
from trunnion.config.values import Config
from trunnion.model.json import Json, JsonObject


def secret_values(config: Config) -> list[tuple[str | None, Json]]:
    """Everything under ``writeOnly``, in the clear, and the name it has where the name is the user's own choice.

    A table such as the environment of a program is hidden as a whole; only the names tell what in it is secret.
    """
    found = list[tuple[str | None, Json]]()
    for section, settings in config.settings.items():
        values = config.values.get(section, {})
        for setting in settings:
            found += _below(setting.schema, values.get(setting.key) if setting.key else values)
    return found


def _below(schema: JsonObject, value: Json, name: str | None = None) -> Iterator[tuple[str | None, Json]]:
    if is_secret(schema):
        yield name, value
    elif isinstance(value, Mapping):
        properties, others = schema.get("properties"), schema.get("additionalProperties")
        declared: Mapping[str, Json] = properties if isinstance(properties, Mapping) else {}
        for key, item in value.items():
            if isinstance(child := declared.get(key, others), Mapping):
                yield from _below(child, item, None if key in declared else key)
    elif isinstance(value, list | tuple) and isinstance(items := schema.get("items"), Mapping):
        for item in value:
            yield from _below(items, item)
