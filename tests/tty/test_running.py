"""Runs from a line on: one for one wish whatever is lost on the way, and Ctrl-C at every stage."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from wire_kit import Front, Plant, Wire, hosted, until

from trunnion import Host, Invocation, Run, TrunnionError
from trunnion.protocol.client import Client
from trunnion_tty.jobs import Job, Jobs
from trunnion_tty.running import Running
from trunnion_tty.submitting import GivenUp

pytestmark = pytest.mark.anyio
CTRL_C, CTRL_Z = signal.SIGINT, signal.SIGTSTP
HOLD, QUICK = Invocation(command_id="plant.hold"), Invocation(command_id="plant.quick", args={"mark": "q"})


class Shell:
    """What starts runs, behind a wire, with somebody in front of it."""

    def __init__(self, socket: Path, patience: float = float("inf")) -> None:
        self.front = Front()
        self.client = Client(socket, patience=float("inf"), door="tty")
        self.jobs = Jobs(self.client, self.front)
        self.running = Running(self.client, self.jobs, self.front, patience)

    async def close(self) -> None:
        await self.jobs.close()
        await self.client.close()

    async def run(self, wish: Invocation) -> Job:
        job = await self.running.start(wish)
        await self.running.stay(job)
        return job


@pytest.fixture
async def shell(wire: Wire) -> AsyncIterator[Shell]:
    made = Shell(wire.path)
    yield made
    await made.close()


@pytest.fixture
async def other(host: Host) -> AsyncIterator[Client]:
    """A line to the host that nobody cuts."""
    async with Client(host.data.socket) as connected:
        yield connected


async def runs_of(client: Client) -> list[dict[str, object]]:
    page = await client.query("runs.list")
    assert isinstance(page, dict)
    return page["items"]  # type: ignore[return-value]


async def the_run(client: Client) -> Run:
    """The only run there is, at its end."""
    async with asyncio.timeout(20):
        while not (found := await runs_of(client)):
            await asyncio.sleep(0.002)
        assert len(found) == 1
        return await client.wait(str(found[0]["id"]))


# -- to the end -----------------------------------------------------------------------------------


async def test_a_run_is_shown_and_told(shell: Shell) -> None:
    job = await shell.run(QUICK)
    assert job.run.result == "q"
    assert shell.front.told == shell.front.over == [job]


async def test_a_refusal_is_raised(shell: Shell) -> None:
    with pytest.raises(TrunnionError, match="there is no command") as caught:
        await shell.run(Invocation(command_id="plant.nothing"))
    assert caught.value.code == "not_found"
    assert list(shell.jobs) == []


@pytest.mark.parametrize("times", [1, 3])
async def test_an_answer_that_is_lost_is_asked_for_again_and_there_is_one_run(
    shell: Shell, wire: Wire, other: Client, plant: Plant, times: int
) -> None:
    """The host has it on record, and the line breaks before it says so."""
    await shell.client.hello()
    wire.answers.clear()
    starting = asyncio.create_task(shell.running.start(HOLD))
    for lost in range(times):
        await until(lambda lost=lost: wire.lines == lost + 1)
        await until(lambda: plant.begun)
        await wire.cut()
    wire.answers.set()
    job = await asyncio.wait_for(starting, 20)
    plant.go.set()
    await shell.running.stay(job)
    assert job.run.result == "let go"
    assert plant.begun == [""]
    assert len(await runs_of(other)) == 1
    assert shell.front.notes.count("the host is gone") == 1


async def test_a_host_that_is_gone_is_waited_for(shell: Shell, wire: Wire, plant: Plant) -> None:
    await wire.down()
    starting = asyncio.create_task(shell.run(QUICK))
    await until(lambda: "the host is gone; waiting for it" in shell.front.notes)
    await wire.up()
    job = await asyncio.wait_for(starting, 20)
    assert job.run.status == "succeeded"
    assert plant.begun == ["q"]


async def test_patience_has_an_end_where_nobody_watches(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "nobody", patience=0.3)
    with pytest.raises(TrunnionError, match="cannot reach a host"):
        await asyncio.wait_for(shell.run(QUICK), 20)
    await shell.close()


async def test_a_host_that_is_about_to_leave_is_one_that_is_gone(tmp_path: Path, plant: Plant) -> None:
    async with hosted(tmp_path, plant, "executor.shutdown_grace=5", "store.durability=process") as host:
        shell = Shell(host.data.socket)
        job = await shell.running.start(HOLD)
        stopping = asyncio.create_task(host.stop())
        await until(lambda: host.kernel.admissions.closed)
        starting = asyncio.create_task(shell.run(QUICK))
        await until(lambda: "the host is gone; waiting for it" in shell.front.notes)
        plant.go.set()
        await stopping
    async with hosted(tmp_path, plant, "store.durability=process"):
        again = await asyncio.wait_for(starting, 20)
        assert again.run.status == "succeeded"
        await asyncio.wait_for(job.over(), 20)
        assert job.run.status == "succeeded"
    await shell.close()


# -- Ctrl-C before the host has answered ----------------------------------------------------------


async def test_ctrl_c_before_the_answer_cancels_the_run_once_it_is_there(
    shell: Shell, wire: Wire, other: Client, plant: Plant
) -> None:
    await shell.client.hello()
    wire.answers.clear()
    running = asyncio.create_task(shell.run(HOLD))
    await until(lambda: plant.begun)
    shell.front.press(CTRL_C)
    await until(lambda: "cancelling as soon as the host answers" in shell.front.notes)
    wire.answers.set()
    job = await asyncio.wait_for(running, 20)
    assert job.run.status == "cancelled"
    assert (await the_run(other)).status == "cancelled"


async def test_of_a_run_for_the_background_that_is_cancelled_as_it_begins_the_end_is_told(
    shell: Shell, wire: Wire, plant: Plant
) -> None:
    """Defence: ``Running.start`` does not wait for the cancellation; the end came before it was in the background."""
    await shell.client.hello()
    wire.answers.clear()
    starting = asyncio.create_task(shell.running.start(HOLD))
    await until(lambda: plant.begun)
    shell.front.press(CTRL_C)
    await until(lambda: "cancelling as soon as the host answers" in shell.front.notes)
    wire.answers.set()
    job = await asyncio.wait_for(starting, 20)
    assert not shell.front.over
    await asyncio.wait_for(job.over(), 20)
    assert job.run.status == "cancelled"


async def test_twice_does_not_wait_for_the_answer(shell: Shell, wire: Wire, other: Client, plant: Plant) -> None:
    await shell.client.hello()
    wire.answers.clear()
    running = asyncio.create_task(shell.run(HOLD))
    await until(lambda: plant.begun)
    shell.front.press(CTRL_C, CTRL_C)
    with pytest.raises(GivenUp, match=r"plant\.hold is cancelled should it have begun"):
        await asyncio.wait_for(running, 20)
    wire.answers.set()
    assert (await the_run(other)).status == "cancelled"


async def test_what_no_host_has_heard_of_never_begins(shell: Shell, wire: Wire, other: Client, plant: Plant) -> None:
    """Ctrl-C while the host is gone: nothing was sent, so nothing is, whenever it comes back."""
    await wire.down()
    running = asyncio.create_task(shell.run(QUICK))
    await until(lambda: "waiting for it" in shell.front.notes)
    shell.front.press(CTRL_C)
    with pytest.raises(GivenUp, match=r"plant\.quick has not begun"):
        await asyncio.wait_for(running, 20)
    await wire.up()
    await shell.client.hello()
    assert (await runs_of(other), plant.begun) == ([], [])


@pytest.mark.parametrize("presses", [1, 2])
async def test_what_may_have_begun_is_looked_for_and_not_begun_again(
    shell: Shell, wire: Wire, other: Client, plant: Plant, presses: int
) -> None:
    """The line is lost before the answer, then Ctrl-C: the run is found by its key and cancelled."""
    await shell.client.hello()
    wire.answers.clear()
    running = asyncio.create_task(shell.run(HOLD))
    await until(lambda: plant.begun)
    await wire.down()
    await until(lambda: "waiting for it" in shell.front.notes)
    shell.front.press(*[CTRL_C] * presses)
    await until(lambda: "cancelling as soon as the host answers" in shell.front.notes)
    if presses == 2:
        with pytest.raises(GivenUp):
            await asyncio.wait_for(running, 20)
    wire.answers.set()
    await wire.up()
    if presses == 1:
        job = await asyncio.wait_for(running, 20)
        assert job.run.status == "cancelled"
    assert (await the_run(other)).status == "cancelled"
    assert plant.begun == [""]


@pytest.mark.parametrize("presses", [1, 2])
async def test_what_was_lost_on_its_way_to_the_host_never_begins(
    shell: Shell, wire: Wire, other: Client, plant: Plant, presses: int
) -> None:
    await shell.client.hello()
    wire.requests.clear()
    running = asyncio.create_task(shell.run(HOLD))
    await until(lambda: running.done() or shell.client._calls)
    await wire.down()
    await until(lambda: "waiting for it" in shell.front.notes)
    shell.front.press(*[CTRL_C] * presses)
    await until(lambda: "cancelling as soon as the host answers" in shell.front.notes)
    wire.requests.set()
    await wire.up()
    with pytest.raises(GivenUp):
        await asyncio.wait_for(running, 20)
    await until(lambda: not shell.running._orphans)
    assert (await runs_of(other), plant.begun) == ([], [])


# -- Ctrl-C and Ctrl-Z while it runs --------------------------------------------------------------


async def test_ctrl_c_cancels_and_twice_leaves_it_to_itself(shell: Shell, plant: Plant) -> None:
    job = await shell.running.start(HOLD)
    staying = asyncio.create_task(shell.running.stay(job))
    shell.front.press(CTRL_C)
    await asyncio.wait_for(staying, 20)
    assert job.run.status == "cancelled"
    assert "cancelling plant.hold; Ctrl-C again" in shell.front.notes


async def test_twice_leaves_a_run_to_itself(shell: Shell, wire: Wire, plant: Plant) -> None:
    """The host does not answer: the second Ctrl-C gives the prompt back, and the run is cancelled all the same."""
    job = await shell.running.start(HOLD)
    await until(lambda: plant.begun)
    wire.answers.clear()
    staying = asyncio.create_task(shell.running.stay(job))
    shell.front.press(CTRL_C, CTRL_C)
    await asyncio.wait_for(staying, 20)
    assert not job.foreground
    assert shell.front.told == []
    assert "plant.hold goes on; fg 1 waits" in shell.front.notes
    wire.answers.set()
    await asyncio.wait_for(job.over(), 20)
    assert job.run.status == "cancelled"


async def test_ctrl_z_sends_it_to_the_background(shell: Shell, plant: Plant) -> None:
    job = await shell.running.start(HOLD)
    staying = asyncio.create_task(shell.running.stay(job))
    shell.front.press(CTRL_Z)
    await asyncio.wait_for(staying, 20)
    assert (job.foreground, job.active, shell.front.told) == (False, True, [])
    plant.go.set()
    await asyncio.wait_for(job.over(), 20)
    assert job.run.status == "succeeded"
    assert shell.front.over == [job]


async def test_a_cancel_that_cannot_be_said_is_told(shell: Shell, wire: Wire, plant: Plant) -> None:
    job = await shell.running.start(HOLD)
    staying = asyncio.create_task(shell.running.stay(job))
    await until(lambda: plant.begun)
    await wire.down()
    shell.front.press(CTRL_C)
    await until(lambda: "plant.hold could not be cancelled" in shell.front.notes)
    plant.go.set()
    await wire.up()
    await asyncio.wait_for(staying, 20)
    assert job.run.status == "succeeded"


async def test_whoever_looks_on_cancels_nothing(shell: Shell, other: Client, plant: Plant) -> None:
    run = await other.submit(HOLD)
    looking = asyncio.create_task(shell.running.look_on(run))
    await until(lambda: "holding\n" in shell.front.texts)
    shell.front.press(CTRL_C)
    await asyncio.wait_for(looking, 20)
    assert "plant.hold goes on by itself" in shell.front.notes
    assert list(shell.jobs) == []
    plant.go.set()
    assert (await other.wait(run.id)).status == "succeeded"
    shell.front.texts.clear()
    await asyncio.wait_for(shell.running.look_on(await other.wait(run.id)), 20)
    assert shell.front.texts == ["holding\n"], "all of it once more"
    assert [job.run.id for job in shell.front.told] == [run.id]


# -- questions ------------------------------------------------------------------------------------


async def test_a_question_is_answered_or_given_up(shell: Shell, wire: Wire, plant: Plant) -> None:
    asking = asyncio.create_task(shell.running.query("plant.late"))
    await asyncio.sleep(0)
    shell.front.press(CTRL_Z, CTRL_C)
    with pytest.raises(GivenUp, match="the answer was not waited for"):
        await asyncio.wait_for(asking, 20)
    plant.go.set()
    await wire.down()
    asking = asyncio.create_task(shell.running.query("plant.late"))
    await until(lambda: "waiting for it" in shell.front.notes)
    await wire.up()
    assert await asyncio.wait_for(asking, 20) == "answered"
