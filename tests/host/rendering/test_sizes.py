"""Amounts for people."""

from __future__ import annotations

import pytest

from trunnion.rendering import readable_time


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0.001 s"),
        (0.000457, "0.001 s"),
        (0.2014, "0.201 s"),
        (0.9996, "1 s"),
        (1.52, "1.52 s"),
        (9.996, "10.0 s"),
        (99.96, "1 min 40 s"),
        (60 * 20 + 34, "20 min 34 s"),
        (3600, "1 h"),
        (3600 * 3 + 61, "3 h 1 min"),
        (86399.7, "1 d"),
        (86400 * 400 + 7200, "400 d 2 h"),
    ],
)
def test_how_long_something_took_is_told_in_units_people_use(seconds: float, told: str) -> None:
    """Defence: no figure with an exponent: 1234 s were "1.23e+03 s"."""
    assert readable_time(seconds) == told
