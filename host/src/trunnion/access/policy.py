"""The one decision: may this caller, at this door, reach this target?

Local doors reach everything their role allows. Every remote source is refused unless the target's
``expose`` names it. A nested run is judged by its origin too, so it can never do what the origin may not.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from trunnion.model.errors import Forbidden, NotFound, TrunnionError
from trunnion.model.runs import LOCAL_SOURCES, ROLES, Caller, Role, Run


class Target(Protocol):
    """What is to be reached: the parts of a descriptor that policy looks at."""

    @property
    def role(self) -> Role:
        """The least role that may reach it."""

    @property
    def expose(self) -> frozenset[str]:
        """Remote sources that may reach it."""


class Decision(msgspec.Struct, frozen=True):
    """What policy says.

    Attributes:
        allowed: whether it may pass.
        visible: whether the caller may know that the target exists.
        rule: the rule that decided, for the record and for explanations.
    """

    allowed: bool
    visible: bool
    rule: str


def is_local(source: str) -> bool:
    """Whether a door is reachable only by the owner of the data directory, or is a plugin itself."""
    return source in LOCAL_SOURCES or source.startswith("system:")


def decide(target: Target, caller: Caller) -> Decision:
    """Judge one caller and one target."""
    for source in (*caller.chain, caller.source):
        if not is_local(source) and source not in target.expose:
            return Decision(False, False, f"not exposed to {source}")
    if ROLES[caller.role] < ROLES[target.role]:
        return Decision(False, True, f"needs role {target.role}, has {caller.role}")
    return Decision(True, True, f"role {caller.role} at {caller.source}")


def refusal(decision: Decision, kind: str, name: str) -> TrunnionError:
    """The error for a refused decision: what may not be seen is answered as if it did not exist."""
    if decision.visible:
        return Forbidden(f"{kind} {name} is not allowed: {decision.rule}", {"rule": decision.rule, kind: name})
    return NotFound(f"there is no {kind} {name!r}", {kind: name})


def may_see_run(run: Run, caller: Caller) -> bool:
    """Whether a run, its stream, result and artifacts are visible: to its principal and to admins."""
    return run.principal == caller.principal or caller.role == "admin"


class DecisionCache:
    """Decisions by (target revision, principal, role, door), dropped whole when policy changes.

    A decision depends on nothing else, so a changed descriptor has another revision and is judged anew.
    """

    LIMIT = 10_000

    def __init__(self) -> None:
        self._known: dict[tuple[str, Caller], Decision] = {}

    def decide(self, revision: str, target: Target, caller: Caller) -> Decision:
        """The decision for a target of this revision."""
        key = (revision, caller)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self.LIMIT:
                self._known.clear()
            found = self._known[key] = decide(target, caller)
        return found

    def forget(self) -> None:
        """Policy has changed."""
        self._known.clear()
