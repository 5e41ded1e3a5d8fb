"""The client for scripts and threads: no loop of one's own, many threads, Ctrl-C, and an end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from rpc_kit import Rpc, opened, until

from trunnion import Command, Context, Invocation, RunFilter, TrunnionError, Unavailable, hookimpl
from trunnion.model.events import encode_event
from trunnion_rpc import client, content, sync
from trunnion_rpc.sync import Client

T = TypeVar("T")


async def apart(work: Callable[[], T]) -> T:
    """What a thread without a loop returns; the host has this one."""
    return await asyncio.wait_for(asyncio.to_thread(work), 20)


@pytest.mark.parametrize(("one", "other"), [(client.Client, sync.Client), (content.Files, sync.Files)])
def test_both_clients_have_the_same_methods(one: type, other: type) -> None:
    """With the same parameters; what one yields asynchronously the other does plainly."""

    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isroutine)
        return {
            name: [str(each).partition(":")[0] for each in inspect.signature(method).parameters.values()]
            for name, method in found
            if not name.startswith("_") and name != "greet"
        }

    assert methods(one) == methods(other)


async def test_whatever_can_be_called(host: Rpc, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 3000)

    def script() -> None:
        with Client.connect(host.socket) as there:
            assert there.host().source == "rpc"
            run = there.run(Invocation(command_id="demo.greet", args={"name": "Ada"}))
            assert (run.status, run.result) == ("succeeded", "hello Ada")
            events = [event for batch in there.follow(f"run/{run.id}") for event in batch]
            assert [event.seq for event in events] == list(range(1, run.last_seq + 1))
            assert there.query("demo.count", {"n": 3}) == {"n": 3}
            assert there.query("demo.count", argv=["--n", "4"]) == {"n": 4}
            assert [each.value for each in there.complete("demo.greet", [], "--l")] == ["--loud"]
            meta = there.meta()
            assert meta.modified
            assert not there.meta(meta.revision).modified
            submitted = there.submit(Invocation(command_id="demo.hold"))
            with pytest.raises(TrunnionError) as late:
                there.wait(submitted.id, 0.05)
            assert late.value.code == "deadline_exceeded"
            assert there.cancel(submitted.id).cancel_requested_at
            assert there.wait(submitted.id).status == there.get(submitted.id).status == "cancelled"
            assert [each.id for each in there.list_runs(RunFilter(status=("cancelled",))).items] == [submitted.id]
            changes = there.follow_runs()
            assert next(changes).reset
            changes.close()
            kept = there.run(Invocation(command_id="demo.keep", args={"size": 700_160})).result
            assert b"".join(there.files.read(str(kept), 5, 600_000)) == (bytes(range(256)) * 2735)[5:600_005]
            assert there.files.info(str(kept)).size == 700_160
            upload = there.files.upload(file)
            assert there.files.uploaded(upload.id).offset == 768_000
            assert there.run(Invocation(command_id="demo.read", args={"file": upload.handle})).result == 768_000
            there.files.drop(there.files.upload(b"x").id)
            with pytest.raises(TrunnionError) as refused:
                there.query("demo.nothing")
            assert refused.value.code == "not_found"

    await apart(script)


async def test_threads_share_one(host: Rpc) -> None:
    """Each follows runs of its own, whose bytes are those on record."""

    def work(there: Client, which: int, seen: dict[str, list[bytes]]) -> None:
        run = there.submit(Invocation(command_id="demo.much", args={"lines": 300 + which}))
        batches = there.follow(f"run/{run.id}")
        seen[run.id] = [encode_event(event) for batch in batches for event in batch]

    def script() -> None:
        seen: dict[str, list[bytes]] = {}
        with Client(host.socket) as there:
            threads = [threading.Thread(target=work, args=(there, which, seen)) for which in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(seen) == 8
            for run_id, lines in seen.items():
                again = [encode_event(event) for batch in there.follow(f"run/{run_id}") for event in batch]
                assert again == lines

    await apart(script)


async def test_who_still_waits_when_it_is_closed_is_told(host: Rpc) -> None:
    """Defence: ``_ended``. And nobody can begin anything behind it."""
    told: list[BaseException] = []

    def wait(there: Client, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            told.append(error)

    def script(there: Client) -> None:
        there.close()
        there.close()
        for call in (there.host, lambda: list(there.follow("host"))):
            with pytest.raises(Unavailable, match="the connection is closed"):
                call()

    there = await apart(lambda: Client.connect(host.socket))
    run = await apart(lambda: there.submit(Invocation(command_id="demo.hold")))
    calls = (lambda: there.wait(run.id), lambda: list(there.follow("host")), lambda: there.query("demo.stall"))
    waiting = [asyncio.create_task(apart(lambda call=call: wait(there, call))) for call in calls]
    await until(lambda: (len(host.shared.calls), len(host.shared.streams)) == (2, 1))
    await apart(lambda: script(there))
    await asyncio.gather(*waiting)
    assert [str(error) for error in told] == ["the connection was closed meanwhile"] * 3
    assert not [thread for thread in threading.enumerate() if thread.name == "trunnion rpc client"]


async def test_who_looks_away_leaves_nothing_behind(host: Rpc) -> None:
    """Defence: ``end``. Also where iterators are forgotten, or found by a collector, or an exception passed through
    them and its traceback is kept, as of Ctrl-C. The run goes on.
    """

    def look(there: Client, run_id: str) -> None:
        followers = [there.follow(f"run/{run_id}") for _ in range(3)]
        for follower in followers:
            next(follower)
        followers.pop().close()
        del follower
        followers.pop()
        ring: list[object] = [followers]
        ring.append(ring)

    def interrupt(there: Client, run_id: str) -> pytest.ExceptionInfo[ValueError]:
        follower = there.follow(f"run/{run_id}")
        next(follower)
        with pytest.raises(ValueError, match="kept") as kept:
            follower.throw(ValueError("kept"))
        return kept

    there = await apart(lambda: Client.connect(host.socket))
    run = await apart(lambda: there.submit(Invocation(command_id="demo.hold")))
    kept = await apart(lambda: interrupt(there, run.id))
    await until(lambda: not len(host.shared.streams))
    await apart(lambda: look(there, run.id))
    await until(lambda: len(host.shared.streams) <= 1)
    await apart(gc.collect)
    await until(lambda: not len(host.shared.streams))
    assert kept.tb is not None
    assert (await apart(lambda: there.get(run.id))).status == "running"
    await apart(there.close)


async def test_nobody_there_and_what_cannot_be_a_place(tmp_path: Path) -> None:
    for target, told in ((tmp_path / "no.sock", "cannot be reached"), ("grpc://192.0.2.1:1", "another machine")):
        with pytest.raises(TrunnionError, match=told):
            await apart(lambda target=target: Client.connect(target))
    assert not [thread for thread in threading.enumerate() if thread.name == "trunnion rpc client"]


SCRIPT = """
import sys
from pathlib import Path
from trunnion import Invocation
from trunnion_rpc.sync import Client

