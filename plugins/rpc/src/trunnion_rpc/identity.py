"""Who makes a call: by the token it shows, by the certificate of its connection, or, on their own socket, the owner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from trunnion import BearerToken, Caller, ClientCertificate, Door, HostHandle, TrunnionError, Unauthenticated
from trunnion_rpc.header import HEADER

if TYPE_CHECKING:
    from trunnion_rpc.tls_front import Connection, Front

REFUSED = "the credential is not valid here"
"""As the host says it, whatever was wrong."""


class Known(Protocol):
    """Says who makes a call."""

    async def caller(self, metadata: Iterable[tuple[str, str | bytes]], peer: str) -> Caller:
        """Who it is.

        Args:
            metadata: of the call.
            peer: the connection it came by, as gRPC calls it.

        Raises:
            TrunnionError: nobody can say.
        """

    def lost(self, peer: str) -> TrunnionError | None:
        """Why calls of a connection were cancelled, if it is because who it was does not count any more."""


class Identity:
    """Maps the metadata of calls to callers. The host is asked anew for each call.

    Args:
        door: authenticates.
        silent: who it is that shows nothing; None where everybody has to.
    """

    def __init__(self, door: Door, silent: Caller | None = None) -> None:
        self._door = door
        self._silent = silent

    def lost(self, peer: str) -> TrunnionError | None:
        """The host itself sees to tokens."""
        return None

    async def caller(self, metadata: Iterable[tuple[str, str | bytes]], peer: str) -> Caller:
        """Who makes a call. A credential that is shown counts, also where none is needed.

        Raises:
            Unauthenticated: nobody can say.
            Busy: too many attempts failed.
        """
        shown = [value for name, value in metadata if name == HEADER]
        if not shown and self._silent is not None:
            return self._silent
        token = bearer(shown[0]) if len(shown) == 1 else None
        if token is not None:
            return await self._door.authenticate(BearerToken(token))
        try:  # so that it is told of and slowed down like any other proof that fails
            return await self._door.authenticate(BearerToken(""))
        except Unauthenticated:
            raise Unauthenticated(f"say who you are, once: {HEADER}: Bearer TOKEN") from None


class SecuredIdentity:
    """Maps calls by TLS to callers. The host is asked anew for each call.

    Args:
        host: the door's handle.
        front: knows the connections.
        tokens: whether a token says who somebody is, too; one that is shown counts instead of the certificate.
    """

    def __init__(self, host: HostHandle, front: Front, *, tokens: bool) -> None:
        self._host = host
        self._front = front
        self._tokens = Identity(host.door) if tokens else None

    def lost(self, peer: str) -> TrunnionError | None:
        """Why calls of a connection were cancelled, if it is for its certificate."""
        connection = self._front.find(peer)
        return _lost(connection) if connection is not None and connection.lost else None

    async def caller(self, metadata: Iterable[tuple[str, str | bytes]], peer: str) -> Caller:
        """Who makes a call.

        Raises:
            Unauthenticated: nobody can say.
            Busy: too many attempts failed.
        """
        connection = self._front.find(peer)
        caller = await self._known(connection, metadata, peer)
        if connection is not None:
            connection.proven = True
        return caller

    async def _known(
        self, connection: Connection | None, metadata: Iterable[tuple[str, str | bytes]], peer: str
    ) -> Caller:
        if connection is None:  # it is gone by now, or came by the socket behind
            raise self._host.refuse("connection", "unknown", "it did not come by the place that is secured")
        connection.tie(asyncio.current_task())
        if connection.ends <= time.time():  # before its turn comes to be looked at
            self._front.judge(connection)
        if connection.lost:
            raise _lost(connection)
        if connection.misfit is not None:  # whatever else is shown; what it is was put on record with the connection
            raise Unauthenticated(REFUSED)
        shown = any(name == HEADER for name, _ in metadata)
        if self._tokens is not None and (shown or connection.shown is None):
            return await self._tokens.caller(metadata, peer)
        if shown:
            facts = {"peer": connection.line.host}
            raise self._host.refuse("token", "not_here", "certificates alone count here", {**facts})
        if connection.shown is None:
            raise self._host.refuse("certificate", "none", "the client has shown none")
        given = ClientCertificate(connection.shown.principal, connection.shown.fingerprint)
        return await self._host.door.authenticate(given)


def _lost(connection: Connection) -> Unauthenticated:
    why = connection.misfit.text if connection.misfit is not None else "it does not count any more"
    return Unauthenticated(f"connect again, with another certificate: {why}")


def bearer(value: str | bytes) -> str | None:
    """The token in a header of the form of RFC 6750, None where it has another."""
    if isinstance(value, bytes):
        return None
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
