"""Rows H10, I5 and I6 of the faults: a plugin that would widen, a door that was not opened, a permission withdrawn.

Each is shown without the fault, with it, and with the defence taken away: then the check must notice.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "host" / "kernel"))

from kernel_kit import ANN, Plugin, Rig, cmd, rig, until

from trunnion.access.directory import Directory
from trunnion.hookspecs import hookimpl
from trunnion.kernel.authorizers import Authorizers
from trunnion.kernel.registry import Contributed
from trunnion.model.access import Grant, Principal
from trunnion.model.commands import Query
from trunnion.model.contributions import Allow, AuthorizeRequest, Frontend, StreamSource
from trunnion.model.errors import NotFound, TrunnionError
from trunnion.model.runs import Caller, Invocation

WEB = frozenset({"web"})
BOB = Caller("bob", "web", "viewer", credential="login")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def quick() -> int:
    return 1


async def forever() -> None:
    await asyncio.Event().wait()


def bob(*on: str, role: str = "operator") -> Directory:
    grants = [Grant(id="g", principal="bob", role=role, on=on)] if on else []
    return Directory([Principal(name="bob")], [], grants)


async def code_of(use) -> str:
    """How a call is answered: ``ok``, or the code of its refusal."""
    try:
        await use
    except TrunnionError as error:
        return error.code
    return "ok"


# -- H10: a plugin tries to widen ---------------------------------------------------------------------


class Widener(Plugin):
    """Whatever it is asked, it says yes in another way, and changes what it was given."""

    WAYS = ("allow", "true", "caller", "target", "raise", "nothing")

    def __init__(self, way: str, **contributed: list[object]) -> None:
        super().__init__(**contributed)
        self.way = way

    @hookimpl
    def trunnion_authorize(self, request) -> object:
        if request.target != "t.mine":
            return None
        if self.way == "allow":
            return Allow()
        if self.way == "true":
            return True
        if self.way == "caller":
            msgspec.structs.force_setattr(request.caller, "role", "admin")
            msgspec.structs.force_setattr(request.caller, "principal", "ann")
        if self.way == "target":
            request.target = "t.quick"
        if self.way == "raise":
            raise PermissionError("granted")
        return None


async def reach(rig: Rig) -> dict[str, str]:
    """What somebody who may run ``t.mine`` only is answered for it, for what is an admin's, and for what is hidden."""
    web = rig.host.door("web")
    ids = ("t.mine", "t.admins", "t.local")
    return {name: await code_of(web.submit(BOB, Invocation(command_id=name))) for name in ids}


H10 = (
    cmd(quick, name="mine", expose=WEB),
    cmd(quick, name="admins", role="admin", expose=WEB),
    cmd(quick, name="local"),
)


@pytest.mark.parametrize("way", Widener.WAYS)
async def test_h10_a_hook_can_narrow_but_never_widen(tmp_path, way: str) -> None:
    async with rig(tmp_path, *H10, more_plugins={"guest": Widener(way)}) as r:
        r.kernel.policy.replace(bob("t.*"))
        answers = await reach(r)
        assert (answers["t.admins"], answers["t.local"]) == ("forbidden", "not_found")
        harmless = way in ("nothing", "caller")
        assert answers["t.mine"] == ("ok" if harmless else "forbidden")
        assert ("authorize.failed" in await r.codes()) == (not harmless), "the attempt is on record"
        found = await r.door.query(ANN, "runs.list")
        assert {run["principal"] for run in found["items"]} <= {"bob"}
        assert {run["role"] for run in found["items"]} <= {"viewer"}


async def test_h10_without_the_fault_policy_alone_decides(tmp_path) -> None:
    async with rig(tmp_path, *H10) as r:
        r.kernel.policy.replace(bob("t.*"))
        assert await reach(r) == {"t.mine": "ok", "t.admins": "forbidden", "t.local": "not_found"}


async def test_h10_without_the_defence_a_plugin_becomes_the_caller(tmp_path, monkeypatch) -> None:
    """The defence is that each plugin gets a caller of its own; without it the first hook decides who asks."""

    def shared(self, kind, target, caller, effect, decision):
        request = AuthorizeRequest(kind=kind, target=target, caller=caller, effect=effect, decision=decision)
        for _, hook in self._plugins:
            hook(request)

    monkeypatch.setattr(Authorizers, "check", shared)
    caller = msgspec.structs.replace(BOB)
    async with rig(tmp_path, *H10, more_plugins={"guest": Widener("caller")}) as r:
        r.kernel.policy.replace(bob("t.*"))
        await code_of(r.host.door("web").submit(caller, Invocation(command_id="t.mine")))
        assert caller.role == "admin"


async def test_h10_a_plugin_cannot_open_what_is_another_owners(tmp_path) -> None:
    """A part of a plugin with the host's handle in its hands tries to register the host's commands again, exposed."""
    tried: dict[str, str] = {}

    async def run(host, ready) -> None:
        async def widen(owner: str) -> None:
            host.registry.replace(owner, Contributed(commands=[cmd(quick, name="local", expose=WEB, role="viewer")]))

        tried.update({owner: await code_of(widen(owner)) for owner in ("p", "host", "guest/x")})
        ready()
        await asyncio.Event().wait()

    guest = Plugin(frontends=[Frontend(name="guest", run=run, source="web")])
    async with rig(tmp_path, *H10, more_plugins={"guest": guest}) as r:
        assert set(tried) == {"p", "host", "guest/x"}
        assert "ok" not in tried.values()
        r.kernel.policy.replace(bob("t.*"))
        assert (await reach(r))["t.local"] == "not_found"


