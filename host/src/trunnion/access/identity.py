"""What the directory says of a caller now: whether its credential still counts, and its role."""

from __future__ import annotations

from trunnion.access.directory import Directory
from trunnion.model.access import SYSTEM, Kind, Principal, Token
from trunnion.model.runs import ROLES, Caller, Role

TOKEN = "token:"  # noqa: S105  # how the credential of a token's bearer begins
PASSWORD = "password"  # noqa: S105  # how the credential of whoever logged in with one begins
CERTIFICATE = "certificate:"
"""How the credential of whoever came with one begins; its fingerprint follows."""
ADMIN: Role = "admin"
PLUGIN: Role = "operator"
"""What a plugin is that acts by itself, unless the configuration says otherwise."""


def credential_problem(directory: Directory, caller: Caller, now: int) -> str:
    """Why what proved the caller no longer does, ``""`` while it does."""
    if not caller.credential:
        return ""
    principal = directory.principals.get(caller.principal)
    if principal is None:
        return f"there is no principal {caller.principal!r}"
    if principal.disabled:
        return f"{caller.principal} is disabled"
    if caller.credential.startswith(TOKEN):
        token = token_of(directory, caller)
        if token is None or token.principal != caller.principal:
            return "the token was revoked"
        if token.expires is not None and token.expires <= now:
            return "the token has expired"
    elif caller.credential.startswith(PASSWORD):
        return _password_problem(principal, caller.credential.partition(":")[2])
    return ""


def _password_problem(principal: Principal, mark: str) -> str:
    if not principal.has_password:
        return f"{principal.name} has no password any more"
    return "" if mark == principal.password_mark else f"{principal.name} has another password by now"


def token_of(directory: Directory, caller: Caller) -> Token | None:
    """The token a caller came with."""
    return directory.tokens.get(caller.credential.removeprefix(TOKEN)) if caller.credential.startswith(TOKEN) else None


def valid_until(directory: Directory, caller: Caller) -> int | None:
    """UTC microseconds at which the caller's token expires, None if time alone changes nothing."""
    token = token_of(directory, caller)
    return None if token is None else token.expires


def own_role(directory: Directory, caller: Caller) -> Role:
    """What a caller without a credential is: a plugin by itself never more than the configuration says now."""
    if not caller.principal.startswith(SYSTEM):
        return caller.role
    known = directory.principals.get(caller.principal)
    most = (known.role if known is not None else None) or PLUGIN
    return min(caller.role, most, key=lambda each: ROLES[each])


def role_on(directory: Directory, caller: Caller, kind: Kind, name: str) -> tuple[Role | None, str]:
    """The caller's role on a target, bounded by its token, and the rule that gives it."""
    if not caller.credential:
        own = own_role(directory, caller)
        return own, f"{caller.principal} is {own}"
    role, rule = directory.role_on(caller.principal, kind, name)
    bounded = _bounded(role, token_of(directory, caller))
    return bounded, rule if bounded == role else f"{rule}, at most {bounded} with this token"


def role_everywhere(directory: Directory, caller: Caller) -> Role | None:
    """The caller's role where no grant counts: what it is itself, bounded by its token."""
    if not caller.credential:
        return own_role(directory, caller)
    known = directory.principals.get(caller.principal)
    return _bounded(None if known is None else known.role, token_of(directory, caller))


def _bounded(role: Role | None, token: Token | None) -> Role | None:
    if role is None or token is None or token.role is None:
        return role
    return min(role, token.role, key=lambda each: ROLES[each])
