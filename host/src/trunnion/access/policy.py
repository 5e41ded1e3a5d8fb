"""The one decision: may this caller, at this door, reach this target?

Local doors reach everything their role allows. Every remote source is refused unless the target is exposed
to it; what is declared local is exposed to none. A nested run is judged by its whole chain of doors, so it can never
do what its origin may not. Whoever proved who they are by a credential is judged by what the directory says of them
now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from trunnion.access.directory import Directory, in_token_scope
from trunnion.access.identity import ADMIN, credential_problem, role_everywhere, role_on, token_of, valid_until
from trunnion.access.ownership import Seen, run_role, seen_runs
from trunnion.model.access import SYSTEM, Kind
from trunnion.model.errors import Forbidden, NotFound, TrunnionError, Unauthenticated
from trunnion.model.events import RUN_STREAM
from trunnion.model.runs import LOCAL_SOURCES, ROLES, Caller, Role, Run

RUN_STREAMS = RUN_STREAM + "*"
LOCAL_ALONE = "it is local: for the owner of the data directory alone, at the doors cli and tty"
Verdict: TypeAlias = Literal["allowed", "forbidden", "not_found", "unauthenticated"]


class Target(msgspec.Struct, eq=False):
    """What is to be reached; made once for each compiled descriptor, so that decisions are remembered by it.

    Attributes:
        name: command id, query id, stream name, or the pattern of a family of streams.
        revision: of the descriptor.
        role: the least role that may reach it.
        expose: remote sources that may reach it, as declared.
        local: for the owner of the data directory at this machine alone; nothing opens it to others.
    """

    kind: Kind
    name: str
    revision: str
    role: Role
    expose: frozenset[str]
    local: bool = False


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


def is_owner_here(caller: Caller) -> bool:
    """Whether it is the owner of the data directory, all the way by doors that only they can open.

    A plugin that acts by itself is none: it may act because of something that came from afar.
    """
    return not caller.credential and LOCAL_SOURCES.issuperset((*caller.chain, caller.source))


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
    until = valid_until(directory, caller)
    if target.local and not is_owner_here(caller):
        return Decision("not_found", LOCAL_ALONE, until)
    closed = closed_door(directory, target, caller)
    if closed is not None:
        return Decision("not_found", f"not exposed to {closed}", until)
    if is_of_runs(target):
        return Decision("allowed", "whoever may see the run", until)
    token = token_of(directory, caller)
    if token is not None and not in_token_scope(token, target.kind, target.name):
        return Decision("not_found", f"outside the scope of token {token.id}", until)
    role, rule = role_on(directory, caller, target.kind, target.name)
    if role is None:
        return Decision("not_found", f"{caller.principal} has no role on it", until)
    if ROLES[role] < ROLES[target.role]:
        return Decision("forbidden", f"needs role {target.role}, has {role}", until)
    return Decision("allowed", f"{rule} at {caller.source}", until)


def is_of_runs(target: Target) -> bool:
    """Whether it is the streams of runs, about which it decides whose the run is; see ``run_role``."""
    return target.name == RUN_STREAMS


def closed_door(directory: Directory, target: Target, caller: Caller) -> str | None:
    """The first of the doors a caller came by that the target is not open to, outermost first."""
    remote = [source for source in (*caller.chain, caller.source) if not is_local(source)]
    if not remote:
        return None
    exposed = directory.exposed(target.expose, target.name)
    return next((source for source in remote if source not in exposed), None)


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

    LIMIT = 50_000
    """Decisions that are remembered: some callers times a large registry."""

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
            found = decide(self.directory, target, caller, self._now())
            self._remember(key, found)
        return found

    def _remember(self, key: tuple[Target, Caller], decision: Decision) -> None:
        """All but lost proofs: a token that has expired counts again when the clock is set right."""
        if len(self._known) >= self.LIMIT:
            self._known.clear()
        if decision.verdict == "unauthenticated":
            self._known.pop(key, None)
        else:
            self._known[key] = decision

    def is_open(self, target: Target, caller: Caller) -> bool:
        """Whether a target is open to all the doors a caller came by, whatever the caller may do there."""
        return closed_door(self.directory, target, caller) is None

    def replace(self, directory: Directory) -> None:
        """Decide by another directory from now on; whoever follows a stream is judged again."""
        self.directory = directory
        self.generation += 1
        self._known.clear()
        for listener in list(self.listeners):
            listener()

    def require(self, caller: Caller) -> None:
        """See to it that what proved the caller still does.

        Raises:
            Unauthenticated: it was revoked or has expired.
        """
        if caller.credential and (lost := credential_problem(self.directory, caller, self._now())):
            raise Unauthenticated(f"log in again: {lost}")

    def valid_until(self, caller: Caller) -> int | None:
        """UTC microseconds at which the caller's token expires, None if time alone changes nothing."""
        return valid_until(self.directory, caller)

    def role_of(self, caller: Caller) -> Role | None:
        """The caller's role where no grant for a particular target counts; None: nothing is left of it."""
        if credential_problem(self.directory, caller, self._now()):
            return None
        return role_everywhere(self.directory, caller)

    def is_admin(self, caller: Caller) -> bool:
        """Whether the caller is admin everywhere; one whose token has a narrow scope is not."""
        token = token_of(self.directory, caller)
        return self.role_of(caller) == ADMIN and (token is None or "*" in token.on)

    def is_inside(self, caller: Caller) -> bool:
        """Whether the caller may know how the host is set up, with places and reasons: at local doors, and admins."""
        at_home = not caller.credential and all(map(is_local, (*caller.chain, caller.source)))
        return at_home or self.is_admin(caller)

    # -- runs -------------------------------------------------------------------------------------

    def may_see_run(self, run: Run, caller: Caller) -> bool:
        """Whether a run, its stream, result and artifacts are visible: to its principal, to admins, by a grant."""
        return run_role(self.directory, run, caller, self._now()) is not None

    def may_control_run(self, run: Run, caller: Caller) -> bool:
        """Whether it may be cancelled: by its principal, by admins, by operators of a grant on ``runs:``."""
        role = run_role(self.directory, run, caller, self._now())
        return role is not None and ROLES[role] >= ROLES["operator"]

    def seen_runs(self, caller: Caller) -> list[Seen]:
        """All runs the caller may see, as what a list can be narrowed to."""
        return seen_runs(self.directory, caller, self._now())

    def require_run(self, run: Run, caller: Caller) -> None:
        """See to it that a caller may see a run.

        Raises:
            Unauthenticated: what proved the caller no longer does.
            NotFound: it may not.
        """
        self.require(caller)
        if not self.may_see_run(run, caller):
            raise NotFound(f"there is no run {run.id!r}", {"run_id": run.id})
