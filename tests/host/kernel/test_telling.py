"""What plugins are told: refusals, ends of runs, changes to come; and the object that gates and observers get."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from trunnion import (
    Admission,
    Allow,
    BearerToken,
    Command,
    Deny,
    Event,
    Gate,
    HostChange,
    HostHandle,
    InvalidArguments,
    NotFound,
    Observer,
    Provider,
    Refused,
    Run,
    TrunnionError,
    Unauthenticated,
    Unavailable,
    hookimpl,
)
from trunnion.host import Host, HostOptions
from trunnion.kernel import telling
from trunnion.testing import Hosting

pytestmark = pytest.mark.anyio


class Book:
    """What one host told."""

    def __init__(self, host: HostHandle) -> None:
        self.host = host
        self.refused: list[Refused] = []
        self.ended: list[tuple[Run, bool]] = []
        self.changes: list[HostChange] = []
        self.seen: list[Event] = []
        self.asked: list[Admission] = []
        self.veto: Exception | None = None
        host.on_refusal(self.refused.append)
        host.on_end(lambda run, kept: self.ended.append((run, kept)))
        host.before_change(self.before)

    async def before(self, change: HostChange) -> None:
        self.changes.append(change)
        if self.veto is not None:
            raise self.veto


class Clerk:
    """A plugin with an object that its gate and its observer get."""

    def __init__(self, *, records: bool = True) -> None:
        self.records = records
        self.books: list[Book] = []

    @hookimpl
    def trunnion_provides(self) -> list[Provider]:
        async def open_(host: HostHandle) -> Book:
            self.books.append(Book(host))
            return self.books[-1]

        return [Provider(type=Book, open=open_)]

    @hookimpl
    def trunnion_gates(self) -> list[Gate]:
        async def admit(book: Book, batch: Sequence[Admission]) -> list[Allow]:
            book.asked.extend(batch)
            return [Allow()] * len(batch)

        covers = frozenset({"commands", "queries"})
        return [Gate(name="a-clerk", admit=admit, of=Book, records=self.records, covers=covers)]

    @hookimpl
    def trunnion_observers(self) -> list[Observer]:
        async def look(book: Book, events: Sequence[Event]) -> None:
            book.seen.extend(events)

        return [Observer(name="clerk", on_events=look, of=Book, streams="run/*")]


class Zealot:
    @hookimpl
    def trunnion_gates(self) -> list[Gate]:
        async def admit(batch: Sequence[Admission]) -> list[Deny | Allow]:
            return [Deny("no") if asked.target == "t.never" else Allow() for asked in batch]

        return [Gate(name="zealot", admit=admit)]


def do() -> int:
    return 1


MADE = [
    Command.of(do, console="t"),
    Command.of(do, console="t", name="never"),
    Command.of(do, console="t", name="click", keep="none"),
]


async def test_gates_and_observers_get_the_object_of_their_plugin_in_each_host() -> None:
    clerk = Clerk()
    first, second = (Hosting(plugins={"clerk": clerk}, commands=MADE) for _ in range(2))
    async with first as one, second as other:
        await one.invoke("t.do")
        await other.invoke("t.do")
        await other.invoke("t.do")
        await one.settle()
        await other.settle()
    assert [len(book.asked) for book in clerk.books] == [1, 2]
    assert [len({event.stream for event in book.seen}) for book in clerk.books] == [1, 2]


async def test_a_gate_that_records_is_asked_after_those_that_refuse() -> None:
    for records, asked in ((True, []), (False, ["t.never"])):
        clerk = Clerk(records=records)
        async with Hosting(plugins={"clerk": clerk, "zealot": Zealot()}, commands=MADE) as host:
            with pytest.raises(TrunnionError):
                await host.submit("t.never")
        assert [each.target for each in clerk.books[0].asked] == asked


async def test_a_host_that_only_reads_does_not_ask_gates_that_record(tmp_path: Path) -> None:
    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk}, data_dir=tmp_path / "data", store="process"):
        pass
    options = HostOptions(data_dir=tmp_path / "data", mode="readonly")
    async with Host(options, plugins={"clerk": clerk}, discovery=False, environ={}) as host:
        assert await host.door("cli").query(host.local_caller(), "runs.list")


async def test_every_refusal_is_told_and_counted_once() -> None:
    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk, "zealot": Zealot()}, commands=MADE) as host:
        for command in ("t.nothing", "t.never"):
            with pytest.raises(TrunnionError):
                await host.submit(command)
        with pytest.raises(NotFound):
            await host.query("t.nothing")
        with pytest.raises(NotFound):
            await host.events("nobodys")
        with pytest.raises(Unauthenticated):
            await host.host.door("rpc").authenticate(BearerToken("nonsense"))
        counts = dict(host.host.kernel.telling.counts)
    told = clerk.books[0].refused
    assert [(each.kind, each.target, each.code) for each in told] == [
        ("command", "t.nothing", "not_found"),
        ("command", "t.never", "forbidden"),
        ("query", "t.nothing", "not_found"),
        ("stream", "run/nobodys", "not_found"),
        ("credential", "token", "unauthenticated"),
    ]
    assert [bool(each.run_id) for each in told] == [False, True, False, False, False]
    assert told[0].caller == host.caller and told[-1].caller is None and told[-1].source == "rpc"
    assert counts == {"not_found": 3, "forbidden": 1, "unauthenticated": 1}


async def test_a_run_nobody_waits_for_any_more_at_its_gates_is_told_as_refused() -> None:
    go = asyncio.Event()

    class Slow:
        @hookimpl
        def trunnion_gates(self) -> list[Gate]:
            async def admit(batch: Sequence[Admission]) -> list[Allow]:
                await go.wait()
                return [Allow()] * len(batch)

            return [Gate(name="slow", admit=admit)]

    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk, "slow": Slow()}, commands=MADE) as host:
        task = asyncio.create_task(host.submit("t.do"))
        while not host.host.kernel.gates._tasks:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        (told,) = clerk.books[0].refused
        go.set()
    assert (told.code, told.target, bool(told.run_id)) == ("cancelled", "t.do", True)


async def test_every_end_is_told_also_of_runs_that_leave_nothing() -> None:
    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk}, commands=MADE) as host:
        runs = [await host.invoke("t.do"), await host.invoke("t.click")]
    assert [(run.id, run.status, kept) for run, kept in clerk.books[0].ended] == [
        (runs[0].id, "succeeded", True),
        (runs[1].id, "succeeded", False),
    ]


async def test_a_change_waits_until_it_was_taken_note_of_and_can_be_refused() -> None:
    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk}) as host:
        run = await host.invoke("principals.add", name="ann")
        (change,) = clerk.books[0].changes
        assert (change.kind, change.run_id, change.caller) == ("access", run.id, host.caller)
        for veto, why in ((Unavailable("not now"), "not now"), (ValueError("oops"), "could not take note")):
            clerk.books[0].veto = veto
            run = await host.invoke("principals.add", name="bob")
            assert run.status == "failed" and run.error is not None and why in run.error.message
        assert {p["name"] for p in (await host.query("principals.list"))["items"]} == {"ann"}  # type: ignore[index, call-overload]


async def test_a_listener_that_does_not_end_refuses_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "PATIENCE", 0.01)
    clerk = Clerk()

    async def sleeps(change: HostChange) -> None:
        await asyncio.Event().wait()

    async with Hosting(plugins={"clerk": clerk}) as host:
        clerk.books[0].host.before_change(sleeps)
        run = await host.invoke("principals.add", name="bob")
        assert run.error is not None and run.error.code == "unavailable"
        clerk.books[0].host.let_go()
        assert (await host.invoke("principals.add", name="bob")).status == "succeeded"


async def test_a_reload_is_told_with_what_will_hold() -> None:
    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk}, settings={"executor": {"max_pending": 5}}) as host:
        path = host.host.config.path
        assert path is not None
        path.write_text(path.read_text().replace("5", "7"))
        clerk.books[0].veto = Unavailable("not now")
        with pytest.raises(Unavailable):
            await host.host.reload()
        assert host.host.config.get("executor.max_pending") == 5
        clerk.books[0].veto = None
        await host.host.reload()
        assert host.host.config.get("executor.max_pending") == 7
    change = clerk.books[0].changes[-1]
    assert change.facts["values"] == {"executor.max_pending": 7}


async def test_only_hooks_of_its_own_can_be_asked_for_by_a_plugin() -> None:
    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk}):
        with pytest.raises(InvalidArguments):
            await clerk.books[0].host.contributed("trunnion_commands", Command)
        assert await clerk.books[0].host.contributed("trunnion_clerk_things", Command) == []


async def test_what_is_on_record_can_be_read_again() -> None:
    clerk = Clerk()
    async with Hosting(plugins={"clerk": clerk}, commands=MADE, store="process") as host:
        run = await host.invoke("t.do")
        history = clerk.books[0].host.history
        assert await history.run(run.id) == run
        assert await history.run("nobodys") is None
        assert list(await history.events(f"run/{run.id}", 0)) == await host.events(run)
        assert clerk.books[0].host.durability == "process"
        assert [record.id for record in clerk.books[0].host.plugins] == ["clerk"]
