"""One connection that is secured: TLS towards the client, and the plain bytes towards the server of gRPC.

Python's gRPC can neither take clients with and without certificates at one port, nor say why it refused one, nor end a
connection whose certificate was revoked. So TLS is spoken here, by OpenSSL on buffers in memory, and the server listens
at a socket in ``run/`` that nobody else can open.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from typing import Protocol

from trunnion_rpc.frames import FrameWatch

LINGER = 2.0
"""Seconds in which the last words may reach a client."""

CHUNK = 256 << 10
"""Bytes that are taken out of TLS at a time."""


class Watcher(Protocol):
    """Is told what becomes of lines."""

    def begun(self, line: TlsLine) -> None:
        """A client has connected; it may be hung up on at once."""

    def secured(self, line: TlsLine) -> None:
        """TLS is established; nothing the client says is passed on until ``join``."""

    def failed(self, line: TlsLine, error: ssl.SSLError) -> None:
        """It could not be established, and the client was told by TLS."""

    def late(self, line: TlsLine) -> None:
        """It was not established in time."""

    def unruly(self, line: TlsLine, problem: str) -> None:
        """It was cut off for what the client sent."""

    def gone(self, line: TlsLine) -> None:
        """The client is gone."""


class TlsLine(asyncio.Protocol):
    """The side of a client.

    Args:
        context: the certificates that count for this connection.
        watcher: is told what becomes of it.
        timeout: seconds until TLS must be established.
        frames: looks at what the client says.

    Attributes:
        secured: whether it is.
        host: the address of the client.
    """

    def __init__(self, context: ssl.SSLContext, watcher: Watcher, timeout: float, frames: FrameWatch) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._context = context
        self._watcher = watcher
        self._timeout = timeout
        self._frames = frames
        self._early = bytearray()
        self._inner: Inner | None = None
        self._ended = False
        self.secured = False
        self.host = ""
        self._tls: ssl.SSLObject
        self._transport: asyncio.Transport
        self._limit: asyncio.TimerHandle

    # -- what asyncio says ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = transport  # type: ignore[assignment]  # those of uvloop do not derive from asyncio's
        self.host = str((transport.get_extra_info("peername") or ("",))[0])
        self._limit = asyncio.get_running_loop().call_later(self._timeout, self._late)
        self._watcher.begun(self)
        if not self._ended:
            self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def data_received(self, data: bytes) -> None:
        """Something came from the client."""
        if self._ended:
            return
        self._incoming.write(data)
        try:
            self._read()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._broken(error)

    def eof_received(self) -> None:
        """The client says no more; the transport closes itself."""

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._ended = True
        self._limit.cancel()
        if self._inner is not None:
            self._inner.close()
        self._watcher.gone(self)

    def pause_writing(self) -> None:
        """The client takes its time, so the server has to wait."""
        if self._inner is not None:
            self._inner.pause()

    def resume_writing(self) -> None:
        """The client is ready for more."""
        if self._inner is not None:
            self._inner.resume()

    # -- TLS ------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """As much as there is.

        Raises:
            SSLWantReadError: there is no more.
            SSLError: it is no TLS, or ends.
        """
        if not self.secured:
            self._tls.do_handshake()
            self.secured = True
            self._limit.cancel()
            self._transport.pause_reading()
            self._watcher.secured(self)
        while not self._ended:
            data = self._tls.read(CHUNK)
            if not data:
                self.end()
            elif problem := self._frames.look(data):
                self._watcher.unruly(self, problem)
                self.abort()
            elif self._inner is None:
                self._early += data
            else:
                self._inner.send(data)

    def _broken(self, error: ssl.SSLError) -> None:
        """OpenSSL has put an alert into its buffer, which the client is to see before the end."""
        if self.secured:
            self.end()
            return
        self._ended = True
        self._limit.cancel()
        self._flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()  # closed at once, what was not read yet would drive out the alert
        asyncio.get_running_loop().call_later(LINGER, self._transport.abort)
        self._watcher.failed(self, error)

    def _late(self) -> None:
        self._watcher.late(self)
        self.abort()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._transport.write(data)

    # -- for whoever made it --------------------------------------------------------------------------

    @property
    def protocol(self) -> str | None:
        """What the client wants to speak, by ALPN."""
        return self._tls.selected_alpn_protocol()

    def chain(self) -> Sequence[bytes]:
        """The certificates the client showed, as DER, up to the authority's; none if it showed none."""
        return verified_chain(self._tls)

    def join(self, inner: Inner) -> None:
        """Pass on what the client says from now on, and what it has said."""
        self._inner = inner
        if self._ended:
            inner.close()
            return
        if self._early:
            inner.send(bytes(self._early))
            self._early.clear()
        self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Say something to the client."""
        if self._ended:
            return
        left = memoryview(data)
        try:
            while left:
                left = left[self._tls.write(left) :]
        except ssl.SSLError:
            self.end()
        self._flush()

    def pause(self) -> None:
        """The server takes its time, so the client has to wait."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """The server is ready for more."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def end(self) -> None:
        """Close it, once what was said is out; a client that does not listen is not waited for."""
        if self._ended:
            return
        self._ended = True
        self._limit.cancel()
        with contextlib.suppress(ssl.SSLError):  # the client has not said goodbye itself yet
            self._tls.unwrap()
        self._flush()
        self._transport.close()
        asyncio.get_running_loop().call_later(LINGER, self._transport.abort)

    def abort(self) -> None:
        """Close it at once."""
        self._ended = True
        self._limit.cancel()
        self._transport.abort()


class Inner(asyncio.Protocol):
    """The side of the server.

    Args:
        line: the client's.
    """

    def __init__(self, line: TlsLine) -> None:
        self._line = line
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is connected."""
        self._transport = transport  # type: ignore[assignment]  # those of uvloop do not derive from asyncio's

    def data_received(self, data: bytes) -> None:
        """The server says something."""
        self._line.send(data)

    def connection_lost(self, error: Exception | None) -> None:
        """The server has ended it."""
        self._line.end()

    def pause_writing(self) -> None:
        """The server takes its time."""
        self._line.pause()

    def resume_writing(self) -> None:
        """The server is ready for more."""
        self._line.resume()

    def send(self, data: bytes) -> None:
        """Say something to the server."""
        self._transport.write(data)

    def pause(self) -> None:
        """The client takes its time."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """The client is ready for more."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """The client is gone."""
        self._transport.close()


def verified_chain(tls: ssl.SSLObject) -> Sequence[bytes]:
    """The certificates of the other side as OpenSSL verified them, as DER, its own first.

    Python has a public name for it from 3.13 on; before, the object beneath has the same.
    """
    public = getattr(tls, "get_verified_chain", None)
    if public is not None:
        return list(public())
    found = tls._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]
    return [each.public_bytes(_DER) for each in found]


_DER = 2
"""``_ssl.ENCODING_DER``."""
