"""R7: whatever keeps the loop from turning is named, with file and line, while it still does; nobody else is."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from kernel_kit import FakeClock, Plugin, Rig, cmd, rig, until

from trunnion.blocking_host import BlockingHost
from trunnion.host import Host, HostOptions
from trunnion.kernel.watchdog import Watchdog
from trunnion.model.contributions import Daemon
from trunnion.model.events import Event
from trunnion.running import new_loop, run

pytestmark = pytest.mark.alone

PATIENCE = 20.0
LOOPS = [asyncio.new_event_loop, new_loop]


class Blocker:
    """A handler that keeps the loop from turning until it is let go, which a test does once it was named."""

    def __init__(self) -> None:
        self.go = threading.Event()

    async def block(self) -> bool:
        return self.go.wait(PATIENCE)

    async def block_aside(self) -> bool:
        """In a task of its own, which no run is known of."""
        return await asyncio.create_task(self.block())

    def call_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self.plain)

    def plain(self) -> None:
        self.go.wait(PATIENCE)

    def let_go_once(self, met: Callable[[], object]) -> threading.Thread:
        def wait() -> None:
            deadline = time.monotonic() + PATIENCE
            while not met() and time.monotonic() < deadline:
                time.sleep(0.005)
            self.go.set()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if line.strip() == text)


def logged(on: Rig | Path) -> list[dict[str, object]]:
    path = on if isinstance(on, Path) else on.host.data.host_log
    lines = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return [line for line in lines if line["logger"] == "loop.blocked"]


async def blocked(on: Rig, count: int = 1) -> list[Event]:
    """The blocks that were told of, once there are so many."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = [e for e in await on.host_events() if e.kind == "log" and e.data["code"] == "loop.blocked"]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)


async def several_looks(on: Rig) -> None:
    """Until whatever was to be told of by now has been."""
    rounds, watch = itertools.count(), Watchdog._round
    seen = 0

    def counted(self: Watchdog, limit: float) -> object:
        nonlocal seen
        seen = next(rounds)
        return watch(self, limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watchdog, "_round", counted)
        await until(lambda: seen >= 2)


@asynccontextmanager
async def host(root: Path, *commands: object, limit: float = 0.1, **options: object) -> AsyncIterator[Rig]:
    async with rig(root, *commands, settings={"host.lag_limit": limit}, **options) as on:
        yield on