there = Client.connect(Path(sys.argv[1]))
how = sys.argv[2]
print("connected", there.host().source, flush=True)
if how == "leave":  # with a stream open, and without a word
    run = there.submit(Invocation(command_id="demo.hold"))
    following = there.follow(f"run/{run.id}")
    next(following)
    sys.exit(0)
try:
    if how == "run":
        there.run(Invocation(command_id="demo.hold"), cancel_on_disconnect=True)
    else:
        for batch in there.follow("host"):
            pass
except KeyboardInterrupt:
    print("interrupted, and connected", there.host().source, flush=True)
    sys.stdin.readline()
there.close()
"""


class Script:
    """A program with such a client."""

    def __init__(self, host: Rpc, how: str) -> None:
        words = [sys.executable, "-c", SCRIPT, str(host.socket), how]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    async def end(self) -> tuple[int, str, str]:
        out, err = await asyncio.to_thread(self.process.communicate, "go on\n", 20)
        return self.process.returncode, out, err


@pytest.mark.parametrize("how", ["run", "follow"])
async def test_ctrl_c_ends_what_is_waited_for(host: Rpc, how: str) -> None:
    """Defence: ``waited.cancel()``: a run that was tied to its call is cancelled. The connection goes on."""
    script = Script(host, how)
    if how == "run":
        await asyncio.wait_for(host.demo.begun.wait(), 20)
    else:
        await until(lambda: len(host.shared.streams), 20)
    os.kill(script.process.pid, signal.SIGINT)
    if how == "run":
        async with host.client() as there:
            (begun,) = (await there.list_runs()).items
            assert (await there.wait(begun.id, 20)).status == "cancelled"
    await until(lambda: not len(host.shared.streams))
    assert await script.end() == (0, "connected rpc\ninterrupted, and connected rpc\n", "")


async def test_a_program_may_end_without_closing_it(host: Rpc) -> None:
    assert await Script(host, "leave").end() == (0, "connected rpc\n", "")


async def test_it_survives_a_lost_line(tmp_path: Path) -> None:
    """A host that stops and one that starts: a call that changes nothing is made again."""
    async with opened(tmp_path) as first:
        there = await apart(lambda: Client.connect(first.socket, patience=20))
        await apart(there.host)
    asked = asyncio.create_task(apart(lambda: there.query("demo.count", {"n": 7})))
    async with opened(tmp_path):
        assert await asked == {"n": 7}
        await apart(there.close)


class Greenhouse:
    """What the guide calls."""

    async def water(self, ctx: Context, bed: str, pause: float = 0.0) -> str:
        """Water a bed."""
        ctx.echo(bed)
        return bed

    @hookimpl
    def trunnion_commands(self, settings: object) -> list[Command]:
        return [Command.of(self.water, console="greenhouse", expose=frozenset({"rpc"}))]


async def test_what_the_guide_shows(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "rpc.md").read_text(encoding="utf-8")
    (shown,) = (block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "trunnion_rpc.sync" in block)
    async with opened(tmp_path, plugins={"greenhouse": Greenhouse()}):
        done = await apart(
            lambda: subprocess.run(
                [sys.executable, "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20
            )
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == ["3 state", "succeeded"]
