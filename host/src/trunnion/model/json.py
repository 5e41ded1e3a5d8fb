"""The JSON value type and the host's one encoder.

Inside the host a JSON value is ordinary Python data; the alias below is what crosses a boundary
instead of ``Any``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
else:
    # msgspec reads annotations at run time and has no form for a recursive alias; for it, any JSON will do.
    Json = Any
"""Any value that JSON can carry."""

JsonObject: TypeAlias = Mapping[str, Json]
"""A JSON object."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(value: object) -> bytes:
    """Encode plain data or a struct as compact JSON.

    Raises:
        TypeError: the value holds something JSON has no form for.
        ValueError: the value holds a string that is not valid Unicode.
        RecursionError: the value nests too deeply or contains itself.
    """
    return _encoder.encode(value)


def valid_text(text: str) -> str:
    """``text`` with what is no Unicode (lone surrogates, as in undecodable file names) written as escapes."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def decode(data: bytes | str | msgspec.Raw) -> Json:
    """Decode JSON this host encoded itself; for anything from outside see ``arguments.strict``.

    Raises:
        msgspec.DecodeError: the bytes are not JSON.
    """
    value: Json = _decoder.decode(data)
    return value
