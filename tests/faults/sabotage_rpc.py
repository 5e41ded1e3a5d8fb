"""Defences of the door for gRPC, to be taken out by ``sabotage.py``. What they are is imported late: it brings gRPC."""

from __future__ import annotations

import sys


def set_no_limits() -> None:
    """Leave everything to gRPC that it is not told otherwise, and let anybody have as much under way as they like."""
    from trunnion_rpc import frontend
    from trunnion_rpc.crowd import Crowd

    frontend.options = lambda settings: [("grpc.so_reuseport", 0)]
    begin = Crowd.__init__

    def boundless(self: Crowd, what: str, most: int) -> None:
        begin(self, what, sys.maxsize)

    Crowd.__init__ = boundless  # type: ignore[method-assign]


def wait_for_requests() -> None:
    """Give a request all the time it wants to arrive."""
    from trunnion_rpc.guard import Guard

    async def waiting(self: Guard, context: object) -> bytes:
        return await context.read()  # type: ignore[attr-defined, no-any-return]

    Guard._request = waiting  # type: ignore[method-assign, assignment]


def read_nonsense() -> None:
    """Go on reading whatever is sent, by whomever."""
    from trunnion_rpc.nonsense import Nonsense

    Nonsense.require_sense = lambda self, principal: None  # type: ignore[method-assign]
