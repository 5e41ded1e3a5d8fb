"""Finding commands and queries by name, in the eyes of one caller."""

from __future__ import annotations

from collections.abc import Iterator

from trunnion.access.policy import Decision, Policy, refusal
from trunnion.kernel.entries import CommandEntry, QueryEntry
from trunnion.kernel.registry import Registry
from trunnion.model.errors import NotFound, TrunnionError
from trunnion.model.names import LONGEST_TYPO, nearest
from trunnion.model.runs import Caller


class Lookup:
    """What a name stands for. What may not be seen is answered in the very words for what is not there."""

    def __init__(self, registry: Registry, policy: Policy) -> None:
        self._registry = registry
        self._policy = policy

    def require(self, caller: Caller) -> None:
        """See to it that what proved the caller still does, before anything is said of what it asks.

        Raises:
            Unauthenticated: it does not.
        """
        self._policy.require(caller)

    def command(self, name: str, caller: Caller) -> tuple[CommandEntry, Decision]:
        """The command of an id or alias, and the decision by which the caller may run it.

        Raises:
            TrunnionError: there is none, or the caller may not.
        """
        entry = self._registry.command(name)
        if entry is None:
            raise self.unknown("command", name, caller)
        decision = self._policy.decide(entry.target, caller)
        if decision.verdict != "allowed":
            raise self._refusal(decision, "command", name, caller)
        return entry, decision

    def query(self, name: str, caller: Caller) -> tuple[QueryEntry, Decision]:
        """The query of an id or alias, and the decision by which the caller may ask it.

        Raises:
            TrunnionError: there is none, or the caller may not.
        """
        entry = self._registry.query(name)
        if entry is None:
            raise self.unknown("query", name, caller)
        decision = self._policy.decide(entry.target, caller)
        if decision.verdict != "allowed":
            raise self._refusal(decision, "query", name, caller)
        return entry, decision

    def visible(self, name: str, caller: Caller) -> CommandEntry | QueryEntry:
        """The command or query of an id or alias, if the caller may know of it.

        Raises:
            TrunnionError: there is none, or it may not be seen.
        """
        entry = self._registry.get(name)
        if entry is None or not self._policy.decide(entry.target, caller).visible:
            raise self.unknown("command", name, caller)
        return entry

    def is_open(self, name: str, caller: Caller) -> bool:
        """Whether a command or query is open to the doors a caller came by; one that there is not is not closed."""
        entry = self._registry.get(name)
        return entry is None or self._policy.is_open(entry.target, caller)

    def lost(self, entry: CommandEntry, caller: Caller) -> TrunnionError | None:
        """Why a caller may no longer run a command, None while they may."""
        decision = self._policy.decide(entry.target, caller)
        return None if decision.allowed else refusal(decision, "command", entry.id)

    def names(self, caller: Caller) -> Iterator[str]:
        """Ids and aliases of everything the caller may see."""
        every: list[CommandEntry | QueryEntry] = [*self._registry.all_commands(), *self._registry.all_queries()]
        for entry in every:
            if self._policy.decide(entry.target, caller).visible:
                yield from entry.names

    def unknown(self, kind: str, name: str, caller: Caller) -> NotFound:
        """The error for a name there is not, with the nearest visible ones.

        Raises:
            Unauthenticated: to a caller whose credential counts no longer nothing is said of any name.
        """
        self._policy.require(caller)
        visible = list(self.names(caller))
        if name in visible:
            other = "query" if kind == "command" else "command"
            return NotFound(f"there is no {kind} {name!r}: it is a {other}", {"nearest": [name]})
        close = nearest(name, visible)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        shown = name if len(name) <= LONGEST_TYPO else f"{name[:LONGEST_TYPO]}…"
        return NotFound(f"there is no command or query {shown!r}{hint}", {"nearest": close})

    def _refusal(self, decision: Decision, kind: str, name: str, caller: Caller) -> TrunnionError:
        return self.unknown(kind, name, caller) if decision.verdict == "not_found" else refusal(decision, kind, name)
