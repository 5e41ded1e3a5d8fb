"""The one error hierarchy. Every refusal has a stable code, the same at every door.

``ERROR_TABLE`` maps a code to the HTTP status, the gRPC status name and the process exit status, so
that no door decides this for itself.
"""

from __future__ import annotations

import msgspec

from trunnion.model.json import Json, JsonObject


class ErrorCode(msgspec.Struct, frozen=True):
    """How one stable code appears at each kind of door."""

    code: str
    http: int
    grpc: str
    exit: int
    meaning: str


ERROR_TABLE: dict[str, ErrorCode] = {
    row.code: row
    for row in (
        ErrorCode("invalid_arguments", 400, "INVALID_ARGUMENT", 2, "the request does not fit the schema"),
        ErrorCode("unauthenticated", 401, "UNAUTHENTICATED", 3, "no valid credential was given"),
        ErrorCode("forbidden", 403, "PERMISSION_DENIED", 4, "policy does not allow it"),
        ErrorCode("not_found", 404, "NOT_FOUND", 5, "no such thing, or it may not be seen"),
        ErrorCode("conflict", 409, "ABORTED", 6, "it clashes with what is there"),
        ErrorCode("stale_meta", 412, "FAILED_PRECONDITION", 7, "the command changed since it was read"),
        ErrorCode("busy", 429, "RESOURCE_EXHAUSTED", 8, "a limit is reached; try again later"),
        ErrorCode("unavailable", 503, "UNAVAILABLE", 9, "what is needed is not there right now"),
        ErrorCode("deadline_exceeded", 504, "DEADLINE_EXCEEDED", 10, "it took longer than allowed"),
        ErrorCode("cancelled", 499, "CANCELLED", 130, "it was cancelled on request"),
        ErrorCode("interrupted", 503, "ABORTED", 11, "the host stopped before it ended"),
        ErrorCode("failed", 500, "UNKNOWN", 1, "the command itself reported failure"),
        ErrorCode("invalid_config", 500, "INTERNAL", 12, "the configuration cannot be used"),
        ErrorCode("broken_plugin", 500, "INTERNAL", 1, "a plugin that was asked for cannot be used"),
        ErrorCode("incompatible_data", 500, "INTERNAL", 13, "the data was written by a newer version"),
        ErrorCode("internal", 500, "INTERNAL", 70, "a defect in the host or in a handler"),
    )
}
"""Every stable code. Codes are only ever added."""


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as data: what is stored with a run and sent to a client."""

    code: str
    message: str
    details: dict[str, Json] = {}


class TrunnionError(Exception):
    """Base of every error the host raises on purpose.

    Args:
        message: what happened, to what, why, and what to do; never a secret, never a traceback.
        details: machine-readable facts beside the message.

    Attributes:
        run_id: the run that will not be, where it had an id already; for the host, no client is told.
    """

    code: str = "internal"
    run_id: str = ""

    def __init__(self, message: str, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Json] = dict(details or {})

    @property
    def info(self) -> ErrorInfo:
        """The same error as data."""
        return ErrorInfo(self.code, self.message, self.details)

    def __reduce__(self) -> tuple[type[TrunnionError], tuple[str, dict[str, Json]]]:
        return type(self), (self.message, self.details)


class InvalidArguments(TrunnionError):
    """Arguments do not fit; ``details["problems"]`` lists ``{"path", "message"}`` for each."""

    code = "invalid_arguments"


class Unauthenticated(TrunnionError):
    """No valid credential."""

    code = "unauthenticated"


class Forbidden(TrunnionError):
    """Visible to the caller, but not allowed."""

    code = "forbidden"


class NotFound(TrunnionError):
    """Not there, or not visible to the caller: the two are never told apart."""

    code = "not_found"


class Conflict(TrunnionError):
    """It clashes with present state: another use of a key, a lock cycle, a held data directory."""

    code = "conflict"


class StaleMeta(TrunnionError):
    """The caller's revision of a command is not the current one."""

    code = "stale_meta"


class Busy(TrunnionError):
    """A configured limit is reached. ``details["retry_after"]`` may say when to try again (seconds)."""

    code = "busy"


class Unavailable(TrunnionError):
    """Something needed is not there at the moment: a host, a driver, disk space."""

    code = "unavailable"


class DeadlineExceeded(TrunnionError):
    """The allowed time is over."""

    code = "deadline_exceeded"


class Cancelled(TrunnionError):
    """The run was cancelled on request. ``ctx.check()`` raises it in handlers."""

    code = "cancelled"


class Interrupted(TrunnionError):
    """The host stopped before the run ended."""

    code = "interrupted"


class CommandFailed(TrunnionError):
    """What a handler raises to report an expected failure: the message is shown as it is."""

    code = "failed"


class InvalidConfig(TrunnionError):
    """The configuration cannot be used; the message names file, key path and expectation."""

    code = "invalid_config"


class BrokenPlugin(TrunnionError):
    """A plugin that was asked for by name cannot be used."""

    code = "broken_plugin"


class IncompatibleData(TrunnionError):
    """The data directory was written by a newer version."""

    code = "incompatible_data"


class InternalError(TrunnionError):
    """A defect. The traceback is in the host's log, never in the message."""

    code = "internal"


def stop_error(reason: str, command_id: str) -> TrunnionError:
    """The error that belongs to a reason for stopping."""
    if reason == "timed_out":
        return DeadlineExceeded(f"{command_id} ran out of time")
    if reason == "interrupted":
        return Interrupted(f"{command_id} was interrupted: the host is stopping")
    return Cancelled(f"{command_id} was cancelled")


def _all_errors(base: type[TrunnionError]) -> list[type[TrunnionError]]:
    return [base, *(found for child in base.__subclasses__() for found in _all_errors(child))]


ERROR_CLASSES: dict[str, type[TrunnionError]] = {cls.code: cls for cls in _all_errors(TrunnionError)[1:]}
"""The class to raise for each code, for clients that turn an answer back into an exception."""


def error_from_info(info: ErrorInfo) -> TrunnionError:
    """Turn error data back into an exception of its class; an unknown code becomes ``InternalError``."""
    return ERROR_CLASSES.get(info.code, InternalError)(info.message, info.details)
