"""Frontends and daemons: their order, their readiness, what a crash does, and how they stop."""

from __future__ import annotations

import asyncio
import sys

import pytest
from kernel_kit import ANN, cmd, until

from trunnion.host import Host
from trunnion.kernel import parts
from trunnion.kernel.parts import Part, in_order
from trunnion.model.contributions import Allow, Daemon, Frontend, Gate
from trunnion.model.errors import Conflict, InvalidConfig, TrunnionError
from trunnion.model.runs import Caller, Invocation


async def quick() -> int:
    return 1


class Stage:
    """Parts that note what happens to them."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def serve(self, name: str):
        async def run(host, ready) -> None:
            self.notes.append(f"{name} starts")
            ready(f"at {name}")
            try:
                await asyncio.Event().wait()
            finally:
                self.notes.append(f"{name} stops")

        return run


def part_of(host: Host, name: str) -> Part:
    return next(part for part in host.kernel.parts if part.name == name)


async def test_daemons_first_then_frontends_each_after_those_it_names_and_back(start) -> None:
    """Defence: ``in_order``; ``Parts.stop`` goes backwards."""
    stage = Stage()
    plugin = {
        "frontends": [
            Frontend(name="a", run=stage.serve("a"), source="a", after=("b",)),
            Frontend(name="b", run=stage.serve("b"), source="b"),
        ],
        "daemons": [
            Daemon(name="d1", run=stage.serve("d1"), after=("d2",)), Daemon(name="d2", run=stage.serve("d2")),
        ],
    }  # fmt: skip
    async with start(plugin=plugin) as rig:
        order = ["d2", "d1", "b", "a"]
        assert stage.notes == [f"{name} starts" for name in order]
        assert part_of(rig.host, "a").address == "at a"
        assert part_of(rig.host, "a").status == "ready"
        stage.notes.clear()
    assert stage.notes == [f"{name} stops" for name in reversed(order)]


def test_a_circle_of_parts_is_broken_by_name() -> None:
    async def run(host, ready) -> None:
        pass

    made = [
        Part(owner="p", name=name, kind="daemon", run=run, after=after, on_crash="degrade", start_timeout=1, source="s")
        for name, after in [("x", ("y",)), ("y", ("x",)), ("z", ("no-such",))]
    ]
    assert [part.name for part in in_order(made)] == ["z", "x", "y"]


async def test_the_next_part_waits_for_readiness_but_not_for_ever(start) -> None:
    """Defence: ``start_timeout``."""
    stage, cancelled = Stage(), []

    async def never_ready(host, ready) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(1)

    plugin = {
        "frontends": [
            Frontend(name="a", run=never_ready, source="a", start_timeout=0.05),
            Frontend(name="b", run=stage.serve("b"), source="b", after=("a",)),
        ]
    }
    async with start(plugin=plugin) as rig:
        assert stage.notes == ["b starts"]
        part = part_of(rig.host, "a")
        assert (part.status, cancelled) == ("failed", [1])
        assert "0.05" in part.reason
        assert "part.failed" in await rig.codes()


def crash() -> None:
    raise ValueError("crash")


def exits() -> None:
    sys.exit(1)


def cancels() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("how", [crash, exits, cancels])
async def test_degrade_goes_on_without_it(start, how) -> None:
    """Defence: ``Parts._watch`` takes whatever a part raises, a cancellation nobody asked for included."""

    async def run(host, ready) -> None:
        ready()
        how()

    plugin = {"frontends": [Frontend(name="a", run=run, source="a", on_crash="degrade")]}
    async with start(cmd(quick), plugin=plugin) as rig:
        await until(lambda: part_of(rig.host, "a").status == "failed")
        assert (await rig.run("t.quick")).status == "succeeded"
        status = await rig.door.query(ANN, "host.status")
        shown = next(f for f in status["frontends"] if f["name"] == "a")
        assert (shown["status"], shown["crashes"]) == ("failed", 1)


async def test_restart_starts_it_again_and_gives_up_in_the_end(start, monkeypatch) -> None:
    """Defence: the delay and ``INTENSITY`` in ``Parts._again``."""
    monkeypatch.setattr(parts, "FIRST_DELAY", 0.001)
    starts = []

    async def run(host, ready) -> None:
        starts.append(1)
        ready()
        crash()

    plugin = {"daemons": [Daemon(name="d", run=run, on_crash="restart")]}
    async with start(plugin=plugin) as rig:
        await until(lambda: part_of(rig.host, "d").status == "failed")
        assert len(starts) == parts.INTENSITY + 1
        assert (await rig.codes()).count("part.crashed") == parts.INTENSITY


@pytest.mark.parametrize("reason", [Conflict("taken"), InvalidConfig("not like this")])
async def test_what_stands_in_the_way_is_not_run_into_again(start, monkeypatch, reason: TrunnionError) -> None:
    """Defence: the last line of the condition in ``Parts._again``."""
    monkeypatch.setattr(parts, "FIRST_DELAY", 0.001)
    starts = []

    async def run(host, ready) -> None:
        starts.append(1)
        raise reason

    plugin = {"frontends": [Frontend(name="a", run=run, source="a", on_crash="restart")]}
    async with start(plugin=plugin) as rig:
        assert part_of(rig.host, "a").status == "failed"
        assert starts == [1]
        assert reason.message in part_of(rig.host, "a").reason


async def test_a_frontend_can_know_what_is_put_on_record_before_it_happens(start) -> None:
    known = []

    async def run(host, ready) -> None:
        known.append(host.recorded)

    async def admit(batch):
        return [Allow() for _ in batch]

    gates = [
        Gate(name="audit", admit=admit, records=True, covers=frozenset({"commands", "streams"})),
        Gate(name="guard", admit=admit, covers=frozenset({"queries"})),
    ]
    for given in (gates, gates[1:]):
        async with start(plugin={"frontends": [Frontend(name="a", run=run, source="a")], "gates": given}):
            pass
    assert known == [{"commands", "streams"}, set()]


async def test_a_restarted_part_is_ready_again(start, monkeypatch) -> None:
    monkeypatch.setattr(parts, "FIRST_DELAY", 0.001)
    starts = []

    async def run(host, ready) -> None:
        starts.append(1)
        ready(f"start {len(starts)}")
        if len(starts) < 3:
            crash()
        await asyncio.Event().wait()

    plugin = {"daemons": [Daemon(name="d", run=run)]}
    async with start(plugin=plugin) as rig:
        await until(lambda: part_of(rig.host, "d").address == "start 3")
        assert (part_of(rig.host, "d").status, part_of(rig.host, "d").crashes) == ("ready", 2)


async def test_fatal_ends_the_host_and_says_why(start) -> None:
    """Defence: ``Parts._gone`` tells the host."""

    async def run(host, ready) -> None:
        ready()
        crash()

    plugin = {"daemons": [Daemon(name="d", run=run, on_crash="fatal")]}
    async with start(plugin=plugin) as rig:
        await asyncio.wait_for(rig.host.run_until_stopped(), 5)
        assert "'d' failed: ValueError: crash" in rig.host.stop_reason


async def test_a_part_that_does_not_stop_is_named_and_left_behind(start, monkeypatch) -> None:
    """Defence: ``STOP_GRACE``."""
    monkeypatch.setattr(parts, "STOP_GRACE", 0.05)
    go, stage = asyncio.Event(), Stage()

    async def deaf(host, ready) -> None:
        ready()
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    plugin = {"daemons": [Daemon(name="deaf", run=deaf), Daemon(name="fine", run=stage.serve("fine"))]}
    async with start(plugin=plugin) as rig:
        log = rig.host.data.host_log
    assert "'deaf' of 'p' did not stop" in log.read_text()
    assert stage.notes[-1] == "fine stops"
    go.set()


async def test_a_part_stands_at_a_door_of_its_own(start) -> None:
    """Defence: the handle made for each part: its source, its owner, no other's."""
    runs = []

    async def run(host, ready) -> None:
        caller = Caller("guest", host.door.source, "operator")
        runs.append(await host.door.submit(caller, Invocation(command_id="t.quick")))
        host.emit("unit/x", "data", "hello", {"n": 1})
        for stream in ("run/x", "host", "host/log", "Bad Name"):
            with pytest.raises(Exception, match="may not write"):
                host.emit(stream, "data")
        ready()
        await asyncio.Event().wait()

    plugin = {"frontends": [Frontend(name="f", run=run, source="web")]}
    async with start(cmd(quick, expose=frozenset({"web"})), plugin=plugin) as rig:
        assert (runs[0].source, runs[0].principal) == ("web", "guest")
        await rig.ended(runs[0])
        assert rig.kernel.log.stream("unit/x").seq == 1


async def test_a_frontend_that_is_switched_off_is_not_started(start) -> None:
    stage = Stage()
    plugin = {"frontends": [Frontend(name="f", run=stage.serve("f"), source="f", enabled=False)]}
    async with start(plugin=plugin) as rig:
        assert stage.notes == []
        assert [part.name for part in rig.kernel.parts] == ["socket"]
