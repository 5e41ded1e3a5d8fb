"""What a fresh look found: what doors told to those who may not know it, and permissions that outlived their end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from identity_kit import GOOD, people
from kernel_kit import ANN, FakeClock, cmd, rig, until

from trunnion.access.directory import Directory
from trunnion.access.explain import explain_run
from trunnion.access.policy import Policy, Target
from trunnion.kernel.context import Context
from trunnion.kernel.registry import Contributed
from trunnion.model.access import Principal, Token
from trunnion.model.commands import Query
from trunnion.model.contributions import Gate, Hold, StreamSource
from trunnion.model.errors import Busy, Conflict, Forbidden, InvalidArguments, NotFound, TrunnionError, Unauthenticated
from trunnion.model.events import Event
from trunnion.model.runs import Caller, Invocation, Run
from trunnion.protocol.connection import Connection
from trunnion.protocol.messages import Call
from trunnion.protocol.methods import dispatch

WEB = frozenset({"web"})
SOON = 60_000_000
"""Microseconds."""


async def followed(rig, caller: Caller, stream: str) -> list[Event]:
    await rig.kernel.waiting.flush(rig.kernel.log.stream("host"))
    return [e async for batch in rig.host.door(caller.source).follow(caller, stream, live=False) for e in batch]


async def quick() -> None:
    pass


# -- how the host is set up --------------------------------------------------------------------------


async def test_only_those_inside_are_told_of_places_and_reasons(tmp_path: Path) -> None:
    """Defence: ``HostQueries.status`` and ``as_told`` on stream ``host`` leave out what speaks of places."""
    async with people(tmp_path) as host:
        await host.person("ada", "viewer")
        await host.person("eve", "admin")
        ada, eve = await host.log_in("ada"), await host.log_in("eve")
        (tmp_path / "trunnion.toml").write_text("[access.principals.zed]\nrole = 7\n")
        with pytest.raises(Exception, match=r"zed\.role"):
            await host.do("host.reload")
        seen = json.dumps([[e.text, e.data] for e in await followed(host, ada, "host")])
        seen += json.dumps(await host.ask_of("host.status", ada))
        for secret in (str(tmp_path), "zed", "pid", "toml"):
            assert secret not in seen
        events = await followed(host, ada, "host")
        assert [e.seq for e in events] == list(range(1, len(events) + 1)), "nothing is missing, only said less of"
        assert any(e.kind == "meta" and e.data["generation"] for e in events)
        for caller in (eve, ANN):
            assert "zed" in str(await followed(host, caller, "host"))
            assert (await host.ask_of("host.status", caller))["data_dir"] == str(tmp_path / "data")


async def test_who_is_admin_no_longer_is_told_less_at_once(tmp_path: Path) -> None:
    """Defence: ``Door.follow`` asks anew for each batch."""
    async with people(tmp_path) as host:
        await host.person("eve", "admin")
        eve, seen = await host.log_in("eve"), []

        async def follow() -> None:
            async for batch in host.host.door("web").follow(eve, "host"):
                seen.extend(e.text for e in batch)

        task = asyncio.create_task(follow())
        host.kernel.host_log.report("t.one", "place one")
        await until(lambda: "place one" in seen)
        await host.do("principals.set", name="eve", role="viewer")
        host.kernel.host_log.report("t.two", "place two")
        await until(lambda: seen[-1] == "for administrators")
        assert "place two" not in seen
        task.cancel()


async def test_plugins_are_in_meta_for_those_who_may_ask_for_them(tmp_path: Path) -> None:
    async with people(tmp_path) as host:
        await host.person("ada", "viewer")
        await host.person("bob")
        shown = [json.loads(host.host.door("web").meta(await host.log_in(n)).body)["plugins"] for n in ("ada", "bob")]
        assert (bool(shown[0]), shown[1]) == (True, [])


# -- families of streams -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern", ["host/log*", "host/access", "host*", "state/p*", "run/0*", "*", "mine/b*", "mine/*"]
)
async def test_no_plugin_opens_streams_of_another(tmp_path: Path, pattern: str) -> None:
    """Defence: ``_refuse_shared``; the longest pattern counts, so it would say who may follow."""
    async with rig(tmp_path, plugin={"streams": [StreamSource(pattern="mine/*", role="admin")]}) as host:
        registry = host.kernel.registry
        with pytest.raises(Conflict, match="other"):
            registry.replace("other", Contributed(streams=[StreamSource(pattern=pattern, expose=WEB)]))
        with pytest.raises(NotFound):
            await followed(host, Caller("bob", "web", "viewer"), "host/log")
        registry.replace("other", Contributed(streams=[StreamSource(pattern="theirs/*")]))
        registry.replace("other/plc1", Contributed(streams=[StreamSource(pattern="theirs/plc1/*", role="admin")]))


# -- runs ---------------------------------------------------------------------------------------------


async def test_whose_a_run_is_decides_about_its_stream_alone(tmp_path: Path) -> None:
    """Defence: ``decide`` leaves streams of runs to ``run_role``: a grant or token need not name them, too."""
    async with people(tmp_path) as host:
        await host.person("bob")
        await host.person("cat")
        await host.do("grants.add", principal="bob", role="operator", on=["t.*"])
        await host.do("grants.add", principal="cat", role="viewer", on=["runs:t.*"])
        bob, cat, door = await host.log_in("bob"), await host.log_in("cat"), host.host.door("web")
        _, text = await host.token("bob", on=["command:t.turn"])
        narrow = await host.bearer(text)
        turned = await door.submit(narrow, Invocation(command_id="t.turn"))
        who = await door.submit(bob, Invocation(command_id="t.whoami"))
        for run in (turned, who):
            await door.wait(bob, run.id)
            assert (await followed(host, cat, f"run/{run.id}"))[-1].data["status"] == "succeeded"
        assert await followed(host, narrow, f"run/{turned.id}")
        explained = await host.ask_of("host.explain", target=f"run/{turned.id}", principal="cat", source="web")
        assert (explained["allowed"], [c for c in explained["checks"] if not c["passed"]]) == (
            True, [c for c in explained["checks"] if c["check"] in ("owner", "admin")]
        )  # fmt: skip
        with pytest.raises(NotFound):
            await followed(host, narrow, f"run/{who.id}")
        await host.do("principals.add", name="dan")
        dan = Caller("dan", "web", "viewer", credential="login")
        with pytest.raises(NotFound):
            await followed(host, dan, f"run/{who.id}")


DAN = Caller("dan", "web", "operator", credential="token:t")


def directory(*, role: str | None = "operator", tokens: bool = True, expires: int | None = None) -> Directory:
    return Directory([Principal(name="dan", role=role)], [Token(id="t", principal="dan", expires=expires)] * tokens)


@pytest.mark.parametrize(
    ("then", "code"),
    [
        (directory(tokens=False), "unauthenticated"),
        (directory(role="viewer"), "forbidden"),
        (directory(role=None), "not_found"),
        (directory(), None),
    ],
)
async def test_a_run_that_waited_starts_only_if_it_still_may(tmp_path: Path, then: Directory, code: str | None) -> None:
    """Defence: ``Executor._still_valid`` asks policy; what had to wait may start months later."""
    clock = FakeClock()
    async with rig(tmp_path, cmd(quick, expose=WEB), clock=clock) as host:
        host.kernel.policy.replace(directory())
        later = clock.utc() + SOON
        run = await host.host.door("web").submit(DAN, Invocation(command_id="t.quick", not_before=later))
        host.kernel.policy.replace(then)
        clock.advance(61)
        last = await host.ended(run)
        assert (last.error and last.error.code) == code
        host.assert_idle()


async def test_a_run_of_an_earlier_host_starts_only_if_it_still_may(tmp_path: Path) -> None:
    options = {"durability": "process", "data": tmp_path / "data"}
    async with people(tmp_path, **options) as host:
        await host.person("bob", "operator")
        token_id, text = await host.token("bob")
        bearer, later = await host.bearer(text), host.kernel.clock.utc() + 500_000
        run = await host.host.door("web").submit(bearer, Invocation(command_id="t.turn", not_before=later))
        await host.do("tokens.revoke", id=token_id)
    async with people(tmp_path, **options) as host:
        last = await host.ended(run)
        assert (last.status, last.error.code) == ("failed", "unauthenticated")


async def test_what_keeps_no_record_cannot_be_held(tmp_path: Path) -> None:
    """Defence: ``Admissions._admitted``; nobody would know its id, so nobody could decide about it or end it."""

    async def admit(asked: list[object]) -> list[Hold]:
        return [Hold("wants a second person")] * len(asked)

    plugin = {"gates": [Gate(name="two", admit=admit)]}
    async with rig(tmp_path, cmd(quick, keep="none"), plugin=plugin) as host:
        with pytest.raises(Forbidden, match="second person"):
            await asyncio.wait_for(host.submit("t.quick"), 10)
        host.assert_idle()


async def test_a_method_that_is_an_unseen_query_is_answered_like_none(tmp_path: Path) -> None:
    """Defence: ``Door.is_query``, even while commands are refused for another reason."""
    async with rig(tmp_path, plugin={"queries": [Query.of(quick, console="t", name="qqqqqqq", role="admin")]}) as host:
        handle = host.host.handle("web")
        bob = Caller("bob", "web", "viewer")
        for closed in ("", "the host is stopping"):
            host.kernel.admissions.closed = closed
            answers = []
            for name in ("t.qqqqqqq", "t.wwwwwww"):
                with pytest.raises(TrunnionError) as caught:
                    await dispatch(Connection(handle, bob, SimpleNamespace()), Call(type="rpc", id=1, method=name))
                answers.append((caught.value.code, caught.value.message.replace(name, "it"), caught.value.details))
            assert answers[0] == answers[1]


async def test_a_huge_name_is_not_compared_and_not_sent_back(tmp_path: Path) -> None:
    """Defence: ``nearest`` and ``Lookup.unknown`` give up at ``LONGEST_TYPO``; four MiB of name held the loop up."""
    async with rig(tmp_path, cmd(quick)) as host:
        for name, close in (("tt.quick", ["t.quick"]), ("t" * (4 << 20) + ".quick", [])):
            with pytest.raises(NotFound) as caught:
                await host.submit(name)
            assert caught.value.details == {"nearest": close}
            assert len(caught.value.message) < 1000


# -- time ---------------------------------------------------------------------------------------------


def test_a_token_counts_again_when_the_clock_was_wrong() -> None:
    """Defence: ``Policy.decide`` does not remember that a proof was lost; nothing would tell it of the time."""
    now = 1000
    policy = Policy(lambda: now, directory(expires=2000))
    target = Target("command", "t.quick", "r", "viewer", WEB)
    assert policy.decide(target, DAN).allowed
    now = 2000
    assert policy.decide(target, DAN).verdict == "unauthenticated", "at the very microsecond"
    now = 1500
    assert policy.decide(target, DAN).allowed


# -- plugins by themselves ----------------------------------------------------------------------------


async def test_a_plugins_role_sinks_at_once(tmp_path: Path) -> None:
    """Defence: ``own_role``: a caller that a plugin keeps is no more than the configuration says now."""
    config = '[access.principals."system:p"]\nrole = "{}"\n'
    async with people(tmp_path, config.format("admin")) as host:
        plugin = host.host.handle("system:p", "p").owner_caller()
        assert plugin.role == "admin"
        await host.ask_of("secrets.list", plugin)
        run = await host.submit("t.look")
        await host.host.door("system:p").get(plugin, run.id)
        (tmp_path / "trunnion.toml").write_text(config.format("viewer"))
        await host.do("host.reload")
        with pytest.raises(Forbidden):
            await host.ask_of("secrets.list", plugin)
        with pytest.raises(Forbidden):
            await host.do("t.turn", plugin)
        with pytest.raises(NotFound):
            await host.host.door("system:p").get(plugin, run.id)


# -- uploads ------------------------------------------------------------------------------------------


async def test_what_may_run_nothing_touches_no_upload(tmp_path: Path) -> None:
    """Defence: ``Uploads._require_bringer`` before every change, by role and by what a scope speaks of."""
    async with people(tmp_path) as host:
        await host.person("bob", "operator")
        bob, door = await host.log_in("bob"), host.host.door("web")
        info = await door.open_upload(bob, "a.txt")
        for about in ({"role": "viewer"}, {"on": ["query:*", "stream:*", "runs:*"]}):
            bearer = await host.bearer((await host.token("bob", **about))[1])
            for change in (
                door.open_upload(bearer, "b.txt"),
                door.write_upload(bearer, info.id, 0, b"x"),
                door.finish_upload(bearer, info.id),
                door.drop_upload(bearer, info.id),
            ):
                with pytest.raises(Forbidden):
                    await change
        assert await door.upload(bob, info.id) == info
        await host.person("cat")
        cat = await host.log_in("cat")
        await host.do("grants.add", principal="cat", role="operator", on=["runs:*", "stream:*"])
        with pytest.raises(Forbidden):
            await door.open_upload(cat, "c.txt")
        await host.do("grants.add", principal="cat", role="operator", on=["t.*"])
        await door.open_upload(cat, "c.txt")


@pytest.mark.parametrize("cwd", ["/a\0b", "/a\ud800b"])
async def test_a_folder_that_can_be_none_is_refused(tmp_path: Path, cwd: str) -> None:
    async with people(tmp_path) as host:
        with pytest.raises(InvalidArguments):
            await host.ask(command_id="uploads.add", args={"file": "x"}, cwd=cwd)


# -- passwords ----------------------------------------------------------------------------------------


async def test_a_password_that_was_set_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Defence: ``set_password`` of one's own is for the password that was proved. An admin's reset wins."""
    async with people(tmp_path) as host:
        await host.person("bob", "viewer")
        bob, hashing = await host.log_in("bob"), asyncio.Event()
        hashed = host.kernel.authentication.hashed
        reset, fixed = asyncio.Event(), await hashed("what the admin set")

        async def slow(password: str) -> str:
            if password == "the thief's own":
                hashing.set()
                await reset.wait()
                return await hashed(password)
            return fixed

        host.kernel.authentication.hashed = slow
        theft = asyncio.create_task(
            host.do("principals.password", bob, name="bob", password="the thief's own", current=GOOD)
        )
        await hashing.wait()
        await host.do("principals.password", name="bob", password="what the admin set")
        reset.set()
        with pytest.raises(Conflict):
            await theft
        await host.log_in("bob", "what the admin set")


