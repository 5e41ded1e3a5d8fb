"""Gates: everybody who may still refuse is asked, in batches, each with a deadline, fail-closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeGuard

from trunnion.kernel.blame import AWAITED, Blame
from trunnion.model.commands import Effect
from trunnion.model.contributions import Admission, Allow, Deny, Gate, Hold, Verdict
from trunnion.model.errors import Busy as BusyError
from trunnion.model.errors import Forbidden, TrunnionError, Unavailable
from trunnion.model.runs import Caller, Run

_DENIALS: dict[str, type[TrunnionError]] = {"forbidden": Forbidden, "unavailable": Unavailable, "busy": BusyError}


class Gates:
    """All gates of the host.

    Args:
        gates: by owner, in order of name.
        report: told of gates that fail.
        blame: counts those, and the slow ones.
        provided: the object a plugin gets for a type.
    """

    def __init__(
        self,
        gates: Sequence[tuple[str, Gate]],
        report: Callable[[str, str], None],
        blame: Blame,
        provided: Callable[[type, str], object],
    ) -> None:
        self._gates: list[tuple[str, Gate]] = []
        self._provided = provided
        self.add(gates)
        self._report = report
        self._blame = blame
        self._waiting: list[tuple[Admission, asyncio.Future[Hold | None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, gates: Sequence[tuple[str, Gate]]) -> None:
        """Ask these too from now on: those that record come last, so that they record what nobody else refuses."""
        self._gates = sorted([*self._gates, *gates], key=lambda each: each[1].records)

    def covers(self, kind: str) -> bool:
        """Whether anybody wants to be asked about a kind: commands, queries or streams."""
        return bool(self._gates) and any(kind in gate.covers for _, gate in self._gates)

    def covering(self, kind: str) -> list[str]:
        """Names of the gates that are asked about a ``command``, ``query`` or ``stream``."""
        return [gate.name for _, gate in self._gates if _PLURALS.get(kind) in gate.covers]

    @property
    def recorded(self) -> frozenset[str]:
        """Of commands, queries and streams those that a gate puts on record before they take effect."""
        return frozenset[str]().union(*(gate.covers for _, gate in self._gates if gate.records))

    async def admit(self, admission: Admission) -> Hold | None:
        """Ask; returns a ``Hold`` if a gate wants the run held.

        Raises:
            TrunnionError: a gate refused, failed, or did not answer in time.
        """
        future: asyncio.Future[Hold | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((admission, future))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send)
        return await future

    def _send(self) -> None:
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._judge(batch), name="gates")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge(self, batch: list[tuple[Admission, asyncio.Future[Hold | None]]]) -> None:
        held: dict[str, Hold] = {}
        open_ = dict(enumerate(batch))
        for owner, gate in self._gates:
            asked = {n: a for n, (a, _) in open_.items() if _PLURALS[a.kind] in gate.covers}
            if not asked:
                continue
            verdicts = await self._ask(owner, gate, list(asked.values()))
            for (number, admission), verdict in zip(asked.items(), verdicts, strict=True):
                if isinstance(verdict, Deny):
                    _refuse(open_.pop(number)[1], verdict, gate, admission)
                elif isinstance(verdict, Hold):
                    held.setdefault(admission.run_id, verdict)
        for admission, future in open_.values():
            if not future.done():
                future.set_result(held.get(admission.run_id) if admission.kind == "command" else None)

    async def _ask(self, owner: str, gate: Gate, asked: Sequence[Admission]) -> Sequence[Verdict]:
        what, began = f"gate {gate.name!r}", time.perf_counter()
        task = asyncio.get_running_loop().create_task(self._answer(owner, gate, asked), name=f"gate {gate.name}")
        done, _ = await asyncio.wait({task}, timeout=gate.deadline)
        answer = task.result() if done else None
        if not done:
            task.cancel()
            problem = f"did not answer within {gate.deadline:g} s"
            self._blame.missed(owner, what, gate.deadline)
        elif isinstance(answer, BaseException):
            problem = f"failed: {type(answer).__name__}: {answer}"
            self._blame.raised(owner, what, answer)
        elif _fits(answer, len(asked)):
            self._blame.took(owner, what, began, AWAITED)
            return answer
        else:
            problem = "gave an answer that does not fit its question"
            self._blame.failed(owner, what, problem)
        self._report("gate.failed", f"{what} of plugin {owner!r} {problem}; what it was asked about is refused")
        return [Deny(f"gate {gate.name!r} {problem}", "unavailable")] * len(asked)

    async def _answer(self, owner: str, gate: Gate, asked: Sequence[Admission]) -> object:
        """What a gate says, or what it raised: nothing it does may leave the question open."""
        try:
            if gate.of is None:
                return await gate.admit(asked)
            return await gate.admit(self._provided(gate.of, owner), asked)
        except BaseException as error:
            return error


def _fits(answer: object, count: int) -> TypeGuard[Sequence[Verdict]]:
    if not isinstance(answer, Sequence) or len(answer) != count:
        return False
    return all(isinstance(verdict, Allow | Deny | Hold) for verdict in answer)


_PLURALS = {"command": "commands", "query": "queries", "stream": "streams"}


def _refuse(future: asyncio.Future[Hold | None], verdict: Deny, gate: Gate, admission: Admission) -> None:
    if not future.done():
        error = _DENIALS.get(verdict.code, Forbidden)
        text = f"{admission.kind} {admission.target} was refused by gate {gate.name!r}: {verdict.reason}"
        future.set_exception(error(text, {"gate": gate.name, "reason": verdict.reason}))


def question_of(run: Run, caller: Caller, effect: Effect) -> Admission:
    """What gates are asked about a run to be."""
    return Admission(
        kind="command",
        target=run.command_id,
        revision=run.command_revision,
        caller=caller,
        run_id=run.id,
        args=run.args,
        args_digest=run.args_digest,
        parent_run_id=run.parent_run_id,
        session_id=run.session_id,
        decision=run.decision,
        effect=effect,
    )
