"""Redaction: the exact values of known secrets are cut before anything is encoded or stored.

Each value is cut in its plain and its JSON-escaped form. Values shorter than ``SHORTEST`` are left: cutting
them would cut ordinary text too, and they protect nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trunnion.model.json import Json, decode, encode

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
        """Encoded JSON without the secrets; it stays JSON, whatever they look like."""
        if not any(secret in data for secret in self._bytes):
            return data
        return encode(self._cut(decode(data)))

    def value(self, value: Json) -> Json:
        """Plain data without the secrets."""
        return self._cut(value) if self._text else value

    def _cut(self, value: Json) -> Json:
        """Strings are cut wherever a secret stands in them, numbers only where they are one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(name): self._cut(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._cut(each) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASK if encode(value).decode() in self._text else value
        return value


def leaves(value: Json) -> Iterator[str]:
    """The texts and numbers in a secret value: each is a secret of its own."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield encode(value).decode()


NOTHING = Redactor()
