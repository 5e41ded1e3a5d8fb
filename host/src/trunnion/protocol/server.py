"""The local socket: lines of JSON between the host and programs of the same user.

Only the owner of the data directory and root are admitted; the kernel says who is calling. When
descriptors run short, the connection that has been idle longest makes room for a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, cast

from trunnion.model.access import LocalUser
from trunnion.model.contributions import Frontend, Ready
from trunnion.model.errors import ErrorInfo, InvalidArguments, TrunnionError
from trunnion.model.runs import Caller
from trunnion.protocol import address
from trunnion.protocol.connection import Connection, Limits
from trunnion.protocol.framing import LineSplitter
from trunnion.protocol.messages import EventEncoder, error_frame

if TYPE_CHECKING:
    from trunnion.kernel.handle import HostHandle

log = logging.getLogger("trunnion.protocol")

ACCEPTS_AT_ONCE = 64
ACCEPT_PAUSE = 0.1
"""Seconds without accepting after descriptors ran out."""

SPARE = 16
"""Descriptors that connections leave to the rest of the host once they have run out."""

LINGER = 1.0
"""Seconds a client has to read why its connection ends."""

REFUSED = 16
"""How many refused connections are kept open so that the reason can be read."""

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


async def serve(host: HostHandle, ready: Ready) -> None:
    """Serve the socket in the host's run directory until cancelled.

    Raises:
        Conflict: something else is at the socket's path.
        OSError: the run directory cannot be used.
    """
    async with SocketServer(host, host.data.run) as server:
        ready(str(server.path))
        await asyncio.get_running_loop().create_future()


SOCKET_FRONTEND = Frontend(name="socket", run=serve, source="cli", on_crash="restart")
"""The local socket as a frontend like any other."""


def connection_limit() -> int:
    """How many connections may be open: three quarters of the descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(4, soft - max(32, soft // 4))


class SocketServer:
    """Accepts connections while entered.

    Args:
        host: the handle of the door.
        run: the directory for the socket.
        limits: per connection.
        connections: most connections at a time; None takes ``connection_limit()``.

    Attributes:
        path: where it listens.
    """

    def __init__(
        self, host: HostHandle, run: Path, *, limits: Limits | None = None, connections: int | None = None
    ) -> None:
        self.path = address.socket_path(run)
        self._host = host
        self._limits = limits or Limits()
        self._most = connections if connections is not None else connection_limit()
        self._encoder = EventEncoder()
        self._peers: dict[Peer, None] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._refused: deque[socket.socket] = deque()
        self._retry: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> SocketServer:
        self._loop = asyncio.get_running_loop()
        self._listener = address.bind(self.path)
        self._inode = self.path.lstat().st_ino
        self._resume()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listener.fileno())
        address.remove(self.path, self._listener, self._inode)
        for task in (*self._asking, *self._opening):
            task.cancel()
        for peer in tuple(self._peers):
            peer.end()
        while self._refused:
            self._refused.popleft().close()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._peers)

    # -- accepting --------------------------------------------------------------------------------

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                connected, _unnamed = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._exhausted(os.strerror(error.errno or 0))
                return
            self._begin(self._asking, self._admit(connected))

    def _exhausted(self, reason: str) -> None:
        """Descriptors ran out below the limit, so the limit is too high: give some back, then go on."""
        self._most = max(SPARE, len(self._peers) + len(self._opening) + len(self._asking) - SPARE)
        while len(self._peers) > self._most and self._close_idlest():
            pass
        log.warning("no new connections for %s s, then %s at most: %s", ACCEPT_PAUSE, self._most, reason)
        self._loop.remove_reader(self._listener.fileno())
        self._retry = self._loop.call_later(ACCEPT_PAUSE, self._resume)

    def _begin(self, tasks: set[asyncio.Task[None]], step: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(step)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _admit(self, connected: socket.socket) -> None:
        """Ask who it is before anybody has to make room for it."""
        try:
            caller = await self._host.door.authenticate(LocalUser(address.peer_uid(connected)))
        except TrunnionError as error:
            self._refuse(connected, error.info)
            return
        if self._make_room():
            self._begin(self._opening, self._connect(connected, caller))
        else:
            self._refuse(connected, ErrorInfo("busy", f"{self._most} connections are open and in use; try again later"))

    async def _connect(self, connected: socket.socket, caller: Caller) -> None:
        connected.setblocking(False)
        await self._loop.connect_accepted_socket(lambda: Peer(self, caller), connected)

    def _refuse(self, connected: socket.socket, reason: ErrorInfo) -> None:
        """Say why in one line. Closing at once could take the line away from a client that is writing."""
        self._refused.append(connected)
        if len(self._refused) > REFUSED:
            self._refused.popleft().close()
        with contextlib.suppress(OSError):
            connected.setblocking(False)
            connected.send(error_frame(None, reason) + b"\n")
            connected.shutdown(socket.SHUT_WR)

    def _make_room(self) -> bool:
        return len(self._peers) + len(self._opening) < self._most or self._close_idlest()

    def _close_idlest(self) -> bool:
        """Close the connection that has been idle longest; False if none is idle."""
        idlest = next((peer for peer in self._peers if peer.connection.idle), None)
        if idlest is None:
            return False
        # At once: descriptors are what is short, and an idle client is not in the middle of a message.
        idlest.end(ErrorInfo("busy", "closed while idle, to make room for another connection"), linger=False)
        del self._peers[idlest]
        return True

    # -- peers ------------------------------------------------------------------------------------

    def connect(self, peer: Peer, caller: Caller) -> Connection:
        """A new peer is there: give it a connection."""
        self._peers[peer] = None
        return Connection(self._host, caller, peer, limits=self._limits, encoder=self._encoder)

    def active(self, peer: Peer) -> None:
        """A peer has sent something: it goes to the end of the order in which idle ones are closed."""
        if peer in self._peers:
            del self._peers[peer]
            self._peers[peer] = None

    def turned_down(self, error: TrunnionError, caller: Caller) -> None:
        """What a peer sends is not even a message."""
        self._host.turned_down("message", error, caller)

    def forget(self, peer: Peer) -> None:
        """A peer is gone."""
        self._peers.pop(peer, None)

    @property
    def limits(self) -> Limits:
        """What one connection may take."""
        return self._limits


class Peer(asyncio.Protocol):
    """One socket connection: frames what comes in, holds back what cannot go out."""

    connection: Connection
    _transport: asyncio.Transport

    def __init__(self, server: SocketServer, caller: Caller) -> None:
        self._server = server
        self._caller = caller
        self._lines = LineSplitter(server.limits.message_bytes)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._ending = False
        self._lost = False

    def write(self, message: bytes) -> None:
        """See ``Outlet.write``."""
        if not self._lost and not self._transport.is_closing():
            self._transport.writelines((message, b"\n"))

    async def room(self, limit: int) -> None:
        """See ``Outlet.room``."""
        while not self._lost and self._transport.get_write_buffer_size() > limit:
            await self._flowing.wait()

    def end(self, reason: ErrorInfo | None = None, *, linger: bool = True) -> None:
        """Close it, with what has been written still delivered; ``linger`` for a client that may be writing."""
        if self._ending:
            return
        self._ending = True
        self._lines = LineSplitter(0)  # what has come of a message too long is not kept while it lingers
        if reason is not None:
            self.write(error_frame(None, reason))
        self.connection.close()
        if not linger:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER, self._transport.abort)

    # -- called by the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        # Not checked: the transports of uvloop do not derive from those of asyncio.
        self._transport = cast(asyncio.Transport, transport)
        high = self._server.limits.soft_buffer
        self._transport.set_write_buffer_limits(high=high, low=high // 2)
        self.connection = self._server.connect(self, self._caller)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._ending:
            return
        self._server.active(self)
        try:
            lines = self._lines.feed(data)
        except InvalidArguments as error:
            self._server.turned_down(error, self._caller)
            self.end(error.info)
            return
        for line in lines:
            self.connection.receive(line)
        if self._transport.get_write_buffer_size() > self._server.limits.hard_buffer:
            self._transport.pause_reading()

    def pause_writing(self) -> None:  # noqa: D102
        self._flowing.clear()

    def resume_writing(self) -> None:  # noqa: D102
        self._flowing.set()
        if not self._transport.is_reading() and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._lost = True
        self._flowing.set()
        self._server.forget(self)
        self.connection.close()
