"""Long text is looked at as bytes, many at a time; what is cut must be what is cut from short text."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from trunnion.access.matching import GLANCE, Matcher
from trunnion.access.redaction import LONG, MASK, Redaction, Redactor

secrets = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=4, max_size=80)
between = st.text(" \nabcé0", max_size=40)


def redactor_of(host: list[str], own: list[str]) -> Redactor:
    redaction = Redaction()
    redaction.configure({"patterns": True})
    redaction.register(*host, owner="test")
    return Redactor(redaction, own)


@given(st.lists(secrets, max_size=3), st.lists(secrets, max_size=3), st.lists(between, min_size=7, max_size=7))
def test_long_text_is_cut_like_short_text(host: list[str], own: list[str], pieces: list[str]) -> None:
    """Defence: ``Matcher.glance`` says yes wherever ``search`` does."""
    redactor = redactor_of(host, own)
    parts = [*host, *own, "Bearer abcdef123456789", "https://ana:hunter2@host/"]
    text = "".join(piece + part for piece, part in zip(pieces, parts, strict=False))
    padding = "." * (LONG + 1) + "\n"
    long = redactor.text(padding + text)
    assert long == padding + redactor.text(text)


def test_a_glance_finds_every_form_of_many_secrets() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    values = ["".join(rng.choices("abcdefgh0123-é", k=rng.randrange(4, 3 * GLANCE))) for _ in range(100)]
    matcher = Matcher(values, patterns=True)
    for value in values:
        text = "x" * 5000 + value + "y" * 5000
        assert bool(matcher.glance(text.encode())) >= bool(matcher.search(text))
        assert MASK in redactor_of([], [value]).text(text)


def test_half_characters_in_long_text_are_no_reason_to_fail() -> None:
    text = redactor_of(["hunter2-secret"], []).text("\ud800" + "." * LONG + "hunter2-secret")
    assert MASK in text
    assert "hunter2" not in text
