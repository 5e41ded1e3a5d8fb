"""Policy where it is applied: hooks that deny, permissions taken away in the middle, lists and meta as each may see."""

from __future__ import annotations

import asyncio

import pytest
from door_kit import BOB, WEB, Authorizer, Follower, ask, forever, grant, people, quick, refused
from kernel_kit import ANN, FakeClock, Plugin, cmd, rig, until

from trunnion.access.directory import Directory
from trunnion.hookspecs import hookimpl
from trunnion.kernel.context import Context
from trunnion.kernel.registry import Contributed
from trunnion.model.access import Exposure, Principal, Token
from trunnion.model.commands import Query
from trunnion.model.contributions import Deny, StreamSource
from trunnion.model.errors import Busy, Forbidden, NotFound, TrunnionError, Unauthenticated, Unavailable
from trunnion.model.events import Event
from trunnion.model.json import encode
from trunnion.model.runs import Caller, Invocation


@pytest.fixture
def start(tmp_path):
    return lambda *commands, **options: rig(tmp_path, *commands, **options)


# -- trunnion_authorize -----------------------------------------------------------------------------


class WithoutRequest(Plugin):
    @hookimpl
    def trunnion_authorize(self) -> object:
        return Deny("never")


async def outer(ctx: Context) -> object:
    return await ctx.invoke("t.quick")


async def test_every_command_query_and_stream_is_asked_about(start) -> None:
    """Defence: the calls of ``Authorizers.check`` in admissions, queries and doors, each taken out in turn."""
    plugin = Authorizer(lambda r: Deny("no") if r.target == target else None)
    shown = {"queries": [Query.of(ask, console="t")], "streams": [StreamSource(pattern="s/*")]}
    async with start(cmd(quick), cmd(outer), plugin=shown, more_plugins={"guard": plugin}) as rig:
        target = ""
        old = await rig.run("t.quick")
        seen = [(r.kind, r.target, r.effect) for r in plugin.asked]
        assert ("command", "t.quick", "write") in seen
        assert ("stream", f"run/{old.id}", "read") in seen
        target = "t.quick"  # what is denied from here on
        nested = await rig.run("t.outer")
        assert (nested.error.code, nested.error.details["plugin"]) == ("forbidden", "guard")
        again = await rig.run("runs.rerun", run_id=old.id)
        assert again.error.code == "forbidden"
        uses = {
            "t.quick": lambda: rig.submit("t.quick"),
            "t.ask": lambda: rig.door.query(ANN, "t.ask"),
            "s/a": lambda: Follower(rig, ANN, "s/a", "cli").task,
            f"run/{old.id}": lambda: Follower(rig, ANN, f"run/{old.id}", "cli").task,
        }
        for name, use in uses.items():
            target = name
            with pytest.raises(Forbidden, match="guard") as caught:
                await use()
            assert caught.value.details == {"plugin": "guard", "reason": "no"}


async def test_an_answer_is_never_remembered(start) -> None:
    answers = [None, Deny("now"), None]
    async with start(cmd(quick), more_plugins={"guard": Authorizer(lambda _: answers.pop(0))}) as rig:
        await rig.submit("t.quick")
        with pytest.raises(Forbidden):
            await rig.submit("t.quick")
        await rig.submit("t.quick")


async def test_what_the_host_refuses_is_not_asked_about(start) -> None:
    plugin = Authorizer(lambda _: None)
    async with start(cmd(quick, role="admin"), more_plugins={"guard": plugin}) as rig:
        with pytest.raises(Forbidden):
            await rig.submit("t.quick", Caller("bob", "cli", "viewer"))
        assert plugin.asked == []


@pytest.mark.parametrize(("code", "error"), [("forbidden", Forbidden), ("unavailable", Unavailable), ("busy", Busy)])
async def test_a_denial_has_the_code_it_says(start, code: str, error: type[TrunnionError]) -> None:
    async with start(cmd(quick), more_plugins={"guard": Authorizer(lambda _: Deny("it is night", code))}) as rig:
        with pytest.raises(error, match="it is night"):
            await rig.submit("t.quick")
        assert rig.kernel.telling.counts[code] == 1


async def test_a_hook_may_leave_out_the_request(start) -> None:
    async with start(cmd(quick), more_plugins={"guard": WithoutRequest()}) as rig:
        with pytest.raises(Forbidden, match="never"):
            await rig.submit("t.quick")


def raising(error: BaseException):
    def answer(_: object) -> None:
        raise error

    return answer


ODD = {
    "exception": raising(ValueError("secret detail")),
    "exit": raising(SystemExit(3)),
    "interrupt": raising(KeyboardInterrupt()),
    "cancelled": raising(asyncio.CancelledError()),
    "generator-exit": raising(GeneratorExit()),
    "true": lambda _: True,
    "allow": lambda _: "allow",
    "no-reason": lambda _: Deny(None),
    "odd-code": lambda _: Deny("x", "allowed"),
    "list": lambda _: [],
}


