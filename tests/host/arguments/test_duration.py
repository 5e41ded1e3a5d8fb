"""Lengths of time as text."""

from __future__ import annotations

import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.arguments.duration import is_duration, to_iso


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m", 5400), ("90s", 90), ("250ms", 0.25), ("1.5h", 5400), ("2d", 172_800), ("1w", 604_800), ("-5s", -5)],
)
def test_what_a_person_types_becomes_iso(text: str, seconds: float) -> None:
    iso = to_iso(text)
    assert iso is not None
    assert is_duration(iso)
    assert msgspec.convert(iso, datetime.timedelta) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "90", "h", "1x", "1h 30m", "P", "PT", "P1", "1" * 100 + "s", "999999999999w", "٣s"]
)
def test_other_text_is_no_duration(text: str) -> None:
    assert to_iso(text) is None
    assert not is_duration(text)


@given(st.timedeltas(datetime.timedelta(days=-9999), datetime.timedelta(days=9999)))
def test_every_timedelta_has_an_iso_form_that_is_accepted(span: datetime.timedelta) -> None:
    assert is_duration(msgspec.to_builtins(span))
