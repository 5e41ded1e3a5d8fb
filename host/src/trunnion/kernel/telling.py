"""Who is told of refusals, of ends of runs, and of changes before they are made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias, TypeVar

import msgspec

from trunnion.kernel.output import current
from trunnion.kernel.reporting import Report
from trunnion.model.errors import TrunnionError, Unavailable
from trunnion.model.runs import Caller, Run
from trunnion.model.told import HostChange, Refused

T = TypeVar("T")
Kind: TypeAlias = Literal["command", "query", "stream"]
OnRefusal: TypeAlias = Callable[[Refused], None]
OnEnd: TypeAlias = Callable[[Run, bool], None]
BeforeChange: TypeAlias = Callable[[HostChange], Awaitable[None]]

PATIENCE = 10.0
"""Seconds one listener may take before a change is made."""


class Telling:
    """The listeners of one host. On its loop only.

    Args:
        report: told of listeners that fail.

    Attributes:
        counts: refusals by code.
    """

    def __init__(self, report: Report) -> None:
        self.counts: Counter[str] = Counter()
        self.on_refusal: list[OnRefusal] = []
        self.on_end: list[OnEnd] = []
        self.before_change: list[BeforeChange] = []
        self._report = report

    # -- refusals ---------------------------------------------------------------------------------

    def refused(self, kind: Kind, target: str, caller: Caller, error: TrunnionError, run_id: str = "") -> None:
        """Count a refusal, and tell of it; the error has been cleaned of secrets."""
        self.counts[error.code] += 1
        if self.on_refusal:
            self.tell(
                Refused(
                    kind=kind,
                    target=target,
                    source=caller.source,
                    caller=caller,
                    code=error.code,
                    reason=error.message,
                    run_id=run_id,
                )
            )

    def tell(self, refused: Refused) -> None:
        """Tell of a refusal that was counted."""
        for listener in self.on_refusal:
            try:
                listener(refused)
            except Exception as error:
                self._report("refusal.listener.failed", "a plugin could not take note of a refusal", error)

    # -- ends -------------------------------------------------------------------------------------

    def ended(self, run: Run, kept: bool) -> None:
        """Tell of a run that is on record with its end, or that keeps no record."""
        for listener in self.on_end:
            try:
                listener(run, kept)
            except Exception as error:
                self._report("end.listener.failed", f"a plugin could not take note of the end of run {run.id}", error)

    # -- changes ----------------------------------------------------------------------------------

    async def about_to(self, change: HostChange) -> None:
        """Tell of a change, and wait until all have taken note of it.

        Raises:
            TrunnionError: somebody could not, so the change must not be made.
        """
        if not self.before_change:
            return
        context = current.get()
        if context is not None and not change.run_id:
            run = context.run
            caller = change.caller or Caller(run.principal, run.source, run.role, run.chain, run.credential)
            change = msgspec.structs.replace(change, caller=caller, run_id=run.id)
        for listener in list(self.before_change):
            try:
                async with asyncio.timeout(PATIENCE):
                    await listener(change)
            except TrunnionError:
                raise
            except TimeoutError:
                raise Unavailable(f"{change.code}: a plugin did not take note of it within {PATIENCE:g} s") from None
            except Exception as error:
                text = f"{change.code} is not done: a plugin could not take note of it"
                self._report("change.listener.failed", text, error)
                raise Unavailable(f"{text}; the host's log says why") from error


def followed(listeners: list[T], listener: T) -> Callable[[], None]:
    """Add a listener; what is returned takes it out again, as often as one likes."""
    listeners.append(listener)

    def end() -> None:
        if listener in listeners:
            listeners.remove(listener)

    return end
