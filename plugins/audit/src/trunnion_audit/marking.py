"""How far the log was, kept in the host's store: what was done to all of it while no host looked is told at the start.

Beside the log itself nobody would know that there was one: who removes the folder, or the end of the log together with
``checkpoint.json``, leaves something that looks like a first start, or like an earlier day.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from trunnion import Json, State, TrunnionError
from trunnion_audit.log import Log

MARK: Final = "mark"


class _Mark(msgspec.Struct, frozen=True):
    """A place in a log.

    Attributes:
        first: id of the first key of the log, which is another one for every log.
        n: number of a record it had.
    """

    first: str
    n: int


class Marking:
    """Keeps the mark.

    Args:
        state: what the plugin keeps in the host's store.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: _Mark | None = None

    async def keep(self, log: Log) -> None:
        """Keep how far a log is; nothing is written where that is kept already."""
        mark = _Mark(log.keys[0].id, log.state.n)
        if mark != self._kept:
            with suppress(TrunnionError):  # a store that takes nothing says so itself
                await self._state.put(MARK, {"first": mark.first, "n": mark.n})
                self._kept = mark

    async def problem_of(self, log: Log) -> dict[str, Json]:
        """What is wrong with a log that was just opened, as a fault is told; empty if nothing is."""
        kept = await self._state.get(MARK)
        try:
            mark = None if kept is None else msgspec.convert(kept.value, _Mark)
        except msgspec.ValidationError:
            mark = None
        now = _Mark(log.keys[0].id, log.state.n)
        if mark is None or (mark.first == now.first and mark.n <= now.n):
            return {}
        if mark.first != now.first:
            reason, text = "replaced", f"this is not the log that had {mark.n} records when it was last looked at"
        else:
            reason, text = (
                "shortened",
                f"the log ended with record {now.n}, and had {mark.n} when it was last looked at",
            )
        return {"reason": reason, "text": f"{text}; a copy of its checkpoints elsewhere shows more"}
