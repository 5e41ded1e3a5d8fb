"""From what a handler returned or raised to plain data, whatever it was."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

import msgspec

from trunnion.access.redaction import Redactor
from trunnion.kernel.live import Outcome
from trunnion.model.errors import ErrorInfo
from trunnion.model.handled import described, encoded_result, is_stop
from trunnion.model.json import Json, valid_text

NOTHING = Outcome()
_code = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
LONGEST_MESSAGE = 16 << 10
"""Characters of an error's message that are kept; it stands in the row and in lists."""

LARGEST_DETAILS = 64 << 10
"""Bytes of details that are kept beside it."""


def returned(value: object, redactor: Redactor, row_bytes: int = sys.maxsize) -> Outcome:
    """The outcome of a handler that returned. What JSON has no form for is a failure that says so.

    Args:
        value: what it returned.
        redactor: cuts what may not be shown.
        row_bytes: a result that is larger once encoded stays encoded.
    """
    if value is None:
        return NOTHING
    encoded = encoded_result(value)
    if isinstance(encoded, ErrorInfo):
        return Outcome(error=failure(encoded.code, encoded.message, {}, redactor))
    return returned_encoded(encoded, redactor, row_bytes)


def returned_encoded(encoded: bytes, redactor: Redactor, row_bytes: int = sys.maxsize) -> Outcome:
    """The same for a result that is JSON already."""
    try:
        encoded = redactor.encoded(encoded)
        if len(encoded) > row_bytes:
            return Outcome(large=encoded)
        result: Json = msgspec.json.decode(encoded)
    except Exception as error:
        return Outcome(error=failure("internal", f"the result is not JSON: {error}", {}, redactor))
    return Outcome(result)


def raised(error: BaseException, redactor: Redactor) -> Outcome:
    """The outcome of a handler that raised, without what the redactor cuts."""
    if is_stop(error):
        return Outcome(stopped=True)
    return Outcome(error=failure(*described(error), redactor))


def failure(code: str, message: str, details: Mapping[str, Json], redactor: Redactor) -> ErrorInfo:
    """An error as it is kept: clean, and of a size that fits its row."""
    # Shortened only when it is clean: half a secret would not be recognised.
    code = code if _is_code(code) and redactor.text(code) == code else "failed"
    return ErrorInfo(code, _short(redactor.text(message)), _storable(details, redactor))


def _storable(details: Mapping[str, Json], redactor: Redactor) -> dict[str, Json]:
    """What a handler put beside its error, as it is if JSON has a form for it, else as text."""
    try:
        encoded = redactor.encoded(msgspec.json.encode(details))
        if len(encoded) <= LARGEST_DETAILS:
            return msgspec.json.decode(encoded, type=dict[str, Json])
    except Exception:  # noqa: S110  # what JSON has no form for is kept as text
        pass
    return {"details": redactor.text(ascii(details))[:1000]}


def _is_code(code: object) -> bool:
    """Whether it can be the code of an error; an exception of somebody's own may carry anything there."""
    return isinstance(code, str) and _code.fullmatch(code) is not None


def _short(text: str) -> str:
    left_out = len(text) - LONGEST_MESSAGE
    return valid_text(text if left_out <= 0 else f"{text[:LONGEST_MESSAGE]}… ({left_out} more characters)")