@pytest.mark.parametrize("source", ["cli", "command", "system:host", "web"])
async def test_h10_a_door_of_a_plugin_cannot_pass_for_one_of_the_host(tmp_path, source: str) -> None:
    """Such a source would reach everything, exposed or not; the plugin is withdrawn whole and named."""

    async def run(host, ready) -> None:
        ready()
        await asyncio.Event().wait()

    guest = Plugin(frontends=[Frontend(name="guest", run=run, source=source)])
    async with rig(tmp_path, *H10, more_plugins={"guest": guest}) as r:
        record = next(record for record in r.kernel.records() if record.id == "guest")
        assert record.state == ("loaded" if source == "web" else "broken")
        assert source == "web" or source in record.reason


# -- I5: not exposed ----------------------------------------------------------------------------------


async def strangers_view(r: Rig, name: str) -> list[tuple[str, str, object]]:
    """Every way to touch a name, answered to a stranger at a remote door, the name itself cut out."""
    web = r.host.door("web")

    async def follow() -> None:
        async for _ in web.follow(BOB, name, live=False):
            pass

    found = []
    for use in (
        web.submit(BOB, Invocation(command_id=name, args={"x": 1})),
        web.query(BOB, name, {"x": 1}),
        web.complete(BOB, name, [], ""),
        web.query(BOB, "host.explain", {"target": name}),
        follow(),
    ):
        try:
            await use
        except TrunnionError as error:
            found.append((error.code, error.message.replace(name, "X"), str(error.details).replace(name, "X")))
        else:
            found.append(("ok", "", ""))
    return found


I5 = {
    "queries": [Query.of(quick, console="t", name="ask")],
    "streams": [StreamSource(pattern="t.noise")],
}


@pytest.mark.parametrize("name", ["t.local", "t.ask", "t.noise"])
async def test_i5_what_is_not_exposed_is_like_what_is_not_there(tmp_path, monkeypatch, name: str) -> None:
    async with rig(tmp_path, cmd(quick, name="local"), plugin=I5) as r:
        r.kernel.policy.replace(bob("*", "stream:*", role="admin"))
        hidden, absent = await strangers_view(r, name), await strangers_view(r, "q.nothing")
        assert {code for code, _, _ in hidden} == {"not_found"}
        assert hidden == absent
        refused = r.kernel.telling.counts["not_found"]
        assert refused >= 6, "each refusal is counted"
        assert await code_of(r.door.query(ANN, "host.explain", {"target": name})) == "ok"
        monkeypatch.setattr(Directory, "exposed", lambda self, declared, name: frozenset({"web"}))
        r.kernel.policy.replace(bob("*", "stream:*", role="admin"))
        assert await strangers_view(r, name) != absent


# -- I6: withdrawn in the middle -----------------------------------------------------------------------


async def open_at(r: Rig) -> tuple[asyncio.Task[None], asyncio.Task[object], str]:
    """A stream that is followed, a run that is waited for, both by grants of the one who does."""
    run = await r.submit("t.forever")
    web, seen = r.host.door("web"), []

    async def follow() -> None:
        async for batch in web.follow(BOB, f"run/{run.id}"):
            seen.extend(batch)

    following, waiting = asyncio.create_task(follow()), asyncio.create_task(web.wait(BOB, run.id))
    await until(lambda: seen and r.live(run).waiters)
    return following, waiting, run.id


GRANTED = ("t.*", "stream:run/*", "runs:t.*")


async def test_i6_a_withdrawn_permission_counts_at_once(tmp_path, monkeypatch) -> None:
    async with rig(tmp_path, cmd(forever), cmd(quick, expose=WEB)) as r:
        web = r.host.door("web")
        r.kernel.policy.replace(bob(*GRANTED))
        following, waiting, run_id = await open_at(r)
        assert await code_of(web.submit(BOB, Invocation(command_id="t.quick"))) == "ok"
        r.kernel.policy.replace(bob(*GRANTED, "x.*"))
        assert await code_of(web.get(BOB, run_id)) == "ok"
        assert not following.done()
        assert not waiting.done()
        began = time.monotonic()
        r.kernel.policy.replace(bob())
        assert await code_of(web.submit(BOB, Invocation(command_id="t.quick"))) == "not_found"
        for task in (following, waiting):
            with pytest.raises(NotFound):
                await asyncio.wait_for(task, 5)
        print(f"closed after {(time.monotonic() - began) * 1000:.1f} ms")
        await r.door.cancel(ANN, run_id)


async def test_i6_without_the_defence_the_stream_goes_on(tmp_path) -> None:
    async with rig(tmp_path, cmd(forever)) as r:
        r.kernel.policy.replace(bob(*GRANTED))
        following, waiting, run_id = await open_at(r)
        r.kernel.policy.listeners.remove(r.kernel.wards.look_again)
        r.kernel.policy.replace(bob())
        r.live(run_id).log.append("text", "still told\n")
        await r.kernel.waiting.flush(r.live(run_id).log)
        assert not following.done()
        assert not waiting.done()
        for task in (following, waiting):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await r.door.cancel(ANN, run_id)
