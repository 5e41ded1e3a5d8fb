"""Queries: resolved, judged and checked like commands, answered without a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from trunnion.access.policy import Policy, refusal
from trunnion.access.redaction import Redactor
from trunnion.kernel.admission import Admissions, bind
from trunnion.kernel.entries import QueryEntry
from trunnion.kernel.gates import Gates
from trunnion.kernel.masking import mask, redactor_for, secrets_of
from trunnion.kernel.outcome import is_defect, raised, returned
from trunnion.kernel.registry import Registry
from trunnion.kernel.reporting import Report
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.contributions import Admission as Question
from trunnion.model.errors import DeadlineExceeded, InternalError, TrunnionError, Unavailable, error_from_info
from trunnion.model.json import Json
from trunnion.model.runs import Caller


class Queries:
    """Answers queries."""

    def __init__(
        self,
        registry: Registry,
        policy: Policy,
        gates: Gates,
        admissions: Admissions,
        readers: DaemonThreads,
        report: Report,
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._gates = gates
        self._admissions = admissions
        self._readers = readers
        self._report = report

    async def query(
        self, caller: Caller, query_id: str, args: Mapping[str, Json] | None, argv: Sequence[str] | None = None
    ) -> Json:
        """Answer one query.

        Raises:
            TrunnionError: it was refused, took too long, or failed.
        """
        entry = self._registry.query(query_id)
        if entry is None:
            raise self._admissions.unknown("query", query_id, caller)
        decision = self._policy.decide(entry.target, caller)
        if decision.verdict == "not_found":
            raise self._admissions.unknown("query", query_id, caller)
        if not decision.allowed:
            raise refusal(decision, "query", query_id)
        if not entry.available:
            raise Unavailable(f"query {entry.id} is not available at the moment: {entry.owner} is down")
        bound = bind(entry.parameters, args, None if argv is None else tuple(argv))
        if self._gates.covers("queries"):
            await self._gates.admit(
                Question(
                    kind="query",
                    target=entry.id,
                    revision=entry.revision,
                    caller=caller,
                    decision=decision.rule,
                    args=mask(bound.args, entry.parameters),
                    effect="read",
                )
            )
        redactor = redactor_for(secrets_of(bound.args, entry.parameters))
        return await self._answer(entry, redactor, lambda: entry.parameters.call(entry.query.handler, caller, bound))

    async def _answer(self, entry: QueryEntry, redactor: Redactor, call: Callable[[], object]) -> Json:
        try:
            async with asyncio.timeout(entry.query.timeout):
                value = call() if entry.is_async else await in_thread(self._readers, call)
                outcome = returned(await value if isinstance(value, Awaitable) else value)
        except TimeoutError:
            raise DeadlineExceeded(f"query {entry.id} took longer than {entry.query.timeout:g} s") from None
        except TrunnionError:
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if is_defect(error):
                self._report("query.raised", f"query {entry.id} raised {type(error).__name__}", error, redactor)
            info = raised(error).error
            raise InternalError(f"query {entry.id} failed: {info.message if info else error}") from error
        if outcome.error is not None:
            raise error_from_info(
                msgspec.structs.replace(outcome.error, message=f"query {entry.id}: {outcome.error.message}")
            )
        return outcome.result
