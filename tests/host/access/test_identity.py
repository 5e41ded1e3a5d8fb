"""From a credential to a caller, and from a command to what policy decides by."""

from __future__ import annotations

import asyncio
import os
import pwd
from functools import partial

import pytest
from identity_kit import GOOD, people
from kernel_kit import ANN, FakeClock, Valve, until

from trunnion.access.credentials import Passwords, new_token
from trunnion.kernel.authentication import AT_ONCE
from trunnion.model.access import BearerToken, LocalUser, Password
from trunnion.model.errors import (
    Busy,
    Forbidden,
    InvalidArguments,
    NotFound,
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
        assert rig.kernel.telling.counts["unauthenticated"] == len(shown)


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
        assert rig.kernel.telling.counts["busy"] == 1


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
