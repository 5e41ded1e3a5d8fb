"""Principals, tokens and grants with what proves them, from two places: the configuration and the host's state.

Where both name the same, the configuration counts and the managed one is shadowed.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from trunnion.access.directory import Directory
from trunnion.model.access import Exposure, Grant, Principal, Token
from trunnion.model.json import Json, JsonObject


class PrincipalRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A principal and the hash of its password, ``""`` for none."""

    about: Principal
    password_hash: str = ""

    @property
    def name(self) -> str:
        """What it goes by."""
        return self.about.name

    @property
    def key(self) -> str:
        """The document it is kept in."""
        return f"principals/{encode_name(self.about.name)}"


class TokenRecord(msgspec.Struct, frozen=True):
    """A token and the sha256 of its text."""

    about: Token
    sha256: str

    @property
    def name(self) -> str:
        """What it goes by."""
        return self.about.id

    @property
    def key(self) -> str:
        """The document it is kept in."""
        return f"tokens/{self.about.id}"


class GrantRecord(msgspec.Struct, frozen=True):
    """A grant."""

    about: Grant

    @property
    def name(self) -> str:
        """What it goes by."""
        return self.about.id

    @property
    def key(self) -> str:
        """The document it is kept in."""
        return f"grants/{self.about.id}"


Record: TypeAlias = PrincipalRecord | TokenRecord | GrantRecord
R = TypeVar("R", PrincipalRecord, TokenRecord, GrantRecord)


class Records(msgspec.Struct, frozen=True):
    """All there is from one place, by name or id."""

    principals: Mapping[str, PrincipalRecord] = {}
    tokens: Mapping[str, TokenRecord] = {}
    grants: Mapping[str, GrantRecord] = {}

    def tied_to(self, principal: str) -> list[TokenRecord | GrantRecord]:
        """The tokens and grants of one principal."""
        tied: list[TokenRecord | GrantRecord] = [t for t in self.tokens.values() if t.about.principal == principal]
        return [*tied, *(g for g in self.grants.values() if g.about.principal == principal)]

    def changed(self, remove: Sequence[Record], put: Sequence[Record]) -> Records:
        """Without some and with others, which take the place of those of the same name."""
        return Records(
            _changed(self.principals, PrincipalRecord, remove, put),
            _changed(self.tokens, TokenRecord, remove, put),
            _changed(self.grants, GrantRecord, remove, put),
        )


def _changed(table: Mapping[str, R], kind: type[R], remove: Sequence[Record], put: Sequence[Record]) -> dict[str, R]:
    found = dict(table)
    for record in remove:
        if isinstance(record, kind):
            found.pop(record.name, None)
    return found | {record.name: record for record in put if isinstance(record, kind)}


class Register(msgspec.Struct, frozen=True):
    """Both places, and the operator's word on exposure.

    Attributes:
        configured: from the section ``[access]``; read-only.
        managed: made with commands.
        file: where the section stands, for messages.
    """

    configured: Records = Records()
    managed: Records = Records()
    exposure: Exposure = Exposure()
    file: str = "the configuration"

    def principal(self, name: str) -> PrincipalRecord | None:
        """The principal of a name that counts."""
        return self.configured.principals.get(name) or self.managed.principals.get(name)

    def token(self, token_id: str) -> TokenRecord | None:
        """The token of an id that counts."""
        return self.configured.tokens.get(token_id) or self.managed.tokens.get(token_id)

    def grant(self, grant_id: str) -> GrantRecord | None:
        """The grant of an id that counts."""
        return self.configured.grants.get(grant_id) or self.managed.grants.get(grant_id)

    def directory(self) -> Directory:
        """What policy decides by."""
        low, high = self.managed, self.configured
        return Directory(
            (record.about for record in {**low.principals, **high.principals}.values()),
            (record.about for record in {**low.tokens, **high.tokens}.values()),
            (record.about for record in {**low.grants, **high.grants}.values()),
            self.exposure,
        )


