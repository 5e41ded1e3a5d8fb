"""The section ``[tty]``: how shells on a host look and behave."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from trunnion import Json, JsonObject

Theme = Literal["dark", "light", "mono"]
Level = Literal["debug", "info", "warning", "error", "off"]


class ShellSettings(msgspec.Struct, frozen=True):
    """What a shell is told through meta.

    Attributes:
        theme: colours for a dark or a light terminal, or none.
        show_states: the least level of a change of state that is shown; ``off`` shows none.
        aliases: word -> the words it stands for at the beginning of a line.
        history_lines: lines of history kept between shells.
        background_lines: lines a second shown of what runs in the background; the rest is counted.
        completion_timeout: seconds to wait for values that a query offers.
        on_hangup: what becomes of the run in the foreground when the terminal closes.
    """

    theme: Theme = "dark"
    show_states: Level = "warning"
    aliases: dict[str, str] = {}
    history_lines: int = 10_000
    background_lines: int = 200
    completion_timeout: float = 0.5
    on_hangup: Literal["leave", "cancel"] = "leave"


SCHEMAS: Mapping[str, JsonObject] = {
    "theme": {
        "type": "string",
        "enum": ["dark", "light", "mono"],
        "default": "dark",
        "description": "Colours for a dark or a light terminal, or none; NO_COLOR and --plain count before it",
    },
    "show_states": {
        "type": "string",
        "enum": ["debug", "info", "warning", "error", "off"],
        "default": "warning",
        "description": "The least level of a change of state that is shown with a run's output",
    },
    "aliases": {
        "type": "object",
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 4096},
        "propertyNames": {"pattern": "^[a-z][a-z0-9_-]{0,62}$"},
        "default": {},
        "description": "Words that stand for others at the beginning of a line",
    },
    "history_lines": {
        "type": "integer",
        "minimum": 0,
        "maximum": 1_000_000,
        "default": 10_000,
        "description": "Lines of history kept between shells; 0 keeps none",
    },
    "background_lines": {
        "type": "integer",
        "minimum": 1,
        "maximum": 100_000,
        "default": 200,
        "description": "Lines a second shown of runs in the background; what is beyond is counted and said",
    },
    "completion_timeout": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 10,
        "default": 0.5,
        "description": "Seconds to wait for values that a query offers; what comes later is not offered",
    },
    "on_hangup": {
        "type": "string",
        "enum": ["leave", "cancel"],
        "default": "leave",
        "description": "What becomes of the run in the foreground when the terminal closes",
    },
}
"""Key -> schema; the defaults are those of ``ShellSettings``, which a test compares."""


def read_settings(data: Json) -> ShellSettings:
    """Settings as meta tells them. Each that does not fit, as of another version, counts as not said."""
    told = data if isinstance(data, Mapping) else {}
    fitting: dict[str, Json] = {}
    for field in msgspec.structs.fields(ShellSettings):
        with contextlib.suppress(KeyError, msgspec.ValidationError):
            msgspec.convert(told[field.name], field.type)
            fitting[field.name] = told[field.name]
    return msgspec.convert(fitting, ShellSettings)
