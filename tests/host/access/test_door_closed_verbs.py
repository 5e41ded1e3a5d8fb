"""A door's own verbs, for runs, files and meta, are as closed as the commands and queries of the same purpose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from door_kit import people, quick
from kernel_kit import Rig, cmd, rig

from trunnion.kernel.context import Context
from trunnion.kernel.door import Door
from trunnion.model.access import Exposure
from trunnion.model.errors import InvalidArguments, NotFound, Unauthenticated
from trunnion.model.events import run_stream
from trunnion.model.runs import Caller, Invocation, Run

BOB = Caller("bob", "rpc", "admin", credential="login")
OPEN = frozenset({"rpc", "web"})


async def keep(ctx: Context) -> str:
    return (await ctx.artifact("a.txt", b"abc")).id


@pytest.fixture
def start(tmp_path):
    return lambda: rig(tmp_path, cmd(quick, expose=OPEN), cmd(keep, expose=OPEN))


async def read(door: Door, artifact_id: str) -> bytes:
    return b"".join([piece async for piece in door.read_artifact(BOB, artifact_id)])


async def meta(door: Door) -> bytes:
    return door.meta(BOB).body


VERBS: dict[str, list[Callable[[Door, str, str, str], Awaitable[object]]]] = {
    "runs.get": [lambda door, run, artifact, upload: door.get(BOB, run)],
    "runs.result": [lambda door, run, artifact, upload: door.wait(BOB, run)],
    "runs.cancel": [lambda door, run, artifact, upload: door.cancel(BOB, run)],
    "artifacts.get": [
        lambda door, run, artifact, upload: door.artifact(BOB, artifact),
        lambda door, run, artifact, upload: read(door, artifact),
    ],
    "uploads.get": [
        lambda door, run, artifact, upload: door.open_upload(BOB, "b.txt"),
        lambda door, run, artifact, upload: door.upload(BOB, upload),
        lambda door, run, artifact, upload: door.write_upload(BOB, upload, 0, b""),
        lambda door, run, artifact, upload: door.finish_upload(BOB, upload),
    ],
    "uploads.drop": [lambda door, run, artifact, upload: door.drop_upload(BOB, upload)],
    "host.meta": [lambda door, run, artifact, upload: meta(door)],
}


def withheld(name: str, source: str) -> Exposure:
    return Exposure(withhold={name: frozenset({source})})


@pytest.mark.parametrize("name", VERBS)
async def test_what_the_operator_withholds_from_a_door_is_withheld_there(start, name: str) -> None:
    """Defence: ``Door._require_open`` at each verb."""
    async with start() as rig:
        rig.kernel.policy.replace(people(role="admin"))
        run = await ended(rig)
        rpc, web = rig.host.door("rpc"), rig.host.door("web")
        info = await rpc.open_upload(BOB, "b.txt", size=0)
        for verb in VERBS[name]:
            rig.kernel.policy.replace(people(role="admin", exposure=withheld(name, "rpc")))
            with pytest.raises(NotFound):
                await verb(rpc, run.id, str(run.result), info.id)
            with pytest.raises(NotFound):
                await verb(web, run.id, str(run.result), info.id)  # it came by rpc, whatever it goes on by
            rig.kernel.policy.replace(people(role="admin", exposure=withheld(name, "web")))
            await verb(rpc, run.id, str(run.result), info.id)


async def test_a_door_that_nothing_is_exposed_to_tells_of_nothing(start) -> None:
    async with start() as rig:
        rig.kernel.policy.replace(people(role="admin"))
        run = await ended(rig)
        for verb in [verb for verbs in VERBS.values() for verb in verbs]:
            with pytest.raises(NotFound):
                await verb(rig.host.door("agent"), run.id, str(run.result), "0")


async def test_the_stream_of_a_run_is_closed_by_its_own_name_alone(start) -> None:
    async with start() as rig:
        rig.kernel.policy.replace(people(role="admin"))
        run = await ended(rig)
        rig.kernel.policy.replace(people(role="admin", exposure=withheld("runs.*", "rpc")))
        door = rig.host.door("rpc")
        assert [event async for batch in door.follow(BOB, run_stream(run.id)) for event in batch]


async def test_whoever_is_not_known_any_more_is_told_that_first(start) -> None:
    async with start() as rig:
        rig.kernel.policy.replace(people(role="admin", exposure=withheld("*", "rpc")))
        stranger = Caller("carl", "rpc", "admin", credential="login")
        with pytest.raises(Unauthenticated):
            await rig.host.door("rpc").get(stranger, "0")


@pytest.mark.parametrize(
    "odd", [{}, {"command_id": "t.quick", "args": {}, "line": ""}, {"command_id": "t.quick", "timeout": 1e308}]
)
async def test_nor_is_anything_else_said_of_what_they_ask(start, odd: dict[str, object]) -> None:
    """Defence: ``Admissions._check`` begins with it."""
    async with start() as rig:
        rig.kernel.policy.replace(people(role="admin"))
        for caller, error in ((Caller("carl", "rpc", credential="login"), Unauthenticated), (BOB, InvalidArguments)):
            with pytest.raises(error):
                await rig.host.door("rpc").submit(caller, Invocation(**odd))


async def ended(rig: Rig) -> Run:
    door = rig.host.door("rpc")
    return await door.wait(BOB, (await door.submit(BOB, Invocation(command_id="t.keep"))).id)
