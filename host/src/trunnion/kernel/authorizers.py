"""Authorizers: plugins that say no to what the host's own rules allow. None of them can allow anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec

from trunnion.kernel.blame import Blame
from trunnion.kernel.clock import Clock
from trunnion.kernel.reporting import Report
from trunnion.model.commands import Effect
from trunnion.model.contributions import AuthorizeRequest, Deny
from trunnion.model.errors import Busy, Forbidden, TrunnionError, Unavailable
from trunnion.model.runs import Caller

Ask: TypeAlias = Callable[[AuthorizeRequest], object]
Kind: TypeAlias = Literal["command", "query", "stream"]
DENIALS: dict[str, type[TrunnionError]] = {"forbidden": Forbidden, "unavailable": Unavailable, "busy": Busy}
WHAT = "trunnion_authorize"
PAUSE = 10.0
"""Seconds between two reports of the same thing about the same plugin."""


class Denied(msgspec.Struct, frozen=True):
    """One plugin's no.

    Attributes:
        failure: what it raised or answered instead of an answer, None where it said no by itself.
    """

    plugin: str
    code: str
    reason: str
    failure: BaseException | None = None

    def error(self, kind: str, target: str) -> TrunnionError:
        """As the caller is told."""
        text = f"{kind} {target} was refused by plugin {self.plugin!r}: {self.reason}"
        return DENIALS[self.code](text, {"plugin": self.plugin, "reason": self.reason})


class Authorizers:
    """Asks every plugin that has ``trunnion_authorize``, each contained.

    Args:
        report: told of plugins that refuse and of those that fail, now and then.
        blame: counts those that fail.
    """

    def __init__(self, report: Report, clock: Clock, blame: Blame) -> None:
        self._plugins: list[tuple[str, Ask]] = []
        self._blame = blame
        self._notes = _Notes(report, clock)

    def add(self, plugins: Sequence[tuple[str, Ask]]) -> None:
        """Ask these too from now on."""
        self._plugins.extend(plugins)

    @property
    def plugins(self) -> list[str]:
        """Who is asked."""
        return [plugin for plugin, _ in self._plugins]

    def check(self, kind: Kind, target: str, caller: Caller, effect: Effect, decision: str) -> None:
        """Ask all of them; nothing they say is remembered.

        Raises:
            TrunnionError: one of them denied it, failed, or gave something else for an answer.
        """
        if not self._plugins:
            return
        found = list(self.denials(kind, target, caller, effect, decision))
        for denied in found:
            self._notes.add(denied)
            if denied.failure is not None:
                self._blame.raised(denied.plugin, WHAT, denied.failure)
        if found:
            raise found[0].error(kind, target)

    def denials(self, kind: Kind, target: str, caller: Caller, effect: Effect, decision: str) -> Iterator[Denied]:
        """Every plugin's no, nothing reported; each is given a question of its own, whatever the one before did."""
        for plugin, ask in self._plugins:
            own = msgspec.structs.replace(caller)
            request = AuthorizeRequest(kind=kind, target=target, caller=own, effect=effect, decision=decision)
            denied = _answer(plugin, ask, request)
            if denied is not None:
                yield denied


def _answer(plugin: str, ask: Ask, request: AuthorizeRequest) -> Denied | None:
    """What one plugin says. It runs on the loop but in no task of its own, so a cancellation it raises is its own."""
    try:
        answer = _checked(ask(request))
    except BaseException as error:
        text = f"its trunnion_authorize failed with {type(error).__name__}; the host's log has the traceback"
        return Denied(plugin, "forbidden", text, error)
    return None if answer is None else Denied(plugin, answer.code, answer.reason)


def _checked(answer: object) -> Deny | None:
    if answer is not None and not (type(answer) is Deny and isinstance(answer.reason, str) and answer.code in DENIALS):
        raise TypeError(f"trunnion_authorize answered {type(answer).__name__}, expected Deny or None")
    return answer


class _Notes:
    """Tells operators at once, then at most once in ``PAUSE`` seconds how often it has happened since.

    Neither the target nor the caller is named: not everybody who follows stream ``host`` may know of them.
    """

    def __init__(self, report: Report, clock: Clock) -> None:
        self._report = report
        self._clock = clock
        self._since: dict[tuple[str, bool], int] = {}

    def add(self, denied: Denied) -> None:
        """Note one refusal."""
        key = (denied.plugin, denied.failure is not None)
        if key in self._since:
            self._since[key] += 1
            return
        if denied.failure is None:
            self._report("authorize.denied", f"plugin {denied.plugin!r} refused a request")
        else:
            text = f"trunnion_authorize of plugin {denied.plugin!r} failed; what it was asked about is refused"
            self._report("authorize.failed", text, denied.failure)
        self._pause(key)

    def _pause(self, key: tuple[str, bool]) -> None:
        self._since[key] = 0
        self._clock.call_later(PAUSE, lambda: self._over(key))

    def _over(self, key: tuple[str, bool]) -> None:
        count = self._since.pop(key)
        if count:
            code, what = ("authorize.failed", "failed") if key[1] else ("authorize.denied", "refused a request")
            self._report(code, f"plugin {key[0]!r} {what} {count} more times within {PAUSE:g} s")
            self._pause(key)
