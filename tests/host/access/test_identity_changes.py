"""Who may change whom: what is one's own, what is a name, what is told of a change and what is kept."""

from __future__ import annotations

from functools import partial

import pytest
from identity_kit import GOOD, people

from trunnion.access.credentials import token_digest
from trunnion.model.errors import (
    Forbidden,
    InvalidArguments,
    NotFound,
    TrunnionError,
    Unauthenticated,
)
from trunnion.model.runs import Caller


@pytest.fixture
def start(tmp_path):
    return partial(people, tmp_path)


# -- one's own ------------------------------------------------------------------------------------


async def test_people_make_and_revoke_their_own_tokens_and_nobody_elses(start):
    async with start() as rig:
        await rig.person("bob", "viewer")
        await rig.person("eve", "viewer")
        bob, eve = await rig.log_in("bob"), await rig.log_in("eve")
        made = await rig.do("tokens.create", bob, principal="bob")
        for other in ("eve", "nobody"):
            with pytest.raises(NotFound) as hidden:
                await rig.do("tokens.create", bob, principal=other)
            assert hidden.value.message == f"there is no principal {other!r}"
        with pytest.raises(NotFound) as hidden:
            await rig.do("tokens.revoke", eve, id=made["id"])
        with pytest.raises(NotFound) as absent:
            await rig.do("tokens.revoke", eve, id="aaaaaaaaaaaa")
        assert hidden.value.message.replace(made["id"], "X") == absent.value.message.replace("aaaaaaaaaaaa", "X")
        await rig.do("tokens.revoke", bob, id=made["id"])
        await rig.refused(rig.bearer(made["token"]))


async def test_a_token_makes_no_token_sets_no_password_and_revokes_only_itself(start):
    async with start() as rig:
        await rig.person("bob", "admin")
        await rig.person("eve", "viewer")
        for name in ("bob", "eve"):
            token_id, text = await rig.token(name)
            bearer = await rig.bearer(text)
            with pytest.raises(Forbidden):
                await rig.do("tokens.create", bearer, principal=name)
            with pytest.raises(Forbidden):
                await rig.do("principals.password", bearer, name=name, password="another one", current=GOOD)
        other, _ = await rig.token("eve")
        with pytest.raises(Forbidden):
            await rig.do("tokens.revoke", bearer, id=other)
        assert await rig.do("tokens.revoke", bearer, id=token_id)
        await rig.refused(rig.bearer(text))


async def test_people_change_their_own_password_if_they_know_it(start):
    async with start() as rig:
        await rig.person("bob", "viewer")
        await rig.person("eve", "viewer")
        bob = await rig.log_in("bob")
        with pytest.raises(InvalidArguments, match="current"):
            await rig.do("principals.password", bob, name="bob", password="another one")
        with pytest.raises(Unauthenticated):
            await rig.do("principals.password", bob, name="bob", password="another one", current="a wrong one")
        for other in ("eve", "nobody"):
            with pytest.raises(NotFound) as hidden:
                await rig.do("principals.password", bob, name=other, password="another one", current=GOOD)
            assert hidden.value.message == f"there is no principal {other!r}"
        with pytest.raises(InvalidArguments, match="8 to 1024"):
            await rig.do("principals.password", bob, name="bob", password="short", current=GOOD)
        await rig.do("principals.password", bob, name="bob", password="another one", current=GOOD)
        await rig.refused(rig.log_in("bob"))
        with pytest.raises(Unauthenticated, match="another password"):
            await rig.do("t.look", bob)
        assert await rig.do("t.look", await rig.log_in("bob", "another one"))


async def test_an_admin_at_a_remote_door_gives_the_present_password_for_their_own_only(start):
    async with start() as rig:
        await rig.person("boss", "admin")
        await rig.person("bob")
        boss = await rig.log_in("boss")
        await rig.do("principals.password", boss, name="bob", password="another one")
        with pytest.raises(InvalidArguments, match="current"):
            await rig.do("principals.password", boss, name="boss", password="another one")


