"""Redaction: the exact values of known secrets are cut before anything is encoded or stored.

Each value is cut in its plain and its JSON-escaped form. Values shorter than ``SHORTEST`` are left: cutting
them would cut ordinary text too, and they protect nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trunnion.model.json import Json, encode

MASK = "•••"
SHORTEST = 4


class Redactor:
    """Cuts a fixed set of values; with none, everything passes untouched."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        plain = sorted({s for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True)
        self._text = [form for s in plain for form in dict.fromkeys((s, encode(s)[1:-1].decode()))]
        self._bytes = [form.encode("utf-8", "surrogatepass") for form in self._text]

    def __bool__(self) -> bool:
        return bool(self._text)

    def text(self, text: str) -> str:
        """Text without the secrets."""
        for secret in self._text:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def encoded(self, data: bytes) -> bytes:
        """Encoded JSON without the secrets; it stays valid JSON."""
        for secret in self._bytes:
            if secret in data:
                data = data.replace(secret, MASK.encode())
        return data

    def value(self, value: Json) -> Json:
        """Plain data without the secrets."""
        if not self._text:
            return value
        cut: Json = msgspec.json.decode(self.encoded(encode(value)))
        return cut


NOTHING = Redactor()
