"""What a caller sees through a door: the runs, the meta and the words that are theirs, and nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest
from door_kit import BOB, WEB, ask, forever, grant, people, quick
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from kernel_kit import ANN, Rig, cmd, rig

from trunnion.model.access import Exposure, Token
from trunnion.model.commands import Query
from trunnion.model.contributions import Console, MetaSection, StreamSource
from trunnion.model.errors import Conflict, Forbidden, NotFound, TrunnionError, Unauthenticated
from trunnion.model.runs import Caller, Invocation, Run


@pytest.fixture
def start(tmp_path):
    return lambda *commands, **options: rig(tmp_path, *commands, **options)


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
