"""Canonical JSON (RFC 8785) and digests over it: the same bytes for the same content, on every host."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec
import rfc8785

from trunnion.model.json import Json, encode

EXACT = 2**53
SHORT = 1e-3
"""Down to here a fraction is written without an exponent, by everybody alike."""


def _number(text: str) -> int | float:
    """Whole numbers are written without a point, so ``30.0`` is 30."""
    number = float(text)
    return int(number) if number.is_integer() and -EXACT < number < EXACT else number


_sorted = msgspec.json.Encoder(order="sorted").encode
_plain: Callable[[bytes], Json] = msgspec.json.Decoder(float_hook=_number).decode


def canonical(value: Json) -> bytes:
    """Canonical JSON, RFC 8785.

    Raises:
        TypeError, ValueError: the value has no form in JSON, or a number that not every reader keeps exactly.
    """
    plain = _plain(encode(value))
    return _sorted(plain) if _written_alike(plain) else rfc8785.dumps(plain)


def digest(value: Mapping[str, Json]) -> str:
    """sha256 over the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _written_alike(plain: Json) -> bool:
    """Whether the fast encoder, with its keys sorted, writes the canonical form too.

    It does not where a number is large or minute, and where keys beyond ASCII sort otherwise as UTF-16.
    """
    if type(plain) is str or type(plain) is bool or plain is None:
        return True
    if isinstance(plain, dict):
        return "".join(plain).isascii() and all(map(_written_alike, plain.values()))
    if isinstance(plain, list):
        return all(map(_written_alike, plain))
    if isinstance(plain, float):
        return SHORT <= abs(plain) < EXACT
    return isinstance(plain, int) and -EXACT < plain < EXACT
