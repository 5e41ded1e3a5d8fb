"""Guarantee 4: policy, validation and audit apply to every door alike, nested runs too."""

from __future__ import annotations

import asyncio

import pytest
from kernel_kit import ANN, cmd

from trunnion.kernel.context import Context
from trunnion.model.commands import Query
from trunnion.model.contributions import Allow, Deny, Gate, Hold, StreamSource
from trunnion.model.errors import Busy, Forbidden, InvalidArguments, NotFound, TrunnionError, Unavailable
from trunnion.model.runs import Caller, Invocation

WEB = frozenset({"web"})


async def quick(n: int = 0) -> int:
    return n


async def outer(ctx: Context, inner: str = "t.quick", detach: bool = False) -> object:
    if detach:
        return (await ctx.spawn(inner, detach=True)).run_id
    return await ctx.invoke(inner)


@pytest.mark.parametrize("source", ["cli", "tty", "web", "rpc", "schedule", "agent"])
async def test_a_remote_door_reaches_what_names_it_and_nothing_else(start, source: str) -> None:
    """Defence: ``policy.decide`` looks at ``expose`` for every source that is not local; what may not be seen
    is answered in the words for what is not there, nearest names included."""
    async with start(cmd(quick), cmd(quick, name="open", expose=frozenset({source}))) as rig:
        door = rig.host.door(source)
        caller = Caller("ann", source, "admin")
        assert (await door.submit(caller, Invocation(command_id="t.open"))).source == source
        if source in ("cli", "tty"):
            await door.submit(caller, Invocation(command_id="t.quick"))
            return
        with pytest.raises(NotFound) as hidden:
            await door.submit(caller, Invocation(command_id="t.quick"))
        with pytest.raises(NotFound) as absent:
            await door.submit(caller, Invocation(command_id="t.quack"))
        assert "t.quick" not in absent.value.message
        assert hidden.value.message.replace("quick", "X") == absent.value.message.replace("quack", "X")
        assert hidden.value.details == absent.value.details


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_a_visible_command_of_a_higher_role_is_forbidden(start, role: str) -> None:
    """Defence: the comparison of roles in ``policy.decide``."""
    ranks = {"viewer": 1, "operator": 2, "admin": 3}
    async with start(*(cmd(quick, name=f"for-{r}", role=r) for r in ranks)) as rig:
        for needed, rank in ranks.items():
            submit = rig.submit(f"t.for-{needed}", Caller("bob", "cli", role))
            if ranks[role] >= rank:
                await rig.ended(await submit)
            else:
                with pytest.raises(Forbidden, match=needed):
                    await submit


async def test_policy_comes_before_arguments(start) -> None:
    """Defence: the order of ``Admissions._check``: who may not run it learns nothing of its arguments."""
    async with start(cmd(quick, role="admin")) as rig:
        with pytest.raises(Forbidden):
            await rig.submit("t.quick", Caller("bob", "cli", "operator"), nonsense=1)
        with pytest.raises(InvalidArguments):
            await rig.submit("t.quick", nonsense=1)


@pytest.mark.parametrize("detach", [False, True])
async def test_a_nested_run_keeps_principal_and_doors(start, detach: bool) -> None:
    """Defence: the caller made in ``NestedRuns._submit``."""

    async def middle(ctx: Context) -> object:
        return (await ctx.spawn("t.inner", detach=True)).run_id

    async with start(cmd(quick, name="inner", expose=WEB), cmd(middle, expose=WEB), cmd(outer, expose=WEB)) as rig:
        door = rig.host.door("web")
        run = await door.submit(
            Caller("bob", "web", "operator"),
            Invocation(command_id="t.outer", args={"inner": "t.middle", "detach": detach}),
        )
        run = await rig.ended(run)
        if detach:
            run = await rig.ended(run.result)
        inner = await rig.ended(run.result)
        assert (inner.principal, inner.role, inner.source) == ("bob", "operator", "command")
        assert inner.chain == ("web", "command")


