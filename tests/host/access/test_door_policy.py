"""Policy where it is applied: hooks that deny, permissions taken away in the middle, lists and meta as each may see."""

from __future__ import annotations

import asyncio
import json
import shlex

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from kernel_kit import ANN, FakeClock, Plugin, Rig, cmd, rig, until

from trunnion.access.directory import Directory
from trunnion.hookspecs import hookimpl
from trunnion.kernel.context import Context
from trunnion.kernel.registry import Contributed
from trunnion.model.access import Exposure, Grant, Principal, Token
from trunnion.model.commands import Query
from trunnion.model.contributions import Console, Deny, Gate, MetaSection, StreamSource
from trunnion.model.errors import Busy, Conflict, Forbidden, NotFound, TrunnionError, Unauthenticated, Unavailable
from trunnion.model.events import Event
from trunnion.model.json import encode
from trunnion.model.runs import Caller, Invocation, Run

WEB = frozenset({"web"})
BOB = Caller("bob", "web", "viewer", credential="login")


@pytest.fixture
def start(tmp_path):
    return lambda *commands, **options: rig(tmp_path, *commands, **options)


def people(*grants: Grant, role: str | None = None, tokens=(), exposure: Exposure | None = None) -> Directory:
    return Directory([Principal(name="bob", role=role), Principal(name="ann", role="admin")], tokens, grants, exposure)


def grant(role: str, *on: str) -> Grant:
    return Grant(id="g-" + "-".join(on), principal="bob", role=role, on=on)


async def quick(n: int = 0) -> int:
    return n


async def forever(ctx: Context) -> None:
    ctx.echo("here")
    await ctx.flush()
    await asyncio.Event().wait()


async def ask() -> list[str]:
    return ["one"]


async def refused(waiting: asyncio.Task[object], error: type[TrunnionError], seconds: float = 5) -> TrunnionError:
    with pytest.raises(error) as caught:
        await asyncio.wait_for(waiting, seconds)
    return caught.value


class Follower:
    """Follows a stream in a task of its own."""

    def __init__(self, rig: Rig, caller: Caller, stream: str, source: str = "web") -> None:
        self.seen: list[Event] = []
        self._batches = rig.host.door(source).follow(caller, stream)
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for batch in self._batches:
            self.seen.extend(batch)


# -- trunnion_authorize -----------------------------------------------------------------------------


