"""From what a handler returned or raised to plain data, whatever it was."""

from __future__ import annotations

import asyncio
import enum
import sys
import traceback
from pathlib import PurePath

import msgspec

from trunnion.access.redaction import Redactor
from trunnion.kernel.live import Outcome
from trunnion.model.errors import ErrorInfo, TrunnionError
from trunnion.model.json import Json, valid_text

NOTHING = Outcome()
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
    try:
        encoded = redactor.encoded(msgspec.json.encode(value, enc_hook=_plain))
        if len(encoded) > row_bytes:
            return Outcome(large=encoded)
        result: Json = msgspec.json.decode(encoded)
    except RecursionError:
        return Outcome(error=ErrorInfo("internal", "the result nests too deeply, or contains itself, to be JSON"))
    except Exception as error:
        problem = redactor.text(f"the result, a {type(value).__name__}, is not JSON: {error}")
        return Outcome(error=ErrorInfo("internal", problem))
    return Outcome(result)


def raised(error: BaseException, redactor: Redactor) -> Outcome:
    """The outcome of a handler that raised, without what the redactor cuts."""
    if isinstance(error, asyncio.CancelledError):
        return Outcome(stopped=True)
    code, message, details = _described(error)
    # Shortened only when it is clean: half a secret would not be recognised.
    return Outcome(error=ErrorInfo(code, _short(redactor.text(message)), _storable(details, redactor)))


def _described(error: BaseException) -> tuple[str, str, dict[str, Json]]:
    """Code, message and details of an error of any kind."""
    if isinstance(error, TrunnionError):
        return error.code, str(error.message), error.details
    if isinstance(error, SystemExit):
        return "failed", f"the handler called sys.exit({error.code!r})", {"exit": valid_text(str(error.code))}
    return "failed", _one_line(error), {"type": type(error).__name__, "where": _where(error)}


def _storable(details: dict[str, Json], redactor: Redactor) -> dict[str, Json]:
    """What a handler put beside its error, as it is if JSON has a form for it, else as text."""
    try:
        encoded = redactor.encoded(msgspec.json.encode(details))
        if len(encoded) <= LARGEST_DETAILS:
            return msgspec.json.decode(encoded, type=dict[str, Json])
    except Exception:  # noqa: S110  # what JSON has no form for is kept as text
        pass
    return {"details": redactor.text(ascii(details))[:1000]}


def is_defect(error: BaseException) -> bool:
    """Whether a traceback is worth a place in the log: everything not raised on purpose."""
    return not isinstance(error, TrunnionError | SystemExit | asyncio.CancelledError)


def _plain(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, BaseException):
        return valid_text(_one_line(value))
    if isinstance(value, set | frozenset | range):
        return list(value)
    raise TypeError(f"objects of type {type(value).__name__} have no form in JSON")


def _one_line(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:
        text = "its message cannot be shown"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _short(text: str) -> str:
    left_out = len(text) - LONGEST_MESSAGE
    return valid_text(text if left_out <= 0 else f"{text[:LONGEST_MESSAGE]}… ({left_out} more characters)")


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f"{PurePath(last.filename).name}:{last.lineno} in {last.name}"
