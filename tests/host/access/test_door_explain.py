"""Explain: why something is allowed or not, what would help, and nothing more than the caller may know."""

from __future__ import annotations

import shlex

import pytest
from door_kit import BOB, WEB, Authorizer, people, quick
from kernel_kit import ANN, Rig, cmd, rig

from trunnion.access.directory import Directory
from trunnion.model.access import Exposure, Principal, Token
from trunnion.model.contributions import Deny, Gate, StreamSource
from trunnion.model.errors import Forbidden, NotFound
from trunnion.model.runs import Caller, Invocation


@pytest.fixture
def start(tmp_path):
    return lambda *commands, **options: rig(tmp_path, *commands, **options)


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
