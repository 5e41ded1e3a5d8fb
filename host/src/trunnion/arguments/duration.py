"""Lengths of time as text: ISO 8601 for machines, ``1h30m`` for people."""

from __future__ import annotations

import datetime
import re

import msgspec

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_part = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|[wdhms])", re.ASCII)
_human = re.compile(r"-?(?:\d{1,12}(?:\.\d{1,9})?(?:ms|[wdhms]))+", re.ASCII)
_iso = re.compile(
    r"-?P(?=[\dT])(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?)", re.ASCII
)


def is_duration(text: str) -> bool:
    """Whether ``text`` is an ISO 8601 duration such as ``PT1H30M`` or ``P1DT0.5S``."""
    return len(text) <= 64 and _iso.fullmatch(text) is not None


def to_iso(text: str) -> str | None:
    """The ISO 8601 form of a duration a person typed: ``1h30m``, ``90s``, ``250ms``, or ISO itself.

    Returns:
        The ISO 8601 text, or None if it is no duration.
    """
    if is_duration(text):
        return text
    if len(text) > 64 or _human.fullmatch(text) is None:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _part.findall(text))
    return _iso_of(-seconds if text.startswith("-") else seconds)


def _iso_of(seconds: float) -> str | None:
    try:
        span = datetime.timedelta(seconds=seconds)
    except OverflowError:
        return None
    return str(msgspec.to_builtins(span))
