"""From a credential to a caller, and from a command to what policy decides by."""

from __future__ import annotations

import asyncio
import os
import pwd
from functools import partial

import pytest
from identity_kit import GOOD, QUICK, people
from kernel_kit import ANN, FakeClock, Valve, until

from trunnion.access.credentials import Passwords, new_token, token_digest
from trunnion.kernel.authentication import AT_ONCE
from trunnion.model.access import BearerToken, LocalUser, Password
from trunnion.model.errors import (
    Busy,
    Conflict,
    Forbidden,
    InvalidArguments,
    NotFound,
    TrunnionError,
    Unauthenticated,
    Unavailable,
)
from trunnion.model.runs import Caller


@pytest.fixture
def start(tmp_path):
    return partial(people, tmp_path)


# -- users of this machine ------------------------------------------------------------------------


async def test_the_owner_of_the_data_directory_and_root_are_admin_at_local_doors(start):
    async with start() as rig:
        me = await rig.host.door("cli").authenticate(LocalUser(os.getuid()))
        assert me == Caller(pwd.getpwuid(os.getuid()).pw_name, "cli", "admin")
        assert (await rig.host.door("tty").authenticate(LocalUser(0))).role == "admin"
        assert me == rig.host.local_caller("cli")


@pytest.mark.parametrize(("source", "uid"), [("cli", 54321), ("web", 0), ("rpc", os.getuid())])
async def test_no_other_user_is_anybody_and_no_remote_door_takes_a_uid(start, source, uid):
    """Defence: the source and the uid in ``Authentication._local``."""
    async with start() as rig:
        await rig.refused(rig.host.door(source).authenticate(LocalUser(uid)))


# -- passwords ------------------------------------------------------------------------------------


async def test_a_password_makes_a_caller_of_the_directory(start):
    async with start() as rig:
        await rig.person("bob", "operator")
        bob = await rig.log_in("bob")
        mark = rig.kernel.identities.register.principal("bob").about.password_mark
        assert bob == Caller("bob", "web", "operator", credential=f"password:{mark}")
        assert await rig.do("t.whoami", bob) == "bob"


async def test_every_failed_proof_gets_the_same_answer(start):
    """Defence: one ``_refused``; nobody learns which half was wrong."""
    async with start(clock=FakeClock()) as rig:
        for name in ("bob", "off", "expired"):
            await rig.person(name, "viewer")
        await rig.do("principals.add", name="none", role="viewer")
        _, off = await rig.token("off")
        _, old = await rig.token("bob", expires="1h")
        revoked_id, revoked = await rig.token("bob")
        _, good = await rig.token("bob", expires="never")
        await rig.do("tokens.revoke", id=revoked_id)
        await rig.do("principals.set", name="off", disabled=True)
        rig.host.clock.advance(3600)
        shown = [
            Password("bob", "correct house"), Password("nobody", GOOD), Password("off", GOOD), Password("none", GOOD),
            Password("bob", ""), Password("", ""), Password("bob\n", GOOD), Password("system:p", GOOD),
            Password("b" * 10_000, GOOD), Password("bob", GOOD + "x" * 10_000),
            BearerToken(off), BearerToken(old), BearerToken(revoked), BearerToken(new_token()[1]), BearerToken(""),
            BearerToken(good[:-1] + ("a" if good[-1] != "a" else "b")), BearerToken("trn_"), BearerToken(good + " "),
        ]  # fmt: skip
        door = rig.host.door("web")
        assert {await rig.refused(door.authenticate(credential)) for credential in shown} == {
            "the credential is not valid here"
        }
        assert (await rig.bearer(good)).principal == "bob"
        assert rig.kernel.admissions.counts["unauthenticated"] == len(shown)


async def test_a_failed_proof_is_told_without_what_was_shown(start):
    async with start() as rig:
        await rig.person("bob")
        for name, password in [("bob", "hunter2222"), ("hunter3333", GOOD)]:
            await rig.refused(rig.log_in(name, password))
        told = (await rig.changes())[-2:]
        assert [event["code"] for event in told] == ["access.refused"] * 2
        assert [event.get("principal") for event in told] == ["bob", None], "what was typed as a name may be a password"
        assert "hunter" not in str(told)