@pytest.fixture(params=LOOPS, ids=["asyncio", "preferred"])
def on_loop(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    return lambda main: run(main, request.param)


def test_it_is_named_while_it_lasts(tmp_path: Path, on_loop: Callable[[Awaitable[None]], None]) -> None:
    """The handler goes on only once it stands in the log file, so it does not end if it is not named."""

    async def main() -> None:
        blocker = Blocker()
        async with host(tmp_path, blocker.block) as on:
            thread = blocker.let_go_once(lambda: logged(on))
            done = await on.run("t.block")
            thread.join()
            assert done.result is True, "it was named before its patience was over"
            line = line_of("return self.go.wait(PATIENCE)")
            said = str(logged(on)[0]["text"])
            assert re.match(r"the loop has not turned for [\d.]+ s: ", said)
            assert f"plugin 'p' at {__file__}:{line} in Blocker.block, t.block (run {done.id})" in said
            assert f"{__file__}:{line} Blocker.block" in str(logged(on)[0]["traceback"])
            (event,) = await blocked(on)
            assert event.level == "warning"
            facts = {key: event.data[key] for key in ("plugin", "file", "line", "function", "run", "command")}
            assert facts == {
                "plugin": "p",
                "file": __file__,
                "line": line,
                "function": "Blocker.block",
                "run": done.id,
                "command": "t.block",
            }
            assert 0.1 <= event.data["seconds"] < PATIENCE
            assert event.data["cpu"] < event.data["seconds"] / 2, "it waited"

    on_loop(main())


def test_in_a_task_of_its_own_the_plugin_is_known_by_its_module(
    tmp_path: Path, on_loop: Callable[[Awaitable[None]], None]
) -> None:
    async def main() -> None:
        blocker = Blocker()
        async with host(tmp_path, blocker.block_aside) as on:
            thread = blocker.let_go_once(lambda: logged(on))
            await on.run("t.block_aside")
            thread.join()
            (event,) = await blocked(on)
            assert event.data["plugin"] == "p"
            assert event.data["line"] == line_of("return self.go.wait(PATIENCE)")
            assert "run" not in event.data

    on_loop(main())


def test_a_callback_that_is_no_task_is_named_too(tmp_path: Path, on_loop: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        blocker = Blocker()

        async def later() -> None:
            blocker.call_soon()

        async with host(tmp_path, later) as on:
            thread = blocker.let_go_once(lambda: logged(on))
            await on.run("t.later")
            (event,) = await blocked(on)
            thread.join()
            assert (event.data["plugin"], event.data["function"]) == ("p", "Blocker.plain")

    on_loop(main())


async def test_whatever_a_plugin_runs_on_the_loop_is_named(tmp_path: Path) -> None:
    blocker = Blocker()

    async def serve(handle: object, ready: Callable[[], None]) -> None:
        ready()
        blocker.go.wait(PATIENCE)

    daemon = Daemon(name="heavy", run=serve)
    thread = blocker.let_go_once(lambda: logged(tmp_path / "data" / "logs" / "host.jsonl"))
    async with host(tmp_path, plugin={"daemons": [daemon]}) as on:
        thread.join()
        (event,) = await blocked(on)
        assert event.data["plugin"] == "p"
        assert "serve" in event.data["function"]


async def test_the_same_place_is_told_of_once_and_then_counted(tmp_path: Path) -> None:
    clock = FakeClock()

    async with host(tmp_path, nap, clock=clock) as on:
        for _ in range(20):  # on a very crowded machine the watchdog itself may come too late for one of them
            await on.run("t.nap")
            await several_looks(on)
            if (on.kernel.blame.shown("p") or {"blocked": 0})["blocked"] == 3:
                break
        assert len(await blocked(on)) == 1
        clock.advance(10)
        _, later = await blocked(on, 2)
        assert later.data["count"] == 2
        assert "2 more times within 10 s" in later.text
        clock.advance(10)
        assert len(await blocked(on)) == 2
        assert sum("has not turned" in str(line["text"]) for line in logged(on)) == 1


def watchdogs() -> list[threading.Thread]:
    """Those of hosts that other tests keep among them."""
    return [thread for thread in threading.enumerate() if thread.name == "trunnion-watchdog"]


async def test_no_limit_no_watch_and_a_reload_changes_it(tmp_path: Path) -> None:
    """Defence: with the limit 0 nothing is named; a changed setting is gone by at once."""
    others = watchdogs()
    blocker, config = Blocker(), tmp_path / "trunnion.toml"
    config.write_text("[host]\nlag_limit = 0\n")
    options = HostOptions(data_dir=tmp_path / "data", config_path=config, overrides=("store.durability=memory",))
    naps = [cmd(blocker.block), cmd(nap)]
    async with Host(options, plugins={"p": Plugin(naps)}, discovery=False, environ={}) as started:
        on = Rig(started)
        await on.run("t.nap")
        assert watchdogs() == others
        config.write_text("[host]\nlag_limit = 0.1\n")
        assert (await started.reload())["live"] == ["host.lag_limit"]
        thread = blocker.let_go_once(lambda: logged(on))
        await on.run("t.block")
        thread.join()
        assert [e.data["command"] for e in await blocked(on)] == ["t.block"]
        config.write_text("[host]\nlag_limit = 0\n")
        await started.reload()
        await on.run("t.nap")
        assert len(await blocked(on)) == 1
    await until(lambda: watchdogs() == others)


async def nap() -> None:
    time.sleep(0.4)


async def slices(seconds: float, each: float) -> None:
    """Work that lets others in between."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(each)
        await asyncio.sleep(0)


async def long_turn() -> None:
    """One turn of the loop with many tasks and many callbacks, each of which is short."""
    loop = asyncio.get_running_loop()
    for _ in range(15):
        loop.call_soon(_callback)
    await asyncio.gather(*(_short() for _ in range(15)))


def _callback() -> None:
    time.sleep(0.02)


async def _short() -> None:
    time.sleep(0.02)


def test_a_loop_that_turns_is_left_alone(tmp_path: Path, on_loop: Callable[[Awaitable[None]], None]) -> None:
    """With many tasks at work, one very long turn of short tasks, and a thread that wants the interpreter too."""

    async def main() -> None:
        stop = threading.Event()

        def greedy() -> None:
            while not stop.is_set():
                sum(range(1000))

        async with host(tmp_path, slices, long_turn, limit=0.25) as on:  # a long turn lasts twice as long
            thread = threading.Thread(target=greedy)
            thread.start()
            work = [on.run("t.slices", seconds=0.8, each=0.004) for _ in range(8)]
            await asyncio.gather(*work)
            stop.set()
            thread.join()
            await on.run("t.long_turn")
            await several_looks(on)
            assert logged(on) == []

    on_loop(main())


async def test_without_the_look_at_the_task_a_long_turn_would_be_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence taken out: then the test above fails."""
    look = Watchdog._look
    monkeypatch.setattr(
        Watchdog, "_look", lambda self, due: msgspec.structs.replace(look(self, due), at_work="anybody")
    )
    async with host(tmp_path, long_turn) as on:
        await on.run("t.long_turn")
        assert await blocked(on)


async def held() -> None:
    re.match(r"^(a+)+$", "a" * 24 + "b")


def held_in_a_thread() -> None:
    re.match(r"^(a+)+$", "a" * 24 + "b")


async def told_of(on: Rig, command_id: str, held: str) -> Event:
    """What is told of a command that holds the interpreter; on a very crowded machine it may take several runs."""
    for _ in range(10):
        await on.run(command_id)
        await several_looks(on)
        for event in await on.host_events():
            if event.kind == "log" and event.data.get("held") == held and "function" in event.data:
                return event
    raise AssertionError(f"nothing was told of {command_id}")


def test_a_held_interpreter_is_told_of_afterwards(tmp_path: Path, on_loop: Callable[[Awaitable[None]], None]) -> None:
    """T11: a regular expression lets no other thread look, on the loop or beside it."""

    async def main() -> None:
        async with host(tmp_path, held, held_in_a_thread) as on:
            here = await told_of(on, "t.held", "here")
            assert (here.data["plugin"], here.data["function"]) == ("p", "held")
            assert here.data["cpu"] > 0.1
            elsewhere = await told_of(on, "t.held_in_a_thread", "elsewhere")
            assert (elsewhere.data["plugin"], elsewhere.data["suspect"]) == ("", "p"), "suspected, not known"
            assert "code in another thread held the interpreter" in elsewhere.text

    on_loop(main())


def test_hosts_of_one_process_name_their_own(tmp_path: Path) -> None:
    blocker = Blocker()
    options = [HostOptions(data_dir=tmp_path / name, overrides=("store.durability=memory",)) for name in "ab"]
    with (
        BlockingHost(options[0], commands=[cmd(blocker.block)], discovery=False, environ={}) as a,
        BlockingHost(options[1], commands=[cmd(nap)], discovery=False, environ={}) as b,
    ):
        logs = [tmp_path / name / "logs" / "host.jsonl" for name in "ab"]
        thread = blocker.let_go_once(lambda: "loop.blocked" in logs[0].read_text())
        assert a.run("t.block") is True
        thread.join()
        assert "loop.blocked" not in logs[1].read_text()
        b.run("t.nap")
    assert "in nap" in logs[1].read_text()
    assert "in nap" not in logs[0].read_text()


async def test_an_idle_host_is_asked_twice_in_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 0.125  # no other host's, which tests may have at the same time
    rounds, whole = [], Watchdog._round

    def counted(self: Watchdog, own: float) -> object:
        rounds.extend([own] if own == limit else [])
        return whole(self, own)

    monkeypatch.setattr(Watchdog, "_round", counted)
    async with host(tmp_path, limit=limit):
        before, began = len(rounds), time.monotonic()
        await until(lambda: len(rounds) > before + 6)
        assert len(rounds) - before <= 2 / limit * (time.monotonic() - began) + 1
