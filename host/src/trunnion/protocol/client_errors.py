"""What a client raises, with or without a loop."""

from __future__ import annotations

from pathlib import Path

from trunnion.model.errors import ErrorInfo, TrunnionError, Unavailable


class RemoteError(TrunnionError):
    """A refusal of the host, with the host's own code."""

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message, error.details)
        self.code = error.code

    def __reduce__(self) -> tuple[type[RemoteError], tuple[ErrorInfo]]:  # type: ignore[override]
        return type(self), (self.info,)


def no_host(path: Path, error: OSError) -> Unavailable:
    """The error for a socket nobody answers."""
    reason = "no host is running" if isinstance(error, FileNotFoundError | ConnectionRefusedError) else str(error)
    return Unavailable(f"cannot reach a host at {path}: {reason}; start one with: trunnion up", {"path": str(path)})
