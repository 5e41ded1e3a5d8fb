"""Puts one call to every door and compares what came of it."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Sequence

import msgspec
from doors_kit.call import Call, ways
from doors_kit.doors import DoorUnderTest
from doors_kit.outcome import Outcome, Told, compared, events_of, neutral_error, row
from doors_kit.served import Served

from trunnion.model.runs import Run

_keys = itertools.count(1)
"""Never used twice, for a host knows them for a day."""


class Trial:
    """Calls at several doors of one host.

    Attributes:
        calls: how many were made up.
        compared: how many executions were compared, by door and what came of them.
    """

    def __init__(self, served: Served, doors: Sequence[DoorUnderTest]) -> None:
        self._served = served
        self._reference, *self._others = doors
        self.calls = 0
        self.compared: Counter[tuple[str, str]] = Counter()

    def differences(self, call: Call) -> list[str]:
        """What the doors disagree about; each takes the call in one of the ways it can be said."""
        self.calls += 1
        entry = self._served.host.kernel.registry.get(call.name)
        said = ways(call, entry.parameters if entry is not None else None)
        reference, _ = self._execute(self._reference, said[0])
        found: list[str] = []
        for number, door in enumerate(self._others):
            possible = [way for way in said if door.takes(way)]
            if not possible:
                continue
            way = possible[(self.calls + number) % len(possible)]
            outcome, told = self._execute(door, way)
            self.compared[door.name, reference.code or "well"] += 1
            keyed = door.keyed and way.kind == "command"
            found += [f"{door.name}: {text}\n    {way}" for text in compared(reference, outcome, told, keyed=keyed)]
        return found

    def _execute(self, door: DoorUnderTest, call: Call) -> tuple[Outcome, Told]:
        served = self._served
        before, counted = served.do(served.newest()), served.do(served.refusals())
        told = door.call(call, f"key {next(_keys)}")
        runs = served.do(served.since(before))
        after = served.do(served.refusals())
        difference = {code: n - counted.get(code, 0) for code, n in after.items() if n != counted.get(code, 0)}
        return self._outcome(door, told, runs, difference), told

    def _outcome(self, door: DoorUnderTest, told: Told, runs: list[Run], counted: dict[str, int]) -> Outcome:
        if told.run is not None and told.run.last_seq:
            assert runs, "a run was told of that is not on record"
            assert told.run == runs[0], f"{door.name} tells of a run otherwise than the record: {told.run} {runs[0]}"
        code, message, details = neutral_error(told.error, door.source, by_id=not door.keyed)
        stored = [self._served.do(self._served.events(run.id)) for run in runs]
        shown = [told.events, *stored[1:]] if told.events is not None else stored
        return Outcome(
            code=code,
            message=message,
            details=details,
            result=told.result,
            record=[row(run, door.source) for run in runs],
            events=[events_of(events, door.source) for events in shown],
            counted=counted,
        )

    def tell(self, name: str, seed: int) -> None:
        """Print what was compared, so that a test of nothing is seen to be one."""
        print(f"{name}: seed {seed:x}, {self.calls} calls, {self.compared.total()} comparisons", file=sys.stderr)
        for door in sorted({door for door, _ in self.compared}):
            codes = {code: n for (at, code), n in sorted(self.compared.items()) if at == door}
            print(f"  {door:<20} {msgspec.json.encode(codes).decode()}", file=sys.stderr)

    def check_not_vacuous(self, codes: set[str]) -> None:
        """Each door was compared often, and each of these outcomes somewhere."""
        for door in self._others:
            assert sum(n for (name, _), n in self.compared.items() if name == door.name) > self.calls / 10, door.name
        assert codes <= {code for _, code in self.compared}, self.compared
