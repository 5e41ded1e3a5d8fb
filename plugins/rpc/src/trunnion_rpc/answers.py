"""What a host answers, read by a client: nothing of it is taken on trust, and what makes no sense has a name."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from google.protobuf.message import DecodeError, Message

from trunnion import ErrorInfo, Json
from trunnion.model.events import NULL
from trunnion.protocol.client_errors import RemoteError

R = TypeVar("R", bound=Message)
S = TypeVar("S")

_raw = msgspec.json.Decoder(msgspec.Raw)


def senseless(what: str) -> RemoteError:
    """The error for an answer that no host of this protocol gives. To ask again would not mend it."""
    return RemoteError(ErrorInfo("internal", f"the host answers with what makes no sense: {what}"))


def message_of(kind: type[R], data: object) -> R:
    """An answer as a message of a kind.

    Raises:
        RemoteError: it is none, or there is none.
    """
    if not isinstance(data, bytes):
        raise senseless("nothing at all")
    try:
        return kind.FromString(data)
    except DecodeError:
        raise senseless(f"no {kind.DESCRIPTOR.full_name}") from None


def value_of(data: bytes) -> Json:
    """A JSON value, None for nothing.

    Raises:
        RemoteError: it is no JSON, or nests too deep.
    """
    return struct_of(data, Json) if data else None  # type: ignore[arg-type]  # of which msgspec makes any value


def struct_of(data: bytes, kind: type[S]) -> S:
    """A JSON document as what it stands for.

    Raises:
        RemoteError: it is something else.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise senseless(f"JSON that cannot be read: {error}") from None


def raw_of(data: bytes) -> msgspec.Raw:
    """A JSON value that is looked at later, if ever; null for nothing.

    Raises:
        RemoteError: it is no JSON, or nests too deep.
    """
    try:
        return _raw.decode(data) if data else NULL
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise senseless(f"JSON that cannot be read: {error}") from None
