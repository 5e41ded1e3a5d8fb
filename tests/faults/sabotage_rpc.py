"""Defences of the door for gRPC, to be taken out by ``sabotage.py``. What they are is imported late: it brings gRPC."""

from __future__ import annotations

import sys


def set_no_limits() -> None:
    """Leave everything to gRPC that it is not told otherwise, and let anybody have as much under way as they like."""
    from trunnion_rpc import frontend
    from trunnion_rpc.crowd import Crowd

    frontend.options = lambda settings, **_: [("grpc.so_reuseport", 0)]
    begin = Crowd.__init__

    def boundless(self: Crowd, what: str, most: int) -> None:
        begin(self, what, sys.maxsize)

    Crowd.__init__ = boundless  # type: ignore[method-assign]


def wait_for_requests() -> None:
    """Give a request all the time it wants to arrive."""
    import msgspec

    from trunnion_rpc import frontend

    read = frontend.read_settings
    frontend.read_settings = lambda section: msgspec.structs.replace(read(section), request_timeout=3600.0)


def read_nonsense() -> None:
    """Go on reading whatever is sent, by whomever."""
    from trunnion_rpc.nonsense import Nonsense

    Nonsense.require_sense = lambda self, principal: None  # type: ignore[method-assign]


def see_no_frames() -> None:
    """Pass on whatever a client says."""
    from trunnion_rpc.frames import FrameWatch

    FrameWatch.look = lambda self, data: ""  # type: ignore[method-assign]
