"""Who is behind what goes wrong beside the runs: plugins that block, dawdle, raise or miss their deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.kernel.rarely import PAUSE, Rarely, Tell
from trunnion.model.json import Json, JsonObject

A = TypeVar("A")
R = TypeVar("R")
Kind: TypeAlias = Literal["blocked", "slow", "raised", "missed"]

AWAITED = 1.0
"""Seconds after which an answer that somebody waits for counts as slow."""
BEHIND = 10.0
"""The same for work that nobody waits for. A plain call, for which the whole loop waits, is the watchdog's to judge."""
LONGEST = 300


class Trouble(msgspec.Struct):
    """What one plugin is to blame for since the start.

    Attributes:
        blocked: how often its code kept the loop from turning.
        slow: calls to it that took long.
        raised: calls to it that raised.
        missed: deadlines it let pass.
        reason: the last of all that, in one line.
        place: file and line of it, ``""`` where none is known.
        at: when that was, microseconds since 1970.
    """

    blocked: int = 0
    slow: int = 0
    raised: int = 0
    missed: int = 0
    reason: str = ""
    place: str = ""
    at: int = 0

    def summary(self) -> str:
        """The counts that are not zero, such as ``blocked 2, raised 1``."""
        counts = {"blocked": self.blocked, "slow": self.slow, "raised": self.raised, "missed": self.missed}
        return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)


class Blame:
    """The ledger. On the loop only.

    Gates, observers, authorizers and providers report what they do to others themselves; here it is counted.
    What nobody else tells, slow calls and validators that raise, is reported from here, each at most once in
    ``PAUSE`` seconds.

    Attributes:
        generation: counts the entries.
    """

    def __init__(self, report: Tell, clock: Clock) -> None:
        self.generation = 0
        self._clock = clock
        self._plugins: dict[str, Trouble] = {}
        self._rarely = Rarely(report, clock)

    # -- what went wrong --------------------------------------------------------------------------

    def raised(self, plugin: str, what: str, error: BaseException, *, tell: bool = False) -> None:
        """A call raised.

        Args:
            plugin: whose code it was.
            what: was called, such as ``gate 'audit'``.
            error: what it raised.
            tell: whether to report it, where nobody else does.
        """
        name = type(error).__name__
        self._count(plugin, "raised", f"{what} raised {name}", place_of(error))
        if tell:
            self._say("plugin.raised", plugin, what, f"raised {name}", {}, error)

    def failed(self, plugin: str, what: str, problem: str) -> None:
        """A call gave something that cannot be used, which counts as raising."""
        self._count(plugin, "raised", f"{what} {problem}", "")

    def missed(self, plugin: str, what: str, seconds: float) -> None:
        """A call was not done when its time was over."""
        self._count(plugin, "missed", f"{what} was not done within {seconds:g} s", "")

    def took(self, plugin: str, what: str, began: float, patience: float) -> None:
        """A call came back; it counts as slow where it took longer than ``patience``.

        Args:
            plugin: whose code it was.
            what: was called.
            began: ``time.perf_counter()`` before the call.
            patience: seconds.
        """
        seconds = time.perf_counter() - began
        if seconds > patience:
            self._count(plugin, "slow", f"{what} took {seconds:.3g} s", "")
            self._say("plugin.slow", plugin, what, f"took {seconds:.3g} s", {"seconds": round(seconds, 3)})

    def watched(self, plugin: str, what: str, function: Callable[[A], R], *, tell: bool = True) -> Callable[[A], R]:
        """A function of a plugin that counts when it raises.

        Args:
            plugin: whose it is.
            what: it is, for people.
            function: to be called instead.
            tell: whether to report what it raises, where nobody else does.
        """

        def call(argument: A) -> R:
            try:
                return function(argument)
            except BaseException as error:
                self.raised(plugin, what, error, tell=tell)
                raise

        return call

    def blocked(self, plugin: str, reason: str, place: str) -> None:
        """Its code kept the loop from turning; the watchdog tells of it."""
        self._count(plugin, "blocked", reason, place)

    # -- what is shown of it ----------------------------------------------------------------------

    def shown(self, plugin: str) -> dict[str, Json] | None:
        """Everything about one plugin, for operators; None where there is nothing to be said."""
        found = self._plugins.get(plugin)
        if found is None:
            return None
        return {**msgspec.structs.asdict(found), "summary": found.summary()}

    # -- inside -----------------------------------------------------------------------------------

    def _count(self, plugin: str, kind: Kind, reason: str, place: str) -> None:
        found = self._plugins.setdefault(plugin, Trouble())
        setattr(found, kind, getattr(found, kind) + 1)
        found.reason, found.place, found.at = reason[:LONGEST], place, self._clock.utc()
        self.generation += 1

    def _say(
        self,
        code: str,
        plugin: str,
        what: str,
        did: str,
        facts: JsonObject,
        error: BaseException | None = None,
    ) -> None:
        whose = f"{what} of plugin {plugin!r}"
        key: Hashable = (plugin, what)
        self._rarely.say(
            code,
            key,
            f"{whose} {did}",
            lambda count: f"{whose} {did}, the last of {count} more times within {PAUSE:g} s",
            facts={"plugin": plugin, "what": what, **facts},
            error=error,
        )


def place_of(error: BaseException) -> str:
    """File and line an exception came from, ``""`` where it has no traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
