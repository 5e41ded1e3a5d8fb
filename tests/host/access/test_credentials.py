"""Passwords, tokens and the throttle, each by itself."""

from __future__ import annotations

import re

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_kit import FakeClock

from trunnion.access.credentials import (
    LONGEST,
    SHORTEST,
    Passwords,
    check_password,
    is_token_id,
    new_token,
    token_digest,
    token_fits,
    token_id_of,
)
from trunnion.access.register import decode_name, encode_name
from trunnion.access.throttle import Throttle
from trunnion.model.access import BearerToken, Password
from trunnion.model.errors import Busy, InvalidArguments
from trunnion.model.state import is_document_key

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,199}", fullmatch=True)


# -- passwords ------------------------------------------------------------------------------------


def test_a_password_is_hashed_with_argon2id_as_rfc_9106_recommends():
    found = extract_parameters(Passwords().hash("correct horse"))
    assert (found.type, found.version) == (Type.ID, 19)
    assert (found.memory_cost, found.time_cost, found.parallelism, found.salt_len) == (65536, 3, 4, 16)


def test_a_password_fits_its_own_hash_and_no_other():
    passwords = Passwords(QUICK)
    hashed = passwords.hash("correct horse")
    assert passwords.fits("correct horse", hashed)
    assert not passwords.fits("correct house", hashed)
    assert not passwords.fits("", hashed)
    assert passwords.hash("correct horse") != hashed


def test_accents_may_be_typed_in_either_form():
    passwords = Passwords(QUICK)
    assert passwords.fits("cafe\u0301 noir", passwords.hash("caf\u00e9 noir"))


def test_the_longest_password_counts_to_its_last_character():
    passwords, longest = Passwords(QUICK), "x" * LONGEST
    hashed = passwords.hash(longest)
    assert passwords.fits(longest, hashed)
    assert not passwords.fits(longest[:-1] + "y", hashed)
    assert not passwords.fits(longest + "y", hashed), "what is longer is not cut to fit"


def test_whoever_has_no_password_costs_the_same_work(monkeypatch):
    """Defence: ``Passwords._nobodys``: without it an unknown name would be answered at once."""
    done = []
    passwords = Passwords(QUICK)
    verify = PasswordHasher.verify
    monkeypatch.setattr(PasswordHasher, "verify", lambda self, h, p: done.append(h) or verify(self, h, p))
    assert not passwords.fits("correct horse", None)
    assert not passwords.fits("correct horse", "")
    kinds = {(extract_parameters(h).memory_cost, extract_parameters(h).hash_len) for h in done}
    assert len(done) == 2
    assert kinds == {(QUICK.memory_cost, QUICK.hash_len)}


def test_a_damaged_hash_lets_nobody_in():
    assert not Passwords(QUICK).fits("correct horse", "$argon2id$nonsense")


def test_a_hash_with_other_parameters_is_outdated():
    old = Passwords(QUICK).hash("correct horse")
    assert not Passwords(QUICK).outdated(old)
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)).outdated(old)


@pytest.mark.parametrize("length", [0, SHORTEST - 1, LONGEST + 1])
def test_a_password_has_a_sensible_length(length):
    with pytest.raises(InvalidArguments, match="8 to 1024") as refused:
        check_password("p" * length)
    assert "pp" not in str(refused.value)
    check_password("p" * SHORTEST)
    check_password("p" * LONGEST)


# -- tokens ---------------------------------------------------------------------------------------


def test_a_token_has_its_id_and_256_random_bits_in_it():
    made = [new_token() for _ in range(50)]
    for token_id, text in made:
        assert re.fullmatch(r"trn_[a-z2-7]{12}_[0-9A-Za-z]{43}", text)
        assert token_id_of(text) == token_id
        assert is_token_id(token_id)
    assert len({text for _, text in made}) == 50


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: "", lambda t: t[:-1], lambda t: t + "a", lambda t: t + "\n", lambda t: " " + t,
        lambda t: t.replace("trn_", "TRN_"), lambda t: t[:4] + "A" + t[5:], lambda t: t[:4] + "1" + t[5:],
        lambda t: t[:-1] + "_", lambda t: t[:-1] + "é", lambda t: t[4:], lambda t: t[:-1] + "٣",
    ],
)  # fmt: skip
def test_what_has_not_the_form_of_a_token_is_none(wrong):
    assert token_id_of(wrong(new_token()[1])) is None


