"""All output on record: each event once, whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from audit_kit import check_chain, of_kind

from trunnion import Command, Context, Event, Json, Secret
from trunnion.testing import Hosting
from trunnion_audit.capturing import Capture, Last, on_record, output_of
from trunnion_audit.ledger import Unrecorded
from trunnion_audit.log import Log, Rules
from trunnion_audit.reading import LogReader
from trunnion_audit.records import Record

pytestmark = pytest.mark.anyio


def talk(ctx: Context, word: str, count: int = 3) -> None:
    for number in range(count):
        ctx.echo(f"{word} {number}")
    ctx.log("logged", level="warning")
    ctx.data({"not": "output"})


def tell(ctx: Context, password: Annotated[str, Secret]) -> None:
    ctx.echo(f"it is {password}")


def hosting(data: Path, **more: Json) -> Hosting:
    made = [Command.of(talk, console="t"), Command.of(tell, console="t")]
    settings: dict[str, Json] = {"capture": "full", **more}
    return Hosting(plugins=["audit"], commands=made, data_dir=data, store="process", settings={"audit": settings})


def seen(folder: Path) -> Counter[tuple[str, int]]:
    return Counter((record["stream"], record["seq"]) for record in of_kind(folder, "output"))


async def test_text_and_log_of_runs_are_on_record_before_the_outcome(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    async with hosting(tmp_path) as host:
        run = await host.invoke("t.talk", word="hello")
        await host.settle()
        events = [event for event in await host.events(run) if event.kind in ("text", "log")]
    told = [record for record in of_kind(folder, "output") if record["stream"] == f"run/{run.id}"]
    assert [(each["seq"], each["text"], each["of"], each["level"], each["by"], each["at"]) for each in told] == [
        (event.seq, event.text, event.kind, event.level, event.by, event.ts) for event in events
    ]
    assert {each["of"] for each in told} == {"text", "log"}
    (outcome,) = of_kind(folder, "outcome")
    assert outcome["n"] > told[-1]["n"]
    check_chain(folder)


async def test_secrets_are_cut_and_meta_takes_no_output(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        await host.invoke("t.tell", password="hunter2-and-more")
        await host.settle()
    told = [each["text"] for each in of_kind(tmp_path / "audit", "output")]
    assert any("it is" in text for text in told) and not any("hunter2" in text for text in told)
    async with hosting(tmp_path / "other", capture="meta") as host:
        await host.invoke("t.talk", word="x")
        await host.settle()
    assert not of_kind(tmp_path / "other" / "audit", "output")


async def test_output_outside_runs_is_on_record(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        host.host.kernel.host_log.printed("outside\n")
        host.host.kernel.host_log.log("some.library", "error", "it broke")
        await host.invoke("t.talk", word="x")
        await host.settle()
    told = {(each["stream"], each["of"], each["text"]) for each in of_kind(tmp_path / "audit", "output")}
    assert {("host", "text", "outside\n"), ("host/log", "log", "it broke")} <= told


async def test_too_large_a_text_is_kept_as_its_beginning(tmp_path: Path) -> None:
    event = Event("run/x", 3, 5, "text", text="ü" * 9000)
    record = output_of(event, 4097, 7)
    assert record.text == "ü" * 2048
    assert (record.text_size, record.text_sha256) == (18000, hashlib.sha256(event.text.encode()).hexdigest())
    whole = output_of(event, 1 << 20, 7)
    assert (whole.text, whole.text_size) == (event.text, msgspec.UNSET)


class Refusing:
    """A ledger that takes nothing now and then."""

    def __init__(self, refuses: set[int]) -> None:
        self.taken: list[Any] = []
        self._refuses = refuses
        self._count = 0

    async def record(self, records: Sequence[Record]) -> None:
        self._count += 1
        if self._count in self._refuses:
            raise Unrecorded("no")
        self.taken += records


async def test_events_given_again_are_not_doubled_and_none_is_missed(tmp_path: Path) -> None:
    async def here(function: Any) -> Any:
        return function()

    ledger = Refusing({2, 3, 5})
    capture = Capture(ledger, LogReader(tmp_path / "none"), here)
    events = [Event(f"run/{n % 3}", n // 3 + 1, n, "text", text="x" * 5000) for n in range(900)]
    for _ in range(10):
        try:
            await capture.take(events, 1 << 16, 1)
        except Unrecorded:
            continue
    assert [(each.stream, each.seq) for each in ledger.taken] == [(event.stream, event.seq) for event in events]


async def test_a_database_that_was_put_back_hides_nothing(tmp_path: Path) -> None:
    async def here(function: Any) -> Any:
        return function()

    ledger = Refusing(set())
    capture = Capture(ledger, LogReader(tmp_path / "none"), here)
    before = [Event("host", n, 100 + n % 3, "text", text="x") for n in range(1, 50)]
    after = [Event("host", n, 200 + n % 3, "text", text="x") for n in range(20, 30)]
    for events in (before, before, after[:5], after):
        await capture.take(events, 1 << 16, 1)
    assert [(each.seq, each.at) for each in ledger.taken] == [(event.seq, event.ts) for event in before + after]


def test_what_is_on_record_is_found_from_the_end_of_the_log(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "audit", "host", Rules(segment_bytes=2000), 1)
    for at, stream, seq in ((10, "a", 1), (30, "b", 7), (41, "a", 2), (40, "a", 3), (50, "b", 1)):
        log.write([output_of(Event(stream, seq, at, "log", text="x" * 500), 1000, at + 1)], at + 1)
    log.close()
    reader = LogReader(tmp_path / "audit")
    assert on_record(reader, 0) == {"a": Last(3, 41), "b": Last(1, 50)}
    assert on_record(reader, 45) == {"a": Last(3, 40), "b": Last(1, 50)}


HOST = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_capture import hosting

async def main():
    async with hosting(Path({data!r})) as host:
        print("up", flush=True)
        await asyncio.gather(*(host.invoke("t.talk", word=str(n), count=40) for n in range(400)))

asyncio.run(main())
"""