async def test_a_password_is_hashed_anew_once_parameters_have_changed(start):
    async with start() as rig:
        await rig.person("bob", "viewer")
        authentication, register = rig.kernel.authentication, lambda: rig.kernel.identities.register
        old = register().principal("bob").password_hash
        authentication.passwords = passwords = Passwords()
        bob = await rig.log_in("bob")
        new = register().principal("bob").password_hash
        assert new != old
        assert not passwords.outdated(new)
        assert await rig.do("t.look", bob), "it is the same password"
        await rig.log_in("bob")
        assert register().principal("bob").password_hash == new


class SlowPasswords(Passwords):
    """Holds each verification until it is let go, and counts how many there are at a time."""

    def __init__(self) -> None:
        super().__init__()
        import threading

        self.go = threading.Event()
        self.now = self.most = self.all = 0
        self._lock = threading.Lock()

    def fits(self, password: str, hashed: str | None) -> bool:
        with self._lock:
            self.now += 1
            self.all += 1
            self.most = max(self.most, self.now)
        self.go.wait(20)
        with self._lock:
            self.now -= 1
        return False


async def test_passwords_are_hashed_two_at_a_time_however_many_come_and_go(start):
    """Defence: the semaphore, and that giving up does not free its place (``_in_turn``)."""
    async with start() as rig:
        rig.kernel.authentication.passwords = slow = SlowPasswords()
        attempts = [asyncio.ensure_future(rig.log_in(f"name{n}")) for n in range(20)]
        await until(lambda: slow.now == AT_ONCE)
        for attempt in attempts[:10]:
            attempt.cancel()
        await asyncio.wait(attempts[:10])
        more = [asyncio.ensure_future(rig.log_in(f"other{n}")) for n in range(5)]
        await asyncio.sleep(0)
        slow.go.set()
        await asyncio.gather(*attempts, *more, return_exceptions=True)
        await until(lambda: slow.all == 25)
        assert slow.most == AT_ONCE == 2


async def test_guessing_is_slowed_down_and_a_right_password_has_to_wait_too(start):
    """Defence: ``Throttle.begin`` before the password is looked at."""
    clock = FakeClock()
    async with start(clock=clock) as rig:
        await rig.person("bob")
        for _ in range(5):
            await rig.refused(rig.log_in("bob", "wrong one"))
        with pytest.raises(Busy) as busy:
            await rig.log_in("bob")
        assert busy.value.details == {"retry_after": 1}
        assert (await rig.log_in("bob", source="rpc")).principal == "bob", "another door"
        clock.advance(1)
        assert (await rig.log_in("bob")).principal == "bob"
        for _ in range(5):
            await rig.refused(rig.log_in("bob", "wrong one"))
        assert rig.kernel.admissions.counts["busy"] == 1


async def test_guesses_at_the_same_moment_are_counted_too(start):
    """Defence: an attempt counts as failed from its beginning."""
    async with start(clock=FakeClock()) as rig:
        await rig.person("bob")
        found = await asyncio.gather(
            *(rig.log_in("bob", f"guess number {n}") for n in range(50)), return_exceptions=True
        )
        assert sum(isinstance(error, Unauthenticated) for error in found) == 5
        assert sum(isinstance(error, Busy) for error in found) == 45


async def test_a_bearer_is_not_locked_out_by_whoever_guesses_at_the_token(start):
    async with start(clock=FakeClock()) as rig:
        await rig.person("bob")
        token_id, text = await rig.token("bob")
        guesses = [f"trn_{token_id}_{new_token()[1].rpartition('_')[2]}" for _ in range(6)]
        for guess in guesses[:5]:
            await rig.refused(rig.bearer(guess))
        with pytest.raises(Busy):
            await rig.bearer(guesses[5])
        assert (await rig.bearer(text)).principal == "bob"


# -- tokens ---------------------------------------------------------------------------------------