def test_a_token_fits_its_own_digest_only():
    _, text = new_token()
    digest = token_digest(text)
    assert token_fits(text, digest)
    assert not token_fits(text[:-1] + ("a" if text[-1] != "a" else "b"), digest)
    assert not token_fits(text, None)
    assert text.rpartition("_")[2] not in digest


def test_credentials_do_not_show_what_they_carry():
    assert "hunter2" not in repr(Password("ann", "hunter2"))
    assert "trn_" not in repr(BearerToken("trn_x"))


# -- the throttle ---------------------------------------------------------------------------------


def attempt(throttle: Throttle, key: tuple[str, str] = ("ann", "web")) -> float:
    """Seconds an attempt has to wait, 0 when it was let through (and failed)."""
    try:
        throttle.begin(key)
    except Busy as busy:
        return busy.details["retry_after"]
    return 0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def throttle(clock) -> Throttle:
    return Throttle(clock.monotonic, most=50)


def test_five_failures_are_free_then_the_delay_doubles_up_to_a_minute(throttle, clock):
    assert [attempt(throttle) for _ in range(5)] == [0] * 5
    waits = []
    for _ in range(9):
        waits.append(attempt(throttle))
        clock.advance(waits[-1] - 0.01)
        assert attempt(throttle) > 0, "a refused attempt counts for nothing, and none comes early"
        clock.advance(0.02)
        assert attempt(throttle) == 0
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_success_wipes_the_slate(throttle):
    assert [attempt(throttle) for _ in range(5)] == [0] * 5
    assert attempt(throttle) == 1
    throttle.succeeded(("ann", "web"))
    assert [attempt(throttle) for _ in range(6)] == [0] * 5 + [1]


def test_each_name_and_each_door_has_its_own_delay(throttle):
    assert [attempt(throttle) for _ in range(6)] == [0] * 5 + [1]
    assert attempt(throttle, ("bob", "web")) == 0
    assert attempt(throttle, ("ann", "rpc")) == 0


def test_a_flood_of_names_is_slowed_down_and_keeps_the_table_small(throttle, clock):
    """Defence: the flood in ``Throttle.begin`` and the bound of the table."""
    throttle.begin(("old friend", "web"))
    throttle.succeeded(("old friend", "web"))
    let_through = sum(attempt(throttle, (f"name{n}", "web")) == 0 for n in range(100_000))
    assert let_through == Throttle.FLOOD
    assert len(throttle) == 50
    assert attempt(throttle, ("old friend", "web")) == 0, "whoever was let in before is not locked out"
    assert attempt(throttle, ("name", "rpc")) == 0, "another door is open"
    clock.advance(10)
    assert sum(attempt(throttle, (f"later{n}", "web")) == 0 for n in range(1000)) == 9


def test_successes_are_no_flood(throttle):
    for n in range(3 * Throttle.FLOOD):
        throttle.begin((f"name{n}", "web"))
        throttle.succeeded((f"name{n}", "web"))
    assert attempt(throttle, ("new", "web")) == 0


def test_a_name_that_is_gone_is_a_strangers_again(throttle):
    throttle.begin(("ann", "web"))
    throttle.succeeded(("ann", "web"))
    for n in range(Throttle.FLOOD):
        attempt(throttle, (f"name{n}", "web"))
    throttle.forget("ann")
    assert attempt(throttle) > 0


# -- names as keys of documents -------------------------------------------------------------------


@given(names)
@example("a" * 120 + "." + "b" * 50)
@example("a" * 119 + "/" * 80)
def test_every_name_has_a_key_of_its_own(name):
    key = f"principals/{encode_name(name)}"
    assert is_document_key(key)
    assert decode_name(encode_name(name)) == name


@given(names, names)
def test_no_two_names_share_a_key(one, other):
    assert (encode_name(one) == encode_name(other)) == (one == other)
