"""What redaction promises to cut: registered values in every form, secrets of known looks, known names."""

from __future__ import annotations

import base64
import json
import random
import threading
from urllib.parse import quote, quote_plus, urlencode

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stopwatch import least, stopwatch

from trunnion.access.forms import forms
from trunnion.access.redaction import MASK, NOTHING, Redaction, Redactor
from trunnion.model.errors import ErrorInfo
from trunnion.model.json import Json, decode, encode

HARD = "p/ä\"s's\\w+o=r&d n\t1"
secrets = st.text(min_size=8, max_size=30).filter(lambda text: text.isprintable() and len(text.strip()) == len(text))


def with_values(*values: str) -> Redactor:
    redaction = Redaction()
    redaction.register(*values, owner="test")
    return Redactor(redaction)


@pytest.fixture
def configured() -> Redactor:
    redaction = Redaction()
    redaction.configure({})
    return Redactor(redaction)


WAYS = {
    "plain": lambda s: f"a {s} b",
    "json": lambda s: encode({"a": s}).decode(),
    "json ascii": lambda s: json.dumps({"a": s}),
    "json ascii, capitals": lambda s: json.dumps(s).replace("\\u00e4", "\\u00E4"),
    "percent": lambda s: "https://h/?a=" + quote(s, safe=""),
    "percent, path": lambda s: "https://h/" + quote(s),
    "percent, small digits": lambda s: quote(s, safe="").replace("%2F", "%2f").replace("%C3%A4", "%c3%a4").lower(),
    "form": lambda s: urlencode({"a": s}),
    "form, plus": quote_plus,
    "repr": lambda s: repr({"a": s}),
    "repr of bytes": lambda s: repr(s.encode()),
    "ascii": lambda s: ascii([s]),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64, no padding": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64, for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", ["hunter2-canary-01", HARD])
def test_every_promised_form_is_cut(way: str, secret: str) -> None:
    if way == "percent, small digits":
        secret = secret.lower()
    spelled = WAYS[way](secret)
    shown = with_values(secret).text(spelled)
    assert MASK in shown
    assert not [form for form in forms(secret) if form in shown]


@given(secrets, st.binary(max_size=7), st.binary(max_size=7))
@example("hunter2-canary", b"x", b"yy")
def test_in_a_larger_base64_text_it_is_cut_wherever_it_stands(secret: str, before: bytes, after: bytes) -> None:
    for encoded in (base64.b64encode, base64.urlsafe_b64encode):
        shown = with_values(secret).text(encoded(before + secret.encode() + after).decode())
        whole = encoded(before + secret.encode() + after).decode()
        assert MASK in shown
        # What is left beside the mask are at most the characters its neighbours have a part in.
        assert len(shown) <= len(whole) - (len(secret.encode()) * 8 // 6 - 2) + len(MASK)


@given(st.text(max_size=200), st.lists(secrets, max_size=5))
def test_text_is_cut_and_nothing_else_is(text: str, values: list[str]) -> None:
    shown = with_values(*values).text(text)
    assert not [value for value in values if value in shown]
    if not any(form in text for value in values for form in forms(value)):
        assert shown == text.encode("utf-8", "backslashreplace").decode() or shown == text


def data_of(leaves: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )


json_values = data_of(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12))


@given(json_values, st.lists(st.text(min_size=1, max_size=6), max_size=4))
@example({"a": 12345, "b": "x12345"}, ["12345"])
@example({"null": None}, ["null", '"a":'])
def test_encoded_stays_json_and_says_what_value_says(value: Json, values: list[str]) -> None:
    redactor = with_values(*values)
    try:
        data = encode(value)
    except ValueError:  # lone surrogates have no form in JSON
        return
    assert decode(redactor.encoded(data)) == redactor.value(decode(data))


# Without numbers: they are cut where they are a secret, not where their digits contain one.
@given(data_of(st.none() | st.booleans() | st.text(max_size=12)), secrets)
def test_wherever_in_data_a_secret_stands_it_is_cut(value: Json, secret: str) -> None:
    shown = with_values(secret).encoded(encode({"deep": [value, {"more": f"<{secret}>"}], f"name {secret}": 1}))
    assert encode(secret)[1:-1] not in shown
    assert secret not in repr(decode(shown))


def test_a_number_is_cut_where_it_is_the_secret() -> None:
    shown = with_values("48151623").value({"pin": 48151623, "other": 148151623})
    assert shown == {"pin": MASK, "other": 148151623}


def test_values_of_three_characters_are_not_searched_for() -> None:
    assert with_values("abc").text("abcdef") == "abcdef"
    assert with_values("abcd").text("abcdef") == f"{MASK}ef"


def test_overlapping_secrets_leave_nothing_of_either() -> None:
    assert with_values("alpha-beta", "beta-gamma").text("<alpha-beta-gamma>") == f"<{MASK}>"


def test_secrets_of_a_run_and_of_the_host_may_overlap() -> None:
    redactor = with_values("alpha-beta").with_own(["beta-gamma"])
    assert redactor.text("<alpha-beta-gamma>") == f"<{MASK}>"


def test_a_secret_of_several_lines_is_cut_line_by_line_too() -> None:
    key = "-----BEGIN X-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END X-----\n"
    assert MASK in with_values(key).text("line: MIIEvQIBADANBgkqhkiG9w0")
    assert with_values(key).text(key) == MASK


