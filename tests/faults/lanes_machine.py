"""Lanes under any sequence of entering, nesting, ending and giving up, beside a model that keeps lists only."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trunnion.kernel.lanes import Lane, Lanes, find_cycle

LIMITS = {"a": 1, "b": 1, "c": 2}
MOST = 12
"""Runs alive at once: enough for every circle there is with these keys."""


class Run:
    """What stands in a lane, and what waits for it."""

    def __init__(self, number: int, parent: Run | None) -> None:
        self.id = f"r{number}"
        self.parent = parent
        self.children: list[Run] = []
        self.lane: Lane | None = None
        self.key = ""

    @property
    def awaited_children(self) -> Iterator[Run]:
        """All of them: nobody here spawns without waiting."""
        return iter(self.children)


class LaneMachine(RuleBasedStateMachine):
    """The kernel's part is played here: a child enters the key its ancestor holds, and a circle is refused."""

    refuses = True

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.runs: list[Run] = []
        self.queues: dict[str, list[Run]] = {}
        self.made = 0

    def works(self, run: Run) -> bool:
        return self.lanes.holds(run)

    def can_end(self) -> list[Run]:
        return [run for run in self.runs if self.works(run) and not run.children]

    @precondition(lambda self: len(self.runs) < MOST)
    @rule(key=st.sampled_from(sorted(LIMITS)), nested=st.booleans(), which=st.integers(0, MOST))
    def begin(self, key: str, nested: bool, which: int) -> None:
        """A run of its own, or one that a run at work waits for."""
        working = [run for run in self.runs if self.works(run)]
        parent = working[which % len(working)] if nested and working else None
        self.made += 1
        run, limit = Run(self.made, parent), LIMITS[key]
        above = parent
        while above is not None:
            if above.key.partition("\n")[0] == key:
                key, limit = f"{key}\n{above.id}", 1
                break
            above = above.parent
        run.key = key
        self.runs.append(run)
        if parent is not None:
            parent.children.append(run)
        self.queues.setdefault(key, []).append(run)
        free = self.lanes.enter(run, key, limit)
        assert free == (len(self.queues[key]) <= limit), "it waits exactly if there is somebody before it"
        circle = None if free else find_cycle(run)
        if circle is not None:
            self.is_one(circle)
            if self.refuses:
                self._gone(run)

    def is_one(self, circle: list[Run]) -> None:  # type: ignore[override]
        """Each waits for the next one, and the last for the first."""
        for one, following in zip(circle, [*circle[1:], circle[0]], strict=True):
            before = self.queues[one.key][: self.queues[one.key].index(one)] if not self.works(one) else []
            assert following in one.children or following in before

    @precondition(lambda self: self.can_end())
    @rule(which=st.integers(0, MOST))
    def end(self, which: int) -> None:
        """A run at work comes to its end."""
        ready = self.can_end()
        self._gone(ready[which % len(ready)])

    @precondition(lambda self: any(not self.works(run) for run in self.runs))
    @rule(which=st.integers(0, MOST))
    def give_up(self, which: int) -> None:
        """A run that waits is cancelled."""
        waiting = [run for run in self.runs if not self.works(run)]
        self._gone(waiting[which % len(waiting)])

    def _gone(self, run: Run) -> None:
        before = {other.id for other in self.runs if self.works(other)}
        admitted = self.lanes.leave(run)
        self.runs.remove(run)
        self.queues[run.key].remove(run)
        if run.parent is not None:
            run.parent.children.remove(run)
        now = [other for other in self.queues[run.key] if self.works(other)]
        assert [other for other in now if other.id not in before] == admitted, "those who wait longest come first"

    @invariant()
    def in_order(self) -> None:
        """The first of each lane hold it, as many as may; nobody overtakes."""
        for key, queue in self.queues.items():
            limit = 1 if "\n" in key else LIMITS[key]
            assert [self.works(run) for run in queue] == [number < limit for number in range(len(queue))]
        assert self.lanes.by_key.keys() == {key for key, queue in self.queues.items() if queue}

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """Whoever waits does so for somebody who can come to an end."""
        assert self.can_end() or not self.runs, f"stuck: {[(run.id, run.key) for run in self.runs]}"
