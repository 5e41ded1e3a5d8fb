"""Decisions, slow and obviously right: every rule is a sentence over whole lists, nothing is remembered.

Written from the documentation of grants, tokens and exposure, not from the code that is tested. Names stand for
themselves; a pattern that ends in ``*`` stands for the set of names that begin so.
"""

from __future__ import annotations

import re

RANK = {None: 0, "viewer": 1, "operator": 2, "admin": 3}
WORDS = ("command", "query", "stream", "runs")


def stands_for(pattern: str, name: str) -> bool:
    if pattern.endswith("*"):
        return re.fullmatch(re.escape(pattern[:-1]) + ".*", name) is not None
    return pattern == name


def speaks_of(pattern: str, kind: str, name: str) -> bool:
    """Whether a pattern of a grant or token means this thing."""
    for word in WORDS:
        if pattern.startswith(word + ":"):
            return word == kind and stands_for(pattern[len(word) + 1 :], name)
    return kind in ("command", "query") and stands_for(pattern, name)


def proof_is_good(directory, caller, now) -> bool:
    if caller.credential == "":
        return True
    known = [p for p in directory.principals.values() if p.name == caller.principal and not p.disabled]
    if not known:
        return False
    if caller.credential == "password":
        return known[0].has_password
    if caller.credential.startswith("token:"):
        return any(
            "token:" + t.id == caller.credential
            and t.principal == caller.principal
            and (t.expires is None or now < t.expires)
            for t in directory.tokens.values()
        )
    return True


def the_token(directory, caller):
    found = [t for t in directory.tokens.values() if "token:" + t.id == caller.credential]
    return found[0] if found else None


def is_open(directory, target, source) -> bool:
    if source in ("cli", "tty", "command") or source.startswith("system:"):
        return True
    exposure = directory.exposure
    opened = source in target.expose or any(
        source in sources and stands_for(pattern, target.name) for pattern, sources in exposure.expose.items()
    )
    closed = any(
        source in sources and stands_for(pattern, target.name) for pattern, sources in exposure.withhold.items()
    )
    return opened and not closed


def rank_on(directory, caller, kind, name) -> int:
    """The best of what the principal is and what grants say, no better than the token allows."""
    if caller.credential == "":
        return RANK[caller.role]
    ranks = [0]
    if kind != "runs":
        ranks += [RANK[p.role] for p in directory.principals.values() if p.name == caller.principal]
    ranks += [
        RANK[g.role]
        for g in directory.grants.values()
        if g.principal == caller.principal and any(speaks_of(p, kind, name) for p in g.on)
    ]
    token = the_token(directory, caller)
    most = 3 if token is None or token.role is None else RANK[token.role]
    return min(max(ranks), most)


def in_scope(directory, caller, kind, name) -> bool:
    token = the_token(directory, caller)
    if token is None:
        return True
    return any(speaks_of(p, kind, name) or (kind == "stream" and p == "*") for p in token.on)


def verdict(directory, target, caller, now) -> str:
    if not proof_is_good(directory, caller, now):
        return "unauthenticated"
    if target.local and not (
        caller.credential == ""
        and all(source in ("cli", "tty", "command") for source in [*caller.chain, caller.source])
    ):
        return "not_found"
    if not all(is_open(directory, target, source) for source in [*caller.chain, caller.source]):
        return "not_found"
    if target.kind == "stream" and target.name == "run/*":
        return "allowed"  # whose the run is decides, see sees_run
    if not in_scope(directory, caller, target.kind, target.name):
        return "not_found"
    rank = rank_on(directory, caller, target.kind, target.name)
    if rank == 0:
        return "not_found"
    return "allowed" if rank >= RANK[target.role] else "forbidden"


def is_admin_everywhere(directory, caller) -> bool:
    if caller.credential == "":
        return caller.role == "admin"
    token = the_token(directory, caller)
    bounded = token is not None and token.role in ("viewer", "operator")
    return not bounded and any(p.role == "admin" for p in directory.principals.values() if p.name == caller.principal)


def sees_run(directory, run, caller, now) -> bool:
    if not proof_is_good(directory, caller, now):
        return False
    mine = run.principal == caller.principal
    token = the_token(directory, caller)
    if token is not None:
        reached = any(speaks_of(p, "runs", run.command_id) for p in token.on)
        as_mine = mine and any(speaks_of(p, "command", run.command_id) for p in token.on)
        if not reached and not as_mine:
            return False
    if mine or is_admin_everywhere(directory, caller):
        return True
    return caller.credential != "" and rank_on(directory, caller, "runs", run.command_id) > 0


def controls_run(directory, run, caller, now) -> bool:
    if not sees_run(directory, run, caller, now):
        return False
    token = the_token(directory, caller)
    if token is not None and token.role == "viewer":
        return False
    if run.principal == caller.principal or is_admin_everywhere(directory, caller):
        return True
    return rank_on(directory, caller, "runs", run.command_id) >= RANK["operator"]
