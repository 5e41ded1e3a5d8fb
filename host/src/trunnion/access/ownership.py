"""Whose runs are whose: a run belongs to its principal; admins and grants on ``runs:`` reach those of others."""

from __future__ import annotations

from typing import NamedTuple

from trunnion.access.directory import Directory, both, in_token_scope, spoken_of
from trunnion.access.identity import ADMIN, credential_problem, role_everywhere, role_on, token_of
from trunnion.model.access import Token
from trunnion.model.runs import Caller, Role, Run


class Seen(NamedTuple):
    """Some of the runs a caller may see: those of a principal (None: of anybody) of commands that match."""

    principal: str | None
    command: str


def run_role(directory: Directory, run: Run, caller: Caller, now: int) -> Role | None:
    """What a caller is towards a run: its principal is admin of it. None: it may not even be seen."""
    if not caller.credential:
        return ADMIN if run.principal == caller.principal or role_everywhere(directory, caller) == ADMIN else None
    if credential_problem(directory, caller, now):
        return None
    own, token = run.principal == caller.principal, token_of(directory, caller)
    if token is not None and not reaches_run(token, run):
        return None
    if role_everywhere(directory, caller) == ADMIN:
        return ADMIN
    if own:
        return "viewer" if token is not None and token.role == "viewer" else ADMIN
    return role_on(directory, caller, "runs", run.command_id)[0]


def reaches_run(token: Token, run: Run) -> bool:
    """Whether a run is in the scope of a token: by ``runs:``, one's own by the command, too."""
    if in_token_scope(token, "runs", run.command_id):
        return True
    return token.principal == run.principal and in_token_scope(token, "command", run.command_id)


def seen_runs(directory: Directory, caller: Caller, now: int) -> list[Seen]:
    """The runs ``run_role`` finds a role for, as what a list can be narrowed to; together they are all of them."""
    if not caller.credential:
        return [Seen(None if role_everywhere(directory, caller) == ADMIN else caller.principal, "*")]
    if credential_problem(directory, caller, now):
        return []
    token = token_of(directory, caller)
    others = ["*"] if role_everywhere(directory, caller) == ADMIN else _granted(directory, caller.principal)
    own = ["*"]
    if token is not None:
        reach = spoken_of(token.on, "runs")
        others = [shared for a in others for b in reach if (shared := both(a, b)) is not None]
        own = [*reach, *spoken_of(token.on, "command")]
    found = [Seen(None, pattern) for pattern in others] + [Seen(caller.principal, pattern) for pattern in own]
    return list(dict.fromkeys(found))


def _granted(directory: Directory, principal: str) -> list[str]:
    return [pattern for grant in directory.grants_of(principal) for pattern in spoken_of(grant.on, "runs")]
