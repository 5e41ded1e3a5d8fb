"""How isolated handlers end: told, killed, dead by their own hand; and what they say meanwhile, however hostile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import handlers_kit as kit
import pytest
from kernel_kit import ANN, Valve, cmd, until

from trunnion.kernel.isolated_talk import Talk
from trunnion.model.commands import Command
from trunnion.process import Keeper

pytestmark = pytest.mark.anyio


def apart(handler: object, **options: object) -> Command:
    return cmd(handler, isolate="process", **options)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("how", "details"),
    [
        ("segfault", {"signal": "SIGSEGV"}),
        ("abort", {"signal": "SIGABRT"}),
        ("killed", {"signal": "SIGKILL"}),
        ("exit", {"exit": 7}),
        ("nothing", {"exit": 0}),
    ],
)
async def test_a_process_that_dies_is_a_run_that_failed(start, how: str, details: dict[str, object]) -> None:
    """Defence: ``_Attempt._outcome``; what was said before stands before the end."""
    async with start(apart(kit.dies), apart(kit.trivial)) as rig:
        run = await rig.run("t.dies", how=how)
        assert (run.status, run.error.code, run.error.details) == ("failed", "internal", details)
        texts = await rig.texts(run)
        assert texts.startswith("before the end\n")
        assert "half a line" in texts
        assert "isolated.died" in await rig.codes()
        assert (await rig.run("t.trivial")).result == 1
        rig.assert_idle()


@pytest.mark.parametrize("handler", [kit.obeys, kit.obeys_async], ids=["sync", "async"])
async def test_a_handler_is_told_and_ends_by_itself(start, tmp_path: Path, handler) -> None:
    async with start(apart(handler), cancel_grace=30) as rig:
        run = await rig.submit(f"t.{handler.__name__}", marker=str(tmp_path / "up"))
        await until((tmp_path / "up").exists)
        await rig.door.cancel(ANN, run.id)
        ended = await rig.ended(run)
        assert (ended.status, ended.error.code) == ("cancelled", "cancelled")
        assert await rig.texts(ended) == "told\n"


async def test_a_result_that_comes_in_time_is_kept_with_the_stopped_run(start, tmp_path: Path) -> None:
    async with start(apart(kit.returns_when_told), cancel_grace=30) as rig:
        run = await rig.submit("t.returns_when_told", marker=str(tmp_path / "up"))
        await until((tmp_path / "up").exists)
        await rig.door.cancel(ANN, run.id)
        ended = await rig.ended(run)
        assert (ended.status, ended.result) == ("cancelled", "in time")


@pytest.mark.parametrize("handler", [kit.deaf, kit.in_c], ids=["deaf", "in C"])
async def test_one_that_does_not_listen_is_killed_and_its_lane_is_free(start, tmp_path: Path, handler) -> None:
    """Defence: ``Ending.give_up`` has the process killed instead of leaving it behind."""
    async with start(apart(handler, lock="one"), apart(kit.trivial, lock="one"), cancel_grace=0.2) as rig:
        run = await rig.submit(f"t.{handler.__name__}", marker=str(tmp_path / "up"))
        await until(lambda: (tmp_path / "up").exists() and (tmp_path / "up").read_text())
        await rig.door.cancel(ANN, run.id)
        ended = await rig.ended(run)
        assert ended.status == "cancelled"
        assert not alive(int((tmp_path / "up").read_text()))
        assert (await rig.run("t.trivial")).result == 1
        assert "handler.abandoned" not in await rig.codes()
        rig.assert_idle()


async def test_its_time_is_over(start, tmp_path: Path) -> None:
    async with start(apart(kit.deaf, timeout=0.5), cancel_grace=0.1) as rig:
        run = await rig.run("t.deaf", marker=str(tmp_path / "up"))
        assert (run.status, run.error.code) == ("timed_out", "deadline_exceeded")


async def test_cancelled_before_its_process_is_there(start, tmp_path: Path) -> None:
    async with start(apart(kit.obeys), cancel_grace=0.2) as rig:
        for _ in range(3):
            run = await rig.submit("t.obeys", marker=str(tmp_path / "up"))
            await rig.door.cancel(ANN, run.id)
            assert (await rig.ended(run)).status == "cancelled"
        keeper = rig.kernel.providers.get(Keeper, "p")
        await until(lambda: keeper.census().alive == 0)


@pytest.mark.parametrize("ends", [False, True], ids=["cancelled", "returned"])
async def test_what_it_started_ends_with_it(start, tmp_path: Path, monkeypatch, ends: bool) -> None:
    """Defence: the keeper kills by descent, and gives what is left no time."""
    monkeypatch.setattr("trunnion.kernel.isolated.LEAVE", 300)
    marker = tmp_path / "up"
    async with start(apart(kit.family), cancel_grace=0.2) as rig:
        run = await rig.submit("t.family", marker=str(marker), ends=ends)
        await until(lambda: marker.exists() and marker.read_text())
        if not ends:
            await rig.door.cancel(ANN, run.id)
        ended = await rig.ended(run)
        assert ended.status == ("succeeded" if ends else "cancelled")
        assert not [pid for pid in map(int, marker.read_text().split()) if alive(pid)]


async def test_a_thread_that_stays_behind_does_not_hold_the_run(start) -> None:
    """Defence: ``LEAVE``."""
    async with start(apart(kit.leaves_late)) as rig:
        run = await rig.run("t.leaves_late")
        assert (run.status, run.result) == ("succeeded", "returned")


async def test_the_host_stops_while_it_works(start, tmp_path: Path) -> None:
    """Nothing of it is left, and its run is told as what it is."""
    marker = tmp_path / "up"
    async with start(apart(kit.deaf), cancel_grace=0.2, shutdown_grace=0.1, durability="process") as rig:
        run = await rig.submit("t.deaf", marker=str(marker))
        await until(lambda: marker.exists() and marker.read_text())
    assert not alive(int(marker.read_text()))
    async with start(apart(kit.deaf), durability="process") as rig:
        ended = await rig.ended(run)
        assert (ended.status, ended.error.code) == ("interrupted", "interrupted")


async def test_one_that_cannot_be_killed_does_not_hold_the_host(start, tmp_path: Path) -> None:
    """It is settled all the same, and ends with the keeper."""
    marker = tmp_path / "up"
    async with start(apart(kit.deaf), cancel_grace=0.2, shutdown_grace=0.1) as rig:
        run = await rig.submit("t.deaf", marker=str(marker))
        await until(lambda: marker.exists() and marker.read_text())
        rig.live(run).kill = lambda: None
        store = rig.kernel.store
    assert store.get_run(run.id).status == "interrupted"


# -- much output ----------------------------------------------------------------------------------


async def test_one_that_is_ahead_of_the_disk_is_held_in_its_pipe_and_no_line_is_lost(start, monkeypatch) -> None:
    """Defence: ``_Attempt._look``."""
    heard = 0
    hear = Talk.hear

    def counted(talk: Talk, data: bytes) -> None:
        nonlocal heard
        heard += len(data)
        hear(talk, data)

    monkeypatch.setattr(Talk, "hear", counted)
    async with start(apart(kit.floods), max_uncommitted_bytes=100_000) as rig:
        run = await rig.submit("t.floods", lines=20_000)
        valve = Valve(rig.kernel.store)
        valve.close()
        before = -1
        while before != heard or not rig.live(run).sink.full:
            before = heard
            await asyncio.sleep(0.2)  # no condition says that nothing more will come
        assert heard < 1_000_000
        valve.open()
        last = await rig.ended(run)
        assert (last.status, last.result) == ("succeeded", 20_000)
        lines = (await rig.texts(last)).splitlines()
        assert [line.split()[1] for line in lines] == [str(n) for n in range(20_000)]


async def test_what_it_left_in_its_pipe_stands_before_its_end(start) -> None:
    """Defence: ``_Attempt._hear_the_rest``."""
    async with start(apart(kit.last_words), max_uncommitted_bytes=20_000) as rig:
        run = await rig.submit("t.last_words", lines=700)
        valve = Valve(rig.kernel.store)
        valve.close()
        keeper = rig.kernel.providers.get(Keeper, "p")
        await until(lambda: keeper.census().started == 1 and keeper.census().alive == 0)
        valve.open()
        ended = await rig.ended(run)
        assert ended.error.details == {"exit": 1}
        assert len((await rig.texts(ended)).splitlines()) == 700


async def test_one_that_never_stops_talking_is_stopped_and_the_loop_stays_free(start) -> None:
    async with start(apart(kit.emits_for_ever), cmd(kit.trivial), cancel_grace=0.2) as rig:
        run = await rig.submit("t.emits_for_ever")
        await until(lambda: rig.live(run).log.seq > 2000, 30)
        assert (await rig.run("t.trivial")).result == 1
        await rig.door.cancel(ANN, run.id)
        assert (await rig.ended(run)).status == "cancelled"


async def test_what_is_written_past_its_streams_are_lines_too(start) -> None:
    async with start(apart(kit.raw_output)) as rig:
        run = await rig.run("t.raw_output", lines=3)
        assert await rig.texts(run) == "raw 0\nraw 1\nraw 2\n\ufffd\ufffd broken\nfrom a program\n"
        channels = {event.data["channel"] for event in await rig.events(run) if event.kind == "text"}
        assert channels == {"process"}


# -- rubbish --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", sorted(kit.HOSTILE))
async def test_what_is_no_message_is_refused_and_counted(start, what: str) -> None:
    """Defence: ``Talk._hear_frame``."""
    async with start(apart(kit.rubbish), cmd(kit.trivial)) as rig:
        run = await rig.run("t.rubbish", what=what)
        assert (run.status, run.result) == ("succeeded", "said it")
        assert [event.kind for event in await rig.events(run)] == ["state", "state"]
        assert ("isolated.refused" in await rig.codes()) == (what != "details")


async def test_a_length_that_is_none_ends_the_process(start) -> None:
    async with start(apart(kit.rubbish)) as rig:
        run = await rig.run("t.rubbish", what="length")
        assert (run.status, run.error.code) == ("failed", "internal")
        assert "4294967295 bytes" in run.error.message
        half = await rig.run("t.rubbish", what="half")
        assert half.error.details == {"exit": 0}


async def test_pipes_and_processes_are_given_back(start) -> None:
    async with start(apart(kit.trivial), apart(kit.dies)) as rig:
        await rig.run("t.trivial")
        before = descriptors()
        for _ in range(5):
            await asyncio.gather(rig.run("t.trivial"), rig.run("t.dies", how="exit"))
        await until(lambda: descriptors() <= before + 4)  # minders are kept for the next
        assert rig.kernel.providers.get(Keeper, "p").census().alive == 0
