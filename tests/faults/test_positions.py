"""G4, G5, G6, G8: going on from where one was, from where nobody can be, and from where one may not."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands_kit import opener
from faults_kit import Ground
from streams_kit import Heard, Line, last_of, line, resident, submit

from trunnion import Caller, Command, Host, Invocation, hookimpl
from trunnion.access.directory import Directory
from trunnion.access.policy import Policy
from trunnion.model.access import Principal
from trunnion.model.errors import TrunnionError
from trunnion.model.retention import Rule
from trunnion.store.factory import open_store
from trunnion.store.pruning import prune


@pytest.fixture
def talking(ground: Ground) -> Ground:
    ground.only = "streams"
    return ground


# -- G4 ---------------------------------------------------------------------------------------------


async def heard_until(ground: Ground, stream: str, after: int, number: int) -> int:
    """Listen from a place on until a number has come, then lose the line; the last number that came."""
    async with line(ground.socket) as listener:
        heard = await listener.listen(stream, after)
        async with asyncio.timeout(30):
            while not heard.ended.is_set() and max([0, *heard.numbers[-1:]]) < number:
                await asyncio.sleep(0.001)
        reached = heard.numbers[-1] if heard.numbers else after
        assert heard.follows(after, reached)
        return reached


async def rest(ground: Ground, stream: str, after: int, *, live: bool = True) -> Heard:
    async with line(ground.socket) as listener:
        return await listener.hear(stream, after, live=live)


async def row_of(ground: Ground, run: str) -> int:
    async with line(ground.socket) as listener:
        return await last_of(listener, run)


def test_g4_reconnecting_with_the_last_number(talking: Ground, rounds: int, figure: Callable[..., None]) -> None:
    """The line is lost again and again, then the host is killed: each time the exact rest comes, to the very end."""
    host = talking.up()
    reconnected = 0
    for _ in range(max(rounds // 10, 2)):

        async def lossy() -> tuple[str, int]:
            async with line(talking.socket) as starter:
                run = await submit(starter, "streams.steady", events=10_000)
            after = 0
            for _ in range(6):
                after = await heard_until(talking, f"run/{run}", after, after + talking.random.randint(1, 100))
            return run, after

        run, after = asyncio.run(lossy())
        host.kill()
        host = talking.up()
        tail = asyncio.run(rest(talking, f"run/{run}", after))
        last = asyncio.run(row_of(talking, run))
        assert tail.follows(after, last)
        assert not tail.gaps
        whole = asyncio.run(rest(talking, f"run/{run}", 0))
        again = asyncio.run(rest(talking, f"run/{run}", 0))
        assert whole.follows(0, last)
        assert whole.digest == again.digest
        reconnected += 8
    figure("reconnections", reconnected)
    figure("silent gaps", 0)
    assert host.stop() == 0


def noted(ground: Ground, *, without: str = "none") -> tuple[int, int]:
    """A host whose log was shortened by retention while it was down: how much was there, and how much is gone."""
    host = ground.up()

    async def note() -> int:
        async with line(ground.socket) as listener:
            await last_of(listener, await submit(listener, "streams.note", lines=5_000))
            heard = await listener.listen("host/log")
            async with asyncio.timeout(30):
                while not heard.numbers or heard.numbers[-1] < 5_000:
                    await asyncio.sleep(0.005)
            return heard.numbers[-1]

    there = asyncio.run(note())
    assert host.stop() == 0
    store = open_store("process", ground.data, lambda: time.time_ns() // 1000)
    prune(store, [Rule("*", age=0)], time.time_ns() // 1000)
    kept = store.read_events("host/log", 0, 10)
    store.close()
    ground.up(without=without)
    return there, kept[0].data["last"]  # type: ignore[index, call-overload, return-value]


@pytest.mark.parametrize("share", [0, 0.1, 0.999])
def test_g4_after_retention_the_gap_is_told_with_its_numbers(
    talking: Ground, share: float, figure: Callable[..., None]
) -> None:
    there, gone = noted(talking)
    after = int(gone * share)
    heard = asyncio.run(rest(talking, "host/log", after, live=False))
    assert gone > 1_000
    assert heard.gaps == [(after + 1, gone)]
    assert heard.follows(after, heard.numbers[-1])
    assert heard.numbers[-1] >= there
    figure("numbers in the gap that was told", gone - after)


def test_g4_without_the_fault_there_is_no_gap(talking: Ground) -> None:
    there, gone = noted(talking)
    heard = asyncio.run(rest(talking, "host/log", gone, live=False))
    assert heard.gaps == []
    assert heard.follows(gone, heard.numbers[-1])
    assert heard.numbers[-1] >= there


def test_g4_without_the_defence_the_gap_is_silent(talking: Ground) -> None:
    noted(talking, without="forget_gaps")
    heard = asyncio.run(rest(talking, "host/log", 0, live=False))
    assert not heard.gaps
    assert not heard.follows(0, heard.numbers[-1])


# -- G5 ---------------------------------------------------------------------------------------------

IMPOSSIBLE: list[Any] = [
    -1, -(2**63), -(2**70), 2**53, 2**63, 2**64, 2**70, 10**100, 0.5, 1e300, "1", "", "x", True, None, [], [1], {},
    {"seq": 1},
]  # fmt: skip
"""Places where nobody can be; the large ones are beyond any stream's end."""


