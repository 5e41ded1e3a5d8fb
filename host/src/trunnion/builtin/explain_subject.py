"""What ``host.explain`` is asked about, found in the eyes of whoever asks."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from trunnion.access.policy import Target
from trunnion.kernel.core import Kernel
from trunnion.kernel.door import Door
from trunnion.kernel.entries import CommandEntry
from trunnion.model.commands import Effect
from trunnion.model.errors import NotFound
from trunnion.model.events import RUN_STREAM
from trunnion.model.runs import Caller, Run

TargetKind: TypeAlias = Literal["command", "query", "stream", "run"]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be reached.

    Attributes:
        target: as policy looks at it; None for a run, which is judged by whose it is.
        run: the run, or the one whose stream it is.
    """

    kind: TargetKind
    name: str
    target: Target | None = None
    effect: Effect = "read"
    run: Run | None = None


class Subjects(msgspec.Struct, frozen=True):
    """Finds what a caller may see."""

    kernel: Kernel
    caller: Caller

    async def find(self, name: str, kind: TargetKind | None) -> Subject:
        """The first thing of this name; what may not be seen is passed over as if it were not there.

        Raises:
            TrunnionError: there is none.
        """
        found = self._named(name) if kind in (None, "command", "query") else None
        if found is None and kind in (None, "stream"):
            found = await self._stream(name)
        if found is None and kind in (None, "run"):
            run = await self._run(name)
            found = None if run is None else Subject(kind="run", name=name, run=run)
        if found is None or kind not in (None, found.kind):
            raise self._unknown(kind or _likely(name), name)
        return found

    def _unknown(self, kind: TargetKind, name: str) -> NotFound:
        if kind in ("command", "query"):
            return self.kernel.lookup.unknown(kind, name, self.caller)
        self.kernel.policy.require(self.caller)
        return NotFound(f"there is no {kind} {name!r}", {kind: name})

    def _named(self, name: str) -> Subject | None:
        entry = self.kernel.registry.get(name)
        if entry is None or not self._sees(entry.target):
            return None
        if isinstance(entry, CommandEntry):
            return Subject(kind="command", name=entry.id, target=entry.target, effect=entry.command.effect)
        return Subject(kind="query", name=entry.id, target=entry.target)

    async def _stream(self, name: str) -> Subject | None:
        entry = self.kernel.registry.stream(name)
        if entry is None or not self._sees(entry.target_of(name)):
            return None
        if not name.startswith(RUN_STREAM) or name == entry.source.pattern:
            return Subject(kind="stream", name=name, target=entry.target_of(name))
        run = await self._run(name.removeprefix(RUN_STREAM))
        return None if run is None else Subject(kind="stream", name=name, target=entry.target, run=run)

    async def _run(self, run_id: str) -> Run | None:
        try:
            return await Door(self.kernel, self.caller.source).get(self.caller, run_id)
        except NotFound:
            return None

    def _sees(self, target: Target) -> bool:
        return self.kernel.policy.decide(target, self.caller).visible


def _likely(name: str) -> TargetKind:
    """What a name that nothing has was meant for: names of streams have parts, ids of runs have dashes and digits."""
    if "/" in name:
        return "stream"
    return "run" if name.count("-") == 4 and name[:1].isdigit() else "command"
