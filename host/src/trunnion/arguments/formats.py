"""Formats of text that the validator does not know by itself, and what a conversion would refuse too late."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping

from trunnion.arguments.duration import is_duration
from trunnion.model.json import Json, encode


def is_decimal(text: str) -> bool:
    """Whether ``text`` is a decimal number."""
    try:
        decimal.Decimal(text)
    except decimal.InvalidOperation:
        return False
    return True


_OURS: Mapping[str, Callable[[str], bool]] = {"duration": is_duration, "decimal": is_decimal}


def formats_in(schema: Mapping[str, Json]) -> dict[str, Callable[[str], bool]] | None:
    """Ours that a schema mentions: a check in Python slows every validation, so the others are left out."""
    text = encode(schema)
    return {name: check for name, check in _OURS.items() if f'"{name}"'.encode() in text} or None
