"""N9: output without end, lines without end, bytes that are no text: what a run keeps of it, and what that costs."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from faults_kit import Ground

from trunnion.model.events import Event
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client

CAP = 4 << 20
LINE = "the same line of output, over and over, and nobody reads it"
SCRIPTS = f"""
[scripts.much]
run = ["/bin/sh", "-c", "echo begin; yes '{LINE}' | head -c $0; echo; echo the end", "{{size}}"]
lock = ""
[scripts.much.args.size]
type = "integer"

[scripts.endless]
run = ["/bin/sh", "-c", "head -c $0 /dev/zero | tr '\\\\0' y; echo; echo next", "{{size}}"]
lock = ""
[scripts.endless.args.size]
type = "integer"

[scripts.garbage]
run = ["/bin/sh", "-c", "head -c $0 /dev/urandom; echo; echo next", "{{size}}"]
lock = ""
[scripts.garbage.args.size]
type = "integer"

[scripts.stopped]
run = ["/bin/sh", "-c", "echo before; kill -STOP $$; echo after"]
lock = ""
"""


def capped(ground: Ground, *, without: str = "none") -> int:
    """Start a host with a small cap; its memory then, in bytes."""
    config = ground.config.read_text().replace("[executor]", f"[executor]\nmax_output_bytes = {CAP}")
    ground.config.write_text(config + SCRIPTS)
    return resident(ground.up(without=without).pid)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def on_disk(data: Path) -> int:
    return sum(entry.stat().st_size for entry in data.rglob("*") if entry.is_file())


def followed(ground: Ground, command: str, **args: int) -> tuple[Run, list[Event], list[Event]]:
    """A run, what a follower saw of it while it was live, and what its stream says afterwards."""

    async def work(client: Client) -> tuple[Run, list[Event], list[Event]]:
        run = await client.submit(Invocation(command_id=command, args=dict(args)))
        seen = [event async for batch in client.follow(f"run/{run.id}") for event in batch]
        told = [event async for batch in client.follow(f"run/{run.id}", live=False) for event in batch]
        return await client.wait(run.id), seen, told

    return ground.talk(work)


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if event.kind == "text")


def test_n9_a_run_keeps_the_beginning_and_the_end_of_its_output(
    make_ground: Callable[[str], Ground], rounds: int, figure: Callable[..., None]
) -> None:
    ground, idle = make_ground("ground"), make_ground("idle")
    assert idle.up().stop() == 0
    size = (1 << 30) if rounds >= 200 else 48 << 20
    before_memory = capped(ground)
    host = ground.hosts[-1]
    run, seen, told = followed(ground, "scripts.much", size=size)
    assert run.status == "succeeded"
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert seen == told
    text, gaps = text_of(told), [event for event in told if event.kind == "gap"]
    assert text.startswith(f"begin\n{LINE}\n")
    assert text.endswith("\nthe end\n")
    assert len(gaps) == 1
    shown = text.count("\n")
    whole = 1 + size // (len(LINE) + 1) + 1 + 1
    assert shown + gaps[0].data["lines"] == whole == run.stats["output_lines"]
    assert len(text) + gaps[0].data["bytes"] == run.stats["output_bytes"]
    grown = resident(host.pid) - before_memory
    assert grown < 64 << 20
    assert host.stop() == 0
    kept = on_disk(ground.data) - on_disk(idle.data)
    assert kept <= CAP * 1.02  # the database has pages and indexes, and the host a log
    figure("output of one run", f"{size >> 20} MiB")
    figure("bytes of it on the disk, of the cap", round(kept / CAP, 2))
    figure("lines neither kept nor counted as missing", 0)
    figure("growth of the host's memory, MiB", grown >> 20)


def test_n9_without_the_fault(ground: Ground) -> None:
    capped(ground)
    run, seen, told = followed(ground, "scripts.much", size=1 << 20)
    assert seen == told
    assert {event.kind for event in told} == {"state", "text"}
    expected = "begin\n" + (f"{LINE}\n" * 20_000)[: 1 << 20] + "\nthe end\n"
    assert hashlib.sha256(text_of(told).encode()).hexdigest() == hashlib.sha256(expected.encode()).hexdigest()
    assert not run.stats


def test_n9_without_the_defence_the_disk_takes_all_of_it(ground: Ground) -> None:
    capped(ground, without="keep_all_output")
    before = on_disk(ground.data)
    followed(ground, "scripts.much", size=24 << 20)
    assert on_disk(ground.data) - before > 2 * CAP


def test_n9_a_line_without_end_is_cut_and_says_so(ground: Ground, rounds: int, figure: Callable[..., None]) -> None:
    size = (1 << 30) if rounds >= 200 else 48 << 20
    before = capped(ground)
    run, _, told = followed(ground, "scripts.endless", size=size)
    cuts = [event.data["cut"] for event in told if event.kind == "text" and "cut" in event.data]
    assert cuts == [size - (64 << 10)]
    assert text_of(told).endswith("left out]\nnext\n")
    assert run.result["stdout_dropped"] == cuts[0]
    grown = resident(ground.hosts[-1].pid) - before
    assert grown < 32 << 20
    figure("one line", f"{size >> 20} MiB")
    figure("growth of the host's memory by it, MiB", grown >> 20)


def test_n9_bytes_that_are_no_text_are_shown_as_such(ground: Ground) -> None:
    capped(ground)
    run, seen, told = followed(ground, "scripts.garbage", size=16 << 20)
    assert run.status == "succeeded"
    assert seen == told
    assert text_of(told).endswith("next\n")
    assert sum(len(event.text.encode()) for event in told) <= CAP


def test_n9_a_program_that_stands_still_is_ended_all_the_same(ground: Ground) -> None:
    capped(ground)
    host = ground.hosts[-1]

    async def work(client: Client) -> Run:
        run = await client.submit(Invocation(command_id="scripts.stopped"))
        async for batch in client.follow(f"run/{run.id}"):
            if any(event.text == "before\n" for event in batch):
                break
        async with asyncio.timeout(20):
            await client.cancel(run.id)
            return await client.wait(run.id)

    assert ground.talk(work).status == "cancelled"
    assert host.process.poll() is None
