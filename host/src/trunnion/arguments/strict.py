"""The loader for JSON that comes from outside. Whatever is wrong, the answer is one named error.

``msgspec`` already refuses NaN, infinities, ``1e999``, lone surrogates, a byte order mark, trailing
text and invalid UTF-8. What it lets through is refused here: duplicate keys, documents that are
deep or hold very many values, and integers of absurd length.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

import msgspec

from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, valid_text

MAX_VALUES = 100_000
"""Ceiling on the values of one document: what bounds time and memory where the byte count does not."""

MAX_INT_BITS = 425
"""Integers are refused beyond this size, 128 decimal digits."""

_LONG_INT = "it holds an integer of more than 128 digits"
_SURROGATE = "it holds a lone surrogate, which is not Unicode text"
_SMALL = 2**64
_CONTAINERS = (Mapping, list, tuple)
_decoder = msgspec.json.Decoder()


def loads(data: bytes | str, *, max_bytes: int = 16 << 20, max_depth: int = 100) -> Json:
    """Decode one JSON document strictly (RFC 8259, without its leniencies).

    Args:
        data: UTF-8 bytes or text.
        max_bytes: largest document accepted, in bytes of UTF-8.
        max_depth: how deep arrays and objects may nest.

    Raises:
        InvalidArguments: the document is refused; the message says what is wrong with it, and where
            the decoder knows the place.
    """
    raw = _as_bytes(data, max_bytes)
    members = _count_members(raw)
    value = _decode(raw, max_depth)
    if _inspect(value, max_depth) != members:
        raise _refused(f"the key {_duplicate(raw)} is there twice in one object")
    return value


def judge(args: Mapping[str, object], max_depth: int = 100) -> None:
    """Hold arguments that came without a document, as from a program, to what ``loads`` lets through.

    Raises:
        InvalidArguments: they are no JSON values, or larger than they may be.
    """
    for name, value in args.items():
        if not (type(name) is str and name.isascii() and _is_simple(value)):
            _judge_whole(args, max_depth)
            return


def _is_simple(value: object) -> bool:
    """What most arguments are, found out in a tenth of the time."""
    kind = type(value)
    if kind is str:
        return value.isascii()  # type: ignore[attr-defined, no-any-return]
    if kind is int:
        return -_SMALL < value < _SMALL  # type: ignore[operator]
    return kind is bool or value is None


def _judge_whole(value: object, max_depth: int) -> None:
    count, depth, level = 0, 0, [value]
    while level:
        count += len(level)
        if count > MAX_VALUES:
            raise _too_many()
        depth += any(isinstance(item, _CONTAINERS) for item in level)
        if depth > max_depth:
            raise _too_deep(max_depth)
        level = [member for item in level for member in _members(item)]


def _members(item: object) -> Iterable[object]:
    """What is inside one value; refuses what has no place in JSON."""
    if isinstance(item, Mapping):
        for name in item:
            _check_name(name)
        return item.values()
    if isinstance(item, list | tuple):
        return item
    if isinstance(item, str):
        _check_text(item)
    elif isinstance(item, int):
        if item.bit_length() > MAX_INT_BITS:
            raise _refused(_LONG_INT)
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise _refused(f"it holds {item}, which is no number in JSON")
    elif item is not None:
        raise _refused(f"it holds a {type(item).__name__}, which has no form in JSON")
    return ()


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise _refused(f"it holds a member named by a {type(name).__name__}, not by text")
    _check_text(name)


def _check_text(text: str) -> None:
    if valid_text(text) != text:
        raise _refused(_SURROGATE)


def _refused(reason: str) -> InvalidArguments:
    message = f"the JSON document is refused: {reason}"
    return InvalidArguments(message, {"problems": [{"path": "", "message": message}]})


def _as_bytes(data: bytes | str, max_bytes: int) -> bytes:
    if len(data) <= max_bytes:
        try:
            raw = data.encode() if isinstance(data, str) else bytes(data)
        except UnicodeEncodeError:
            raise _refused(_SURROGATE) from None
        if len(raw) <= max_bytes:
            return raw
    raise _refused(f"it is larger than {max_bytes} bytes")


def _count_members(raw: bytes) -> int:
    """The number of object members, read off the text outside of strings in a few linear passes."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if raw.count(b'"') > 4 * MAX_VALUES:
        raise _too_many()
    outside = b"".join(raw.split(b'"')[::2])
    if sum(map(outside.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise _too_many()
    return outside.count(b":")


def _too_many() -> InvalidArguments:
    return _refused(f"it holds more than {MAX_VALUES} values")


def _decode(raw: bytes, max_depth: int) -> Json:
    try:
        value: Json = _decoder.decode(raw)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except UnicodeDecodeError as error:
        raise _refused(f"it is not valid UTF-8 at byte {error.start}") from None
    except msgspec.DecodeError as error:
        raise _refused(_reason(raw, str(error))) from None
    return value


def _reason(raw: bytes, error: str) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark"
    return error.removeprefix("JSON is malformed: ")


def _too_deep(max_depth: int) -> InvalidArguments:
    return _refused(f"it nests deeper than {max_depth} levels")


def _inspect(value: Json, max_depth: int) -> int:
    """Check depth and integers level by level; returns the number of object members."""
    members, depth, level = 0, 0, [value]
    while level:
        below: list[Json] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                members += len(item)  # type: ignore[arg-type]
                below.extend(item.values())  # type: ignore[union-attr]
            elif kind is list:
                below.extend(item)  # type: ignore[arg-type]
            elif kind is int and item.bit_length() > MAX_INT_BITS:  # type: ignore[union-attr]
                raise _refused(_LONG_INT)
        depth += any(type(item) in (dict, list) for item in level)
        if depth > max_depth:
            raise _too_deep(max_depth)
        level = below
    return members


def _duplicate(raw: bytes) -> str:
    class Found(Exception):
        pass

    def look(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Found(key)
            seen.add(key)

    try:
        json.loads(raw, object_pairs_hook=look)
    except Found as found:
        return json.dumps(str(found)[:80])
    return "of a member"