LOOKS = {
    "token trn_5Xk2pQ9vLmT3aYwZ here": "token ••• here",
    "Authorization: Bearer eyJhbGciOi.J9.abc123": "Authorization: Bearer •••",
    "authorization: bearer abc123DEF": "authorization: bearer •••",
    "Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l": "Authorization: Basic •••",
    "postgres://joe:s3cret@db/x": "postgres://joe:•••@db/x",
    "https://joe:p@ss@host/": "https://joe:•••@host/",
    "id AKIAIOSFODNN7EXAMPLE": "id •••",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a": "•••",
    "github_pat_11ABCDEFG0abcdefghij_klmno": "•••",
    "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY": "-----BEGIN PRIVATE KEY-----•••-----END PRIVATE KEY",
}
INNOCENT = (
    "Basic authentication failed", "a bearer certificate is needed", "http://host:8080/a@b", "see trn_ there",
    "the PRIVATE KEY----- of Basic English", "AKIA is a prefix", "mail me@example.org: now", "http://host/x:y",
)  # fmt: skip


@pytest.mark.parametrize("text", LOOKS)
def test_secrets_of_known_looks_are_cut(text: str, configured: Redactor) -> None:
    assert configured.text(text) == LOOKS[text]
    assert NOTHING.text(text) == text


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_begins_like_one_stays(text: str, configured: Redactor) -> None:
    assert configured.text(text) == text


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "db_password", "DB-PASSWORD", "userPassword", "api_key", "apiKey", "X-Api-Key", "token",
     "access_token", "accessToken", "client_secret", "clientSecret", "Authorization", "Set-Cookie",
     "AWS_SECRET_ACCESS_KEY", "privateKey", "passphrase"],
)  # fmt: skip
def test_texts_under_known_names_are_cut(name: str, configured: Redactor) -> None:
    assert configured.value({"a": [{name: "x"}]}) == {"a": [{name: MASK}]}
    assert configured.value({name: ["x", "y", 5]}) == {name: [MASK, MASK, 5]}


def test_other_things_under_known_names_stay(configured: Redactor) -> None:
    document = {"password": None, "token": 5, "secret": {"name": "x"}, "has_password": True, "tokens": "x", "key": "x"}
    assert configured.value(document) is document
    assert configured.without_names.value({"password": "Passwort"}) == {"password": "Passwort"}


def test_the_names_are_a_setting() -> None:
    redaction = Redaction()
    redaction.configure({"keys": ["*pin"], "patterns": False})
    shown = Redactor(redaction).value({"card_pin": "1", "password": "x", "u": "ghp_16C7e42F292c6912E7710c838347"})
    assert shown == {"card_pin": MASK, "password": "x", "u": "ghp_16C7e42F292c6912E7710c838347"}


def test_registering_counts_and_tells_at_once() -> None:
    redaction = Redaction()
    redactor = Redactor(redaction)
    assert redactor.text("hunter2-one") == "hunter2-one"
    first = redaction.register("hunter2-one", owner="a")
    second = redaction.register("hunter2-one", owner="b")
    assert redactor.text("hunter2-one") == MASK
    assert redaction.counts() == {"a": 1, "b": 1}
    first()
    first()
    assert redactor.text("hunter2-one") == MASK
    second()
    assert redactor.text("hunter2-one") == "hunter2-one"
    assert redaction.counts() == {}


def test_registering_from_threads_loses_nothing() -> None:
    redaction, values = Redaction(), [f"hunter2-{number:04}" for number in range(200)]
    redactor = Redactor(redaction)

    def register(part: list[str]) -> None:
        for value in part:
            redaction.register(value, owner="t")
            assert redactor.text(value) == MASK

    threads = [threading.Thread(target=register, args=(values[at::4],)) for at in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(redactor.text(value) == MASK for value in values)


def test_errors_are_cut_whole() -> None:
    redactor = with_values("hunter2-one")
    error = ErrorInfo("failed", "no hunter2-one", {"a": ["hunter2-one"]})
    assert redactor.error(error) == ErrorInfo("failed", f"no {MASK}", {"a": [MASK]})
    clean = ErrorInfo("failed", "fine", {"a": 1})
    assert redactor.error(clean) is clean


def test_what_holds_no_secret_passes_as_the_same_object(configured: Redactor) -> None:
    text, data = "step 12 of 40", msgspec.json.encode({"a": 1})
    assert configured.text(text) is text
    assert configured.encoded(data) is data


def test_half_a_character_is_no_reason_to_fail() -> None:
    assert with_values("hunter2-one").text("\udc80 hunter2-one") == f"\\udc80 {MASK}"


@pytest.mark.alone
@pytest.mark.parametrize("text", ["://" * 20_000, "Basic " * 10_000, "-----BEGIN PRIVATE KEY-----" * 3_000,
                                  "://" + "a:" * 30_000, "Bearer " + "a" * 60_000, "aaaa" * 16_000])  # fmt: skip
def test_no_text_costs_more_than_its_length(text: str) -> None:
    redaction = Redaction()
    redaction.configure({})
    redaction.register("aaaaaaaab", owner="t")
    redactor = Redactor(redaction)
    once = least(lambda: redactor.text(text))
    assert least(lambda: redactor.text(text * 4)) < 12 * once + 0.05


@pytest.mark.alone
@pytest.mark.parametrize("line", [17, 1 << 20])
def test_a_long_secret_costs_no_more_than_its_length(line: int) -> None:
    """As an automaton of every spelling, 128 KiB took 1.5 seconds of the loop and 700 MiB."""
    text = base64.b64encode(random.Random(1).randbytes(96 << 10)).decode()
    secret = "\n".join(text[at : at + line] for at in range(0, len(text), line))
    with stopwatch() as cost:
        redactor = Redactor(Redaction(), [secret])
        assert redactor.text(f"it is {secret}.") == f"it is {MASK}."
        assert redactor.value({"found": [f"{secret}!"]}) == {"found": [f"{MASK}!"]}
        assert redactor.text(f"first {secret[:line]}\n").startswith(f"first {MASK}")
    assert cost.seconds < 0.6
