"""Secrets in bytes that come in pieces: however they are cut, what comes out is the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunnion.access.matching import Matcher
from trunnion.access.redaction import MASK, Redaction, Redactor, cut
from trunnion.access.streams import StreamRedactor, TextRedactor

few = st.text("abc\n", min_size=4, max_size=9)


def streamed(matcher: Matcher | None, pieces: list[bytes]) -> bytes:
    redactor = StreamRedactor(lambda: matcher)
    return b"".join([*map(redactor.feed, pieces), redactor.finish()])


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(st.lists(few, min_size=1, max_size=4), st.text("abc\n", max_size=60), st.lists(st.integers(0, 60)))
@example(["aaaa"], "a" * 30, list(range(30)))
@example(["abcab", "bcaba"], "abcabcabcaba", list(range(12)))
@example(["abca", "abcabbbb"], "abcabbb", [3, 5])
def test_any_chunking_of_any_text_is_cut_as_the_whole_is(secrets: list[str], text: str, cuts: list[int]) -> None:
    matcher, whole = Matcher(secrets), Redactor(Redaction(), secrets)
    assert streamed(matcher, pieces_of(text.encode(), cuts)).decode() == whole.text(text)


@given(st.lists(few, min_size=1, max_size=4), st.text("abc\n", max_size=60), st.lists(st.integers(0, 60)))
def test_no_secret_comes_out_whole(secrets: list[str], text: str, cuts: list[int]) -> None:
    out = streamed(Matcher(secrets), pieces_of(text.encode(), cuts)).decode()
    assert not [secret for secret in secrets if secret in out]


@given(st.lists(st.text(min_size=4, max_size=8), max_size=3), st.text(max_size=40), st.lists(st.integers(0, 40)))
def test_text_in_pieces_is_cut_as_the_whole_is(secrets: list[str], text: str, cuts: list[int]) -> None:
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    redactor = Redactor(Redaction(), secrets)
    stream = TextRedactor(lambda: redactor.own)
    out = "".join([*(stream.feed(text[a:b]) for a, b in itertools.pairwise(at)), stream.finish()])
    assert redactor.text(out) == redactor.text(text)


long = st.builds("{}{}{}".format, st.sampled_from(["a" * 64, "ab" * 40]), st.text("abc", max_size=9), st.just("c"))


@given(st.lists(long, min_size=1, max_size=3, unique=True), st.data())
@example(["a" * 68, "a" * 70], None)
def test_of_long_secrets_the_rest_counts_too(secrets: list[str], data: st.DataObject | None) -> None:
    """Of forms that begin alike the longest is cut, and what only begins like one is shown, in any pieces."""
    bits = [*secrets, *(secret[:-1] for secret in secrets), "ab", " "]
    text = "".join(data.draw(st.lists(st.sampled_from(bits), max_size=6))) if data else "a" * 69 + " " + "a" * 75
    cuts = data.draw(st.lists(st.integers(0, 500), max_size=6)) if data else [10, 64, 66, 70, 100]
    shown, matcher = plainly(text, secrets), Matcher(secrets)
    assert Redactor(Redaction(), secrets).text(text) == shown
    assert streamed(matcher, pieces_of(text.encode(), cuts)).decode() == shown
    assert Redactor(Redaction(), secrets).value([text]) == [shown]


def plainly(text: str, secrets: list[str]) -> str:
    """What is to be shown, found by looking for each secret at each place."""
    spans = [(at, at + len(s)) for s in secrets for at in range(len(text)) if text.startswith(s, at)]
    return cut(text, spans)


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    redactor = StreamRedactor(lambda: Matcher(["hunter2-secret"]))
    assert redactor.feed(b"one line\nhun") == b"one line\n"
    assert redactor.feed(b"gry\n") == b"hungry\n"
    assert redactor.feed(b"hunter2-") == b""
    assert redactor.feed(b"secret!") == f"{MASK}!".encode()
    assert redactor.finish() == b""


def test_a_text_that_repeats_a_secret_for_ever_is_not_held_back() -> None:
    redactor = StreamRedactor(lambda: Matcher(["aaaa"]))
    held = 0
    for _ in range(100):
        redactor.feed(b"a" * 1000)
        held = max(held, len(redactor._held))
    assert held < 12


def test_without_secrets_bytes_pass_untouched() -> None:
    data = b"x" * 1000
    assert StreamRedactor(lambda: None).feed(data) is data


@pytest.mark.parametrize("piece", range(1, 16))
def test_a_secret_of_several_lines(piece: int) -> None:
    secret = "first line\nsecond"
    data = f"begin {secret} end".encode()
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    assert streamed(Matcher([secret]), pieces).decode() == f"begin {MASK} end"
