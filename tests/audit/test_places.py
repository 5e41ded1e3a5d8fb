"""Further places for the record: copies, hanging ones, and one that stands in for the file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from audit_kit import check_chain, of_kind, records
from trouble_kit import DO, DONE, Full, hosting

from trunnion import Json, Unavailable, hookimpl
from trunnion.testing import Harness, Hosting
from trunnion_audit.ledger import Ledger
from trunnion_audit.records import Record
from trunnion_audit.sinks import Sink, SinkFeed

pytestmark = pytest.mark.anyio


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(data: Path) -> Path:
    return data / "audit"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Full:
    return Full(monkeypatch, folder)


# -- O9: further places ---------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def datagrams(path: Path) -> AsyncIterator[socket.socket]:
    """A syslog that takes messages."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.setblocking(False)
        yield made


def received(place: socket.socket) -> list[dict[str, Any]]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            head, _, text = place.recv(1 << 16).partition(b" audit - ")
            assert head.startswith(b"<109>1 ")
            found.append(json.loads(text))
    return found


async def test_a_copy_of_every_record_goes_to_syslog(data: Path, folder: Path, tmp_path: Path) -> None:
    async with datagrams(tmp_path / "log") as place:
        async with hosting(data, syslog={"address": str(tmp_path / "log")}) as host:
            await host.invoke("t.do", number=1)
        told = received(place)
    assert {record["kind"] for record in told} == {"admin", "intent", "outcome"}
    assert all(record in records(folder) for record in told)


