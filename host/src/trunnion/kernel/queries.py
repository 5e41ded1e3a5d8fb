"""Queries: resolved, judged and checked like commands, answered without a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from trunnion.access.redaction import NOTHING, Redactor
from trunnion.arguments import Bound
from trunnion.kernel.asked import bind
from trunnion.kernel.authorizers import Authorizers
from trunnion.kernel.entries import QueryEntry
from trunnion.kernel.file_arguments import FileArguments
from trunnion.kernel.gates import Gates
from trunnion.kernel.lookup import Lookup
from trunnion.kernel.masking import cleaned, mask, redactor_for, secrets_of
from trunnion.kernel.outcome import raised, returned
from trunnion.kernel.reporting import Report
from trunnion.kernel.telling import Telling
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.contributions import Admission as Question
from trunnion.model.errors import DeadlineExceeded, InternalError, TrunnionError, Unavailable, error_from_info
from trunnion.model.handled import is_defect
from trunnion.model.json import Json
from trunnion.model.runs import Caller

HOST = "host"


class Queries:
    """Answers queries."""

    def __init__(
        self,
        lookup: Lookup,
        gates: Gates,
        authorizers: Authorizers,
        telling: Telling,
        readers: DaemonThreads,
        report: Report,
        redactor: Redactor,
        files: FileArguments,
    ) -> None:
        self._lookup = lookup
        self._gates = gates
        self._authorizers = authorizers
        self._telling = telling
        self._readers = readers
        self._report = report
        self._redactor = redactor
        self._files = files

    async def query(
        self, caller: Caller, query_id: str, args: Mapping[str, Json] | None, argv: Sequence[str] | None = None
    ) -> Json:
        """Answer one query.

        Raises:
            TrunnionError: it was refused, took too long, or failed.
        """
        try:
            entry, bound, redactor = await self._admitted(caller, query_id, args, argv)
        except TrunnionError as error:
            clean = cleaned(error, self._redactor)
            self._telling.refused("query", self._redactor.text(query_id[:200]), caller, clean)
            if clean is error:
                raise
            raise clean from None
        try:
            call = partial(entry.parameters.call, entry.query.handler, caller, bound)
            return await self._answer(entry, redactor, call)
        except TrunnionError as error:
            clean = cleaned(error, self._redactor)
            if clean is error:
                raise
            raise clean from None

    async def _admitted(
        self, caller: Caller, query_id: str, args: Mapping[str, Json] | None, argv: Sequence[str] | None
    ) -> tuple[QueryEntry, Bound, Redactor]:
        entry, decision = self._lookup.query(query_id, caller)
        self._authorizers.check("query", entry.id, caller, "read", decision.rule)
        if not entry.available:
            raise Unavailable(f"query {entry.id} is not available at the moment: {entry.owner} is down")
        bound = bind(entry.parameters, args, None if argv is None else tuple(argv))
        bound = self._files.settled(entry.parameters, bound, caller)
        secrets = secrets_of(bound.args, entry.parameters, self._redactor)
        redactor = redactor_for(secrets, self._redactor)
        if self._gates.covers("queries"):
            await self._gates.admit(
                Question(
                    kind="query",
                    target=entry.id,
                    revision=entry.revision,
                    caller=caller,
                    decision=decision.rule,
                    args=mask(bound.args, secrets),
                    effect="read",
                )
            )
        if entry.parameters.files:
            named = bound
            bound = await in_thread(self._readers, lambda: self._files.located(entry.parameters, named, caller))
        return entry, bound, redactor

    async def _answer(self, entry: QueryEntry, redactor: Redactor, call: Callable[[], object]) -> Json:
        try:
            async with asyncio.timeout(entry.query.timeout):
                value = call() if entry.is_async else await in_thread(self._readers, call)
                outcome = returned(
                    await value if isinstance(value, Awaitable) else value, _for_answers(entry, redactor)
                )
        except TimeoutError:
            raise DeadlineExceeded(f"query {entry.id} took longer than {entry.query.timeout:g} s") from None
        except TrunnionError as error:
            raise _tellable(error, redactor) from None
        except BaseException as error:
            if _gone_away(error):
                raise
            if is_defect(error):
                self._report("query.raised", f"query {entry.id} raised {type(error).__name__}", error, redactor)
            info = raised(error, redactor).error
            why = info.message if info is not None else "it cancelled itself"
            raise InternalError(f"query {entry.id} failed: {why}") from error
        if outcome.error is not None:
            raise error_from_info(
                msgspec.structs.replace(outcome.error, message=f"query {entry.id}: {outcome.error.message}")
            )
        return outcome.result


def _for_answers(entry: QueryEntry, redactor: Redactor) -> Redactor:
    """What the host answers was cut when it was put on record."""
    return NOTHING if entry.owner == HOST else redactor


def _gone_away(error: BaseException) -> bool:
    """Whether a query ends because nobody waits for its answer any more, not for what its handler did."""
    task = asyncio.current_task()
    cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
    return cancelled or isinstance(error, GeneratorExit)


def _tellable(error: TrunnionError, redactor: Redactor) -> TrunnionError:
    """An error a handler raised, with nothing in it that no door could send."""
    info = raised(error, redactor).error or error.info
    error.args, error.message, error.details = (info.message,), info.message, dict(info.details)
    return error