class Authorizer(Plugin):
    """A plugin that answers what a test decides."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[object] = []

    @hookimpl
    def trunnion_authorize(self, request) -> object:
        self.asked.append(request)
        return self.answer(request)


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
        assert rig.kernel.admissions.counts[code] == 1


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


# -- whose runs ---------------------------------------------------------------------------------------


async def listed(rig: Rig, caller: Caller, **args: object) -> list[str]:
    """All pages of ``runs.list``, two runs each."""
    found, cursor = [], None
    while True:
        page = await rig.host.door(caller.source).query(caller, "runs.list", {"limit": 2, "cursor": cursor, **args})
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return [f"{item['principal']} {item['command_id']}" for item in found]


@pytest.mark.parametrize("durability", ["memory", "process"])
async def test_lists_have_ones_own_runs_and_those_granted(start, durability: str) -> None:
    """Defence: ``RunQueries._page`` narrows each list by ``seen_runs``."""
    commands = (cmd(quick, expose=WEB), cmd(quick, name="other", expose=WEB), cmd(quick, console="u", name="far"))
    async with start(*commands, durability=durability) as rig:
        rig.kernel.policy.replace(people(role="operator"))
        for _ in range(2):
            await rig.run("t.quick")
            await rig.run("t.other")
            await rig.run("u.far")
            await rig.ended(await rig.host.door("web").submit(BOB, Invocation(command_id="t.quick")))
        assert await listed(rig, BOB) == ["bob t.quick"] * 2
        assert await listed(rig, BOB, principal="ann") == []
        rig.kernel.policy.replace(people(grant("viewer", "runs:t.other", "runs:t.q*"), role="operator"))
        assert sorted(await listed(rig, BOB)) == ["ann t.other"] * 2 + ["ann t.quick"] * 2 + ["bob t.quick"] * 2
        assert await listed(rig, BOB, principal="ann", command="t.o*") == ["ann t.other"] * 2
        assert await listed(rig, BOB, command="u.*") == []
        assert len(await listed(rig, ANN)) == 8
        ids = await rig.host.door("web").query(BOB, "runs.ids")
        assert len(ids["items"]) == 6


async def test_grants_on_runs_show_and_let_cancel(start) -> None:
    """Defence: ``require_run`` and ``may_control_run`` at each use of a run."""
    async with start(cmd(forever), cmd(quick)) as rig:
        run, done = await rig.submit("t.forever"), await rig.run("t.quick")
        web = rig.host.door("web")
        rig.kernel.policy.replace(people(role="viewer"))
        uses = [("runs.get", {}), ("runs.result", {}), ("runs.events", {}), ("runs.export", {}), ("runs.artifacts", {})]
        for name, args in uses:
            with pytest.raises(NotFound):
                await web.query(BOB, name, {"run_id": done.id, **args})
        rig.kernel.policy.replace(people(grant("viewer", "runs:t.*"), role="viewer"))
        for name, args in uses:
            await web.query(BOB, name, {"run_id": done.id, **args})
        with pytest.raises(Forbidden):
            await web.cancel(BOB, run.id)
        rig.kernel.policy.replace(people(grant("operator", "runs:t.*"), role="viewer"))
        await web.cancel(BOB, run.id)
        assert (await rig.ended(run)).status == "cancelled"


async def test_repeating_anothers_run_needs_the_command_itself(start) -> None:
    async with start(cmd(quick)) as rig:
        old = await rig.run("t.quick")
        rerun = Invocation(command_id="runs.rerun", args={"run_id": old.id})
        web = rig.host.door("web")
        for directory, outcome in [
            (people(role="operator"), "not_found"),
            (people(grant("operator", "runs:t.*"), role="operator"), "not_found"),
            (people(grant("viewer", "runs:t.*"), role="operator", exposure=Exposure(expose={"t.*": WEB})), None),
        ]:
            rig.kernel.policy.replace(directory)
            run = await rig.ended(await web.submit(BOB, rerun))
            assert (run.error.code if run.error else None) == outcome


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


# -- meta ---------------------------------------------------------------------------------------------


def meta(rig: Rig, caller: Caller) -> dict:
    return json.loads(rig.host.door(caller.source).meta(caller).body)


HIDDEN = {
    "queries": [
        Query.of(ask, console="t", name="values", role="viewer"),
        Query.of(ask, console="t", name="shown", expose=WEB),
    ],
    "consoles": [
        Console(
            path="t", on_miss="t.hidden", on_enter="t.quick", on_leave="t.hidden", completer="t.values",
            validator="t.shown",
        )
    ],
    "sections": [MetaSection(point="menu", id="m", data=1, requires=("t.hidden",))],
}  # fmt: skip


async def test_meta_has_no_word_of_what_may_not_be_seen(start) -> None:
    """Defence: ``_seen``, ``_narrowed``, sections and plugins in ``MetaBuilder``."""
    commands = (
        cmd(quick, name="hidden", aliases=("t.secret",)),
        cmd(quick, expose=WEB, complete={"n": "t.values"}),
        cmd(quick, name="plain", expose=WEB, complete={"n": "t.shown"}),
    )
    async with start(*commands, plugin=HIDDEN) as rig:
        rig.kernel.policy.replace(people(role="operator"))
        seen, whole = meta(rig, BOB), meta(rig, ANN)
        text = json.dumps(seen)
        assert "t.hidden" not in text
        assert "t.secret" not in text
        assert "t.values" not in text
        console = next(c for c in seen["consoles"] if c["path"] == "t")
        assert (console["on_miss"], console["on_enter"], console["validator"]) == ("", "t.quick", "t.shown")
        entry = next(c for c in seen["commands"] if c["id"] == "t.quick")
        same = next(c for c in whole["commands"] if c["id"] == "t.quick")
        assert (entry["complete"], same["complete"]) == ({}, {"n": "t.values"})
        assert entry["revision"] == same["revision"], "what clients send along is the command's own"
        assert next(c for c in seen["commands"] if c["id"] == "t.plain")["complete"] == {"n": "t.shown"}
        assert all(set(p) <= {"id", "state", "version"} for p in seen["plugins"])
        assert any("hooks" in p for p in whole["plugins"])
        asked = await rig.host.door("web").query(BOB, "host.plugins")
        assert asked["items"] == seen["plugins"]


async def test_the_revision_is_of_what_the_caller_got(start) -> None:
    async with start(cmd(quick, expose=WEB, complete={"n": "t.values"}), plugin=HIDDEN) as rig:
        door, policy = rig.host.door("web"), rig.kernel.policy
        policy.replace(people(role="operator"))
        before = door.meta(BOB)
        policy.replace(people(role="operator", exposure=Exposure(expose={"t.values": WEB})))
        after = door.meta(BOB)
        assert after.revision != before.revision
        policy.replace(people(role="operator"))
        assert door.meta(BOB).revision == before.revision
        assert door.meta(BOB).generation > after.generation


async def test_one_callers_meta_is_never_anothers(start) -> None:
    """Defence: meta is kept by caller, credential included, and forgotten when policy changes."""
    async with start(cmd(quick, expose=WEB), cmd(quick, name="more", expose=WEB)) as rig:
        token = Token(id="t", principal="bob", on=("t.quick",))
        rig.kernel.policy.replace(people(role="operator", tokens=[token]))
        bearer = Caller("bob", "web", "viewer", credential="token:t")
        ids = lambda caller: [c["id"] for c in meta(rig, caller)["commands"] if c["id"].startswith("t.")]  # noqa: E731
        assert (ids(BOB), ids(bearer), ids(BOB)) == (["t.more", "t.quick"], ["t.quick"], ["t.more", "t.quick"])
        rig.kernel.policy.replace(people(grant("operator", "t.more")))
        assert ids(BOB) == ["t.more"]
        with pytest.raises(Unauthenticated):
            ids(bearer)


async def test_a_change_of_policy_is_a_meta_event(start) -> None:
    async with start() as rig:
        rig.kernel.policy.replace(people())
        told = [e.data["generation"] for e in await rig.host_events() if e.kind == "meta"]
        assert told[-1] == rig.kernel.meta.generation


# -- nothing leaks ------------------------------------------------------------------------------------

KNOWN = ["t.zircon", "t.zircon-hidden", "t.zirconalias", "t.zircon-query", "zircon/a", "t.quick", "host.plugins", "t"]
typos = st.sampled_from(KNOWN) | st.builds(
    lambda name, at, put: name[: at % len(name)] + put + name[at % len(name) + 1 :],
    st.sampled_from(KNOWN), st.integers(0, 20), st.sampled_from(["", "x", ".", "ir", "/"]),
)  # fmt: skip
questions = st.lists(
    st.tuples(typos, st.sampled_from(["command", "query", "stream", "run", None])), min_size=25, max_size=40
)


@given(questions)
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_nothing_a_caller_is_told_names_what_it_may_not_see(tmp_path_factory, questions) -> None:
    """Defence: nearest names, completion and explanations are made from what is visible: the answers of a host that
    has hidden things are those of a host that does not have them."""
    asyncio.run(_compare(tmp_path_factory.mktemp("leak"), questions))


async def _compare(root, questions) -> None:
    hidden = (
        cmd(quick, name="zircon-hidden", aliases=("t.zirconalias",)),
        cmd(quick, name="zircon", role="admin"),
        cmd(quick, expose=WEB, complete={"n": "t.zircon-query"}),
    )
    more = {"queries": [Query.of(ask, console="t", name="zircon-query")], "streams": [StreamSource(pattern="zircon/*")]}
    async with rig(root, *hidden, plugin=more) as full, rig(root / "bare", cmd(quick, expose=WEB)) as bare:
        for each in (full, bare):
            each.kernel.policy.replace(people(role="operator"))
        for name, kind in questions:
            one, other = [[await answer for answer in _answers(each, name, kind)] for each in (full, bare)]
            assert one == other
            assert "zircon" not in str(one).replace(name, "")


async def test_a_key_used_before_does_not_tell_a_narrow_token_for_what(start) -> None:
    """Keys belong to a principal, whatever it came with; the answer names the key only."""
    async with start(cmd(quick, expose=WEB), cmd(quick, name="wide", expose=WEB)) as rig:
        rig.kernel.policy.replace(people(role="operator", tokens=[Token(id="t", principal="bob", on=("t.quick",))]))
        web, bearer = rig.host.door("web"), Caller("bob", "web", "viewer", credential="token:t")
        await web.submit(BOB, Invocation(command_id="t.wide", idempotency_key="k"))
        with pytest.raises(Conflict) as caught:
            await web.submit(bearer, Invocation(command_id="t.quick", idempotency_key="k"))
        assert "wide" not in caught.value.message + str(caught.value.details)


def _answers(rig: Rig, name: str, kind: str | None) -> list:
    door = rig.host.door("web")

    async def follow() -> None:
        async for _ in door.follow(BOB, name, live=False):
            pass

    async def told(use) -> object:
        try:
            answer = await use
        except TrunnionError as error:
            return (error.code, error.message, error.details)
        return answer.command_id if isinstance(answer, Run) else str(answer)

    arguments = {"target": name} | ({"kind": kind} if kind else {})
    return [
        told(door.submit(BOB, Invocation(command_id=name, args={"nonsense": 1}))),
        told(door.query(BOB, name, {})),
        told(follow()),
        told(door.complete(BOB, name, [], "")),
        told(door.complete(BOB, "t.quick", [], "")),
        told(door.query(BOB, "host.explain", arguments)),
    ]


# -- explain ------------------------------------------------------------------------------------------


async def explained(rig: Rig, caller: Caller, target: str, **args: str) -> dict:
    return await rig.host.door(caller.source).query(caller, "host.explain", {"target": target, **args})


async def test_an_admin_is_told_what_to_type_and_it_helps(start) -> None:
    """Every remedy is typed as it is shown; then what was refused is allowed."""
    streams = {"streams": [StreamSource(pattern="s/*", role="operator", expose=WEB)]}
    async with start(cmd(quick, expose=WEB), plugin=streams) as rig:
        for target in ("t.quick", "s/a"):
            while not (found := await explained(rig, ANN, target, principal="carol"))["allowed"]:
                assert (found["source"], found["grantors"][0]) == ("web", "the owner of the data directory")
                group, name, *words = shlex.split(found["remedy"][0])[1:]
                ended = await rig.ended(await rig.ask(command_id=f"{group}.{name}", argv=tuple(words)))
                assert ended.status == "succeeded", ended.error
        carol = Caller("carol", "web", "viewer", credential="login")
        await rig.host.door("web").submit(carol, Invocation(command_id="t.quick"))


@pytest.mark.parametrize(
    ("directory", "code", "check", "remedy"),
    [
        (people(role="viewer"), "forbidden", "role", "trunnion grants add bob operator t.quick"),
        (Directory(), "unauthenticated", "credential", "trunnion principals add bob --role operator"),
        (
            Directory([Principal(name="bob", role="admin", disabled=True)]),
            "unauthenticated", "credential", "trunnion principals set bob --no-disabled",
        ),
        (
            people(role="admin", exposure=Exposure(withhold={"t.*": WEB})),
            "not_found", "exposure", '[access.withhold] "t.*": take "web" out',
        ),
        (people(role="operator"), None, None, None),
    ],
)  # fmt: skip
async def test_the_deciding_rule_is_named_with_its_remedy(start, directory, code, check, remedy) -> None:
    async with start(cmd(quick, expose=WEB, role="operator")) as rig:
        rig.kernel.policy.replace(directory)
        found = await explained(rig, ANN, "t.quick", principal="bob", source="web")
        assert (found["code"], found["allowed"]) == (code, code is None)
        failed = [c["check"] for c in found["checks"] if not c["passed"]]
        assert failed[:1] == ([check] if check else [])
        assert found["remedy"][:1] == ([remedy] if remedy else [])
        decided = rig.kernel.policy.decide(rig.kernel.registry.command("t.quick").target, BOB)
        assert (decided.allowed, decided.rule) == (found["allowed"], found["rule"])


async def test_explain_tells_nobody_more_than_they_may_see(start) -> None:
    """Defence: ``ExplainQuery._about``, ``Subjects`` and ``_grantors``."""
    async with start(cmd(quick, expose=WEB, role="admin"), cmd(quick, name="local")) as rig:
        tokens = [Token(id="t", principal="ann"), Token(id="b", principal="bob"), Token(id="c", principal="bob")]
        rig.kernel.policy.replace(people(role="operator", tokens=tokens))
        found = await explained(rig, BOB, "t.quick")
        assert (found["code"], found["principal"], found["source"]) == ("forbidden", "bob", "web")
        assert "ann" not in str(found)
        assert found["grantors"] == ["an admin"]
        with pytest.raises(Forbidden):
            await explained(rig, BOB, "t.quick", principal="ann")
        with pytest.raises(Forbidden):
            await explained(rig, BOB, "t.quick", principal="nobody")
        for token in ("t", "none"):
            with pytest.raises(NotFound, match="token"):
                await explained(rig, BOB, "t.quick", token_id=token)
        bearer = Caller("bob", "web", "viewer", credential="token:b")
        with pytest.raises(NotFound, match="token"):
            await explained(rig, bearer, "t.quick", token_id="c")
        with pytest.raises(NotFound) as hidden:
            await explained(rig, BOB, "t.local")
        with pytest.raises(NotFound) as absent:
            await explained(rig, BOB, "t.lokal")
        assert hidden.value.message.replace("local", "lokal") == absent.value.message


async def test_explain_speaks_of_runs_plugins_and_gates(start) -> None:
    async def admit(batch):
        raise AssertionError("a gate is named, not asked")

    guard = Authorizer(
        lambda r: Deny("at night", "busy") if (r.caller.principal, r.target) == ("bob", "t.quick") else None
    )
    gate = {"gates": [Gate(name="audit", admit=admit, covers=frozenset({"streams"}))]}
    async with start(cmd(quick, expose=WEB), plugin=gate, more_plugins={"guard": guard}) as rig:
        rig.kernel.policy.replace(people(role="operator"))
        run = await rig.submit("t.quick")
        found = await explained(rig, ANN, "t.quick", principal="bob")
        assert (found["code"], found["rule"], found["checks"][-1]["check"]) == (
            "busy",
            "plugin 'guard' refuses: at night",
            "authorize",
        )
        assert (await explained(rig, ANN, "t.quick"))["checks"][-1]["text"] == "no objection by guard"
        found = await explained(rig, ANN, run.id, principal="bob")
        assert (found["kind"], found["code"]) == ("run", "not_found")
        assert found["remedy"] == ["trunnion grants add bob operator runs:t.quick"]
        found = await explained(rig, ANN, f"run/{run.id}", principal="bob")
        assert (found["kind"], found["code"], found["gates"]) == ("stream", "not_found", ["audit"])
        assert found["remedy"] == ["trunnion grants add bob viewer runs:t.quick"]
        assert (await explained(rig, ANN, run.id))["allowed"]
        with pytest.raises(NotFound):
            await explained(rig, BOB, run.id)