async def test_a_new_token_is_told_to_nobody_who_came_with_another_proof(tmp_path: Path) -> None:
    """Defence: ``_refuse_others``: a token makes no tokens, by joining a person's call for one neither."""
    async with people(tmp_path) as host:
        await host.person("bob", "operator")
        bob, bearer = await host.log_in("bob"), await host.bearer((await host.token("bob"))[1])
        asked = Invocation(command_id="tokens.create", args={"principal": "bob"}, idempotency_key="k")
        door = host.host.door("web")
        made, joined = await asyncio.gather(*(door.submit(c, asked) for c in (bob, bearer)), return_exceptions=True)
        assert made.result["token"]
        assert isinstance(joined, Conflict)
        twins = await asyncio.gather(*(door.submit(bob, asked) for _ in range(3)))
        assert len({twin.result["token"] for twin in twins}) == 1


async def test_guesses_by_way_of_a_command_count_as_those_at_the_door(tmp_path: Path) -> None:
    """Defence: ``_may_set_password`` names the outermost door; each has its own count of failures."""

    async def relay(ctx: Context, current: str) -> object:
        return await ctx.invoke("principals.password", name="bob", password="12345678", current=current)

    async with people(tmp_path) as host:
        host.kernel.registry.replace("relay", Contributed(commands=[cmd(relay, expose=WEB)]))
        await host.person("bob", "operator")
        bob = await host.log_in("bob")
        for guess in range(5):
            with pytest.raises(Unauthenticated):
                await host.do("t.relay", bob, current=f"guess {guess}")
        with pytest.raises(Busy):
            await host.log_in("bob")