@pytest.mark.parametrize("detach", [False, True])
async def test_a_nested_run_can_never_do_what_its_origin_may_not(start, detach: bool) -> None:
    """Defence: ``policy.decide`` judges the whole chain, and the child keeps the role."""
    async with start(
        cmd(outer, expose=WEB), cmd(quick, name="local"), cmd(quick, name="admin", role="admin", expose=WEB)
    ) as rig:
        web = rig.host.door("web")
        for caller, inner, code in [
            (Caller("bob", "web", "admin"), "t.local", "not_found"),
            (Caller("bob", "web", "operator"), "t.admin", "forbidden"),
        ]:
            run = await web.submit(caller, Invocation(command_id="t.outer", args={"inner": inner, "detach": detach}))
            run = await rig.ended(run)
            assert (run.status, run.error.code) == ("failed", code)


async def test_what_a_command_does_at_a_door_of_the_host_is_judged_by_its_origin(start) -> None:
    """``runs.rerun`` by way of the web may not repeat what the web may not run."""
    async with start(cmd(quick, name="local")) as rig:
        old = await rig.run("t.local")
        web = rig.host.door("web")
        run = await web.submit(
            Caller("ann", "web", "admin"), Invocation(command_id="runs.rerun", args={"run_id": old.id})
        )
        assert (await rig.ended(run)).error.code == "not_found"


async def test_runs_belong_to_their_principal(start) -> None:
    """Defence: ``may_see_run``; what is not yours is not there."""
    bob, eve = Caller("bob", "cli", "operator"), Caller("eve", "cli", "operator")
    async with start(cmd(quick)) as rig:
        run = await rig.run("t.quick", bob)
        assert await rig.door.get(bob, run.id) == run
        absent = "01890000-0000-7000-8000-000000000000"

        async def follow(caller: Caller, run_id: str) -> None:
            async for _ in rig.door.follow(caller, f"run/{run_id}"):
                pass

        for use in (rig.door.get, rig.door.wait, rig.door.cancel, follow):
            answers = []
            for run_id in (run.id, absent):
                with pytest.raises(NotFound) as caught:
                    await use(eve, run_id)
                answers.append(caught.value.message.replace(run_id, "X"))
            assert answers[0] == answers[1]
        listed = await rig.door.query(eve, "runs.list")
        assert listed["items"] == []


async def test_to_have_hold_of_a_run_is_no_right_to_it(start) -> None:
    """Defence: ``require_run`` in ``Door._open`` and ``Door.wait`` for what ``Door.begin`` said."""
    bob, eve = Caller("bob", "cli", "operator"), Caller("eve", "cli", "operator")
    async with start(cmd(quick)) as rig:
        begun = await rig.door.begin(bob, Invocation(command_id="t.quick"))
        stream = f"run/{begun.run.id}"
        followed = [e async for batch in rig.door.follow(bob, stream, begun=begun) for e in batch]
        assert (await rig.door.wait(bob, begun.run.id, begun=begun)).status == "succeeded"
        assert begun.run.id not in rig.kernel.executor.table.live
        assert followed == [e async for batch in rig.door.follow(bob, stream) for e in batch]
        assert await rig.door.wait(bob, begun.run.id, begun=begun) == await rig.door.get(bob, begun.run.id)
        with pytest.raises(NotFound):
            await rig.door.wait(eve, begun.run.id, begun=begun)
        with pytest.raises(NotFound):
            async for _ in rig.door.follow(eve, stream, begun=begun):
                pass


async def test_queries_and_streams_are_judged_alike(start) -> None:
    """Defence: the same ``DecisionCache`` in ``Queries.query`` and ``Door._open``."""

    async def ask() -> int:
        return 1

    plugin = {
        "queries": [Query.of(ask, console="t", role="admin"), Query.of(ask, console="t", name="hidden")],
        "streams": [StreamSource(pattern="secret/*", role="admin")],
    }
    bob = Caller("bob", "cli", "operator")
    async with start(plugin=plugin) as rig:
        with pytest.raises(Forbidden):
            await rig.door.query(bob, "t.ask")
        with pytest.raises(Forbidden):
            async for _ in rig.door.follow(bob, "secret/a", live=False):
                pass
        web = rig.host.door("web")
        with pytest.raises(NotFound):
            await web.query(Caller("ann", "web", "admin"), "t.hidden")
        with pytest.raises(NotFound):
            async for _ in web.follow(Caller("ann", "web", "admin"), "secret/a", live=False):
                pass
        for name in ("Secret", "../etc", "", "run/" + "x" * 200):
            with pytest.raises(InvalidArguments):
                async for _ in rig.door.follow(ANN, name):
                    pass