@pytest.mark.parametrize("kind", ODD)
async def test_a_hook_that_fails_refuses_and_is_named(start, kind: str) -> None:
    """Defence: ``_answer`` takes every exception and every other answer for a no."""
    plugins = {"guard": Authorizer(ODD[kind]), "other": Authorizer(lambda _: None)}
    async with start(cmd(quick), more_plugins=plugins) as rig:
        with pytest.raises(Forbidden, match="guard") as caught:
            await rig.submit("t.quick")
        assert "secret detail" not in caught.value.message
        assert len(plugins["other"].asked) == 1, "all are asked, whatever one of them does"
        assert not asyncio.current_task().cancelling()
        plugins["guard"].answer = lambda _: None
        assert "authorize.failed" in await rig.codes()
        await rig.run("t.quick")


async def test_a_flood_of_refusals_is_not_a_flood_of_reports(start) -> None:
    """Defence: ``_Notes``; neither the target nor the caller is named to whoever follows the host."""
    clock, plugin = FakeClock(), Authorizer(lambda r: Deny("no") if r.kind == "command" else None)
    async with start(cmd(quick), clock=clock, more_plugins={"guard": plugin}) as rig:
        for _ in range(500):
            with pytest.raises(Forbidden):
                await rig.submit("t.quick")
        told = [e.text for e in await rig.host_events() if e.data and e.data.get("code") == "authorize.denied"]
        assert told == ["plugin 'guard' refused a request"]
        clock.advance(11)
        told = [e.text for e in await rig.host_events() if e.data and e.data.get("code") == "authorize.denied"]
        assert told[1:] == ["plugin 'guard' refused a request 499 more times within 10 s"]


# -- taken away in the middle ------------------------------------------------------------------------


async def test_a_withdrawn_grant_ends_a_followed_stream_at_once(start) -> None:
    """Defence: ``Wards.look_again`` on a change of policy."""
    streams = {"streams": [StreamSource(pattern="unit/*", expose=WEB)]}
    async with start(plugin=streams) as rig:
        rig.kernel.policy.replace(people(grant("viewer", "stream:unit/*")))
        rig.kernel.log.stream("unit/a").append("text", "one\n")
        followed = Follower(rig, BOB, "unit/a")
        await until(lambda: followed.seen)
        rig.kernel.policy.replace(people(grant("viewer", "stream:unit/*"), grant("viewer", "t.*")))
        rig.kernel.log.stream("unit/a").append("text", "two\n")
        await until(lambda: len(followed.seen) == 2)
        rig.kernel.policy.replace(people())
        rig.kernel.log.stream("unit/a").append("text", "three\n")
        await refused(followed.task, NotFound)
        assert [e.text for e in followed.seen] == ["one\n", "two\n"]
        assert not rig.kernel.wards.open


@pytest.mark.parametrize(
    ("directory", "error"),
    [
        (people(grant("viewer", "stream:run/*")), NotFound),
        (people(grant("viewer", "runs:t.*", "stream:run/*"), exposure=Exposure(withhold={"run/*": WEB})), NotFound),
        (Directory([Principal(name="ann", role="admin")]), Unauthenticated),
        (Directory([Principal(name="bob", disabled=True)], [], [grant("viewer", "runs:t.*")]), Unauthenticated),
    ],
)  # fmt: skip
async def test_a_withdrawn_grant_on_runs_ends_output_and_waiting(start, directory: Directory, error) -> None:
    """Defence: the wards of ``Door.follow`` and ``Door.wait``."""
    async with start(cmd(forever)) as rig:
        run = await rig.submit("t.forever")
        rig.kernel.policy.replace(people(grant("viewer", "runs:t.*"), grant("viewer", "stream:run/*")))
        followed = Follower(rig, BOB, f"run/{run.id}")
        waiting = asyncio.create_task(rig.host.door("web").wait(BOB, run.id))
        await until(lambda: any(e.kind == "text" for e in followed.seen) and rig.live(run).waiters)
        rig.kernel.policy.replace(directory)
        await refused(followed.task, error)
        if directory.exposure.withhold:
            waiting.cancel()
        else:
            await refused(waiting, error)
        await until(lambda: not rig.kernel.wards.open)
        await rig.door.cancel(ANN, run.id)


async def test_a_role_that_sinks_below_a_streams_is_forbidden(start) -> None:
    async with start(plugin={"streams": [StreamSource(pattern="s", role="operator", expose=WEB)]}) as rig:
        rig.kernel.policy.replace(people(role="operator"))
        rig.kernel.log.stream("s").append("text", "one\n")
        followed = Follower(rig, BOB, "s")
        await until(lambda: followed.seen)
        rig.kernel.policy.replace(people(role="viewer"))
        await refused(followed.task, Forbidden)


async def test_a_stream_whose_family_asks_for_more_from_now_on_ends_too(start) -> None:
    """Defence: wards are looked at after a change of the registry."""
    async with start() as rig:
        registry = rig.kernel.registry
        registry.replace("d", Contributed(streams=[StreamSource(pattern="s", expose=WEB)]))
        rig.kernel.policy.replace(people(role="operator"))
        rig.kernel.log.stream("s").append("text", "one\n")
        followed = Follower(rig, BOB, "s")
        await until(lambda: followed.seen)
        registry.replace("d", Contributed(streams=[StreamSource(pattern="s", role="admin", expose=WEB)]))
        await refused(followed.task, Forbidden)


