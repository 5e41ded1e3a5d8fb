"""Refusals as gRPC tells them: a status, and details in the standard forms beside the host's own.

A status travels in a header, of which most peers take 8 KiB at most: what is longer is cut, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import trunnion_rpc.quiet  # noqa: F401  # isort: skip
import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.error_details_pb2 import ErrorInfo as Reason
from google.rpc.status_pb2 import Status

from trunnion.model.errors import ERROR_TABLE, ErrorInfo, TrunnionError, Unavailable
from trunnion.model.json import Json, decode, encode, valid_text
from trunnion.protocol.client_errors import RemoteError
from trunnion_rpc.v1 import runtime_pb2 as pb

if TYPE_CHECKING:
    from grpc.aio import AioRpcError

DOMAIN = "trunnion"
DETAILS = "grpc-status-details-bin"
LONGEST_TEXT = 512
"""Bytes of the text beside the status code."""

LONGEST = 6144
"""Bytes of all details together."""

OWN = 4608
"""Of these, bytes of the host's own form, from which a client makes the error again."""

SHORT_FACT = 200

AWAY = "the host cannot be reached: "
"""Begins what a client raises when nothing was answered."""

NOT_REACHED = ("failed to connect to all addresses", "errors resolving", "DNS resolution failed")
"""What gRPC says where it has no line at all, so that nothing was sent."""

_UNNAMED = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "deadline_exceeded",
    grpc.StatusCode.CANCELLED: "cancelled",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "busy",
    grpc.StatusCode.UNAUTHENTICATED: "unauthenticated",
    grpc.StatusCode.PERMISSION_DENIED: "forbidden",
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_arguments",
}
"""What a status means that somebody on the way made, not the host; whatever else it is, the host is not to be had."""


class Refusal:
    """An error as it is sent.

    Attributes:
        status: of gRPC.
        text: for people.
        trailers: the details.
    """

    def __init__(self, error: ErrorInfo) -> None:
        row = ERROR_TABLE.get(error.code, ERROR_TABLE["failed"])
        self.status = grpc.StatusCode[row.grpc]
        self.text = cut(valid_text(error.message), LONGEST_TEXT)
        details = Status(code=self.status.value[0], message=self.text)
        for part in _details(error):
            packed = any_pb2.Any()
            packed.Pack(part)
            if details.ByteSize() + packed.ByteSize() + 8 <= LONGEST:
                details.details.append(packed)
        self.trailers = ((DETAILS, details.SerializeToString()),)


def _details(error: ErrorInfo) -> Iterable[message.Message]:
    """The most important first."""
    yield own_form(error, OWN)
    if seconds := _number(error.details.get("retry_after")):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(seconds * 1000))
        yield RetryInfo(retry_delay=delay)
    facts = {name: value for name, value in error.details.items() if isinstance(value, str) and len(value) < SHORT_FACT}
    yield Reason(reason=error.code.upper(), domain=DOMAIN, metadata=_texts(facts))
    problems = error.details.get("problems")
    if error.code == "invalid_arguments" and isinstance(problems, list):
        yield _bad_request(problems)


def own_form(error: ErrorInfo, most: int | None = None) -> pb.Error:
    """An error in the host's own form.

    Args:
        error: the error.
        most: bytes it may have; what is longer is cut. None for any length.
    """
    made = pb.Error(code=error.code, message=valid_text(error.message))
    try:
        made.details_json = encode(error.details) if error.details else b""
    except (TypeError, ValueError, RecursionError):  # as a plugin may have put there
        made.incomplete = True
    if most is not None and made.ByteSize() > most:
        made.details_json, made.incomplete = b"", True
        made.message = cut(made.message, most - len(made.code) - 16)
    return made


def _bad_request(problems: Sequence[Json]) -> BadRequest:
    """A violation for each argument that does not fit, as many as there is room for."""
    made = BadRequest()
    room = LONGEST - OWN - 512
    for problem in problems:
        if not isinstance(problem, dict):
            continue
        violation = BadRequest.FieldViolation(
            field=valid_text(str(problem.get("path", ""))), description=valid_text(str(problem.get("message", "")))
        )
        room -= violation.ByteSize() + 8
        if room < 0:
            break
        made.field_violations.append(violation)
    return made


def _texts(facts: dict[str, str]) -> dict[str, str]:
    return {valid_text(name): valid_text(text) for name, text in facts.items()}


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6 else 0.0


def cut(text: str, most: int) -> str:
    """The beginning of a text that has at most so many bytes as UTF-8."""
    raw = text.encode()
    return text if len(raw) <= most else raw[: most - 3].decode(errors="ignore") + "…"


# -- the other way -----------------------------------------------------------------------------------------------------


def error_of(failure: AioRpcError) -> TrunnionError:
    """What a client raises for a failed call: the host's own error, or that it is not to be had."""
    for name, value in failure.trailing_metadata() or ():
        if name == DETAILS and isinstance(value, bytes) and (found := _own_of(value)) is not None:
            return RemoteError(info_of(found))
    if failure.code() == grpc.StatusCode.UNIMPLEMENTED:
        return RemoteError(ErrorInfo("not_found", "the host has no such call: it is of an earlier version, or no host"))
    text, code = failure.details() or failure.code().name, _UNNAMED.get(failure.code())
    return Unavailable(AWAY + text) if code is None else RemoteError(ErrorInfo(code, text))


def _own_of(details: bytes) -> pb.Error | None:
    made = pb.Error()
    try:
        for part in Status.FromString(details).details:
            if part.Unpack(made):
                return made
    except message.DecodeError:
        return None
    return None


def info_of(error: pb.Error) -> ErrorInfo:
    """An error as the host has it; without details that cannot be read."""
    try:
        details = decode(error.details_json) if error.details_json else {}
    except (ValueError, RecursionError):  # of which a malformed document is one
        details = {}
    return ErrorInfo(error.code, error.message, dict(details) if isinstance(details, dict) else {})
