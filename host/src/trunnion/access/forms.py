"""The spellings of a secret value that redaction promises to know."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from trunnion.model.json import encode, valid_text

SHORTEST = 4
"""Characters a value must have: cutting shorter ones would cut ordinary text, and they protect nothing."""

SHORTEST_WITHIN = 8
"""Bytes a value must have to be searched for inside a larger base64 text; the core of less is ordinary text."""

SHORTEST_LINE = 16
"""Characters a line of a secret of several lines must have to be a secret of its own."""

_SCRIPT_SAFE = "!'()*~"
"""What ``encodeURIComponent`` leaves as it is beside letters, digits and ``-_.``."""


def forms(value: str) -> frozenset[str]:
    """Every promised spelling of a value, itself included; none for one that is too short.

    A secret of several lines is also searched for line by line, for programs print it so.
    """
    lines = value.split("\n") if "\n" in value else []
    parts = [value, value.strip(), *(line.strip() for line in lines if len(line.strip()) >= SHORTEST_LINE)]
    return frozenset(form for part in parts if len(part) >= SHORTEST for form in _spellings(valid_text(part)))


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield from _json(value)
    yield from _percent(value)
    yield from _python(value)
    yield from _base64(value.encode())


def _json(value: str) -> Iterator[str]:
    """As strings in JSON, in Unicode and in ASCII, with and without the slash escaped."""
    for text in (encode(value)[1:-1].decode(), json.dumps(value)[1:-1]):
        yield text
        yield text.replace("/", "\\/")
    yield _capital_escapes(json.dumps(value)[1:-1])


def _capital_escapes(text: str) -> str:
    head, *escapes = text.split("\\u")
    return head + "".join(f"\\u{escape[:4].upper()}{escape[4:]}" for escape in escapes)


def _percent(value: str) -> Iterator[str]:
    """As in URLs and forms (RFC 3986), with digits in capitals or not."""
    for text in (quote(value, safe=""), quote(value), quote(value, safe=_SCRIPT_SAFE), quote_plus(value)):
        yield text
        head, *escapes = text.split("%")
        yield head + "".join(f"%{escape[:2].lower()}{escape[2:]}" for escape in escapes)


def _python(value: str) -> Iterator[str]:
    """As ``repr`` and ``ascii`` write texts and bytes, with either quotation mark around them."""
    for text in (repr(value)[1:-1], ascii(value)[1:-1], repr(value.encode())[2:-1]):
        yield text
        yield text.replace("\\'", "'")
        yield text.replace("\\'", "'").replace("'", "\\'")


def _base64(data: bytes) -> Iterator[str]:
    """Alone, and at each of the three places where it can stand in a larger text (RFC 4648)."""
    for encoded in (b64encode, urlsafe_b64encode):
        alone = encoded(data).decode()
        yield alone
        yield alone.rstrip("=")
        if len(data) >= SHORTEST_WITHIN:
            for before in range(3):
                yield _core(encoded(b"\0" * before + data).decode(), before, before + len(data))


def _core(text: str, before: int, size: int) -> str:
    """The characters that no neighbouring byte has a part in."""
    return text[-(-before * 8 // 6) : size * 8 // 6]
