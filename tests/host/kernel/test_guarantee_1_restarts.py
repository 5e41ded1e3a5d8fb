"""Guarantee 1, what a later host makes of children, held runs, deadlines, secrets and a real kill."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from kernel_kit import ANN, FakeClock, cmd, until

from trunnion.kernel.context import Context
from trunnion.model.commands import Retry
from trunnion.model.contributions import Gate, Hold

DISK = {"durability": "process", "shutdown_grace": 0}


async def forever() -> None:
    await asyncio.Event().wait()


async def quick(n: int = 0) -> int:
    return n


async def test_children_end_with_a_parent_that_died(start) -> None:
    """Defence: ``recovery._orphans``: neither queued nor running children outlive it; detached ones do."""
    ran = []

    async def child(n: int) -> int:
        ran.append(n)
        await asyncio.Event().wait()
        return n

    async def parent(ctx: Context) -> None:
        await ctx.spawn("t.child", n=1)
        await ctx.spawn("t.child", n=2)
        await ctx.spawn("t.child", n=3, detach=True)
        await asyncio.Event().wait()

    command = cmd(child, lock="one", retry=Retry(delay=0, codes=frozenset({"interrupted"})))
    async with start(command, cmd(parent), **DISK) as rig:
        top = await rig.submit("t.parent")
        await until(lambda: len(rig.kernel.executor.table.live) == 4)
        await until(lambda: ran)
        children = [live.run for live in rig.kernel.executor.table.live.values() if live.run.depth]
        await until(lambda: rig.kernel.committer.quiet)
        image = rig.disk_image()
        ran.clear()

    async def after(n: int) -> int:
        ran.append(n)
        return n

    command = cmd(after, name="child", lock="one", retry=Retry(delay=0, codes=frozenset({"interrupted"})))
    async with start(command, cmd(parent), data=image, **DISK) as rig:
        ends = [(await rig.ended(run)).status for run in (top, *children)]
        assert ends == ["interrupted", "interrupted", "interrupted", "succeeded"]
        assert ran == [3]
        rig.assert_idle()


async def test_held_runs_stay_held(start) -> None:
    async def hold(batch):
        return [Hold("two people") for _ in batch]

    gate = {"gates": [Gate(name="approval", admit=hold)]}
    async with start(cmd(quick), plugin=gate, **DISK) as rig:
        run = await rig.submit("t.quick")
        assert (run.status, run.labels) == ("held", {"held": "two people"})
        image = rig.disk_image()
    async with start(cmd(quick), data=image, **DISK) as rig:
        await asyncio.sleep(0.02)
        assert (await rig.door.get(ANN, run.id)).status == "held"
        assert (await rig.door.cancel(ANN, run.id)).status == "cancelled"
        rig.assert_idle()


async def test_a_deadline_that_passed_while_no_host_ran(start) -> None:
    """Defence: ``Executor.restore`` looks at the clock before it places a run."""
    clock, ran = FakeClock(), []

    def works() -> None:
        ran.append(1)

    async with start(cmd(forever, lock="l"), cmd(works, lock="l"), clock=clock, **DISK) as rig:
        await rig.submit("t.forever")
        run = await rig.ask(command_id="t.works", timeout=100)
        image = rig.disk_image()
    clock.advance(101)
    async with start(cmd(works, lock="l"), data=image, clock=clock, **DISK) as rig:
        ended = await rig.ended(run)
        assert (ended.status, ended.started, ran) == ("timed_out", None, [])


async def test_a_deadline_still_counts_after_a_restart(start) -> None:
    """Defence: ``Recovery._expires`` reads ``deadline_at`` again."""
    clock = FakeClock()
    async with start(cmd(forever, lock="l"), cmd(forever, name="two", lock="l"), clock=clock, **DISK) as rig:
        await rig.submit("t.forever")
        run = await rig.ask(command_id="t.two", timeout=100)
        image = rig.disk_image()
    clock.advance(50)
    async with start(cmd(forever, name="two", lock="l"), data=image, clock=clock, **DISK) as rig:
        await until(lambda: rig.live(run).task)
        clock.advance(49)
        assert rig.phase(run) == "running"
        clock.advance(2)
        assert (await rig.ended(run)).status == "timed_out"


async def test_secret_arguments_survive_and_go_with_the_end(start) -> None:
    """Defence: ``Sealer``; ``Recovery._secrets`` opens them."""
    got = []

    schema = {
        "type": "object",
        "properties": {"user": {"type": "string"}, "password": {"type": "string", "writeOnly": True}},
        "required": ["user", "password"],
    }

    def handler(args) -> None:
        got.append((args["user"], args["password"]))

    command = cmd(handler, name="takes", args=schema, lock="l")
    async with start(cmd(forever, lock="l"), command, **DISK) as rig:
        await rig.submit("t.forever")
        run = await rig.submit("t.takes", user="ann", password="hunter2222")
        assert run.args == {"user": "ann", "password": "•••"}
        image = rig.disk_image()
        await until(lambda: rig.kernel.committer.quiet)
    for path in (p for p in image.rglob("*") if p.is_file()):
        assert b"hunter2222" not in path.read_bytes(), path
    async with start(command, data=image, **DISK) as rig:
        assert (await rig.ended(run)).status == "succeeded"
        assert got == [("ann", "hunter2222")]


async def test_a_cold_host_parks_what_an_earlier_one_left(start) -> None:
    """Defence: ``Placement.park_all``."""
    async with start(cmd(forever, lock="l"), cmd(quick, lock="l"), **DISK) as rig:
        await rig.submit("t.forever")
        left = await rig.submit("t.quick")
        image = rig.disk_image()
    async with start(cmd(quick), data=image, mode="cold", **DISK) as rig:
        assert (await rig.run("t.quick", n=7)).result == 7
        assert rig.phase(left) == "parked"
    async with start(cmd(quick), data=image, **DISK) as rig:
        assert (await rig.ended(left)).status == "succeeded"


CHILD = """
import asyncio, sys
from pathlib import Path
from trunnion.host import Host, HostOptions
from trunnion.hookspecs import hookimpl
from trunnion.model.commands import Command
from trunnion.model.runs import Caller, Invocation

class Plugin:
    @hookimpl
    def trunnion_commands(self):
        async def forever():
            await asyncio.Event().wait()
        async def quick(n: int):
            return n
        return [Command.of(forever, console="t", lock="l"), Command.of(quick, console="t", lock="l")]

async def main():
    options = HostOptions(data_dir=Path(sys.argv[1]), overrides=("store.durability=process",))
    async with Host(options, plugins={"p": Plugin()}, discovery=False, environ={}) as host:
        door, ann = host.door("cli"), Caller("ann", "cli")
        for name, args in [("t.forever", {}), *(("t.quick", {"n": n}) for n in range(50))]:
            run = await door.submit(ann, Invocation(command_id=name, args=args))
            print(run.id, flush=True)
        print("done", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_real_kill(start, tmp_path: Path) -> None:
    """Nothing acknowledged is lost; the lock of the data directory goes with its holder."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
    ids = [line.strip() for line in iter(child.stdout.readline, "done\n")]
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    child.stdout.close()
    assert len(ids) == 51
    async with start(cmd(forever, lock="l"), cmd(quick, lock="l"), **DISK) as rig:
        ends = [await rig.ended(run_id) for run_id in ids]
        assert [run.status for run in ends] == ["interrupted", *["succeeded"] * 50]
        assert [run.result for run in ends[1:]] == list(range(50))
        rig.assert_idle()