async def test_o9_a_place_that_hangs_holds_nothing_up(data: Path, folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
        deaf.bind(str(tmp_path / "log"))
        deaf.listen(1)  # and never accepts, or reads
        syslog: Json = {"address": str(tmp_path / "log")}
        async with hosting(data, syslog=syslog, sink_timeout=0.2) as host:
            loop = asyncio.get_running_loop()
            began = loop.time()
            for _ in range(50):
                await host.invoke("t.say", text="x" * 40_000)
            assert loop.time() - began < 10
            feed = host.host.kernel.providers.get(_audit_type(), "audit").ledger.sinks[0]  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                while feed.state != "slow":
                    await asyncio.sleep(0.01)
            status = await host.query("audit.status")
    assert isinstance(status, dict)
    (sink,) = status["sinks"]
    assert status["state"] == "well" and sink["state"] == "slow" and "within 0.2 s" in sink["reason"]
    assert len(of_kind(folder, "intent")) >= 50


async def test_o9_without_the_fault_a_place_gets_everything(data: Path, folder: Path, tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())  # until it is let go of
        writer.close()

    async with await asyncio.start_unix_server(hear, tmp_path / "log"):
        syslog: Json = {"address": str(tmp_path / "log")}
        async with hosting(data, syslog=syslog, sink_timeout=10) as host:
            for _ in range(50):
                await host.invoke("t.say", text="x" * 40_000)
            status = await host.query("audit.status")
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
    assert isinstance(status, dict)
    (sink,) = status["sinks"]
    assert (status["state"], sink["state"], sink["reason"], sink["unsent"]) == ("well", "well", "", 0)
    assert heard[0].count(b' - {"args":') == len(of_kind(folder, "intent")) >= 50


class Deaf:
    """A plugin with a place that takes what it is given, and never comes back from it until it is let go."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    @hookimpl(optionalhook=True)
    def trunnion_audit_sinks(self) -> list[Sink]:
        return [Sink(name="deaf", write=self.write, stands_in=True)]

    async def write(self, lines: Sequence[bytes]) -> None:
        self.asked.set()
        await self.go.wait()


def beside(data: Path, deaf: Deaf, **settings: Json) -> Hosting:
    DONE.clear()
    own: dict[str, dict[str, Json]] = {"audit": settings}
    return Hosting(plugins=["audit", deaf], commands=[DO], data_dir=data, store="process", settings=own)


async def test_o9_a_place_that_hangs_while_it_stands_in_is_given_up(data: Path, disk: Full) -> None:
    deaf = Deaf()
    async with beside(data, deaf, sink_timeout=0.1) as host:
        await host.invoke("t.do", number=1)  # the file has it, whatever the place does
        disk.full = True
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="No space left"):
                await host.submit("t.do", number=2)
        disk.full = False
        await host.invoke("t.do", number=3)
    assert DONE == [1, 3]


async def test_o9_without_the_defence_commands_wait_for_the_place_that_hangs(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that is given each record in turn, and not in the background."""
    real = Ledger.record

    async def in_turn(self: Ledger, records: Sequence[Record]) -> None:
        await real(self, records)
        for feed in self.sinks:
            await feed.sink.write([record.line() for record in records])

    monkeypatch.setattr(Ledger, "record", in_turn)
    monkeypatch.setattr(SinkFeed, "offer", lambda self, lines: None)
    deaf = Deaf()
    async with beside(data, deaf) as host:
        await held_up(host, deaf)


async def test_o9_without_the_defence_commands_wait_for_what_stands_in(data: Path, disk: Full) -> None:
    """A place whose deadline is far away."""
    deaf = Deaf()
    async with beside(data, deaf, sink_timeout=60) as host:
        disk.full = True
        await held_up(host, deaf)
        disk.full = False


async def held_up(host: Harness, deaf: Deaf) -> None:
    """A command that does not begin before the place lets it, and does then."""
    asked = asyncio.create_task(host.invoke("t.do", number=1))
    try:
        async with asyncio.timeout(10):
            await deaf.asked.wait()
        done, _ = await asyncio.wait({asked}, timeout=0.3)  # three times what a place is given above
        assert not done and DONE == []
    finally:
        deaf.go.set()
    await asked
    assert DONE == [1]


def _audit_type() -> type:
    from trunnion_audit.audit import Audit

    return Audit


async def test_b2_a_place_that_stands_in_accepts_while_the_disk_is_full(
    data: Path, folder: Path, disk: Full, tmp_path: Path
) -> None:
    syslog: Json = {"address": str(tmp_path / "log"), "stand_in": True}
    async with datagrams(tmp_path / "log") as place, hosting(data, syslog=syslog) as host:
        await host.invoke("t.do", number=1)
        await host.settle()
        disk.full = True
        received(place)
        run = await host.invoke("t.do", number=2)
        assert DONE == [1, 2]
        told = [record for record in received(place) if record["kind"] == "intent"]
        assert [record["run"] for record in told] == [run.id] and "n" not in told[0]
        assert run.id not in [record.get("run") for record in records(folder)]
        disk.full = False
        await host.invoke("t.do", number=3)
        await host.settle()
    check_chain(folder)
    intents = of_kind(folder, "intent")
    assert [json.loads(record["args"])["number"] for record in intents] == [1, 2, 3]
    assert {record["run"] for record in of_kind(folder, "outcome")} == {record["run"] for record in intents}


async def test_a_place_that_does_not_stand_in_is_no_reason_to_go_on(data: Path, disk: Full, tmp_path: Path) -> None:
    async with datagrams(tmp_path / "log"), hosting(data, syslog={"address": str(tmp_path / "log")}) as host:
        disk.full = True
        with pytest.raises(Unavailable):
            await host.submit("t.do", number=2)
        disk.full = False
    assert DONE == []


# -- places of other plugins ----------------------------------------------------------------------


async def test_a_plugin_brings_a_place_by_the_hook_of_the_audit(data: Path, folder: Path, disk: Full) -> None:
    told: list[dict[str, Any]] = []

    class Archive:
        @hookimpl(optionalhook=True)
        def trunnion_audit_sinks(self) -> list[Sink]:
            async def write(lines: Sequence[bytes]) -> None:
                told.extend(map(json.loads, lines))

            return [Sink(name="archive", write=write, stands_in=True)]

    class Broken:
        @hookimpl(optionalhook=True)
        def trunnion_audit_sinks(self) -> list[Sink]:
            raise RuntimeError("no archive today")

    DONE.clear()
    plugins = ["audit", Archive(), Broken()]
    async with Hosting(plugins=plugins, commands=[DO], data_dir=data, store="process") as host:
        await host.invoke("t.do", number=1)
        disk.full = True
        await host.invoke("t.do", number=2)
        disk.full = False
        status = await host.query("audit.status")
        await host.invoke("t.do", number=3)
        await host.settle()
    assert DONE == [1, 2, 3]
    assert isinstance(status, dict) and [sink["name"] for sink in status["sinks"]] == ["archive"]
    assert [json.loads(record["args"])["number"] for record in of_kind(folder, "intent") if "args" in record] == [
        1,
        2,
        3,
    ]
    assert {record["kind"] for record in told} >= {"admin", "intent", "outcome"}
    assert [record for record in told if "n" in record] == [
        record for record in records(folder) if record["n"] in {each.get("n") for each in told}
    ]
