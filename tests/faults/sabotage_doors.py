"""Defences of the door, to be taken out by ``sabotage.py``."""

from __future__ import annotations

import os
import socket

from trunnion.model.runs import Caller
from trunnion.protocol.server import SocketServer


def make_no_room() -> None:
    """Let whoever came first stay, idle or not."""
    SocketServer._close_idlest = lambda self: False  # type: ignore[method-assign]


def close_no_more() -> None:
    """Keep a descriptor of every connection, as a forgotten close does."""
    connect = SocketServer._connect

    async def kept(self: SocketServer, connected: socket.socket, caller: Caller) -> None:
        os.dup(connected.fileno())
        await connect(self, connected, caller)

    SocketServer._connect = kept  # type: ignore[method-assign]
