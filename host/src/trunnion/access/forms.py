"""The spellings of a secret value that redaction promises to know."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus

from trunnion.model.json import encode, valid_text

SHORTEST = 4
"""Characters a value must have: cutting shorter ones would cut ordinary text, and they protect nothing."""

SHORTEST_WITHIN = 8
"""Bytes a value must have to be searched for inside a larger base64 text; the core of less is ordinary text."""

SHORTEST_LINE = 16
"""Characters a line of a secret of several lines must have to be a secret of its own."""

MOST_LINES = 1000
"""Lines of a secret, from its first on, that are secrets of their own."""

MANY_LINES = 100
"""Of more lines, each is searched for as it is and as in JSON only."""

LONG = 64 << 10
"""Characters beyond which a value is searched for as it is and as in JSON only: every spelling costs its length."""

_SCRIPT_SAFE = "!'()*~"
"""What ``encodeURIComponent`` leaves as it is beside letters, digits and ``-_.``."""


def forms(value: str) -> frozenset[str]:
    """Every promised spelling of a value, itself included; none for one that is too short.

    A secret of several lines is also searched for line by line, for programs print it so.
    """
    found = {*_spelled([value, value.strip()], _spellings if len(value) <= LONG else _plain)}
    if "\n" in value:
        stripped = [line.strip() for line in value.split("\n", MOST_LINES)[:MOST_LINES]]
        lines = [line for line in stripped if len(line) >= SHORTEST_LINE]
        found.update(_spelled(lines, _spellings if len(lines) <= MANY_LINES else _plain))
    return frozenset(found)


def _spelled(parts: Iterable[str], spellings: Callable[[str], Iterator[str]]) -> Iterator[str]:
    for part in parts:
        if len(part) >= SHORTEST:
            yield from spellings(valid_text(part))


def _plain(value: str) -> Iterator[str]:
    yield value
    yield from _json(value)


def _spellings(value: str) -> Iterator[str]:
    yield from _plain(value)
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
