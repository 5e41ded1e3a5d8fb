"""Canonical JSON (RFC 8785) and digests over it: the same bytes for the same content, on every host."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
import rfc8785

from trunnion.model.json import Json, decode, encode

EXACT = 2**53
_sorted = msgspec.json.Encoder(order="sorted").encode


def canonical(value: Json) -> bytes:
    """Canonical JSON, RFC 8785.

    Raises:
        TypeError, ValueError: the value has no form in JSON, or a number that not every reader keeps exactly.
    """
    plain = decode(encode(value))
    return _sorted(plain) if _written_alike(plain) else rfc8785.dumps(plain)


def digest(value: Mapping[str, Json]) -> str:
    """sha256 over the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _written_alike(plain: Json) -> bool:
    """Whether the fast encoder, with its keys sorted, writes the canonical form too.

    It does not where a number is no small integer, and where keys beyond ASCII sort otherwise as UTF-16.
    """
    if type(plain) is str or type(plain) is bool or plain is None:
        return True
    if isinstance(plain, dict):
        return "".join(plain).isascii() and all(map(_written_alike, plain.values()))
    if isinstance(plain, list):
        return all(map(_written_alike, plain))
    return isinstance(plain, int) and -EXACT < plain < EXACT
