"""The one decision: may this caller, at this door, reach this target?

Local doors reach everything their role allows. Every remote source is refused unless the target is exposed
to it. A nested run is judged by its whole chain of doors, so it can never do what its origin may not. Whoever
proved who they are by a credential is judged by what the directory says of them now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from trunnion.access.directory import Directory, in_token_scope
from trunnion.model.access import SYSTEM, Kind, Token
from trunnion.model.errors import Forbidden, NotFound, TrunnionError, Unauthenticated
from trunnion.model.runs import LOCAL_SOURCES, ROLES, Caller, Role, Run

TOKEN = "token:"  # noqa: S105  # how the credential of a token's bearer begins
ADMIN: Role = "admin"
Verdict: TypeAlias = Literal["allowed", "forbidden", "not_found", "unauthenticated"]


class Target(msgspec.Struct, eq=False):
    """What is to be reached; made once for each compiled descriptor, so that decisions are remembered by it.

    Attributes:
        name: command id, query id, stream name, or the pattern of a family of streams.
        revision: of the descriptor.
        role: the least role that may reach it.
        expose: remote sources that may reach it, as declared.
    """

    kind: Kind
    name: str
    revision: str
    role: Role
    expose: frozenset[str]


class Decision(msgspec.Struct, frozen=True):
    """What policy says.

    Attributes:
        rule: the rule that decided, for the record and for explanations.
        until: UTC microseconds at which an expiring token may change it, None if only a change of policy can.
    """

    verdict: Verdict
    rule: str
    until: int | None = None

    @property
    def allowed(self) -> bool:
        """Whether it may pass."""
        return self.verdict == "allowed"

    @property
    def visible(self) -> bool:
        """Whether the caller may know that the target exists."""
        return self.verdict in ("allowed", "forbidden")


def is_local(source: str) -> bool:
    """Whether a door is reachable only by the owner of the data directory, or is a plugin itself."""
    return source in LOCAL_SOURCES or source.startswith(SYSTEM)


def decide(directory: Directory, target: Target, caller: Caller, now: int) -> Decision:
    """Judge one caller and one target; the first rule that refuses decides.

    Args:
        directory: who there is.
        target: what is to be reached.
        caller: who wants to, by which doors.
        now: UTC microseconds.
    """
    lost = credential_problem(directory, caller, now)
    if lost:
        return Decision("unauthenticated", lost)
    exposed = directory.exposed(target.expose, target.name)
    for source in (*caller.chain, caller.source):
        if not is_local(source) and source not in exposed:
            return Decision("not_found", f"not exposed to {source}")
    token = token_of(directory, caller)
    until = token.expires if token is not None else None
    if token is not None and not in_token_scope(token, target.kind, target.name):
        return Decision("not_found", f"outside the scope of token {token.id}", until)
    role, rule = role_on(directory, caller, target.kind, target.name)
    if role is None:
        return Decision("not_found", f"{caller.principal} has no role on it", until)
    if ROLES[role] < ROLES[target.role]:
        return Decision("forbidden", f"needs role {target.role}, has {role}", until)
    return Decision("allowed", f"{rule} at {caller.source}", until)


def credential_problem(directory: Directory, caller: Caller, now: int) -> str:
    """Why what proved the caller no longer does, ``""`` while it does."""
    if not caller.credential:
        return ""
    principal = directory.principals.get(caller.principal)
    if principal is None:
        return f"there is no principal {caller.principal!r} any more"
    if principal.disabled:
        return f"{caller.principal} is disabled"
    if caller.credential.startswith(TOKEN):
        token = token_of(directory, caller)
        if token is None or token.principal != caller.principal:
            return "the token was revoked"
        if token.expires is not None and token.expires <= now:
            return "the token has expired"
    elif caller.credential == "password" and not principal.has_password:
        return f"{caller.principal} has no password any more"
    return ""


def token_of(directory: Directory, caller: Caller) -> Token | None:
    """The token a caller came with."""
    return directory.tokens.get(caller.credential.removeprefix(TOKEN)) if caller.credential.startswith(TOKEN) else None


def role_on(directory: Directory, caller: Caller, kind: Kind, name: str) -> tuple[Role | None, str]:
    """The caller's role on a target, bounded by its token, and the rule that gives it."""
    if not caller.credential:
        role: Role | None = caller.role
        return role, f"{caller.principal} is {role}"
    role, rule = directory.role_on(caller.principal, kind, name)
    token = token_of(directory, caller)
    if role is not None and token is not None and token.role is not None and ROLES[token.role] < ROLES[role]:
        return token.role, f"{rule}, at most {token.role} with token {token.id}"
    return role, rule