async def test_people_see_themselves_and_administrators_all_and_nobody_a_hash(start):
    async with start() as rig:
        await rig.person("bob", "viewer")
        await rig.person("eve", "viewer")
        kept = []
        for name in ("bob", "eve"):
            await rig.do("grants.add", principal=name, role="operator", on=["t.turn"], id=f"for-{name}")
            kept.append((await rig.token(name))[1])
        bob = await rig.log_in("bob")
        answers = []
        for query, field in [("principals.list", "name"), ("grants.list", "principal"), ("tokens.list", "principal")]:
            answers += [await rig.ask_of(query), await rig.ask_of(query, bob)]
            assert [item[field] for item in answers[-2]["items"]] in (["bob", "eve"], ["eve", "bob"])
            assert [item[field] for item in answers[-1]["items"]] == ["bob"]
        assert (await rig.ask_of("tokens.list", bob, principal="eve"))["items"][0]["principal"] == "bob"
        answers.append(await rig.ask_of("principals.get", bob, name="bob"))
        with pytest.raises(NotFound, match="no principal 'eve'"):
            await rig.ask_of("principals.get", bob, name="eve")
        assert "argon2" not in str(answers)
        assert not any(token_digest(text) in str(answers) or text in str(answers) for text in kept)


async def test_lists_come_in_pages(start):
    async with start() as rig:
        for n in range(5):
            await rig.do("principals.add", name=f"p{n}")
        seen, cursor = [], None
        while True:
            page = await rig.ask_of("principals.list", limit=2, cursor=cursor)
            seen += [item["name"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == [f"p{n}" for n in range(5)]


@pytest.mark.parametrize("source", ["web", "rpc"])
async def test_only_what_is_for_everybody_is_reached_from_afar(start, source):
    async with start() as rig:
        await rig.person("boss", "admin")
        boss = await rig.log_in("boss", source=source)
        for name in ("add", "set", "remove"):
            with pytest.raises(NotFound):
                await rig.do(f"principals.{name}", boss, name="x")
        for args in ({"principal": "boss", "role": "admin", "on": ["*"]}, {"id": "x"}):
            with pytest.raises(NotFound):
                await rig.do("grants.add" if "on" in args else "grants.remove", boss, **args)
        assert await rig.do("tokens.create", boss, principal="boss")


# -- what is said of names, ids and patterns ------------------------------------------------------


@pytest.mark.parametrize("name", ["system:p", "system:", "", " ", "a b", "-a", "a\n", "ä", "x" * 201, "a\0"])
async def test_not_everything_is_a_name(start, name):
    async with start() as rig:
        with pytest.raises(TrunnionError):
            await rig.do("principals.add", name=name)
        assert not rig.kernel.identities.register.managed.principals


async def test_unknown_principals_are_answered_with_the_nearest(start):
    async with start() as rig:
        await rig.do("principals.add", name="robert")
        for command, args in [
            ("principals.set", {"name": "rbert"}), ("principals.remove", {"name": "rbert"}),
            ("grants.add", {"principal": "rbert", "role": "viewer", "on": ["x"]}),
            ("tokens.create", {"principal": "rbert"}),
        ]:  # fmt: skip
            with pytest.raises(NotFound, match="did you mean robert") as absent:
                await rig.do(command, **args)
            assert absent.value.details["nearest"] == ["robert"]


async def test_a_change_that_changes_nothing_is_refused(start):
    """Whoever gives ``role=null`` means to take a role away; that is ``none``."""
    async with start() as rig:
        await rig.do("principals.add", name="bob", role="admin")
        with pytest.raises(InvalidArguments, match="none to take it away"):
            await rig.do("principals.set", name="bob", role=None)
        await rig.do("principals.set", name="bob", role="none")
        assert rig.kernel.identities.register.principal("bob").about.role is None


@pytest.mark.parametrize("pattern", ["", "a b", "a*b", "nothing:x", "query:", "*x"])
async def test_not_everything_is_a_pattern(start, pattern):
    async with start() as rig:
        await rig.do("principals.add", name="bob")
        with pytest.raises(InvalidArguments, match="pattern"):
            await rig.do("grants.add", principal="bob", role="viewer", on=["t.*", pattern])
        with pytest.raises(InvalidArguments, match="pattern"):
            await rig.token("bob", on=[pattern])


async def test_what_a_principal_leaves_behind_is_not_inherited(start, tmp_path):
    """Defence: ``add_principal`` removes what is tied to the name: here a token of one from the configuration."""
    async with start('[access.principals.bob]\nrole = "viewer"\n', durability="process") as rig:
        _, text = await rig.token("bob", expires="never")
        await rig.do("grants.add", principal="bob", role="admin", on=["*"])
        assert await rig.bearer(text)
    async with start(durability="process") as rig:
        await rig.refused(rig.bearer(text))
        await rig.do("principals.add", name="bob", role="viewer")
        await rig.refused(rig.bearer(text))
        assert (await rig.ask_of("grants.list"))["items"] == []


# -- what is told, and what is kept ---------------------------------------------------------------


async def test_every_change_is_an_event_that_says_who_and_what(start):
    async with start() as rig:
        await rig.person("bob", "viewer")
        await rig.do("principals.set", name="bob", role="operator")
        await rig.do("grants.add", principal="bob", role="admin", on=["t.*"], id="g")
        token_id, _ = await rig.token("bob")
        await rig.do("tokens.revoke", id=token_id)
        await rig.do("grants.remove", id="g")
        await rig.do("principals.remove", name="bob")
        told = await rig.changes()
        assert [event["code"].removeprefix("access.") for event in told] == [
            "principal_added", "password_set", "principal_changed", "grant_added", "token_created", "token_revoked",
            "grant_removed", "principal_removed",
        ]  # fmt: skip
        assert all((event["by"], event["source"], event["principal"]) == ("ann", "cli", "bob") for event in told)
        assert told[3]["on"] == ["t.*"]


async def test_the_stream_of_changes_is_for_administrators_here(start):
    async with start() as rig:
        for caller in (Caller("op", "cli", "operator"), Caller("boss", "web", "admin")):
            with pytest.raises((Forbidden, NotFound)):
                async for _ in rig.host.door(caller.source).follow(caller, "host/access", live=False):
                    pass


async def test_secrets_are_nowhere_afterwards(start, tmp_path):
    async with start(durability="process") as rig:
        await rig.person("bob", "viewer", "first-secret-0")
        bob = await rig.log_in("bob", "first-secret-0")
        await rig.do("principals.password", bob, name="bob", password="second-secret-0", current="first-secret-0")
        bob = await rig.log_in("bob", "second-secret-0")
        made = [(await rig.token("bob"))[1] for _ in range(3)]
        made.append((await rig.do("tokens.create", bob, principal="bob", note="mine"))["token"])
        for text in made:
            await rig.do("t.look", await rig.bearer(text))
        await rig.refused(rig.log_in("bob", "wrong-secret-0"))
        image = rig.disk_image()
    needles = ["first-secret-0", "second-secret-0", "wrong-secret-0", *made, *(t.rpartition("_")[2] for t in made)]
    for root in (image, tmp_path / "data"):
        for path in root.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert not [needle for needle in needles if needle.encode() in content], path


async def test_a_damaged_document_lets_nobody_in_and_is_named(start):
    async with start(durability="process") as rig:
        await rig.person("bob", "viewer")
        state = rig.kernel.documents.state("host")
        document = await state.get("principals/bob")
        await state.put("principals/eve", document.value)
        await state.put("principals/bob", {**document.value, "about": {"name": 5}})
        await state.put("tokens/aaaaaaaaaaaa", "nonsense")
    async with start(durability="process") as rig:
        assert not rig.kernel.identities.register.managed.principals
        await rig.refused(rig.log_in("bob"))
        assert (await rig.codes()).count("access.damaged") == 3