# -- documents -------------------------------------------------------------------------------------

_CHUNK = 120
_escaped = re.compile(r":[cs]")


def encode_name(name: str) -> str:
    """A principal's name as part of a document key, which knows no ``/`` and only short segments."""
    plain = name.replace(":", ":c").replace("/", ":s")
    return "/_".join(plain[at : at + _CHUNK] for at in range(0, len(plain), _CHUNK))


def decode_name(key: str) -> str:
    """The name ``encode_name`` made a key of."""
    return _escaped.sub(lambda found: ":" if found[0] == ":c" else "/", key.replace("/_", ""))


def to_document(record: Record) -> Json:
    """A managed record as it is kept."""
    value: Json = msgspec.to_builtins(record)
    return value


def from_documents(documents: Iterable[tuple[str, Json]]) -> tuple[Records, list[str]]:
    """The managed records of all documents.

    Returns:
        The records, and the keys of documents that are none: they are left out, so nobody gets in by them.
    """
    found: dict[str, Record] = {}
    damaged = []
    for key, value in documents:
        try:
            record = _record(key.partition("/")[0], value)
        except (msgspec.ValidationError, KeyError):
            damaged.append(key)
            continue
        if record.key != key:
            damaged.append(key)
        else:
            found[key] = record
    return records_of(found.values()), damaged


_KINDS: Mapping[str, type[PrincipalRecord] | type[TokenRecord] | type[GrantRecord]] = {
    "principals": PrincipalRecord, "tokens": TokenRecord, "grants": GrantRecord
}  # fmt: skip


def _record(kind: str, value: Json) -> Record:
    return msgspec.convert(value, _KINDS[kind])


def records_of(records: Iterable[Record]) -> Records:
    """Records by name and id."""
    return Records().changed((), tuple(records))


# -- configuration ---------------------------------------------------------------------------------


def from_config(section: JsonObject) -> tuple[Records, Exposure]:
    """What the section ``[access]`` says; it has been checked."""
    principals = [_configured_principal(name, entry) for name, entry in _tables(section, "principals")]
    tokens = [_configured_token(token_id, entry) for token_id, entry in _tables(section, "tokens")]
    grants = [GrantRecord(msgspec.convert({**entry, "id": i}, Grant)) for i, entry in _tables(section, "grants")]
    exposure = msgspec.convert({word: section.get(word) or {} for word in ("expose", "withhold")}, Exposure)
    return records_of([*principals, *tokens, *grants]), exposure


def _tables(section: JsonObject, key: str) -> list[tuple[str, JsonObject]]:
    table = section.get(key)
    entries = table.items() if isinstance(table, Mapping) else ()
    return [(name, entry) for name, entry in entries if isinstance(entry, Mapping)]


def _configured_principal(name: str, entry: JsonObject) -> PrincipalRecord:
    hashed = str(entry.get("password_hash") or "")
    fields = {key: value for key, value in entry.items() if key != "password_hash"}
    mark = hashlib.sha256(hashed.encode()).hexdigest()[:16] if hashed else ""
    proof = {"has_password": bool(hashed), "password_mark": mark}
    return PrincipalRecord(msgspec.convert({**fields, "name": name, **proof}, Principal), hashed)


def _configured_token(token_id: str, entry: JsonObject) -> TokenRecord:
    fields = {key: value for key, value in entry.items() if key not in ("sha256", "expires")}
    until = entry.get("expires")
    expires = utc_of(until) if isinstance(until, str) else None
    about = msgspec.convert({**fields, "id": token_id, "expires": expires}, Token)
    return TokenRecord(about, str(entry.get("sha256")).lower())


def utc_of(moment: str) -> int:
    """An RFC 3339 time as UTC microseconds.

    Raises:
        ValueError: it is none.
    """
    at = datetime.datetime.fromisoformat(moment.upper())
    if at.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return int(at.timestamp() * 1_000_000)
