"""What a handler returned or raised, as plain data: the same in the host and in a process of its own."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import PurePath

import msgspec

from trunnion.model.errors import ErrorInfo, TrunnionError
from trunnion.model.json import Json, valid_text


def encoded_result(value: object) -> bytes | ErrorInfo:
    """A result as JSON, or why it cannot be."""
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except RecursionError:
        return ErrorInfo("internal", "the result nests too deeply, or contains itself, to be JSON")
    except Exception as error:
        return ErrorInfo("internal", f"the result, of type {type(value).__name__}, is not JSON: {error}")


def described(error: BaseException) -> tuple[str, str, Mapping[str, Json]]:
    """Code, message and details of an error of any kind."""
    if isinstance(error, TrunnionError):
        return error.code, str(error.message), error.details
    if isinstance(error, SystemExit):
        return "failed", f"the handler called sys.exit({error.code!r})", {"exit": valid_text(str(error.code))}
    return "failed", _one_line(error), {"type": type(error).__name__, "where": _where(error)}


def is_stop(error: BaseException) -> bool:
    """Whether it is the way in which coroutines are cancelled."""
    asyncio = sys.modules.get("asyncio")  # a process that has not imported it has none of its errors
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def is_defect(error: BaseException) -> bool:
    """Whether a traceback is worth a place in the log: everything not raised on purpose."""
    return not isinstance(error, TrunnionError | SystemExit) and not is_stop(error)


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


def _where(error: BaseException) -> str:
    """File, line and function in which it was raised."""
    last = error.__traceback__
    if last is None:
        return ""
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    return f"{PurePath(code.co_filename).name}:{last.tb_lineno} in {code.co_name}"