def refusal(decision: Decision, kind: str, name: str) -> TrunnionError:
    """The error for a refused decision: what may not be seen is answered as if it did not exist."""
    if decision.verdict == "unauthenticated":
        return Unauthenticated(f"log in again: {decision.rule}")
    if decision.visible:
        return Forbidden(f"{kind} {name} is not allowed: {decision.rule}", {"rule": decision.rule, kind: name})
    return NotFound(f"there is no {kind} {name!r}", {kind: name})


class Policy:
    """Decides by the present directory and remembers, until something changes.

    Args:
        now: UTC microseconds.

    Attributes:
        generation: counts changes of the directory.
        listeners: called after each change.
    """

    LIMIT = 10_000

    def __init__(self, now: Callable[[], int], directory: Directory | None = None) -> None:
        self.directory = directory or Directory()
        self.generation = 0
        self.listeners: list[Callable[[], None]] = []
        self._now = now
        self._known: dict[tuple[Target, Caller], Decision] = {}

    def decide(self, target: Target, caller: Caller) -> Decision:
        """The decision for a target; a changed descriptor is another target and judged anew."""
        key = (target, caller)
        found = self._known.get(key)
        if found is None or (found.until is not None and found.until <= self._now()):
            if len(self._known) >= self.LIMIT:
                self._known.clear()
            found = self._known[key] = decide(self.directory, target, caller, self._now())
        return found

    def replace(self, directory: Directory) -> None:
        """Decide by another directory from now on; whoever follows a stream is judged again."""
        self.directory = directory
        self.generation += 1
        self._known.clear()
        for listener in list(self.listeners):
            listener()

    def role_of(self, caller: Caller) -> Role | None:
        """The caller's role where no grant for a particular target counts; None: nothing is left of it."""
        if credential_problem(self.directory, caller, self._now()):
            return None
        return role_on(self.directory, caller, "command", "")[0]

    def is_admin(self, caller: Caller) -> bool:
        """Whether the caller is admin everywhere; one whose token has a narrow scope is not."""
        token = token_of(self.directory, caller)
        return self.role_of(caller) == ADMIN and (token is None or "*" in token.on)

    # -- runs -------------------------------------------------------------------------------------

    def may_see_run(self, run: Run, caller: Caller) -> bool:
        """Whether a run, its stream, result and artifacts are visible: to its principal, to admins, by a grant."""
        return self._run_role(run, caller) is not None

    def may_control_run(self, run: Run, caller: Caller) -> bool:
        """Whether it may be cancelled: by its principal, by admins, by operators of a grant on ``runs:``."""
        role = self._run_role(run, caller)
        return role is not None and ROLES[role] >= ROLES["operator"]

    def _run_role(self, run: Run, caller: Caller) -> Role | None:
        if not caller.credential:
            return ADMIN if run.principal == caller.principal or caller.role == ADMIN else None
        if credential_problem(self.directory, caller, self._now()):
            return None
        token = token_of(self.directory, caller)
        if token is not None and not self._in_scope(token, run, caller):
            return None
        if self.is_admin(caller):
            return ADMIN
        granted = role_on(self.directory, caller, "runs", run.command_id)[0]
        if run.principal != caller.principal:
            return granted
        return "viewer" if token is not None and token.role == "viewer" else ADMIN

    def _in_scope(self, token: Token, run: Run, caller: Caller) -> bool:
        if in_token_scope(token, "runs", run.command_id):
            return True
        return run.principal == caller.principal and in_token_scope(token, "command", run.command_id)