async def told_of(listener: Line, run: str, place: object) -> list[str]:
    """What somebody is told who asks for a run's events from a place on: a code, or how many there are."""
    subscribed = await listener.call("stream.subscribe", {"stream": f"run/{run}", "after": place})
    if subscribed.type == "rpc_error":
        found = [subscribed.code]
    else:
        heard = listener.adopt(subscribed)
        async with asyncio.timeout(30):
            await heard.ended.wait()
        found = [heard.error["code"] if heard.error else str(len(heard.numbers))]
    asked = {"query_id": "runs.events", "args": {"run_id": run, "after": place}}
    listed = await listener.call("query", asked)
    return [*found, listed.code or str(len(listed.result["items"]))]


def test_g5_a_place_where_nobody_can_be(talking: Ground, figure: Callable[..., None]) -> None:
    """Refused with one named error; beyond the end of a run that has ended is its end, at once."""
    host = talking.up()

    async def asked() -> dict[str, list[str]]:
        found = {}
        async with line(talking.socket) as listener:
            ended = await submit(listener, "streams.nap")
            last = await last_of(listener, ended)
            going_on = await submit(listener, "streams.storm", events=1, go=str(talking.root / "never"))
            for place in [*IMPOSSIBLE, last + 1]:
                found[f"{place!r}, of a run that goes on"] = await told_of(listener, going_on, place)
                found[f"{place!r}, of one that has ended"] = await told_of(listener, ended, place)
            assert (await listener.hear(f"run/{ended}", last - 1)).numbers == [last]
            await listener.call("run.cancel", {"run_id": going_on})
        return found

    found = asyncio.run(asked())
    assert host.stop() == 0
    assert "Traceback" not in host.said() + (talking.data / "logs" / "host.jsonl").read_text()
    answers = [(place, code) for place, codes in found.items() for code in codes]
    assert {code for _, code in answers} == {"invalid_arguments", "0"}
    assert all("has ended" in place and place[0].isdigit() for place, code in answers if code == "0")
    figure("answers refused by name", sum(code != "0" for _, code in answers))
    figure("answers that are the end of an ended run", sum(code == "0" for _, code in answers))


# -- G6 ---------------------------------------------------------------------------------------------

PEOPLE = [Principal(name=name, role="operator", has_password=True) for name in ("ann", "bob")]


@hookimpl
def trunnion_commands() -> list[Command]:
    return [Command.of(talk, console="t", lock=None, expose=frozenset({"web"}))]


def talk() -> str:
    print("for ann's eyes")
    return "done"


