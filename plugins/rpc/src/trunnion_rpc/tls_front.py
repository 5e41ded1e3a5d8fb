"""A place where TLS is spoken: who has connected, by which certificate, and whether it still counts."""

from __future__ import annotations

import asyncio
import math
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from trunnion import Conflict, HostHandle
from trunnion_rpc.certificates import Shown, read_chain, require_standing
from trunnion_rpc.frames import FrameWatch
from trunnion_rpc.knocks import Knocks
from trunnion_rpc.misfit import Misfit
from trunnion_rpc.places import TcpPlace
from trunnion_rpc.settings import RpcSettings
from trunnion_rpc.tls_line import Inner, TlsLine
from trunnion_rpc.trust import Trust

MOST_UNSECURED = 128
"""Connections that may be on their way to be secured; the longest of them makes way for another one."""

GRACE = 0.3
"""Seconds in which those whose certificate does not count any more are told so."""

UNRULY = 40
"""How many failures it counts for to be cut off for what one sends: the first time somebody is kept out for 11 s."""

_REASONS = {
    7: ("bad_signature", "it is not signed by the authority whose name it bears"),
    9: ("not_yet_valid", "it is not valid yet, or one of its authorities is not"),
    10: ("expired", "it has expired, or one of its authorities has"),
    18: ("self_signed", "it is signed by itself alone"),
    19: ("unknown_authority", "its authority is not trusted here"),
    20: ("unknown_authority", "its authority is not trusted here"),
    21: ("bad_signature", "its signature cannot be checked"),
    24: ("not_an_authority", "it is signed by something that is no authority"),
    26: ("wrong_usage", "it is not one for clients, by its key usage or extended key usage"),
    66: ("weak_key", "its key is too weak"),
    67: ("weak_key", "the key of its authority is too weak"),
    68: ("weak_signature", "it is signed in a way that can be forged"),
    79: ("not_an_authority", "it is signed by something that is no authority"),
}
"""What OpenSSL says of a certificate (X509_V_ERR_…) -> reason and text for the record."""

_NO_TLS = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE"})


class Connection:
    """One client's connection.

    Attributes:
        line: to the client.
        shown: what it showed; None for no certificate, or one that is refused.
        ends: when what it showed does, in seconds since 1970.
        misfit: what is wrong with it, for which every call is refused.
        lost: whether it was right before, and calls under way are told so.
        proven: whether somebody has called by it who is known here; until then it makes way for others.
    """

    def __init__(self, line: TlsLine, shown: Shown | None, misfit: Misfit | None) -> None:
        self.line = line
        self.shown = shown
        self.ends = math.inf if shown is None else shown.ends.timestamp()
        self.misfit = misfit
        self.lost = False
        self.proven = False
        self._calls: set[asyncio.Task[object]] = set()

    def tie(self, call: asyncio.Task[object] | None) -> None:
        """A call that ends when the certificate does not count any more."""
        if call is not None and call not in self._calls:
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    def lose(self, misfit: Misfit) -> None:
        """Its certificate does not count any more: say so to all calls, then hang up."""
        self.misfit, self.lost = misfit, True
        for call in self._calls:
            call.cancel()
        asyncio.get_running_loop().call_later(GRACE, self.line.end)


