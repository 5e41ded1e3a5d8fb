"""The settings of ``[store]`` that say how long ended runs are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from trunnion.model.access import is_scope
from trunnion.model.contributions import Setting
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import nearest
from trunnion.model.retention import ALL, NO_LIMIT, Rule

US_PER_DAY = 86_400_000_000

_NAMES = ("days", "runs", "bytes")
_LIMITS: Json = {
    "days": {"type": "number", "minimum": 0, "maximum": 36500},
    "runs": {"type": "integer", "minimum": 0},
    "bytes": {"type": "integer", "minimum": 0},
}


def _count(key: str, default: int, description: str) -> Setting:
    schema: JsonObject = {"description": description, "type": "integer", "minimum": 0, "default": default}
    return Setting(key=key, schema=schema, reload="live")


def _check(value: Json) -> Iterable[tuple[tuple[str, ...], str]]:
    for pattern, entry in value.items() if isinstance(value, Mapping) else ():
        if pattern == ALL:
            yield (pattern,), "is what retention_days, retention_runs and retention_bytes say"
        elif not is_scope(pattern) or ":" in pattern:
            yield (pattern,), "is not a command, or the beginning of several with * at its end"
        for name in entry.keys() - set(_NAMES) if isinstance(entry, Mapping) else ():
            close = nearest(name, _NAMES)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(_NAMES)}"
            yield (pattern, name), f"unknown; {hint}"


RETENTION_SETTINGS: Final = (
    _count("retention_days", 30, "Ended runs older than this are removed; 0 keeps them"),
    _count("retention_runs", 100_000, "Ended runs beyond this number are removed, the oldest first; 0 keeps them"),
    _count(
        "retention_bytes",
        0,
        "While the database in use and the kept files together are larger, the oldest ended runs are removed; 0 keeps "
        "them",
    ),
    Setting(
        key="retention",
        reload="live",
        check=_check,
        schema={
            "description": 'The same for some commands, by pattern: `"scripts.*" = { days = 90, runs = 50, '
            "bytes = 1000000 }`. The most specific pattern that names a limit holds, for all its commands together; "
            "0 keeps them",
            "type": "object",
            "default": {},
            "additionalProperties": {"type": "object", "properties": _LIMITS, "minProperties": 1},
        },
    ),
)
"""Part of the section ``[store]``."""


def retention_rules(store: JsonObject) -> tuple[Rule, ...]:
    """What the section ``[store]`` says about ended runs."""
    whole = {name: store.get(f"retention_{name}") for name in _NAMES}
    own = store.get("retention")
    entries = {ALL: whole, **(own if isinstance(own, Mapping) else {})}
    return tuple(_rule(on, entry) for on, entry in entries.items() if isinstance(entry, Mapping))


def _rule(on: str, entry: JsonObject) -> Rule:
    days, runs, size = (_said(entry.get(name)) for name in _NAMES)
    return Rule(on, None if days is None else int(min(days * US_PER_DAY, NO_LIMIT)), _whole(runs), _whole(size))


def _said(value: Json) -> float | None:
    """A limit as it counts: 0 is none."""
    return (value or NO_LIMIT) if isinstance(value, int | float) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
