"""Secrets known by their looks, and the names under which structured data keeps them.

Every search begins at a literal that was found, and looks a bounded way ahead, once: no text costs more
than its length.
"""

from __future__ import annotations

import itertools
import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from trunnion.config.redaction_settings import KEY_NAMES

Span: TypeAlias = tuple[int, int]
"""Begin and end of a piece of text, the end not included."""

LONGEST_KEY_BLOCK: Final = 64 << 10
"""Characters looked at for the end of a private key."""

LONGEST_WORD: Final = 24
"""Letters in a row that may be English."""

_token = re.compile(r"[A-Za-z0-9_.-]{8,512}")
_credentials = re.compile(r" {1,4}([A-Za-z0-9._~+/=-]{6,8192})")
_aws = re.compile(r"[A-Z0-9]{16}(?![A-Z0-9])")
_userinfo = re.compile(r"[^\s/?#:@\"'<>]{0,256}:([^\s/\"'<>]{1,512})@")
_end_of_key = re.compile(r"-----END [A-Z0-9 ]{0,32}PRIVATE KEY")


def _whole(looks: re.Pattern[str]) -> Callable[[str, int, int], Span | None]:
    def find(text: str, start: int, end: int) -> Span | None:
        found = looks.match(text, end)
        return None if found is None else (start, found.end())

    return find


def _inside(looks: re.Pattern[str]) -> Callable[[str, int, int], Span | None]:
    def find(text: str, start: int, end: int) -> Span | None:
        found = looks.match(text, end)
        return None if found is None else found.span(1)

    return find


def _bearer(text: str, start: int, end: int) -> Span | None:
    """RFC 6750. A word without a digit is taken for English unless it is very long."""
    found = _credentials.match(text, end)
    if found is None or (len(found[1]) < LONGEST_WORD and not any(letter.isdigit() for letter in found[1])):
        return None
    return found.span(1)


def _basic(text: str, start: int, end: int) -> Span | None:
    """RFC 7617: base64 of a name, a colon and a password."""
    found = _credentials.match(text, end)
    if found is None:
        return None
    try:
        decoded = b64decode(found[1] + "=" * (-len(found[1]) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    return found.span(1) if b":" in decoded else None


def _key_block(text: str, start: int, end: int) -> Span | None:
    """What stands between the two lines of a PEM block (RFC 7468), or up to where the text ends."""
    if text.rfind("-----BEGIN", max(0, start - 48), start) < 0:
        return None
    closing = _end_of_key.search(text, end, end + LONGEST_KEY_BLOCK)
    return end, closing.start() if closing else min(len(text), end + LONGEST_KEY_BLOCK)


PATTERNS: Final[dict[str, Callable[[str, int, int], Span | None]]] = {
    "trn_": _whole(_token),
    "ghp_": _whole(_token),
    "gho_": _whole(_token),
    "ghs_": _whole(_token),
    "github_pat_": _whole(_token),
    "AKIA": _whole(_aws),
    "ASIA": _whole(_aws),
    "://": _inside(_userinfo),
    "PRIVATE KEY-----": _key_block,
    **dict.fromkeys(("Bearer", "bearer", "BEARER"), _bearer),
    **dict.fromkeys(("Basic", "basic", "BASIC"), _basic),
}
"""What a secret of a known kind begins with, and what is to be cut there, if anything."""


def plain_name(name: str) -> str:
    """A name of structured data without what spellings differ in: ``X-Api-Key`` is ``xapikey``."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


class KeyNames:
    """Judges names of structured data.

    Args:
        names: see ``config.redaction_settings.KEY_NAMES``.
    """

    def __init__(self, names: Iterable[str] = KEY_NAMES) -> None:
        names = tuple(names)
        self._whole = frozenset(plain_name(name) for name in names)
        self._endings = tuple(plain_name(name) for name in names if name.startswith("*"))
        self._spelled = sorted({spelling for name in names for spelling in _spellings(name)})

    def __contains__(self, name: str) -> bool:
        plain = plain_name(name)
        return plain in self._whole or plain.endswith(self._endings)

    @property
    def literals(self) -> list[bytes]:
        """What compact JSON has in it where a text stands under one of the names, in the usual spellings."""
        return [f'{spelling}":{value}'.encode() for spelling in self._spelled for value in ('"', '["')]


def _spellings(name: str) -> set[str]:
    """``api_key``, ``api-key``, ``api key``, ``Api-Key``, ``API_KEY``, ``apikey``, ``apiKey``, ``ApiKey`` and so on."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    capital = [word.capitalize() for word in words]
    found = {joint.join(each) for joint, each in itertools.product(("_", "-", " ", "."), (words, capital))}
    found |= {joint.join(words).upper() for joint in ("_", "-", " ", ".", "")}
    return found | {"".join(words), "".join(capital), "".join([*words[:1], *capital[1:]]), "".join(words).capitalize()}
