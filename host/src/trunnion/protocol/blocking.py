"""A client for programs without a loop: one call at a time, nothing to import but the socket."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from trunnion.model.errors import ErrorInfo, Unavailable
from trunnion.model.json import Json, decode
from trunnion.protocol import address
from trunnion.protocol.client_errors import RemoteError, no_host
from trunnion.protocol.messages import Failure, Result, call_frame, parse_answer


class BlockingClient:
    """A connection for calls in sequence; a context manager.

    Args:
        path: the host's socket.
        timeout: seconds to wait for the connection and for each answer; None waits for ever.

    Raises:
        Unavailable: no host serves the socket.
    """

    def __init__(self, path: Path, *, timeout: float | None = 60.0) -> None:
        self.path = path
        self._last = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            with address.short(path) as spelling:
                self._socket.connect(spelling)
        except OSError as error:
            self._socket.close()
            raise no_host(path, error) from None
        self._file = self._socket.makefile("rb", buffering=256 << 10)

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._file.close()
        self._socket.close()

    def call(self, method: str, params: Mapping[str, Json] | None = None) -> Json:
        """Call a method, or a command or query by its id.

        Raises:
            RemoteError: the host refused, or what was asked for failed.
            Unavailable: the line was lost, or no answer came in time.
        """
        self._last += 1
        try:
            self._socket.sendall(call_frame(self._last, method, params or {}) + b"\n")
            return self._answer()
        except OSError as error:
            raise Unavailable(f"no answer from the host at {self.path}: {error}") from None

    def _answer(self) -> Json:
        for line in self._file:
            answer = parse_answer(line)
            if isinstance(answer, Failure) and answer.id in (None, self._last):
                raise RemoteError(ErrorInfo(answer.code, answer.message, answer.details))
            if isinstance(answer, Result) and answer.id == self._last:
                return decode(answer.result)
        raise Unavailable(f"the host at {self.path} closed the connection")
