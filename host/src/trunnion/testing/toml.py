"""Plain data as TOML, for the configuration a test gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from trunnion.model.json import Json, JsonObject


def as_toml(sections: Mapping[str, JsonObject]) -> str:
    """A document with one table for each section; what is None is left out, as TOML has no word for it."""
    return "\n".join(_table(name, section) for name, section in sections.items())


def _table(name: str, section: JsonObject) -> str:
    return "".join([f"[{_text(name)}]\n", *(f"{pair}\n" for pair in _pairs(section))])


def _pairs(table: JsonObject) -> list[str]:
    return [f"{_text(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _value(value: Json) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(_pairs(value)) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def _text(text: str) -> str:
    # A basic string of TOML is one of JSON, but that it may not hold DEL and knows no pairs of surrogates.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