@pytest.mark.parametrize("round", range(2))
async def test_after_kill_9_nothing_is_missed_or_doubled(tmp_path: Path, round: int) -> None:
    text = HOST.format(here=str(Path(__file__).parent), data=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        wanted = 5 + 90 * round
        async with asyncio.timeout(60):
            while sum(map(_outputs, (tmp_path / "audit").glob("audit-*.jsonl"))) < wanted:
                await asyncio.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    async with hosting(tmp_path) as host:
        await host.settle()
        stored = Counter[tuple[str, int]]()
        page: Any = {"next": None}
        while True:
            page = await host.query("runs.list", limit=500, **({"cursor": page["next"]} if page["next"] else {}))
            for run in page["items"]:
                stored.update((e.stream, e.seq) for e in await host.events(run["id"]) if e.kind in ("text", "log"))
            if page["next"] is None:
                break
    told = Counter({key: count for key, count in seen(tmp_path / "audit").items() if key[0].startswith("run/")})
    assert stored and told == stored
    check_chain(tmp_path / "audit")


def _outputs(path: Path) -> int:
    return path.read_bytes().count(b'"kind":"output"')


async def test_without_a_look_at_the_log_events_would_be_doubled(tmp_path: Path) -> None:
    """A host that died after it had recorded, and before the host had noted that: the same events come again."""
    folder = tmp_path / "audit"
    async with hosting(tmp_path) as host:
        run = await host.invoke("t.talk", word="x")
        await host.settle()
        events = [event for event in await host.events(run) if event.kind in ("text", "log")]
    before = seen(folder)
    async with hosting(tmp_path) as host:
        (pump,) = [pump for pump in host.host.kernel.observers if pump.observer.name == "audit"]
        await pump._tell(events)
        await host.settle()
    assert {key: count for key, count in seen(folder).items() if key in before} == dict(before)