class Front:
    """The connections at one place.

    Args:
        host: is told of those that are refused.
        settings: of the door.
        trust: the files of ``[rpc.tls]``; another one may take its place at any time.
        trust_domain: whose names count; None for common names.
        inner: the address of the socket at which gRPC listens.
    """

    def __init__(
        self, host: HostHandle, settings: RpcSettings, trust: Trust, trust_domain: str | None, inner: str
    ) -> None:
        self.trust = trust
        self._host = host
        self._settings = settings
        self._trust_domain = trust_domain
        self._inner = inner
        self._unsecured: dict[TlsLine, None] = {}
        self._connections: dict[str, Connection] = {}
        self._peers: dict[TlsLine, str] = {}
        self._knocks = Knocks(asyncio.get_running_loop().time)
        self._unruly = Knocks(asyncio.get_running_loop().time)
        self._joining: set[asyncio.Task[None]] = set()

    def line(self) -> TlsLine:
        """For a client that connects."""
        frames = FrameWatch(self._settings.max_metadata_bytes, time.monotonic)
        return TlsLine(self.trust.context, self, self._settings.handshake_timeout, frames)

    def find(self, peer: str) -> Connection | None:
        """The connection of a call, by what gRPC calls its peer."""
        return self._connections.get(peer)

    def __len__(self) -> int:
        """How many connections are secured."""
        return len(self._connections)

    # -- what becomes of lines ------------------------------------------------------------------------

    def begun(self, line: TlsLine) -> None:
        """Whoever connects and says nothing does not keep others out, nor does who fails again and again."""
        if not self._knocks.welcome(line.host):
            self._refuse("connection", Misfit("too_often", "TLS failed too often from its address; wait a while"), line)
            line.abort()
            return
        if len(self._unsecured) >= MOST_UNSECURED:
            longest = next(iter(self._unsecured))
            del self._unsecured[longest]
            longest.abort()
        self._unsecured[line] = None

    def secured(self, line: TlsLine) -> None:
        """See who it is; whoever it is not is told so by gRPC, call by call."""
        self._unsecured.pop(line, None)
        self._knocks.succeeded(line.host)
        if line.protocol != "h2":
            self._refuse("connection", Misfit("not_http2", "the client does not speak HTTP/2"), line)
            line.end()
        elif not self._has_room():
            text = f"{self._settings.max_connections} are open already (rpc.max_connections)"
            self._refuse("connection", Misfit("too_many", text), line)
            line.end()
        else:
            connection = self._known(line)
            if not self._unruly.welcome(_name(line, connection)):
                self._refuse("connection", Misfit("unruly", "it was cut off a short time ago; wait a while"), line)
                line.end()
                return
            # A name that never comes again: no call can be taken for one of another connection.
            name = f"trunnion-rpc-{secrets.token_hex(16)}"
            self._peers[line] = peer = f"unix-abstract:{name}"
            self._connections[peer] = connection
            task = asyncio.get_running_loop().create_task(self._join(line, name), name="connection to rpc")
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    def _has_room(self) -> bool:
        """Whether there may be one more; the longest of those of which nobody is known makes way for it."""
        most = self._settings.max_connections
        if len(self._connections) < most:
            return True
        stranger = next((each.line for each in self._connections.values() if not each.proven), None)
        if stranger is None:
            return False
        text = f"{most} are open (rpc.max_connections), so it made way: nobody has called by it who is known here"
        self._refuse("connection", Misfit("made_way", text), stranger)
        stranger.abort()
        self.gone(stranger)
        return True

    def _known(self, line: TlsLine) -> Connection:
        chain = line.chain()
        if not chain:
            return Connection(line, None, None)
        try:
            shown = read_chain(chain, self._trust_domain)
            require_standing(shown, self.trust.judges, datetime.now(UTC))
        except Misfit as misfit:
            self._refuse("certificate", misfit, line)
            return Connection(line, None, misfit)
        return Connection(line, shown, None)

    async def _join(self, line: TlsLine, name: str) -> None:
        loop = asyncio.get_running_loop()
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            inner.bind(f"\0{name}")
            await loop.sock_connect(inner, self._inner)
            inner.getpeername()  # fails where the server's queue was full
            _, side = await loop.create_unix_connection(lambda: Inner(line), sock=inner)
        except OSError as error:
            inner.close()
            self._host.report("busy.problem", f"a connection could not be taken: {error}")
            line.abort()
            return
        line.join(side)

    def failed(self, line: TlsLine, error: ssl.SSLError) -> None:
        """Put on record why."""
        self._knocks.failed(line.host)
        if isinstance(error, ssl.SSLCertVerificationError):
            text = error.verify_message or "it cannot be verified"
            self._refuse("certificate", Misfit(*_REASONS.get(error.verify_code, ("invalid", text))), line)
        elif error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            self._refuse("certificate", Misfit("none", "the client has shown none"), line)
        elif error.reason in _NO_TLS:
            self._refuse("connection", Misfit("not_tls", "the client does not speak TLS"), line)
        else:
            text = f"TLS was not established: {error.reason or type(error).__name__}"
            self._refuse("connection", Misfit("tls_failed", text), line)

    def late(self, line: TlsLine) -> None:
        """Put on record that it took too long."""
        self._knocks.failed(line.host)
        text = f"TLS was not established within {self._settings.handshake_timeout:g} s"
        self._refuse("connection", Misfit("late", text), line)

    def unruly(self, line: TlsLine, problem: str) -> None:
        """Put on record why, and do not let them in again at once."""
        self._refuse("connection", Misfit("unruly", problem), line)
        connection = self._connections.get(self._peers.get(line, ""))
        self._unruly.failed(_name(line, connection), UNRULY)

    def gone(self, line: TlsLine) -> None:
        """Forget it."""
        self._unsecured.pop(line, None)
        self._connections.pop(self._peers.pop(line, ""), None)

    def _refuse(self, kind: str, misfit: Misfit, line: TlsLine) -> None:
        self._host.refuse(kind, misfit.reason, misfit.text, {"peer": line.host})

    # -- as time goes by ------------------------------------------------------------------------------

    def judge_again(self) -> None:
        """End the connections whose certificates do not count any more."""
        for connection in list(self._connections.values()):
            self.judge(connection)

    def judge(self, connection: Connection) -> None:
        """End a connection if its certificate does not count any more."""
        if connection.shown is None or connection.misfit is not None:
            return
        try:
            require_standing(connection.shown, self.trust.judges, datetime.now(UTC))
        except Misfit as misfit:
            facts = {"principal": connection.shown.principal, "peer": connection.line.host}
            self._host.refuse("certificate", misfit.reason, f"{misfit.text}; its connection ends", {**facts})
            connection.lose(misfit)

    def end(self) -> None:
        """The door is being shut."""
        for line in [*self._unsecured, *(connection.line for connection in self._connections.values())]:
            line.abort()


def _name(line: TlsLine, connection: Connection | None) -> str:
    """Whose connection it is: by certificate, by address where none was shown."""
    return connection.shown.principal if connection is not None and connection.shown is not None else line.host


@asynccontextmanager
async def fronted(front: Front, place: TcpPlace) -> AsyncIterator[str]:
    """Listen at a place; gives its address.

    Raises:
        Conflict: it is taken.
    """
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(front.line, str(place.host), place.port, reuse_port=False, backlog=256)
    except OSError as error:
        raise Conflict(f"rpc cannot listen at {place.spelled(place.port)}: {error.strerror}; is it in use?") from None
    try:
        yield f"grpcs://{place.spelled(server.sockets[0].getsockname()[1])}"
    finally:
        server.close()
        front.end()
