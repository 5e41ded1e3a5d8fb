"""What may be kept as a document: the keys, and values that come back as exactly what they were."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from trunnion.arguments.strict import loads
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, encode
from trunnion.model.state import is_document_key


def checked_key(key: str) -> str:
    """``key``, if a document may have it.

    Raises:
        InvalidArguments: it may not.
    """
    if not isinstance(key, str) or not is_document_key(key):
        raise InvalidArguments(
            f"{str(key)[:80]!a} cannot be the key of a document: it is made of letters, digits and _ . @ : + - in up"
            " to 8 parts with / between them, such as instances/plc1"
        )
    return key


def encoded(key: str, value: Json, max_bytes: int) -> tuple[bytes, Json]:
    """The value as it is kept, and as it will be read.

    Raises:
        InvalidArguments: it is no JSON, not quite what it would be read as, or too large.
    """
    try:
        raw = encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArguments(f"the value of document {key!r} is not JSON: {error}") from error
    if len(raw) > max_bytes:
        raise InvalidArguments(
            f"the value of document {key!r} takes {len(raw)} bytes, the limit is {max_bytes}"
            " (state.max_document_bytes)",
            {"bytes": len(raw), "limit": max_bytes, "setting": "state.max_document_bytes"},
        )
    read = loads(raw, max_bytes=max_bytes)
    if read != value:
        # Tuples are the one thing that reads back differently and is meant.
        for problem in _problems(value):
            raise InvalidArguments(f"the value of document {key!r} holds {problem}, which JSON has no form for")
    return raw, read


def _problems(value: object) -> Iterator[str]:
    """What of a value the encoder would make something else of without a word."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            if not isinstance(name, str):
                yield f"the key {name!r}"
            yield from _problems(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _problems(member)
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"the number {value}"
    elif value is not None and not isinstance(value, str | int):
        yield f"a {type(value).__name__}"