# -- gates ------------------------------------------------------------------------------------------


class Recorder:
    """A gate that notes what it is asked and answers what a test decides."""

    def __init__(self, answer=lambda question: Allow()) -> None:
        self.asked: list[object] = []
        self.answer = answer

    async def admit(self, batch):
        self.asked.extend(batch)
        return [self.answer(question) for question in batch]

    def plugin(self, **options: object) -> dict[str, list[object]]:
        return {"gates": [Gate(name="g", admit=self.admit, **options)]}


async def test_a_gate_is_asked_before_anything_is_on_record(start) -> None:
    """Defence: ``Admissions._admit`` asks before it accepts."""
    seen = []

    def answer(question):
        seen.append(question.run_id in live)
        return Allow()

    gate = Recorder(answer)
    async with start(cmd(quick), plugin=gate.plugin()) as rig:
        live = rig.kernel.executor.table.live
        run = await rig.run("t.quick", n=3)
        question = gate.asked[0]
        assert (question.run_id, question.target, question.args) == (run.id, "t.quick", {"n": 3})
        assert question.caller == ANN
        assert question.args_digest == run.args_digest
        assert seen == [False]


async def test_gates_are_asked_for_nested_runs_too(start) -> None:
    """Defence: nested runs go the way of all others, through ``Admissions.submit``."""
    gate = Recorder(lambda q: Deny("not within") if q.target == "t.quick" and q.parent_run_id else Allow())
    async with start(cmd(quick), cmd(outer), plugin=gate.plugin()) as rig:
        run = await rig.run("t.outer")
        assert (run.status, run.error.code) == ("failed", "forbidden")
        assert [(q.target, q.parent_run_id) for q in gate.asked] == [("t.outer", None), ("t.quick", run.id)]
        assert (await rig.run("t.quick")).status == "succeeded"


@pytest.mark.parametrize(
    ("code", "error"), [("forbidden", Forbidden), ("unavailable", Unavailable), ("busy", Busy), ("odd", Forbidden)]
)
async def test_a_refusal_names_gate_and_reason(start, code: str, error: type[TrunnionError]) -> None:
    gate = Recorder(lambda q: Deny("it is night", code))
    async with start(cmd(quick), plugin=gate.plugin()) as rig:
        with pytest.raises(error, match="it is night") as caught:
            await rig.submit("t.quick")
        assert caught.value.details["gate"] == "g"
        assert rig.kernel.telling.counts[caught.value.code] == 1
        rig.assert_idle()


async def raises(batch):
    raise ValueError("broken gate")


async def exits(batch):
    raise SystemExit(1)


async def gives_up(batch):
    raise asyncio.CancelledError


async def too_few(batch):
    return []


async def nothing(batch):
    return None


async def nonsense(batch):
    return ["yes"] * len(batch)


async def silent(batch):
    await asyncio.Event().wait()


async def deaf(batch):
    for _ in range(3):
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            continue


@pytest.mark.parametrize("admit", [raises, exits, gives_up, too_few, nothing, nonsense, silent, deaf])
async def test_a_gate_that_fails_refuses(start, admit) -> None:
    """Defence: ``Gates._ask``: an exception, a wrong answer or none in time is a refusal, never a wait."""
    plugin = {"gates": [Gate(name="g", admit=admit, deadline=0.05)]}
    async with start(cmd(quick), plugin=plugin) as rig:
        submits = (rig.submit("t.quick") for _ in range(3))
        answers = await asyncio.wait_for(asyncio.gather(*submits, return_exceptions=True), 5)
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        assert "gate.failed" in await rig.codes()
        rig.assert_idle()


