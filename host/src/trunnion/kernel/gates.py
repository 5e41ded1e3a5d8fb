"""Gates: everybody who may still refuse is asked, in batches, each with a deadline, fail-closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, TypeGuard

from trunnion.kernel.blame import AWAITED, Blame
from trunnion.model.commands import Effect
from trunnion.model.contributions import Admission, Allow, Deny, Gate, Hold, Verdict
from trunnion.model.errors import Busy as BusyError
from trunnion.model.errors import Forbidden, TrunnionError, Unavailable
from trunnion.model.runs import Caller, Run

_DENIALS: dict[str, type[TrunnionError]] = {"forbidden": Forbidden, "unavailable": Unavailable, "busy": BusyError}


_Waiting: TypeAlias = tuple[Admission, "asyncio.Future[Hold | None]"]


class _Round:
    """One batch on its way past the gates.

    Attributes:
        open: what nobody has refused yet, by its number in the batch.
        held: by run.
        gate: the gate it is at.
        over: it was given up here and goes on as another round.
        task: it is worked at by.
        late: what is done when the gate it is at does not answer in time.
    """

    __slots__ = ("gate", "held", "late", "open", "over", "task")

    def __init__(
        self, open_: dict[int, _Waiting] | None = None, held: dict[str, Hold] | None = None, gate: int = 0
    ) -> None:
        self.open = open_ or {}
        self.held = held if held is not None else {}
        self.gate = gate
        self.over = False
        self.task: asyncio.Task[None] | None = None
        self.late: Callable[[], None] = lambda: None

    def asked_of(self, gate: Gate) -> dict[int, Admission]:
        """What a gate covers."""
        return {n: asked for n, (asked, _) in self.open.items() if _PLURALS[asked.kind] in gate.covers}

    def take(self, gate: Gate, asked: dict[int, Admission], verdicts: Sequence[Verdict]) -> None:
        """Go by what a gate said."""
        for (number, admission), verdict in zip(asked.items(), verdicts, strict=True):
            if isinstance(verdict, Deny):
                _refuse(self.open.pop(number)[1], verdict, gate, admission)
            elif isinstance(verdict, Hold):
                self.held.setdefault(admission.run_id, verdict)

    def pass_rest(self) -> None:
        """Nobody is left to ask."""
        for admission, future in self.open.values():
            if not future.done():
                future.set_result(self.held.get(admission.run_id) if admission.kind == "command" else None)


class _Watch:
    """Sees to deadlines with one timer for all: nearly every gate answers long before its own."""

    def __init__(self) -> None:
        self._due: dict[_Round, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, round_: _Round, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._due[round_] = due = loop.time() + seconds
        if self._timer is None or self._timer.when() > due:
            self._arm(due)

    def discard(self, round_: _Round) -> None:
        self._due.pop(round_, None)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for round_ in [each for each, due in self._due.items() if due <= now]:
            del self._due[round_]
            round_.late()
        if self._due:
            self._arm(min(self._due.values()))


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
        self._waiting: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch = _Watch()

    def add(self, gates: Sequence[tuple[str, Gate]]) -> None:
        """Ask these too from now on: those that record come last, so that they record what nobody else refuses."""
        self._gates = sorted([*self._gates, *gates], key=lambda each: each[1].records)
        self._covered = frozenset[str]().union(*(gate.covers for _, gate in self._gates))

    def covers(self, kind: str) -> bool:
        """Whether anybody wants to be asked about a kind: commands, queries or streams."""
        return kind in self._covered

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
            self._begin(_Round())
        return await future

    def _begin(self, round_: _Round) -> None:
        round_.task = task = asyncio.get_running_loop().create_task(self._judge(round_), name="gates")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge(self, round_: _Round) -> None:
        """All who came in the same turn of the loop are one batch."""
        if not round_.open:
            round_.open = dict(enumerate(self._waiting))
            self._waiting = []
        while round_.gate < len(self._gates):
            owner, gate = self._gates[round_.gate]
            asked = round_.asked_of(gate)
            if asked:
                verdicts = await self._ask(owner, gate, round_, asked)
                if round_.over:
                    return
                round_.take(gate, asked, verdicts)
            round_.gate += 1
        round_.pass_rest()

    async def _ask(self, owner: str, gate: Gate, round_: _Round, asked: dict[int, Admission]) -> Sequence[Verdict]:
        what, began, batch = f"gate {gate.name!r}", time.perf_counter(), list(asked.values())
        round_.late = partial(self._late, owner, gate, round_, asked)
        self._watch.add(round_, gate.deadline)
        answer = await self._answer(owner, gate, batch)
        self._watch.discard(round_)
        if round_.over:
            return ()
        if isinstance(answer, BaseException):
            problem = f"failed: {type(answer).__name__}: {answer}"
            self._blame.raised(owner, what, answer)
        elif _fits(answer, len(batch)):
            self._blame.took(owner, what, began, AWAITED)
            return answer
        else:
            problem = "gave an answer that does not fit its question"
            self._blame.failed(owner, what, problem)
        return self._denials(owner, gate, problem, len(batch))

    def _late(self, owner: str, gate: Gate, round_: _Round, asked: dict[int, Admission]) -> None:
        """A gate has not answered in time: what it was asked about is refused, the rest goes on without it."""
        round_.over = True
        problem = f"did not answer within {gate.deadline:g} s"
        self._blame.missed(owner, f"gate {gate.name!r}", gate.deadline)
        round_.take(gate, asked, self._denials(owner, gate, problem, len(asked)))
        if round_.task is not None:
            round_.task.cancel()
        if round_.open:
            self._begin(_Round(round_.open, round_.held, round_.gate + 1))

    def _denials(self, owner: str, gate: Gate, problem: str, count: int) -> Sequence[Verdict]:
        text = f"gate {gate.name!r} of plugin {owner!r} {problem}; what it was asked about is refused"
        self._report("gate.failed", text)
        return [Deny(f"gate {gate.name!r} {problem}", "unavailable")] * count

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
