"""The host for programs without a loop: from any thread, beside any loop, refused where it would wait for itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from embedding_kit import Warehouse, put

from trunnion import (
    BlockingHost,
    CommandFailed,
    Conflict,
    Context,
    DeadlineExceeded,
    Invocation,
    NotFound,
    Unavailable,
    command,
)
from trunnion.host_thread import HostThread


@command(console="t", lock=None)
async def stay(ctx: Context) -> None:
    """Runs until it is ended."""
    ctx.echo("staying")
    await asyncio.Event().wait()


@command(console="t", lock=None)
async def fail() -> None:
    raise CommandFailed("as expected", {"why": "test"})


@command(console="t", lock=None)
async def count(ctx: Context, to: int) -> int:
    for n in range(to):
        ctx.echo(str(n))
    return to


@pytest.fixture
def blocking(embed):
    def blocking(*commands, **given):
        return embed(BlockingHost, commands=[put, stay, fail, count, *commands], provide=[Warehouse()], **given)

    return blocking


@pytest.fixture
def host(blocking):
    with blocking() as host:
        yield host


def test_run_submit_wait_query_follow_cancel_meta(host) -> None:
    assert host.run("stock.put", item="bolt", count=3) == 3
    run = host.submit("t.count", to=2)
    ended = host.wait(run.id)
    assert (ended.status, ended.result, ended.source) == ("succeeded", 2, "system:app")
    assert host.query("runs.get", run_id=run.id)["result"] == 2
    events = list(host.follow(f"run/{run.id}"))
    assert [event.seq for event in events] == list(range(1, ended.last_seq + 1))
    assert "".join(event.text for event in events if event.kind == "text") == "0\n1\n"
    assert next(iter(host.follow(f"run/{run.id}", 1))).seq == 2
    assert next(host.follow("host", live=False)).stream == "host"
    labelled = host.submit(Invocation(command_id="t.stay", labels={"a": "b"}))
    assert labelled.labels == {"a": "b"}
    with pytest.raises(DeadlineExceeded):
        host.wait(labelled.id, 0.01)
    host.cancel(labelled.id)
    assert host.wait(labelled.id, 10).status == "cancelled"
    assert "stock.put" in {described["id"] for described in host.meta()["commands"]}


def test_a_stream_is_followed_live_and_left_at_any_time(host) -> None:
    run = host.submit("t.stay")
    for event in host.follow(f"run/{run.id}"):
        if event.text == "staying\n":
            break
    host.cancel(run.id)
    assert [event.data["status"] for event in host.follow(f"run/{run.id}") if event.kind == "state"][-1] == "cancelled"


def test_errors_come_out_as_they_are(host) -> None:
    with pytest.raises(CommandFailed, match="as expected") as failed:
        host.run("t.fail")
    assert failed.value.details == {"why": "test"}
    with pytest.raises(DeadlineExceeded):
        host.run("t.stay", timeout=0.01)
    for ask in (lambda: host.run("no.such"), lambda: host.wait("none"), lambda: list(host.follow("no/such"))):
        with pytest.raises(NotFound):
            ask()


def test_many_threads_at_once(host) -> None:
    def work(n: int) -> int:
        total = host.run("t.count", to=n % 5)
        return total + len(host.query("runs.list", limit=1)["items"])

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(work, range(100))) == sorted(n % 5 + 1 for n in range(100))


async def test_beside_a_loop_that_runs_in_the_same_thread(blocking) -> None:
    """Defence: the host's loop has a thread of its own."""
    with blocking() as host:
        assert host.run("stock.put", item="bolt") == 1
        assert await asyncio.to_thread(host.run, "stock.put", item="bolt") == 2


def test_its_own_loop_does_not_wait_for_itself(blocking) -> None:
    """Defence: ``HostThread.call`` looks at the thread; without it this would never end."""

    @command(console="t", lock=None)
    async def deadlock() -> None:
        host.run("t.count", to=1)

    @command(console="t", lock=None)
    def in_a_thread() -> int:
        return host.run("t.count", to=1)

    with blocking(deadlock, in_a_thread) as host:
        with pytest.raises(Conflict, match=r"ctx\.invoke"):
            host.run("t.deadlock", timeout=5)
        assert host.run("t.in_a_thread") == 1


def test_before_and_after_the_block_it_says_so(blocking) -> None:
    host = blocking()
    with pytest.raises(Unavailable, match="with statement"):
        host.run("t.count", to=1)
    with host:
        assert host.run("t.count", to=1) == 1
    assert not [t for t in threading.enumerate() if t.name == "trunnion-host"]
    for ask in (lambda: host.run("t.count", to=1), lambda: list(host.follow("host")), host.meta):
        with pytest.raises(Unavailable, match="has stopped"):
            ask()
    with pytest.raises(RuntimeError), host:
        pass


