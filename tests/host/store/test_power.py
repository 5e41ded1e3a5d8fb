"""The writer process: answers in order, death and restart, the end of the host."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_kit import Bench, event, opened, until

from trunnion.model.errors import Unavailable
from trunnion.model.events import run_stream
from trunnion.store import Batch, DiskFull, wire
from trunnion.store.power import PowerStore


@pytest.fixture
def power(tmp_path: Path) -> Iterator[Bench]:
    with opened("power", tmp_path) as bench:
        yield bench


def writer_of(bench: Bench) -> int:
    assert isinstance(bench.store, PowerStore)
    pid = bench.store._link.pid
    assert pid is not None
    return pid


def test_a_killed_writer_is_replaced_and_nothing_is_written_twice(power: Bench) -> None:
    """Killed again and again while batches are on their way; each is answered once, in order."""
    run = power.accept(power.run())
    stream = run_stream(run.id)

    async def storm() -> list[int]:
        answered: list[int] = []
        finished = asyncio.get_running_loop().create_future()

        def done(seq: int, error: Exception | None) -> None:
            assert error is None, error
            answered.append(seq)
            if seq == 1000:
                finished.set_result(None)

        for seq in range(2, 1001):
            power.store.commit(
                Batch(appends={stream: [event(run, seq)]}),
                lambda error, seq=seq: done(seq, error),  # type: ignore[misc]
            )
            if seq % 200 == 0:
                seen = len(answered)
                os.kill(writer_of(power), signal.SIGKILL)
                while len(answered) == seen:
                    await asyncio.sleep(0.001)
        await asyncio.wait_for(finished, 30)
        return answered

    assert power.loop.run_until_complete(storm()) == list(range(2, 1001))
    assert [e.seq for e in power.store.read_events(stream, 0, 2000)] == list(range(1, 1001))
    power.reopen()
    assert power.store.last_seq(stream) == 1000


def test_a_batch_committed_but_not_answered_is_not_committed_again(power: Bench) -> None:
    """The answer is lost with the host's interest in it: sent again under its number, it changes nothing."""
    assert isinstance(power.store, PowerStore)
    run = power.accept(power.run())
    stream = run_stream(run.id)
    frames: list[bytes] = []
    send = power.store._link.send
    power.store._link.send = lambda data: (frames.append(data), send(data))[1]  # type: ignore[method-assign]
    power.commit(Batch(appends={stream: [event(run, 2)]}))
    answers: list[wire.Answer] = []
    really = power.store._link._answered
    power.store._link._answered = answers.append

    async def again() -> None:
        send(frames[0])
        while not answers:
            await asyncio.sleep(0.001)

    power.loop.run_until_complete(asyncio.wait_for(again(), 20))
    assert answers == [wire.Answer(wire.sent.decode(frames[0][4:]).number)]
    power.store._link._answered = really
    power.commit(Batch(appends={stream: [event(run, 3)]}))
    assert [e.seq for e in power.store.read_events(stream, 0, 10)] == [1, 2, 3]


def test_a_writer_that_cannot_live_is_given_up_by_name(power: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = power.accept(power.run())
    stream = run_stream(run.id)
    monkeypatch.setattr("trunnion.store.link.sys.executable", "/bin/false")
    os.kill(writer_of(power), signal.SIGKILL)
    error = power.try_commit(Batch(appends={stream: [event(run, 2)]}))
    assert isinstance(error, Unavailable)
    assert "died 4 times" in error.message
    assert power.store.last_seq(stream) == 1
    monkeypatch.undo()
    power.commit(Batch(appends={stream: [event(run, 2)]}))


def test_the_writer_ends_with_the_host_however_it_ends(tmp_path: Path) -> None:
    child = Path(__file__).with_name("writing_child.py")
    command = [sys.executable, str(child), "power", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        host.stdout.readline()
        children = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
        assert len(children) == 1
        host.kill()
    until(lambda: not Path(f"/proc/{children[0]}/cmdline").exists() or is_zombie(children[0]), 5)


def is_zombie(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_signals_for_the_host_do_not_end_the_writer(power: Bench) -> None:
    pid = writer_of(power)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    power.ended()
    assert writer_of(power) == pid


def test_what_is_on_its_way_is_written_before_the_end(power: Bench) -> None:
    run = power.accept(power.run())
    answers: list[Exception | None] = []

    async def send() -> None:
        for seq in range(2, 100):
            power.store.commit(Batch(appends={run_stream(run.id): [event(run, seq)]}), answers.append)
        power.store.close()

    power.loop.run_until_complete(send())
    assert answers == [None] * 98
    power.reopen()
    assert power.store.last_seq(run_stream(run.id)) == 99


def test_a_key_on_its_way_is_found(power: Bench) -> None:
    from trunnion.store import Accept, KeyRow

    run = power.run()
    key = KeyRow("ann", "k", run.id, run.command_id, "d", power.clock())

    async def send() -> None:
        answer = asyncio.get_running_loop().create_future()
        power.store.commit(Batch([Accept(run, key)]), answer.set_result)
        assert power.store.find_key("ann", "k") == key
        assert power.store.get_run(run.id) is None, "not committed, not visible"
        assert await answer is None

    power.loop.run_until_complete(send())
    assert power.store.find_key("ann", "k") == key
    assert power.store.get_run(run.id) == run


def test_requests_to_a_dead_writer_are_refused_not_lost(power: Bench) -> None:
    run = power.ended()
    os.kill(writer_of(power), signal.SIGKILL)
    with pytest.raises(Unavailable, match="writes"):
        power.store.forget(run.id)


@pytest.mark.parametrize("error", [DiskFull("no space"), Unavailable("gone")])
def test_errors_cross_the_wire(error: Exception) -> None:
    data = wire.frame(wire.Answer(7, wire.failed(error)))
    splitter = wire.Splitter()
    frames = [frame for byte in data for frame in splitter.feed(bytes([byte]))]
    answer = wire.answer.decode(frames[0])
    assert answer.failed is not None
    back = wire.as_error(answer.failed)
    assert (type(back), str(back)) == (type(error), str(error))