async def test_a_token_stands_for_its_principal_within_its_scope(start):
    async with start() as rig:
        await rig.person("bob", "operator")
        token_id, text = await rig.token("bob", role="viewer", on=["t.look", "t.turn"])
        bearer = await rig.bearer(text)
        assert bearer == Caller("bob", "web", "viewer", credential=f"token:{token_id}")
        assert await rig.do("t.look", bearer) == "seen"
        with pytest.raises(Forbidden):
            await rig.do("t.turn", bearer)
        with pytest.raises(NotFound):
            await rig.do("t.whoami", bearer)


async def test_a_token_never_makes_more_of_its_principal(start):
    async with start() as rig:
        await rig.person("bob", "viewer")
        bob = await rig.log_in("bob")
        made = await rig.do("tokens.create", bob, principal="bob", role="admin", on=["*", "runs:*"])
        bearer = await rig.bearer(made["token"])
        assert bearer.role == "viewer"
        with pytest.raises(Forbidden):
            await rig.do("t.turn", bearer)
        mine = await rig.do("t.look", ANN) and (await rig.ask_of("runs.list"))["items"][0]["id"]
        with pytest.raises(NotFound):
            await rig.ask_of("runs.get", bearer, run_id=mine)


async def test_a_revoked_token_is_refused_on_the_very_next_call(start):
    async with start() as rig:
        await rig.person("bob", "viewer")
        token_id, text = await rig.token("bob")
        bearer = await rig.bearer(text)
        assert await rig.do("t.look", bearer)
        await rig.do("tokens.revoke", id=token_id)
        with pytest.raises(Unauthenticated):
            await rig.do("t.look", bearer)
        await rig.refused(rig.bearer(text))


async def test_a_change_is_in_force_even_if_whoever_asked_for_it_is_gone(start):
    """Defence: the task of its own in ``Identities.change``."""
    async with start() as rig:
        await rig.person("bob", "viewer")
        token_id, text = await rig.token("bob")
        bearer = await rig.bearer(text)
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.documents)
        revoking = asyncio.ensure_future(
            rig.kernel.identities.change(ANN, lambda register: removed(register, token_id))
        )
        await until(lambda: valve.waiting)
        revoking.cancel()
        await asyncio.wait([revoking])
        assert await rig.ask_of("t.peek", bearer) == "seen", "it is not on record yet"
        valve.open()
        await until(lambda: rig.kernel.identities.register.token(token_id) is None)
        with pytest.raises(Unauthenticated):
            await rig.ask_of("t.peek", bearer)


def removed(register, token_id):
    from trunnion.access.changes import remove_token

    return remove_token(register, token_id)


async def test_a_change_that_cannot_be_stored_is_no_change(start):
    async with start() as rig:
        valve = Valve(rig.kernel.store)
        valve.close(lambda batch: batch.documents)
        adding = asyncio.ensure_future(rig.do("principals.add", name="bob"))
        await until(lambda: valve.waiting)
        valve.fail(OSError("no space left"))
        with pytest.raises(Unavailable):
            await adding
        assert rig.kernel.identities.register.principal("bob") is None
        assert "access.principal_added" not in [event["code"] for event in await rig.changes()]


async def test_when_a_token_was_last_used_is_known(start):
    clock = FakeClock()
    async with start(clock=clock) as rig:
        await rig.person("bob")
        _, text = await rig.token("bob")
        [item] = (await rig.ask_of("tokens.list"))["items"]
        assert item["last_used"] is None
        clock.advance(5)
        await rig.bearer(text)
        [item] = (await rig.ask_of("tokens.list"))["items"]
        assert item["last_used"] == clock.utc()


@pytest.mark.parametrize("expires", ["", "0d", "-1d", "soon", "40000d", "1999-01-01"])
async def test_a_token_lasts_a_sensible_time(start, expires):
    async with start() as rig:
        await rig.do("principals.add", name="bob")
        with pytest.raises(InvalidArguments, match="a token lasts"):
            await rig.token("bob", expires=expires)


async def test_a_token_lasts_90_days_unless_something_else_is_said(start):
    async with start(clock=FakeClock()) as rig:
        await rig.do("principals.add", name="bob")
        made = await rig.do("tokens.create", principal="bob")
        assert made["expires"] == rig.host.clock.utc() + 90 * 86_400_000_000


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


# -- configuration --------------------------------------------------------------------------------

