"""``host.explain``: which rule decides, who could change it, and what they would have to type."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from trunnion.access.doors import COMMON, hint
from trunnion.access.explain import Check, Explanation, explain, explain_run, grantors, together
from trunnion.access.identity import TOKEN
from trunnion.access.policy import is_local
from trunnion.builtin.explain_subject import Subject, Subjects, TargetKind
from trunnion.kernel.authorizers import Denied
from trunnion.kernel.core import Kernel
from trunnion.model.access import SYSTEM
from trunnion.model.commands import Query
from trunnion.model.errors import Forbidden, InvalidArguments, NotFound
from trunnion.model.json import Json
from trunnion.model.runs import LOCAL_SOURCES, Caller, Role

REMOTE = frozenset({"web", "rpc"})
LOGGED_IN = "login"
"""The credential of somebody who is taken to have proved who they are."""


class ExplainQuery(msgspec.Struct, frozen=True):
    """Explains decisions, never more than whoever asks may see."""

    kernel: Kernel

    def queries(self) -> list[Query]:
        """The one there is."""
        complete = {"principal": "principals.list"}
        title = "Why something is allowed or not"
        return [Query.of(self.explain, console="host", title=title, expose=REMOTE, complete=complete)]

    async def explain(
        self,
        caller: Caller,
        target: str,
        *,
        kind: TargetKind | None = None,
        principal: str | None = None,
        source: str | None = None,
        token_id: str | None = None,
    ) -> dict[str, Json]:
        """Which rule decides whether somebody may reach something, and what an admin would type to change it.

        Args:
            target: a command, a query, a stream or the id of a run.
            kind: which of these it is, where the name does not tell.
            principal: who wants to reach it, by default whoever asks; only admins may ask about others.
            source: the door, such as ``cli`` or ``web``.
            token_id: of the token that is shown there.
        """
        subject = await Subjects(self.kernel, caller).find(target, kind)
        about = self._about(caller, principal, source, token_id)
        found = self._judge(subject, about)
        denials = list(self._denials(subject, about, found))
        allowed = found.decision.allowed and not denials
        refused = denials[0].code if denials else found.decision.verdict
        checks = (*found.checks, *self._asked(denials, found))
        return {
            "target": subject.name,
            "kind": subject.kind,
            "principal": about.principal,
            "source": about.source,
            "allowed": allowed,
            "visible": found.decision.visible,
            "code": None if allowed else refused,
            "rule": _refusal(denials[0]) if denials else found.decision.rule,
            "checks": [msgspec.to_builtins(check) for check in checks],
            "gates": list[Json](self.kernel.gates.covering("" if subject.target is None else subject.target.kind)),
            "remedy": list[Json](found.remedy),
            "grantors": [] if allowed else list[Json](self._grantors(caller)),
        }

    def _judge(self, subject: Subject, about: Caller) -> Explanation:
        directory, now = self.kernel.policy.directory, self.kernel.clock.utc()
        parts = [] if subject.target is None else [explain(directory, subject.target, about, now)]
        if subject.run is not None:
            least: Role = "operator" if subject.kind == "run" else "viewer"
            parts.append(explain_run(directory, subject.run, about, now, least))
        return together(parts)

    def _denials(self, subject: Subject, about: Caller, found: Explanation) -> Iterator[Denied]:
        """What plugins say that may deny, asked as they would be."""
        if found.decision.allowed and subject.target is not None and subject.kind != "run":
            yield from self.kernel.authorizers.denials(
                subject.kind, subject.name, about, subject.effect, found.decision.rule
            )

    def _asked(self, denials: list[Denied], found: Explanation) -> Iterator[Check]:
        for denied in denials:
            yield Check("authorize", False, _refusal(denied))
        asked = self.kernel.authorizers.plugins
        if found.decision.allowed and asked and not denials:
            yield Check("authorize", True, f"no objection by {', '.join(asked)}")

    def _grantors(self, caller: Caller) -> list[str]:
        """Names of other principals are for admins."""
        return grantors(self.kernel.policy.directory) if self.kernel.policy.is_admin(caller) else ["an admin"]

    # -- who is asked about -----------------------------------------------------------------------

    def _about(self, caller: Caller, principal: str | None, source: str | None, token: str | None) -> Caller:
        """Whoever is asked about, at the door in question.

        Raises:
            Forbidden: it is another, and the caller is not admin.
        """
        name = principal or (self._bearer(caller, token) if token is not None else caller.principal)
        if name != caller.principal and not self.kernel.policy.is_admin(caller):
            raise Forbidden("only admins may ask about others: leave out the principal, or ask an admin")
        if source is not None:
            self._refuse_unknown(source)
        if name.startswith(SYSTEM) and name != caller.principal:
            return Caller(name, source or name, self.kernel.identities.system_role(name.removeprefix(SYSTEM)))
        door = source or (caller.source if name == caller.principal else "web")
        if token is not None:
            return self._with_token(caller, name, door, token)
        if name != caller.principal or (not caller.credential and not is_local(door)):
            return Caller(name, door, credential=LOGGED_IN)
        return msgspec.structs.replace(caller, source=door)

    def _refuse_unknown(self, source: str) -> None:
        """A misspelt door would be explained as one that is closed."""
        kernel = self.kernel
        exposure = kernel.policy.directory.exposure
        named = (*exposure.expose.values(), *exposure.withhold.values())
        commands = (entry.target.expose for entry in kernel.registry.all_commands())
        queries = (entry.target.expose for entry in kernel.registry.all_queries())
        known = LOCAL_SOURCES.union(COMMON, (part.source for part in kernel.parts), *named, *commands, *queries)
        if source not in known and not is_local(source):
            raise InvalidArguments(f"no door {source!r} is known here{hint(source, known)}", {"source": source})

    def _bearer(self, caller: Caller, token_id: str) -> str:
        """Whose a token is; of tokens of others only admins are told that there are any."""
        token = self.kernel.policy.directory.tokens.get(token_id)
        if token is None or (token.principal != caller.principal and not self.kernel.policy.is_admin(caller)):
            raise NotFound(f"there is no token {token_id!r}", {"token_id": token_id})
        return token.principal

    def _with_token(self, caller: Caller, name: str, door: str, token_id: str) -> Caller:
        narrow = caller.credential.startswith(TOKEN) and not self.kernel.policy.is_admin(caller)
        if narrow and caller.credential != TOKEN + token_id:
            raise NotFound(f"there is no token {token_id!r}", {"token_id": token_id})
        if self._bearer(caller, token_id) != name:
            raise InvalidArguments(f"token {token_id} is another's: leave out the principal")
        return Caller(name, door, credential=TOKEN + token_id)


def _refusal(denied: Denied) -> str:
    return f"plugin {denied.plugin!r} refuses: {denied.reason}"
