"""A plugin's own documents: JSON under a key, each with a revision."""

from __future__ import annotations

import re

import msgspec

from trunnion.model.json import Json

_key = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]{0,127}(?:/[A-Za-z0-9_][A-Za-z0-9_.@:+-]{0,127}){0,7}")


def is_document_key(text: str) -> bool:
    """Whether ``text`` can be the key of a document, such as ``instances/plc1``."""
    return _key.fullmatch(text) is not None


class Document(msgspec.Struct, frozen=True):
    """One document as it was when it was read.

    Attributes:
        revision: number of the change that made it; the number of that change's event on ``state/<plugin>`` too.
        updated: UTC microseconds.
    """

    key: str
    value: Json
    revision: int
    updated: int


class DocumentPage(msgspec.Struct, frozen=True):
    """Documents in order of key; ``next`` is the cursor of the following page, None at the end."""

    items: list[Document]
    next: str | None = None
