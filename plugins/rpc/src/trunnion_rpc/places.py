"""Where the door may listen, as the configuration names it."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple

UNIX = "unix"
"""The socket in the data directory."""

SOCKET = "rpc.sock"
"""Its name in ``run/``."""

_tcp = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:]+)):([0-9]{1,5})")


class TcpPlace(NamedTuple):
    """An address and port of this machine; port 0 takes any that is free."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    def spelled(self, port: int) -> str:
        """As an address of gRPC, with the port it came to."""
        return f"[{self.host}]:{port}" if self.host.version == 6 else f"{self.host}:{port}"


def tcp_place(text: str) -> TcpPlace | None:
    """The address and port a text names, None if it names none."""
    found = _tcp.fullmatch(text)
    if found is None or int(found[3]) > 65_535:
        return None
    try:
        return TcpPlace(ipaddress.ip_address(found[1] or found[2]), int(found[3]))
    except ValueError:
        return None


def problem_of(text: str) -> str:
    """What is wrong with a place, ``""`` for nothing."""
    if text == UNIX:
        return ""
    place = tcp_place(text)
    if place is None:
        return f"{text!r} is neither {UNIX!r} nor an address and port such as 127.0.0.1:50051 or [::1]:50051"
    return ""


def is_afar(text: str) -> bool:
    """Whether a place can be reached from other machines."""
    place = tcp_place(text)
    return place is not None and not place.host.is_loopback


def socket_of(run: Path) -> Path:
    """The socket of the host whose run directory this is."""
    return run / SOCKET
