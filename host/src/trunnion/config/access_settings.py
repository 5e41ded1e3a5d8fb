"""The section ``[access]``: principals, tokens, grants and exposure that only the file's owner changes."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from trunnion.model.access import SYSTEM, is_principal_name, is_scope
from trunnion.model.contributions import Setting
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import is_segment, nearest
from trunnion.model.runs import LOCAL_SOURCES, ROLES

Problem: TypeAlias = tuple[tuple[str, ...], str]
Check: TypeAlias = Callable[[Json], Iterable[Problem]]

_ROLE: Json = {"type": "string", "enum": list(ROLES)}
_NOTE: Json = {"type": "string", "maxLength": 1000}
_PATTERNS: Json = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_ARGON2ID = r"^\$argon2id\$v=19\$m=[0-9]{1,7},t=[0-9]{1,3},p=[0-9]{1,2}\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$"
_moment = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_token_id = re.compile(r"[a-z2-7]{12}", re.ASCII)
_grant_id = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", re.ASCII)
_plugin = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


def _table(key: str, description: str, check: Check, required: Sequence[str] = (), **properties: Json) -> Setting:
    entry: Json = {"type": "object", "properties": properties, "required": list(required)}

    def check_all(value: Json) -> Iterable[Problem]:
        yield from _unknown(value, list(properties))
        yield from check(value)

    return _setting(key, description, check_all, entry)


def _setting(key: str, description: str, check: Check, entry: Json) -> Setting:
    schema: JsonObject = {"description": description, "type": "object", "default": {}, "additionalProperties": entry}
    return Setting(key=key, schema=schema, reload="live", check=check)


# -- what a schema cannot say ----------------------------------------------------------------------


def is_grant_id(text: str) -> bool:
    """Whether a grant can have this id."""
    return _grant_id.fullmatch(text) is not None


def _is_configurable(name: str) -> bool:
    """Whether a principal in the file may have this name: here, and only here, it may be a plugin itself."""
    return is_principal_name(name) or (
        name.startswith(SYSTEM) and _plugin.fullmatch(name.removeprefix(SYSTEM)) is not None
    )


def _unknown(value: Json, known: Sequence[str]) -> Iterable[Problem]:
    for name, entry in _entries(value):
        for key in entry.keys() - set(known):
            close = nearest(key, known)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(known)}"
            yield (name, key), f"unknown; {hint}"


def _principals(value: Json) -> Iterable[Problem]:
    for name, entry in _entries(value):
        if not _is_configurable(name):
            yield (name,), "is not a name: letters, digits and . _ @ : / + -, beginning with a letter or digit"
        elif name.startswith(SYSTEM) and entry.get("password_hash"):
            yield (name, "password_hash"), "a plugin acts by itself and cannot log in"
        elif name.startswith(SYSTEM) and entry.get("disabled"):
            yield (name, "disabled"), "a plugin is switched off in plugins.without"


def _tokens(value: Json) -> Iterable[Problem]:
    for token_id, entry in _entries(value):
        if _token_id.fullmatch(token_id) is None:
            yield (token_id,), "is not the id of a token: the 12 characters between trn_ and the next _"
        yield from (((token_id, "on", *at), text) for at, text in _scopes(entry.get("on")))
        if "expires" in entry and not _is_moment(entry["expires"]):
            yield (token_id, "expires"), "is not an RFC 3339 time such as 2027-01-31T12:00:00Z"


def _grants(value: Json) -> Iterable[Problem]:
    for grant_id, entry in _entries(value):
        if not is_grant_id(grant_id):
            yield (grant_id,), "is not the id of a grant: letters, digits and _ . -"
        yield from (((grant_id, "on", *at), text) for at, text in _scopes(entry.get("on")))


def _exposure(value: Json) -> Iterable[Problem]:
    for pattern, sources in value.items() if isinstance(value, Mapping) else ():
        if not is_scope(pattern) or ":" in pattern:
            yield (pattern,), "is not a name, or the beginning of one with * at its end"
        for at, source in enumerate(sources) if isinstance(sources, Sequence) else ():
            if source in LOCAL_SOURCES:
                yield (pattern, str(at)), f"{source} is a local door, which needs no exposure"
            elif not is_segment(str(source)):
                yield (pattern, str(at)), "is not a door such as web, rpc, schedule or agent"


def _scopes(value: Json) -> Iterable[Problem]:
    for at, pattern in enumerate(value) if isinstance(value, Sequence) else ():
        if not is_scope(str(pattern)):
            text = "is not a pattern: a name, or the beginning of one with * at its end, after command:, query:,"
            yield (str(at),), f"{text} stream: or runs: where it means only those"


def _is_moment(value: Json) -> bool:
    if not isinstance(value, str) or _moment.fullmatch(value) is None:
        return False
    try:
        datetime.datetime.fromisoformat(value.upper())
    except ValueError:
        return False
    return True


def _entries(value: Json) -> list[tuple[str, JsonObject]]:
    entries = value.items() if isinstance(value, Mapping) else ()
    return [(name, entry) for name, entry in entries if isinstance(entry, Mapping)]


def check_access(section: JsonObject) -> Iterable[Problem]:
    """What only the whole section shows: grants and tokens for principals it does not name.

    Managed principals do not count: what the file says must not depend on what commands may change.
    """
    principals = section.get("principals")
    known = list(principals) if isinstance(principals, Mapping) else []
    for table in ("grants", "tokens"):
        for name, entry in _entries(section.get(table)):
            principal = str(entry.get("principal"))
            if principal.startswith(SYSTEM):
                yield (table, name, "principal"), f"{principal} is a plugin, which acts by its role alone"
            elif principal not in known:
                close = nearest(principal, known)
                hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
                yield (table, name, "principal"), f"there is no principal {principal!r} in access.principals{hint}"


ACCESS_SETTINGS: tuple[Setting, ...] = (
    _table(
        "principals",
        "People and programs, by name; `system:<plugin>` is a plugin itself, which is operator unless this says more",
        _principals,
        kind={"type": "string", "enum": ["person", "program"]},
        role=_ROLE,
        disabled={"type": "boolean"},
        note=_NOTE,
        password_hash={"type": "string", "pattern": _ARGON2ID, "writeOnly": True},
    ),
    _table(
        "grants",
        "Roles on some commands, queries, streams or runs, by id of the grant",
        _grants,
        ("principal", "role", "on"),
        principal={"type": "string"},
        role=_ROLE,
        on=_PATTERNS,
        note=_NOTE,
    ),
    _table(
        "tokens",
        "API tokens by id, with the sha256 of their whole text",
        _tokens,
        ("principal", "sha256"),
        principal={"type": "string"},
        sha256={"type": "string", "pattern": "^[0-9a-fA-F]{64}$", "writeOnly": True},
        role=_ROLE,
        on=_PATTERNS,
        expires={"type": "string"},
        note=_NOTE,
    ),
    _setting(
        "expose",
        "Commands, queries and streams, by pattern, that these remote doors reach too",
        _exposure,
        {"type": "array", "items": {"type": "string"}},
    ),
    _setting(
        "withhold",
        "Commands, queries and streams, by pattern, that these remote doors do not reach, whatever opened them",
        _exposure,
        {"type": "array", "items": {"type": "string"}},
    ),
)
