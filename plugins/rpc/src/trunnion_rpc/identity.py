"""Who makes a call: by the token it shows, or, on a socket that only the owner can reach, the owner."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from trunnion import BearerToken, Caller, Door, Unauthenticated

HEADER = "authorization"


class Known(Protocol):
    """Says who makes a call."""

    async def caller(self, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        """Who it is.

        Raises:
            TrunnionError: nobody can say.
        """


class Identity:
    """Maps the metadata of calls to callers. The host is asked anew for each call.

    Args:
        door: authenticates.
        silent: who it is that shows nothing; None where everybody has to.
    """

    def __init__(self, door: Door, silent: Caller | None = None) -> None:
        self._door = door
        self._silent = silent

    async def caller(self, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
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


def bearer(value: str | bytes) -> str | None:
    """The token in a header of the form of RFC 6750, None where it has another."""
    if isinstance(value, bytes):
        return None
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
