"""Any order of batches, reopening and retention, against a plain model."""

from __future__ import annotations

import random

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from machine_kit import StoreMachine, on_every_store
from store_kit import end, event, make_run

from trunnion.model.events import Event, run_stream
from trunnion.model.retention import Rule
from trunnion.model.runs import Run, RunFilter
from trunnion.store import Accept, Batch


class Machine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self.events: dict[str, list[Event]] = {}

    def live(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.ended]

    @rule(new=st.integers(0, 3), seed=st.integers(0, 2**16), valid=st.sampled_from([True, True, True, False]))
    def commit(self, new: int, seed: int, valid: bool) -> None:
        chance = random.Random(seed)
        batch = Batch()
        runs = {run.id: run for run in self.live()}
        streams = {stream: list(events) for stream, events in self.events.items()}
        for _ in range(new):
            run = make_run(self.bench.store.next_num(), id=f"r{len(self.runs) + len(batch.accepts)}-{chance.random()}")
            batch.accepts.append(Accept(run))
            runs[run.id] = run
        for run_id, run in runs.items():
            if chance.random() < 0.3:
                runs[run_id] = msgspec.structs.replace(run, started=chance.randrange(10**9), attempt=2)
                batch.starts.append(runs[run_id])
        for run in list(runs.values()):
            kept = streams.setdefault(run_stream(run.id), [])
            fresh = [
                event(run, len(kept) + 1 + i, "text", "t" * chance.choice([0, 10, 300_000]))
                for i in range(chance.randrange(4))
            ]
            if fresh:
                batch.appends[run_stream(run.id)] = fresh
                kept += fresh
            if chance.random() < 0.4:
                runs[run.id] = end(run, last=len(kept))
                batch.finishes.append(runs[run.id])
        if not valid:
            batch.appends["host"] = [Event("host", 7, 1, "log")]
            assert isinstance(self.bench.try_commit(batch), ValueError)
            return
        self.bench.commit(batch)
        self.runs.update(runs)
        self.events = streams

    @rule()
    def reopen(self) -> None:
        if self.durability != "memory":
            self.bench.reopen()

    @rule(keep=st.integers(0, 5))
    def prune(self, keep: int) -> None:
        ended = sorted((run for run in self.runs.values() if run.ended), key=lambda run: -run.num)
        said = self.bench.prune(Rule("*", runs=keep), dry_run=True)
        assert sum(gone.runs for gone in said) == len(ended[keep:])
        assert self.bench.prune(Rule("*", runs=keep)) == said
        for run in ended[keep:]:
            del self.runs[run.id]
            del self.events[run_stream(run.id)]

    @invariant()
    def same(self) -> None:
        newest = sorted(self.runs.values(), key=lambda run: -run.num)
        assert self.bench.store.list_runs(RunFilter(), 1000, None).items == newest
        found = {entry.run.id: entry for entry in self.bench.store.live()}
        assert {run_id: entry.run for run_id, entry in found.items()} == {run.id: run for run in self.live()}
        for stream, events in self.events.items():
            assert self.bench.store.read_events(stream, 0, 1000, 1 << 40) == events
            assert self.bench.store.last_seq(stream) == len(events)


globals().update(on_every_store(Machine))