async def answers(root: Path, rounds: int, asked_by: int = 1) -> tuple[set[str], set[str], float]:
    """What bob, or ann, is told of ann's runs and of runs that are not there, and how their times compare."""
    async with opener(root)(people=SimpleNamespace(trunnion_commands=trunnion_commands)) as host:
        host.kernel.policy.replace(Directory(principals=PEOPLE))
        ann, bob = (Caller(person.name, "web", "viewer", (), "password") for person in PEOPLE)
        run = await host.door("web").submit(ann, Invocation(command_id="t.talk"))
        await host.door("web").wait(ann, run.id)
        absent = run.id[:-4] + ("0000" if not run.id.endswith("0000") else "1111")
        said: dict[str, set[str]] = {run.id: set(), absent: set()}
        times: dict[str, list[float]] = {run.id: [], absent: []}
        for number in range(2 * rounds):
            for run_id in (run.id, absent) if number % 2 else (absent, run.id):
                began = time.perf_counter()
                answer = await told(host, (ann, bob)[asked_by], run_id)
                times[run_id].append(time.perf_counter() - began)
                said[run_id].add(answer.replace(run_id, "ID"))
        ratio = statistics.median(times[run.id]) / statistics.median(times[absent])
        return said[run.id], said[absent], ratio


async def told(host: Host, caller: Caller, run_id: str) -> str:
    try:
        async for batch in host.door("web").follow(caller, f"run/{run_id}"):
            return repr(batch)
    except TrunnionError as error:
        return repr((error.code, error.message, error.details))
    return "nothing"


@pytest.mark.alone
@pytest.mark.anyio
async def test_g6_a_run_one_may_not_see(tmp_path: Path, figure: Callable[..., None]) -> None:
    """The answer is that for a run that is not there, byte for byte, and takes as long."""
    there, absent, ratio = await answers(tmp_path, 150)
    assert len(there) == 1
    assert there == absent
    assert "not_found" in next(iter(there))
    figure("time beside that for an absent run", round(ratio, 2), "times")
    assert 0.2 < ratio < 5


@pytest.mark.anyio
async def test_g6_without_the_fault_one_sees_ones_own(tmp_path: Path) -> None:
    there, absent, _ = await answers(tmp_path, 2, asked_by=0)
    assert all("Event(" in answer for answer in there)
    assert "not_found" in next(iter(absent))


@pytest.mark.anyio
async def test_g6_without_the_defence_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "may_see_run", lambda *_: True)
    monkeypatch.setattr(Policy, "require_run", lambda *_: None)
    there, absent, _ = await answers(tmp_path, 2)
    assert there != absent
    assert "Event(" in next(iter(there))


# -- G8 ---------------------------------------------------------------------------------------------


async def paged(ground: Ground, run: str, page: int) -> tuple[int, float]:
    """How many events of a run come page by page, and the seconds until the first page."""
    seen, after, first = 0, 0, 0.0
    async with line(ground.socket) as reader:
        while after is not None:
            began = time.monotonic()
            args = {"run_id": run, "after": after, "limit": page}
            frame = await reader.call("query", {"query_id": "runs.events", "args": args})
            first = first or time.monotonic() - began
            assert [item["seq"] for item in frame.result["items"]] == list(
                range(seen + 1, seen + 1 + len(frame.result["items"]))
            )
            seen += len(frame.result["items"])
            after = int(frame.result["next"]) if frame.result["next"] else None
    return seen, first


async def said(ground: Ground, events: int) -> str:
    async with line(ground.socket) as speaker:
        run = await submit(speaker, "streams.storm", events=events)
        assert await last_of(speaker, run) > events
        return run


@pytest.mark.parametrize("events", [10_000, pytest.param(1_000_000, marks=pytest.mark.heavy)])
def test_g8_many_events_are_read_page_by_page(talking: Ground, events: int, figure: Callable[..., None]) -> None:
    host = talking.up()
    asyncio.run(paged(talking, asyncio.run(said(talking, 1_000)), 1000))
    run = asyncio.run(said(talking, events))
    before = resident(host)
    seen, first = asyncio.run(paged(talking, run, 1000))
    figure("events", seen)
    figure("first page", round(1000 * first, 1), "ms")
    figure("memory more after reading them", max(resident(host) - before, 0) >> 10, "KiB")
    assert seen > events
    assert first < 2  # 0.1 s is the figure
    assert resident(host) - before < 32 << 20
    assert host.stop() == 0