async def test_an_expiring_token_ends_what_is_open(start) -> None:
    """Defence: the timer of a ward; nothing else happens when the time has come."""
    clock = FakeClock()
    streams = {"streams": [StreamSource(pattern="s", expose=WEB)]}
    async with start(cmd(forever, expose=WEB), clock=clock, plugin=streams) as rig:
        token = Token(id="t", principal="bob", expires=clock.utc() + 300_000_000)
        rig.kernel.policy.replace(people(role="operator", tokens=[token]))
        bearer = Caller("bob", "web", "viewer", credential="token:t")
        rig.kernel.log.stream("s").append("text", "one\n")
        followed = Follower(rig, bearer, "s")
        run = await rig.host.door("web").submit(bearer, Invocation(command_id="t.forever"))
        waiting = asyncio.create_task(rig.host.door("web").wait(bearer, run.id))
        await until(lambda: followed.seen and rig.live(run).waiters)
        clock.advance(299)
        await asyncio.sleep(0)
        assert not followed.task.done()
        assert not waiting.done()
        clock.advance(1.5)
        await refused(followed.task, Unauthenticated)
        await refused(waiting, Unauthenticated)
        with pytest.raises(Unauthenticated):
            rig.host.door("web").meta(bearer)
        assert not rig.kernel.wards.open
        await rig.door.cancel(ANN, run.id)


class Source:
    """A stream a plugin keeps itself, silent after its first event."""

    def __init__(self) -> None:
        self.closed = False

    async def read(self, name: str, after: int, limit: int) -> list[Event]:
        return [Event(name, 1, 0, "text", "info", "p", "one\n", encode(None))] if after == 0 else []

    async def follow(self, name: str, after: int):
        try:
            for event in await self.read(name, after, 1):
                yield [event]
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_a_plugins_own_stream_ends_in_the_midst_of_its_silence(start) -> None:
    """Defence: ``Following.break_off`` cancels the wait inside the plugin."""
    source = Source()
    own = StreamSource(pattern="own/*", expose=WEB, read=source.read, follow=source.follow)
    async with start(plugin={"streams": [own]}) as rig:
        rig.kernel.policy.replace(people(role="viewer"))
        followed = Follower(rig, BOB, "own/a")
        await until(lambda: followed.seen)
        rig.kernel.policy.replace(people())
        await refused(followed.task, NotFound)
        assert source.closed
        assert not rig.kernel.wards.open


async def test_a_stream_left_behind_leaves_no_ward(start) -> None:
    async with start(plugin={"streams": [StreamSource(pattern="s")]}) as rig:
        followed = Follower(rig, ANN, "s", "cli")
        await until(lambda: rig.kernel.wards.open)
        followed.task.cancel()
        await asyncio.wait({followed.task})
        await until(lambda: not rig.kernel.wards.open)


# -- children -----------------------------------------------------------------------------------------


async def test_a_child_is_bounded_by_what_its_origin_may_do_now(start) -> None:
    """Defence: a child has the credential and the doors of its parent; the grant is gone when it is asked for."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def parent(ctx: Context) -> object:
        reached.set()
        await go.wait()
        return await ctx.invoke("t.quick")

    async with start(cmd(quick, expose=WEB), cmd(quick, name="local"), cmd(parent, expose=WEB)) as rig:
        rig.kernel.policy.replace(people(grant("operator", "t.*")))
        run = await rig.host.door("web").submit(BOB, Invocation(command_id="t.parent"))
        await reached.wait()
        rig.kernel.policy.replace(people(grant("operator", "t.parent")))
        go.set()
        assert (await rig.ended(run)).error.code == "not_found"


async def test_after_a_restart_the_origin_still_bounds_the_child(tmp_path) -> None:
    """Defence: recovery keeps source, chain and credential of a run that waited."""

    async def parent(ctx: Context, child: str) -> object:
        return await ctx.invoke(child)

    commands = cmd(parent, expose=WEB), cmd(quick, expose=WEB), cmd(quick, name="local")
    clock = FakeClock()
    async with rig(tmp_path, *commands, durability="process", clock=clock) as first:
        first.kernel.policy.replace(people(grant("operator", "t.*")))
        door, later = first.host.door("web"), clock.utc() + 60_000_000
        waiting = [
            (await door.submit(BOB, Invocation(command_id="t.parent", args={"child": child}, not_before=later))).id
            for child in ("t.local", "t.quick")
        ]
        image = first.disk_image()
    clock = FakeClock()
    async with rig(tmp_path, *commands, data=image, durability="process", clock=clock) as second:
        second.kernel.policy.replace(people(grant("operator", "t.parent")))
        clock.advance(120)
        ended = [await second.ended(run_id) for run_id in waiting]
        assert {run.args["child"]: run.error.code for run in ended} == {"t.local": "not_found", "t.quick": "not_found"}
        assert {run.credential for run in ended} == {"login"}
