"""Changes of managed principals, tokens and grants, as pure decisions: a register in, what to write out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from trunnion.access.register import (
    GrantRecord,
    PrincipalRecord,
    Record,
    Records,
    Register,
    TokenRecord,
)
from trunnion.model.access import SYSTEM, Grant, Principal, Token, is_principal_name, is_scope
from trunnion.model.errors import Conflict, InvalidArguments, NotFound
from trunnion.model.json import Json
from trunnion.model.names import nearest
from trunnion.model.runs import Role

RoleOrNone: TypeAlias = Role | Literal["none"]


class Change(msgspec.Struct, frozen=True):
    """One change, to be written in one transaction.

    Attributes:
        code: of the event that tells of it.
        text: the same for people.
        facts: what it is about, without secrets.
        remove, put: documents to remove, then documents to write.
    """

    code: str
    text: str
    facts: dict[str, Json]
    remove: tuple[Record, ...] = ()
    put: tuple[Record, ...] = ()


def applied(records: Records, change: Change) -> Records:
    """Managed records after a change."""
    return records.changed(change.remove, change.put)


# -- principals ------------------------------------------------------------------------------------


def add_principal(register: Register, about: Principal) -> Change:
    """A new principal. What an earlier one of the same name left behind does not become its own.

    Raises:
        InvalidArguments: nobody may have this name.
        Conflict: somebody has it.
    """
    name = about.name
    if name.startswith(SYSTEM):
        raise InvalidArguments(f"{name}: names that begin with {SYSTEM} are those of plugins; choose another")
    if not is_principal_name(name):
        raise InvalidArguments(
            f"{name!r} cannot be a principal's name: letters, digits and . _ @ : / + -, at most 200, "
            "beginning with a letter or digit"
        )
    if register.principal(name) is not None:
        raise Conflict(
            f"there is a principal {name!r} already; change it with: trunnion principals set {name}",
            {"principal": name},
        )
    record = PrincipalRecord(msgspec.structs.replace(about, managed=True))
    facts: dict[str, Json] = {"principal": name, "kind": about.kind, "role": about.role}
    left = tuple(register.managed.tied_to(name))
    return Change("access.principal_added", f"principal {name} was added", facts, left, (record,))


def set_principal(
    register: Register,
    name: str,
    *,
    role: RoleOrNone | None = None,
    note: str | None = None,
    disabled: bool | None = None,
) -> Change:
    """Another role, note or state; what is None stays as it is.

    Raises:
        InvalidArguments: nothing is given, as when ``null`` is meant to take a role away.
        NotFound, Conflict: see ``_managed_principal``.
    """
    record = _managed_principal(register, name)
    if (role, note, disabled) == (None, None, None):
        raise InvalidArguments(
            f"nothing is to be changed of {name}: give role (none to take it away), note or disabled"
        )
    about = record.about
    if role is not None:
        about = msgspec.structs.replace(about, role=None if role == "none" else role)
    if note is not None:
        about = msgspec.structs.replace(about, note=note)
    if disabled is not None:
        about = msgspec.structs.replace(about, disabled=disabled)
    facts: dict[str, Json] = {"principal": name, "role": about.role, "disabled": about.disabled}
    changed = msgspec.structs.replace(record, about=about)
    return Change("access.principal_changed", f"principal {name} was changed", facts, put=(changed,))


def set_password(register: Register, name: str, hashed: str, mark: str, proved: str | None = None) -> Change:
    """Another password; who logged in with the one before has to log in again.

    Args:
        register: who there is.
        name: whose.
        hashed: the new one, as it is kept.
        mark: of the new one.
        proved: the mark of the one that whoever asks has shown, None where none is needed.

    Raises:
        NotFound, Conflict: see ``_managed_principal``; or the password was changed meanwhile.
    """
    record = _managed_principal(register, name)
    if proved not in (None, record.about.password_mark):
        raise Conflict(f"{name} has another password by now", {"principal": name})
    about = msgspec.structs.replace(record.about, has_password=True, password_mark=mark)
    put = (PrincipalRecord(about, hashed),)
    return Change("access.password_set", f"{name} has another password", {"principal": name}, put=put)


def renew_password(register: Register, name: str, old: str, new: str) -> Change:
    """Another hash of the same password.

    Raises:
        NotFound, Conflict: see ``_managed_principal``; or the password was changed meanwhile.
    """
    record = _managed_principal(register, name)
    if record.password_hash != old:
        raise Conflict(f"{name} has another password by now", {"principal": name})
    put = (PrincipalRecord(record.about, new),)
    return Change("access.password_rehashed", f"the password of {name} is hashed anew", {"principal": name}, put=put)


def remove_principal(register: Register, name: str) -> Change:
    """A principal goes, its tokens and grants with it.

    Raises:
        NotFound, Conflict: see ``_managed_principal``.
    """
    record = _managed_principal(register, name)
    tied = tuple(register.managed.tied_to(name))
    facts: dict[str, Json] = {
        "principal": name,
        "tokens": [t.about.id for t in tied if isinstance(t, TokenRecord)],
        "grants": [g.about.id for g in tied if isinstance(g, GrantRecord)],
    }
    return Change("access.principal_removed", f"principal {name} was removed", facts, (record, *tied))


def known_principal(register: Register, name: str) -> PrincipalRecord:
    """A person or program, from wherever.

    Raises:
        InvalidArguments: it is a plugin, which acts by its role alone.
        NotFound: there is none; the nearest names are in the error.
    """
    if name.startswith(SYSTEM):
        raise InvalidArguments(f"{name} is a plugin: the configuration gives it its role, in access.principals")
    record = register.principal(name)
    if record is None:
        raise no_principal(name, {**register.managed.principals, **register.configured.principals})
    return record


def no_principal(name: str, known: Iterable[str] = ()) -> NotFound:
    """The one answer for a principal there is not and for one the caller may not see.

    Args:
        name: as asked for.
        known: the names the caller may see, for a hint.
    """
    close: list[Json] = [*nearest(name, known)]
    hint = f"; did you mean {' or '.join(map(str, close))}?" if close else ""
    return NotFound(f"there is no principal {name!r}{hint}", {"principal": name, "nearest": close})


def _managed_principal(register: Register, name: str) -> PrincipalRecord:
    """The managed principal of a name.

    Raises:
        NotFound: there is none.
        Conflict: it is the configuration's, which commands do not change.
    """
    record = known_principal(register, name)
    if name in register.configured.principals:
        raise _read_only(register, "principal", name)
    return record


# -- grants ----------------------------------------------------------------------------------------


def add_grant(register: Register, grant: Grant) -> Change:
    """A new grant.

    Raises:
        InvalidArguments: a pattern is none.
        NotFound: there is no such principal.
        Conflict: there is a grant of this id.
    """
    known_principal(register, grant.principal)
    check_scopes(grant.on)
    if register.grant(grant.id) is not None:
        raise Conflict(f"there is a grant {grant.id!r} already; choose another id", {"grant": grant.id})
    facts: dict[str, Json] = {
        "principal": grant.principal, "grant": grant.id, "role": grant.role, "on": list(grant.on)
    }  # fmt: skip
    text = f"{grant.principal} is {grant.role} on {', '.join(grant.on)}"
    return Change("access.grant_added", text, facts, put=(GrantRecord(msgspec.structs.replace(grant, managed=True)),))


def remove_grant(register: Register, grant_id: str) -> Change:
    """A grant goes.

    Raises:
        NotFound: there is none of this id.
        Conflict: it is the configuration's.
    """
    record = register.grant(grant_id)
    if record is None:
        raise NotFound(f"there is no grant {grant_id!r}", {"grant": grant_id})
    if grant_id in register.configured.grants:
        raise _read_only(register, "grant", grant_id)
    facts: dict[str, Json] = {"principal": record.about.principal, "grant": grant_id}
    text = f"grant {grant_id} of {record.about.principal} was removed"
    return Change("access.grant_removed", text, facts, (record,))


# -- tokens ----------------------------------------------------------------------------------------


def add_token(register: Register, token: Token, sha256: str) -> Change:
    """A new token.

    Raises:
        InvalidArguments: a pattern is none.
        NotFound: there is no such principal.
    """
    known_principal(register, token.principal)
    check_scopes(token.on)
    facts: dict[str, Json] = {
        "principal": token.principal, "token_id": token.id, "role": token.role, "on": list(token.on),
        "expires": token.expires,
    }  # fmt: skip
    record = TokenRecord(msgspec.structs.replace(token, managed=True), sha256)
    return Change("access.token_created", f"{token.principal} has a token {token.id}", facts, put=(record,))


def remove_token(register: Register, token_id: str) -> Change:
    """A token goes.

    Raises:
        NotFound: there is none of this id.
        Conflict: it is the configuration's.
    """
    record = register.token(token_id)
    if record is None:
        raise no_token(token_id)
    if token_id in register.configured.tokens:
        raise _read_only(register, "token", token_id)
    facts: dict[str, Json] = {"principal": record.about.principal, "token_id": token_id}
    text = f"token {token_id} of {record.about.principal} was revoked"
    return Change("access.token_revoked", text, facts, (record,))


def no_token(token_id: str) -> NotFound:
    """The one answer for a token there is not and for one that is not the caller's."""
    return NotFound(f"there is no token {token_id!r}", {"token_id": token_id})


# -- both ------------------------------------------------------------------------------------------


def check_scopes(patterns: Iterable[str]) -> None:
    """Refuse what is no pattern.

    Raises:
        InvalidArguments: one is not, or there is none at all.
    """
    wrong = [pattern for pattern in patterns if not is_scope(pattern)]
    if wrong or not list(patterns):
        raise InvalidArguments(
            f"{', '.join(map(repr, wrong)) or 'nothing'} is not a pattern: give a name, or the beginning of one with * "
            "at its end, after command:, query:, stream: or runs: where it means only those"
        )


def _read_only(register: Register, kind: str, name: str) -> Conflict:
    return Conflict(
        f"{kind} {name} is set in {register.file}, in the section [access]; change it there",
        {"kind": kind, "name": name},
    )