async def test_any_gate_can_refuse_and_none_can_widen(start) -> None:
    """Defence: all gates are asked, whatever the first one said."""
    one, two = Recorder(), Recorder(lambda q: Deny("no"))
    plugin = {"gates": [Gate(name="one", admit=one.admit), Gate(name="two", admit=two.admit)]}
    async with start(cmd(quick), cmd(quick, name="hers", role="admin"), plugin=plugin) as rig:
        with pytest.raises(Forbidden, match="two"):
            await rig.submit("t.quick")
        assert len(one.asked) == len(two.asked) == 1
        with pytest.raises(Forbidden, match="role"):
            await rig.submit("t.hers", Caller("bob", "cli", "operator"))
        assert len(one.asked) == 1


async def test_gates_are_asked_in_batches(start) -> None:
    sizes = []

    async def admit(batch):
        sizes.append(len(batch))
        return [Allow()] * len(batch)

    async with start(cmd(quick), plugin={"gates": [Gate(name="g", admit=admit)]}) as rig:
        runs = await asyncio.gather(*(rig.submit("t.quick", n=n) for n in range(50)))
        assert sizes == [50]
        for run in runs:
            await rig.ended(run)


async def test_a_gate_may_hold_a_run(start) -> None:
    gate = Recorder(lambda q: Hold("ask Bob"))
    async with start(cmd(quick), plugin=gate.plugin()) as rig:
        run = await rig.submit("t.quick")
        assert (run.status, rig.phase(run)) == ("held", "held")
        assert (await rig.events(run, live=False))[0].data["status"] == "held"
        assert (await rig.door.cancel(ANN, run.id)).status == "cancelled"
        rig.assert_idle()


async def test_gates_cover_queries_and_streams_when_they_say_so(start) -> None:
    """Defence: ``Gates.covers`` in ``Queries.query`` and ``Door._open``."""

    async def ask(n: int) -> int:
        return n

    gate = Recorder(lambda q: Deny("no") if q.kind != "command" else Allow())
    plugin = {
        "queries": [Query.of(ask, console="t")],
        **gate.plugin(covers=frozenset({"commands", "queries", "streams"})),
    }
    async with start(cmd(quick), plugin=plugin) as rig:
        run = await rig.submit("t.quick")
        with pytest.raises(Forbidden):
            await rig.door.query(ANN, "t.ask", {"n": 1})
        with pytest.raises(Forbidden):
            await rig.events(run)
        assert [(q.kind, q.target) for q in gate.asked] == [
            ("command", "t.quick"), ("query", "t.ask"), ("stream", f"run/{run.id}"),
        ]  # fmt: skip


async def test_what_keeps_nothing_is_asked_about_all_the_same(start) -> None:
    gate = Recorder(lambda q: Deny("no"))
    async with start(cmd(quick, keep="none"), plugin=gate.plugin()) as rig:
        with pytest.raises(Forbidden):
            await rig.submit("t.quick")
        assert [q.target for q in gate.asked] == ["t.quick"]


async def test_a_gate_sees_no_secret(start) -> None:
    """Defence: a question carries masked arguments."""
    schema = {"type": "object", "properties": {"key": {"type": "string", "writeOnly": True}}, "required": ["key"]}

    def handler(args) -> None:
        pass

    gate = Recorder()
    async with start(cmd(handler, name="takes", args=schema), plugin=gate.plugin()) as rig:
        await rig.run("t.takes", key="hunter2222")
        assert "hunter2222" not in repr(gate.asked)


async def test_a_parent_that_ended_while_the_gate_thought_gets_no_child(start) -> None:
    """Defence: the second look in ``Admissions._admit``."""
    thinking, go = asyncio.Event(), asyncio.Event()

    async def admit(batch):
        if any(q.parent_run_id for q in batch):
            thinking.set()
            await go.wait()
        return [Allow()] * len(batch)

    kept = []

    async def parent(ctx: Context) -> None:
        kept.append(asyncio.create_task(ctx.invoke("t.quick")))
        await thinking.wait()

    async with start(cmd(quick), cmd(parent), plugin={"gates": [Gate(name="g", admit=admit)]}) as rig:
        await rig.run("t.parent")
        go.set()
        with pytest.raises(Unavailable, match="has ended"):
            await kept[0]
        rig.assert_idle()
