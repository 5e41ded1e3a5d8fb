"""Who may do what, as plain data: principals, tokens, grants, and the credentials that doors are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from trunnion.model.runs import Role

Kind: TypeAlias = Literal["command", "query", "stream", "runs"]
"""What a pattern speaks of; ``runs`` are those of commands that match, with output, result and files."""

KINDS: tuple[Kind, ...] = ("command", "query", "stream", "runs")
SYSTEM = "system:"
"""Begins the name of a plugin that acts by itself; nobody else can have such a name."""

_principal = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,199}")
_scope = re.compile(r"(?:(?:command|query|stream|runs):)?[a-zA-Z0-9_./-]*\*?")


def is_principal_name(text: str) -> bool:
    """Whether a principal may have this name: a login, a mail address, a SPIFFE id."""
    return _principal.fullmatch(text) is not None and not text.startswith(SYSTEM)


def is_scope(text: str) -> bool:
    """Whether a text is a pattern of a grant or of a token's scope; see ``Grant``."""
    return bool(text) and _scope.fullmatch(text) is not None and not text.endswith(":")


class Principal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person or a program that can be told from others.

    Attributes:
        role: what it is everywhere; None leaves it with what grants say.
        disabled: it can prove who it is and still may do nothing.
        note: for people.
        managed: made with ``principals.add``; those from the configuration are read-only.
        has_password: whether it can log in with a password.
        password_mark: another one with each password; whoever logged in with an earlier one logs in again.
        created: UTC microseconds, 0 for those from the configuration.
    """

    name: str
    kind: Literal["person", "program"] = "person"
    role: Role | None = None
    disabled: bool = False
    note: str = ""
    managed: bool = False
    has_password: bool = False
    password_mark: str = ""
    created: int = 0


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Gives a principal a role on some commands, queries, streams or runs.

    Attributes:
        on: patterns, each a name or a prefix ending in ``*``. Plain ones speak of commands and queries
            (``device.*``); ``command:``, ``query:``, ``stream:`` and ``runs:`` before one say which it means.
            ``runs:device.*`` are the runs of those commands, whoever asked for them: a viewer sees them, an
            operator may cancel them.
    """

    id: str
    principal: str
    role: Role
    on: tuple[str, ...]
    note: str = ""
    managed: bool = False
    created: int = 0


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API token, without its secret. It can do what its principal can, within its scope.

    Attributes:
        role: the most it can be, whatever the principal is; None sets no bound.
        on: what it reaches, patterns as in ``Grant``; ``*`` reaches everything but runs of others.
        expires: UTC microseconds, None for never.
    """

    id: str
    principal: str
    role: Role | None = None
    on: tuple[str, ...] = ("*",)
    expires: int | None = None
    note: str = ""
    managed: bool = False
    created: int = 0


class LocalUser(msgspec.Struct, frozen=True, tag="local"):
    """What the kernel says of the other end of a local socket, or of this process: its uid."""

    uid: int


class PrivateSocket(msgspec.Struct, frozen=True, tag="socket"):
    """A socket in the data directory's ``run/`` that only its owner can reach, for doors that learn no uid of a peer.

    The host looks at the folder and at the socket itself; whoever reaches it is the owner.
    """

    path: Path


class Password(msgspec.Struct, frozen=True, tag="password"):
    """A name and a password, as typed."""

    principal: str
    password: str

    def __repr__(self) -> str:
        return f"Password({self.principal!r}, …)"


class BearerToken(msgspec.Struct, frozen=True, tag="token"):
    """An API token, as shown once when it was made."""

    token: str

    def __repr__(self) -> str:
        return "BearerToken(…)"


class ClientCertificate(msgspec.Struct, frozen=True, tag="certificate"):
    """A certificate that a door has verified; the host looks whether its name is that of somebody it knows.

    Attributes:
        principal: the name in it, for which its authority vouches.
        fingerprint: the SHA-256 of the certificate as hex digits; told in records.
    """

    principal: str
    fingerprint: str


Credential: TypeAlias = LocalUser | PrivateSocket | Password | BearerToken | ClientCertificate
"""What a door is shown. ``Door.authenticate`` maps it to a caller; nothing else does."""


class Exposure(msgspec.Struct, frozen=True):
    """What the operator says about doors, above what descriptors say: pattern -> remote sources.

    Attributes:
        expose: opened there too.
        withhold: closed there, whoever opened it.
    """

    expose: Mapping[str, frozenset[str]] = {}
    withhold: Mapping[str, frozenset[str]] = {}
