"""Who there is and what each may do, as one immutable value that policy decides by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from trunnion.model.access import KINDS, Exposure, Grant, Kind, Principal, Token
from trunnion.model.runs import ROLES, Role


def covers(pattern: str, name: str) -> bool:
    """Whether a pattern (a name, or a prefix ending in ``*``) stands for a name.

    The name may be a pattern itself, that of a family of streams: then it is asked whether some name
    belongs to both.
    """
    if name.endswith("*"):
        name = name[:-1]
        if pattern.endswith("*"):
            return name.startswith(pattern[:-1]) or pattern[:-1].startswith(name)
        return pattern.startswith(name)
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def encloses(pattern: str, name: str) -> bool:
    """Whether a pattern stands for a name, of a family for every name in it."""
    if name.endswith("*"):
        return pattern.endswith("*") and name[:-1].startswith(pattern[:-1])
    return covers(pattern, name)


def both(one: str, other: str) -> str | None:
    """The pattern for the names that two patterns have in common, None if they have none."""
    if not covers(one, other):
        return None
    return min(one, other, key=lambda pattern: (pattern.endswith("*"), -len(pattern)))


def spoken_of(scope: Iterable[str], kind: Kind) -> list[str]:
    """The patterns of a grant or token that speak of a kind, without the word for it."""
    parts = [pattern.rpartition(":") for pattern in scope]
    return [rest for said, _, rest in parts if said == kind or (not said and kind in ("command", "query"))]


def within(scope: Iterable[str], kind: Kind, name: str) -> str | None:
    """The first pattern of a grant or token that stands for a target, None if none does."""
    for pattern in scope:
        said, colon, rest = pattern.partition(":")
        if colon and said in KINDS:
            if said == kind and covers(rest, name):
                return pattern
        elif kind in ("command", "query") and covers(pattern, name):
            return pattern
    return None


def in_token_scope(token: Token, kind: Kind, name: str) -> bool:
    """Whether a token reaches a target: ``*`` alone opens streams too, but not the runs of others."""
    return within(token.on, kind, name) is not None or (kind == "stream" and "*" in token.on)


class Directory:
    """Principals, tokens, grants and the operator's word on exposure.

    Args:
        principals, tokens, grants: with unique names and ids; where the configuration and the managed ones
            name the same, the caller leaves out the managed one.
        exposure: see ``Exposure``.
    """

    def __init__(
        self,
        principals: Iterable[Principal] = (),
        tokens: Iterable[Token] = (),
        grants: Iterable[Grant] = (),
        exposure: Exposure | None = None,
    ) -> None:
        self.principals = {principal.name: principal for principal in principals}
        self.tokens = {token.id: token for token in tokens}
        self.grants = {grant.id: grant for grant in grants}
        self.exposure = exposure or Exposure()
        self._of = defaultdict[str, list[Grant]](list)
        for grant in self.grants.values():
            self._of[grant.principal].append(grant)

    def grants_of(self, principal: str) -> list[Grant]:
        """The grants of one principal."""
        return self._of.get(principal, [])

    def role_on(self, principal: str, kind: Kind, name: str) -> tuple[Role | None, str]:
        """The highest role a principal has on a target, and the rule that gives it."""
        known = self.principals.get(principal)
        role = known.role if known is not None and kind != "runs" else None
        rule = f"{principal} is {role}" if role is not None else ""
        for grant in self.grants_of(principal):
            pattern = within(grant.on, kind, name)
            if pattern is not None and (role is None or ROLES[grant.role] > ROLES[role]):
                role, rule = grant.role, f"grant {grant.id} makes {principal} {grant.role} on {pattern}"
        return role, rule

    def exposed(self, declared: frozenset[str], name: str) -> frozenset[str]:
        """The remote sources that reach a target: those its descriptor names, as the operator changed them."""
        expose, withhold = self.exposure.expose, self.exposure.withhold
        if not expose and not withhold:
            return declared
        opened = declared.union(*(sources for pattern, sources in expose.items() if covers(pattern, name)))
        return opened.difference(*(sources for pattern, sources in withhold.items() if encloses(pattern, name)))