def test_a_start_that_fails_raises_and_leaves_nothing(blocking) -> None:
    with blocking() as host:
        with pytest.raises(Conflict, match="held by"), blocking():
            pass
        assert host.run("t.count", to=1) == 1
    with blocking() as host:
        assert host.run("t.count", to=1) == 1


def test_whoever_waits_when_it_stops_is_answered(blocking) -> None:
    """Defence: ``HostThread._close`` cancels what waits, and nothing gets in afterwards."""
    answers: list[object] = []
    began = threading.Semaphore(0)

    def wait(ask) -> None:
        began.release()
        try:
            answers.append(ask())
        except Exception as error:
            answers.append(error)

    with blocking() as host:
        run = host.submit("t.stay")
        asks = [
            lambda: host.wait(run.id),
            lambda: list(host.follow("host"))[:0],
            host.run_until_stopped,
            lambda: [host.query("host.status") for _ in iter(int, 1)],
        ]
        threads = [threading.Thread(target=wait, args=(ask,), daemon=True) for ask in asks]
        for thread in threads:
            thread.start()
            began.acquire()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(answers) == len(asks)
    assert [a.status for a in answers if hasattr(a, "status")] in ([], ["interrupted"])
    assert all(a is None or isinstance(a, Unavailable) or hasattr(a, "status") or a == [] for a in answers), answers


def test_a_call_that_does_not_end_is_answered_when_the_host_has_stopped(embed) -> None:
    """Defence: ``HostThread._close`` cancels the calls themselves; their tasks may not come to it any more."""
    began, answers = threading.Event(), []

    async def deaf() -> None:
        began.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    def ask() -> None:
        try:
            thread.call(deaf)
        except Unavailable as error:
            answers.append(str(error))

    thread = HostThread(embed())
    thread.start()
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    began.wait(10)
    thread.end()
    asking.join(10)
    assert answers == ["the host stopped before it answered"]


def test_an_interrupted_call_cancels_its_run(host) -> None:
    """Defence: the ``finally`` in ``HostThread.call``."""

    class Enough(BaseException): ...

    def interrupt(*_: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Enough):
            host.run("t.stay")
    finally:
        signal.signal(signal.SIGALRM, before)
    (run,) = host.query("runs.list")["items"]
    assert host.wait(run["id"], 10).status == "cancelled"


def test_two_hosts_side_by_side(embed) -> None:
    def given(name: str) -> dict:
        return {"name": name, "commands": [put], "provide": [Warehouse()]}

    with embed(BlockingHost, **given("one")) as one, embed(BlockingHost, **given("two")) as two:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda host: host.run("stock.put", item="x"), [one, two] * 20))
        assert sorted(results) == sorted([*range(1, 21), *range(1, 21)])


def test_a_stop_that_is_wished_for_reaches_the_program(host) -> None:
    host.run("host.drain")
    host.run_until_stopped()


PROGRAM = """
import asyncio, sys
from pathlib import Path
from trunnion import BlockingHost, HostOptions
from trunnion.model.commands import Command

async def stay():
    print("runs", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("run ended", flush=True)

options = HostOptions(data_dir=Path(sys.argv[1]), overrides=("executor.shutdown_grace=600",))
with BlockingHost(options, discovery=False, commands=[Command.of(stay, console="t", lock=None)]) as host:
    HOW
"""


def ended(process: subprocess.Popen) -> tuple[str, str]:
    """What it said by its end; a person who sees nothing happen interrupts again."""
    for _ in range(20):
        try:
            return process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
    pytest.fail("it did not end")


@pytest.mark.parametrize("how", ['host.run("t.stay")', 'host.submit("t.stay")'], ids=["in a call", "while it stops"])
def test_ctrl_c_ends_it(tmp_path, how) -> None:
    """Defences: an interrupted call cancels its run; ``HostThread.end`` makes the host hurry."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("HOW", how), str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGINT)
        out, err = ended(process)
    finally:
        process.kill()
    assert out == "run ended\n", err
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_before_the_end_was_told_ends_it_too(embed, monkeypatch) -> None:
    """Defence: ``HostThread.end`` tells it again when it was interrupted on the way."""
    host, tell, interrupts = embed(BlockingHost), HostThread._tell, [KeyboardInterrupt()]

    def interrupted(thread: HostThread, what: object) -> None:
        if interrupts:
            raise interrupts.pop()
        tell(thread, what)

    with pytest.raises(KeyboardInterrupt), host:
        monkeypatch.setattr(HostThread, "_tell", interrupted)
    assert not host._thread._thread.is_alive()