async def test_a_token_that_is_no_text_is_refused_like_any_other(tmp_path: Path) -> None:
    async with people(tmp_path) as host:
        assert await host.refused(host.bearer("trn_\ud800")) == await host.refused(host.bearer("trn_x"))


async def test_a_password_shadowed_by_the_file_opens_nothing(tmp_path: Path) -> None:
    async with people(tmp_path) as host:
        await host.person("bob", "viewer")
        bob = await host.log_in("bob")
        (tmp_path / "trunnion.toml").write_text('[access.principals.bob]\nrole = "viewer"\n')
        await host.do("host.reload")
        await host.refused(host.log_in("bob"))
        with pytest.raises(Unauthenticated):
            await host.ask_of("t.peek", bob)


# -- explain ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "verdict", "rule"),
    [
        (Token(id="t", principal="dan", expires=10), "unauthenticated", "the token has expired"),
        (Token(id="t", principal="dan", on=("u.*",)), "not_found", "outside the scope of token t"),
    ],
)
def test_a_run_is_explained_as_it_is_decided(token: Token, verdict: str, rule: str) -> None:
    run = Run(
        id="x", num=1, command_id="t.quick", command_revision="r", status="running", created=0, principal="dan",
        source="web",
    )  # fmt: skip
    found = explain_run(Directory([Principal(name="dan", role="operator")], [token]), run, DAN, 20, "viewer")
    assert (found.decision.verdict, found.decision.rule) == (verdict, rule)
    assert not all(check.passed for check in found.checks if check.check in ("credential", "scope"))
    assert found.remedy
