"""Why policy decides as it does, rule by rule, and what an administrator would have to type to change it.

The verdict is ``decide``'s own; the checks tell the same story with every rule looked at, also those after the
one that decided.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import msgspec

from trunnion.access.directory import Directory, covers, encloses, in_token_scope
from trunnion.access.identity import ADMIN, PASSWORD, credential_problem, role_everywhere, role_on, token_of
from trunnion.access.ownership import reaches_run, run_role
from trunnion.access.policy import (
    LOCAL_ALONE,
    Decision,
    Target,
    closed_door,
    decide,
    is_local,
    is_of_runs,
    is_owner_here,
)
from trunnion.model.access import Kind, Token
from trunnion.model.runs import ROLES, Caller, Role, Run

OWNER = "the owner of the data directory"


class Check(msgspec.Struct, frozen=True):
    """One rule, whether it lets the caller pass, and what it looked at."""

    check: str
    passed: bool
    text: str


class Explanation(msgspec.Struct, frozen=True):
    """A decision with its reasons.

    Attributes:
        remedy: lines to type at a shell, or to write into the configuration; empty where it is allowed.
    """

    decision: Decision
    checks: tuple[Check, ...]
    remedy: tuple[str, ...]


def explain(directory: Directory, target: Target, caller: Caller, now: int) -> Explanation:
    """Why a caller may reach a target, or not.

    Args:
        directory: who there is.
        target: what is to be reached.
        caller: who wants to, by which doors.
        now: UTC microseconds.
    """
    decision = decide(directory, target, caller, now)
    checks = tuple(_checks(directory, target, caller, now))
    remedy = () if decision.allowed else tuple(_remedies(directory, target, caller, now))
    return Explanation(decision, checks, remedy)


def grantors(directory: Directory) -> list[str]:
    """Who could change it: every admin, and whoever owns the data directory."""
    admins = (p.name for p in directory.principals.values() if p.role == ADMIN and not p.disabled)
    return [OWNER, *sorted(admins)]


# -- checks ----------------------------------------------------------------------------------------


def _checks(directory: Directory, target: Target, caller: Caller, now: int) -> Iterator[Check]:
    yield _credential(directory, caller, now)
    yield _exposure(directory, target, caller)
    if is_of_runs(target):
        return
    token = token_of(directory, caller)
    if token is not None:
        yield _scope(token, inside=in_token_scope(token, target.kind, target.name))
    yield _role(directory, target, caller)


def _credential(directory: Directory, caller: Caller, now: int) -> Check:
    lost = credential_problem(directory, caller, now)
    if lost:
        return Check("credential", False, lost)
    if caller.credential:
        return Check("credential", True, f"{caller.principal} is a principal and not disabled")
    return Check("credential", True, f"{caller.principal} comes by a door of the data directory's owner")


def _scope(token: Token, *, inside: bool) -> Check:
    word = "reaches" if inside else "does not reach"
    return Check("scope", inside, f"token {token.id} {word} it: its scope is {', '.join(token.on)}")


def _exposure(directory: Directory, target: Target, caller: Caller) -> Check:
    if target.local:
        return Check("exposure", is_owner_here(caller), LOCAL_ALONE)
    closed = closed_door(directory, target, caller)
    if closed is None and all(map(is_local, (*caller.chain, caller.source))):
        return Check("exposure", True, f"{caller.source} is a local door: it reaches everything")
    exposed = f"it is exposed to {', '.join(sorted(directory.exposed(target.expose, target.name))) or 'no remote door'}"
    if closed is None:
        return Check("exposure", True, exposed)
    withheld = list(_withholding(directory, target, closed))
    why = f"it is withheld from {closed} by {withheld[0]!r}" if withheld else f"not to {closed}: {exposed}"
    return Check("exposure", False, why)


def _withholding(directory: Directory, target: Target, source: str) -> Iterator[str]:
    for pattern, sources in directory.exposure.withhold.items():
        if source in sources and encloses(pattern, target.name):
            yield pattern


def _role(directory: Directory, target: Target, caller: Caller) -> Check:
    role, rule = role_on(directory, caller, target.kind, target.name)
    if role is None:
        return Check("role", False, f"{caller.principal} has no role on it; it needs {target.role}")
    return Check("role", ROLES[role] >= ROLES[target.role], f"{rule}; it needs {target.role}")


# -- remedies --------------------------------------------------------------------------------------


def _remedies(directory: Directory, target: Target, caller: Caller, now: int) -> Iterator[str]:
    """In the order in which the rules are asked; whatever is refused for two reasons has two remedies."""
    if target.local and not is_owner_here(caller):
        yield _line(
            "run", target.name
        )  # as the owner, at the machine: whatever else were changed, it would be of no use
        return
    yield from _for_credential(directory, target.role, caller, now)
    closed = closed_door(directory, target, caller)
    if closed is not None:
        yield from _for_exposure(directory, target, closed)
    if is_of_runs(target):
        return
    token = token_of(directory, caller)
    if token is not None and not in_token_scope(token, target.kind, target.name):
        yield _line("tokens", "create", caller.principal, "--on", scope_of(target.kind, target.name))
    yield from _for_role(directory, target, caller)


def _for_credential(directory: Directory, least: Role, caller: Caller, now: int) -> Iterator[str]:
    if not credential_problem(directory, caller, now):
        return
    principal = directory.principals.get(caller.principal)
    if principal is None:
        yield _line("principals", "add", caller.principal, "--role", least)
    elif principal.disabled:
        yield _line("principals", "set", caller.principal, "--no-disabled")
    elif caller.credential.startswith(PASSWORD):
        yield _line("principals", "password", caller.principal)
    else:
        yield _line("tokens", "create", caller.principal)


def _for_exposure(directory: Directory, target: Target, source: str) -> Iterator[str]:
    withheld = list(_withholding(directory, target, source))
    for pattern in withheld:
        yield f'[access.withhold] {_quoted(pattern)}: take "{source}" out'
    opened = (s for pattern, s in directory.exposure.expose.items() if covers(pattern, target.name))
    if not withheld or source not in target.expose.union(*opened):
        yield f'[access.expose] {_quoted(target.name)} = ["{source}"]'


def _for_role(directory: Directory, target: Target, caller: Caller) -> Iterator[str]:
    """A grant lifts who is a principal; a token that bounds the role must be another token."""
    role = role_on(directory, caller, target.kind, target.name)[0]
    if role is not None and ROLES[role] >= ROLES[target.role]:
        return
    principal = caller.principal
    if not caller.credential or principal not in directory.principals:
        return
    without_token = directory.role_on(principal, target.kind, target.name)[0]
    if without_token is None or ROLES[without_token] < ROLES[target.role]:
        yield _line("grants", "add", principal, target.role, scope_of(target.kind, target.name))
    token = token_of(directory, caller)
    if token is not None and token.role is not None and ROLES[token.role] < ROLES[target.role]:
        yield _line("tokens", "create", principal, "--role", target.role)


def scope_of(kind: Kind, name: str) -> str:
    """A target as a pattern of a grant or token."""
    return name if kind in ("command", "query") else f"{kind}:{name}"


def _line(*words: str) -> str:
    return shlex.join(("trunnion", *words))


def _quoted(pattern: str) -> str:
    return f'"{pattern}"'


# -- runs ------------------------------------------------------------------------------------------


def explain_run(directory: Directory, run: Run, caller: Caller, now: int, least: Role) -> Explanation:
    """Why a caller may reach a run, or not.

    Args:
        directory: who there is.
        run: what is to be reached.
        caller: who wants to.
        now: UTC microseconds.
        least: what it must be towards the run: viewer to look at it, operator to cancel it.
    """
    decision = _run_decision(directory, run, caller, now, least)
    remedy = () if decision.allowed else tuple(_for_run(directory, run, caller, now, least))
    return Explanation(decision, tuple(_run_checks(directory, run, caller, now)), remedy)


def _run_decision(directory: Directory, run: Run, caller: Caller, now: int, least: Role) -> Decision:
    lost, role, token = (
        credential_problem(directory, caller, now), run_role(directory, run, caller, now), token_of(directory, caller)
    )  # fmt: skip
    if lost:
        return Decision("unauthenticated", lost)
    if token is not None and not reaches_run(token, run):
        return Decision("not_found", f"outside the scope of token {token.id}")
    if role is None:
        return Decision("not_found", "the run is another's")
    if ROLES[role] < ROLES[least]:
        return Decision("forbidden", f"{caller.principal} may look at the run, not change it")
    return Decision("allowed", next(c.text for c in _whose(directory, run, caller) if c.passed))


def _run_checks(directory: Directory, run: Run, caller: Caller, now: int) -> Iterator[Check]:
    yield _credential(directory, caller, now)
    token = token_of(directory, caller)
    if token is not None:
        yield _scope(token, inside=reaches_run(token, run))
    yield from _whose(directory, run, caller)


def _whose(directory: Directory, run: Run, caller: Caller) -> Iterator[Check]:
    own = run.principal == caller.principal
    yield Check("owner", own, f"it is {'a' if own else 'no'} run of {caller.principal}")
    admin = role_everywhere(directory, caller) == ADMIN
    yield Check("admin", admin, f"{caller.principal} is {'' if admin else 'not '}admin everywhere")
    granted, rule = role_on(directory, caller, "runs", run.command_id) if caller.credential else (None, "")
    yield Check("grant", granted is not None, rule or f"{caller.principal} has no grant on runs:{run.command_id}")


def _for_run(directory: Directory, run: Run, caller: Caller, now: int, least: Role) -> Iterator[str]:
    if caller.principal not in directory.principals or credential_problem(directory, caller, now):
        yield from _for_credential(directory, least, caller, now)
        return
    principal, token, runs = caller.principal, token_of(directory, caller), scope_of("runs", run.command_id)
    if token is not None and not reaches_run(token, run):
        yield _line("tokens", "create", principal, "--on", runs)
    elif token is not None and token.role is not None and ROLES[token.role] < ROLES[least]:
        yield _line("tokens", "create", principal, "--role", least)
    if principal != run.principal:
        yield _line("grants", "add", principal, least, runs)


def together(parts: Sequence[Explanation]) -> Explanation:
    """Several explanations as one: the first that refuses decides."""
    deciding = next((part for part in parts if not part.decision.allowed), parts[0])
    return Explanation(
        deciding.decision,
        tuple(dict.fromkeys(check for part in parts for check in part.checks)),
        tuple(dict.fromkeys(line for part in parts for line in part.remedy)),
    )
