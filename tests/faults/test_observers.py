"""G7: an observer that raises, and one that never comes back. Each is named and counted; nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from trunnion import Command, hookimpl
from trunnion.host import Host, HostOptions
from trunnion.kernel import observers
from trunnion.kernel.observers import ObserverPump
from trunnion.model.contributions import Observer
from trunnion.model.events import Event
from trunnion.model.runs import Caller, Invocation

Figure = Callable[..., None]
ANN = Caller("ann", "cli", "admin")
RUNS = 30


class Watcher:
    """A plugin that observes runs in its own way."""

    def __init__(self, on_events: Callable[[Sequence[Event]], object]) -> None:
        self._on_events = on_events

    @hookimpl
    def trunnion_observers(self) -> list[Observer]:
        async def on_events(events: Sequence[Event]) -> None:
            answer = self._on_events(events)
            if asyncio.iscoroutine(answer):
                await answer

        return [Observer(name=f"watcher-{id(self)}", on_events=on_events)]


class Work:
    @hookimpl
    def trunnion_commands(self) -> Iterable[Command]:
        async def quick() -> None:
            pass

        return [Command.of(quick, console="t", lock=None)]


def raises(events: Sequence[Event]) -> None:
    raise SystemExit("not these")


def blocks(events: Sequence[Event]) -> object:
    return asyncio.Event().wait()


async def ends_seen(
    root: Path, plugins: dict[str, object], patch: pytest.MonkeyPatch, patience: float = 5.0
) -> tuple[int, dict[str, int]]:
    """Ends of runs that a good observer was told of beside others, and what those are to blame for."""
    patch.setattr(observers, "FIRST_DELAY", 0.01)
    seen: set[str] = set()

    def note(events: Sequence[Event]) -> None:
        seen.update(e.stream for e in events if e.kind == "state" and e.data["status"] == "succeeded")

    async with Host(
        HostOptions(data_dir=root / "data"),
        plugins={"work": Work(), "good": Watcher(note), **plugins},
        discovery=False,
        environ={},
    ) as host:
        door = host.door("cli")
        runs = [await door.submit(ANN, Invocation(command_id="t.quick", args={})) for _ in range(RUNS)]
        for run in runs:
            assert (await door.wait(ANN, run.id, 20)).status == "succeeded"
        for _ in range(int(patience / 0.01)):
            raised = host.kernel.blame.shown("raises")
            if len(seen) == RUNS and ("raises" not in plugins or (raised and int(str(raised["raised"])) >= 3)):
                break
            await asyncio.sleep(0.01)
        shown = {name: host.kernel.blame.shown(name) for name in ("good", "raises", "blocks")}
        return len(seen), {name: int(str(found["raised"])) for name, found in shown.items() if found}


async def test_g7_observers_that_raise_and_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    bad = {"raises": Watcher(raises), "blocks": Watcher(blocks)}
    seen, raised = await ends_seen(tmp_path, bad, monkeypatch)
    figure("events others missed", RUNS - seen)
    assert seen == RUNS
    assert list(raised) == ["raises"]
    assert raised["raises"] >= 3, "it gets them again, after longer and longer pauses"


async def test_g7_without_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ends_seen(tmp_path, {}, monkeypatch) == (RUNS, {})


async def test_g7_without_the_defence_others_wait_for_the_one_that_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one queue for all of them instead of one each."""
    turn = asyncio.Lock()
    deliver = ObserverPump._deliver

    async def in_turn(self: ObserverPump, events: Sequence[Event]) -> None:
        async with turn:
            await deliver(self, events)

    monkeypatch.setattr(ObserverPump, "_deliver", in_turn)
    seen, _ = await ends_seen(tmp_path, {"blocks": Watcher(blocks)}, monkeypatch, patience=1.0)
    assert seen < RUNS
