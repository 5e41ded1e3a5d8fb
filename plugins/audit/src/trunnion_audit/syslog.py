"""A copy of the record to syslog, RFC 5424: one message for each line."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime

from trunnion_audit.settings import SyslogSettings
from trunnion_audit.sinks import Sink

NOTICE = 5
LARGEST = 8 << 10
"""Bytes of a line that a message carries; of a longer one the beginning, marked as such."""

_CUT = b"...cut"


class Syslog:
    """A connection to a syslog, made when it is needed, and anew after it broke.

    Args:
        settings: where it is.
    """

    def __init__(self, settings: SyslogSettings) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None
        self._priority = settings.facility * 8 + NOTICE
        self._host = socket.gethostname()[:255] or "-"

    async def write(self, lines: Sequence[bytes]) -> None:
        """Send lines.

        Raises:
            OSError: they could not be sent; how many were is not known.
        """
        loop = asyncio.get_running_loop()
        messages = [message(line, self._priority, self._host) for line in lines]
        try:
            self._socket = connected = self._socket or await self._connected()
            if connected.type is socket.SOCK_STREAM:
                await loop.sock_sendall(connected, b"".join(map(framed, messages)))
            else:
                for each in messages:
                    await loop.sock_sendall(connected, each)
        except BaseException:
            await self.close()
            raise

    async def _connected(self) -> socket.socket:
        address = self._settings.address
        if not address.startswith("/"):
            host, _, port = address.rpartition(":")
            (family, kind, _, _, place), *_ = await asyncio.get_running_loop().getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM
            )
            return await _connect(family, kind, place)
        try:
            return await _connect(socket.AF_UNIX, socket.SOCK_DGRAM, address)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
            return await _connect(socket.AF_UNIX, socket.SOCK_STREAM, address)

    async def close(self) -> None:
        """Let the connection go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def _connect(family: int, kind: int, place: object) -> socket.socket:
    made = socket.socket(family, kind)
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, place)  # type: ignore[arg-type]  # as getaddrinfo said it
    except BaseException:
        made.close()
        raise
    return made


def message(line: bytes, priority: int, host: str) -> bytes:
    """A line of the log as a message of RFC 5424."""
    text = line.rstrip(b"\n")
    if len(text) > LARGEST:
        text = text[:LARGEST].decode(errors="ignore").encode() + _CUT
    moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"<{priority}>1 {moment} {host} trunnion {os.getpid()} audit - ".encode() + text


def framed(each: bytes) -> bytes:
    """A message on a stream, which says how long it is (RFC 6587)."""
    return b"%d %b" % (len(each), each)


def syslog_sink(settings: SyslogSettings) -> Sink:
    """The sink that sends to a syslog."""
    made = Syslog(settings)
    return Sink(name="syslog", write=made.write, close=made.close, stands_in=settings.stand_in)
