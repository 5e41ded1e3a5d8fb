"""Where a client connects, and the files by which it and the host know each other."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from trunnion import InvalidArguments

PLAIN, SECURE, UNIX = "grpc://", "grpcs://", "unix:"
SPELLINGS = "grpcs://HOST:PORT, grpc://127.0.0.1:PORT or unix:PATH"

_place = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")


class Tls(msgspec.Struct, frozen=True):
    """What a connection is secured with; the files hold PEM and are read again when they have changed.

    Attributes:
        ca: certificates that may have signed that of the host; None for those that gRPC comes with.
        cert: the client's own certificate, with those between it and its authority.
        key: the key that belongs to it.
        server_name: the name the host's certificate has to be for, if it is not the one that is connected to.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All that are named."""
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)


class Target(NamedTuple):
    """Where to connect.

    Attributes:
        place: a socket, or an address and port as gRPC spells it.
        tls: None for a connection in the clear.
    """

    place: Path | str
    tls: Tls | None

    @property
    def is_here(self) -> bool:
        """Whether it cannot lead to another machine."""
        return isinstance(self.place, Path) or _is_here(self.place.rpartition(":")[0].strip("[]"))


def target_of(given: Path | str, tls: Tls | None = None) -> Target:
    """What a target means that somebody wrote down.

    Args:
        given: ``grpcs://HOST:PORT``, ``grpc://127.0.0.1:PORT``, ``unix:PATH``, a path, or a bare address and port.
        tls: how it is secured. A bare address is connected to in the clear without.

    Raises:
        InvalidArguments: it means nothing, or would send in the clear what others could read.
    """
    if tls is not None and (tls.cert is None) != (tls.key is None):
        raise InvalidArguments("a client's certificate and its key go together: name both files, or none")
    if isinstance(given, Path) or given.startswith(UNIX):
        if tls is not None:
            raise InvalidArguments(f"{given} is a socket of this machine, which needs no certificates")
        return Target(given if isinstance(given, Path) else _path(given), None)
    secure = given.startswith(SECURE) or (tls is not None and "://" not in given)
    address = given.removeprefix(SECURE if secure else PLAIN)
    found = _place.fullmatch(address)
    if found is None or not 0 < int(found[3]) < 65_536:
        raise InvalidArguments(f"{given!r} is no place of a host: write {SPELLINGS}")
    if secure:
        return Target(address, tls or Tls())
    if tls is not None:
        raise InvalidArguments(f"{given!r} is connected to in the clear, without certificates: write {SECURE}{address}")
    if not _is_here(found[1] or found[2]):
        raise InvalidArguments(f"{given!r} is another machine, and others could read along: write {SECURE}{address}")
    return Target(address, None)


def _path(given: str) -> Path:
    path = given.removeprefix(UNIX)
    return Path(path.removeprefix("//") if path.startswith("///") else path)


def _is_here(name: str) -> bool:
    """Whether a name or address cannot lead to another machine."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