HASH = Passwords(QUICK).hash("another one")
CONFIG = """
[access.principals.bob]
role = "viewer"
note = "from the file"
password_hash = "{hashed}"
[access.principals."system:p"]
role = "admin"
[access.grants.turner]
principal = "bob"
role = "operator"
on = ["t.turn"]
[access.tokens.{token_id}]
principal = "bob"
sha256 = "{sha256}"
[access.expose]
"principals.add" = ["web"]
[access.withhold]
"t.look" = ["rpc"]
"""


@pytest.fixture
def from_file():
    token_id, text = new_token()
    hashed = Passwords().hash(GOOD)
    return CONFIG.format(hashed=hashed, token_id=token_id, sha256=token_digest(text)), token_id, text


async def test_the_configuration_makes_principals_tokens_grants_and_exposure(start, from_file):
    config, token_id, text = from_file
    async with start(config) as rig:
        bob = await rig.log_in("bob")
        assert await rig.do("t.turn", bob) == "turned"
        assert await rig.do("t.look", await rig.bearer(text)) == "seen"
        with pytest.raises(NotFound):
            await rig.do("t.look", await rig.bearer(text, "rpc"))
        with pytest.raises(Forbidden):
            await rig.do("principals.add", bob, name="x")
        items = (await rig.ask_of("tokens.list"))["items"]
        assert [(item["id"], item["origin"], item["created"]) for item in items] == [(token_id, "config", None)]
        assert rig.kernel.authentication.passwords.outdated(
            rig.kernel.identities.register.principal("bob").password_hash
        )


async def test_what_the_configuration_says_is_changed_there(start, from_file, tmp_path):
    config, token_id, _ = from_file
    async with start(config) as rig:
        for command, args in [
            ("principals.set", {"name": "bob", "role": "admin"}), ("principals.remove", {"name": "bob"}),
            ("principals.password", {"name": "bob", "password": "another one"}),
            ("grants.remove", {"id": "turner"}), ("tokens.revoke", {"id": token_id}),
        ]:  # fmt: skip
            with pytest.raises(Conflict, match=str(tmp_path / "trunnion.toml")):
                await rig.do(command, **args)
        with pytest.raises(Conflict, match="already"):
            await rig.do("principals.add", name="bob")
        with pytest.raises(Conflict, match="already"):
            await rig.do("grants.add", principal="bob", role="viewer", on=["x"], id="turner")


async def test_what_the_file_names_counts_and_the_managed_one_is_shown_as_shadowed(start, from_file):
    async with start(durability="process") as rig:
        await rig.person("bob", "admin")
    async with start(from_file[0], durability="process") as rig:
        rows = [
            (i["name"], i["role"], i["origin"], i["shadowed"]) for i in (await rig.ask_of("principals.list"))["items"]
        ]
        assert rows[:2] == [("bob", "viewer", "config", False), ("bob", "admin", "managed", True)]
        assert (await rig.log_in("bob")).role == "viewer"
        assert (await rig.ask_of("principals.get", name="bob"))["note"] == "from the file"


async def test_another_section_counts_at_once(start, from_file):
    async with start(from_file[0]) as rig:
        bob = await rig.log_in("bob")
        await rig.do("t.turn", bob)
        section = rig.host.config.section("access")
        rig.kernel.identities.configure({**section, "grants": {}})
        with pytest.raises(Forbidden):
            await rig.do("t.turn", bob)
        rig.kernel.identities.configure({**section, "principals": {"bob": {"role": "viewer", "password_hash": HASH}}})
        with pytest.raises(Unauthenticated, match="another password"):
            await rig.do("t.look", bob)
        rig.kernel.identities.configure({})
        with pytest.raises(Unauthenticated):
            await rig.do("t.look", bob)


async def test_a_plugin_is_operator_unless_the_configuration_says_more(start, from_file):
    """Defence: the role comes from ``system_role``, no longer from the plugin."""
    async with start() as rig:
        plugin = rig.host.handle("web", "p").owner_caller()
        assert plugin == Caller("system:p", "system:p", "operator")
    async with start(from_file[0]) as rig:
        assert rig.host.handle("web", "p").owner_caller().role == "admin"
        assert rig.host.handle("web", "other").owner_caller().role == "operator"


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
