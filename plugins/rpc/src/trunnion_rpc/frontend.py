"""The door while it is open: a server of gRPC for each place it listens at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import trunnion_rpc.quiet  # noqa: F401  # isort: skip
import grpc
import grpc.aio

from trunnion import Conflict, HostHandle, InvalidConfig, PrivateSocket, Ready
from trunnion.protocol import address
from trunnion_rpc.call import Shared
from trunnion_rpc.guard import Guard
from trunnion_rpc.identity import Identity, Known, SecuredIdentity
from trunnion_rpc.places import UNIX, TcpPlace, is_afar, problem_of, socket_of, tcp_place
from trunnion_rpc.service import METHODS, SERVICE
from trunnion_rpc.settings import RpcSettings, read_settings, require_record
from trunnion_rpc.standard import standard_services
from trunnion_rpc.tls_front import fronted
from trunnion_rpc.watch import Watch, opened

GRACE = 0.2
"""Seconds for what is being answered when the door is shut."""

LEAVING = 256
"""Connections that gRPC may still be letting go of, where a front has others make way."""

PING_INTERVAL = 5.0
"""Seconds between two pings of a client that has nothing else to say; the third that comes too early ends the line."""


async def serve(host: HostHandle, ready: Ready) -> None:
    """Serve all places until cancelled.

    Raises:
        InvalidConfig: it may not be opened like this.
        Conflict: a place is taken.
    """
    settings = read_settings(host.settings)
    require_record(settings, host.recorded)
    shared = Shared(host, settings)
    host.on_settings(shared.follow)
    async with AsyncExitStack() as stack:
        tls = settings.tls
        watch = await opened(host, tls) if tls is not None else None
        spelled = [
            await stack.enter_async_context(_listening(shared, place, number, watch))
            for number, place in enumerate(settings.listen)
        ]
        ready(", ".join(spelled))
        if watch is not None:
            await watch.run()
        await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def _listening(shared: Shared, place: str, number: int, watch: Watch | None) -> AsyncIterator[str]:
    """One place, served; gives its address."""
    if problem := problem_of(place):  # it was looked at with the configuration; a door is shut twice
        raise InvalidConfig(f"rpc.listen: {problem}")
    if watch is None and is_afar(place):
        raise InvalidConfig(f"rpc.listen: {place!r} can be reached from other machines, which needs [rpc.tls]")
    tcp, front = tcp_place(place), None
    server = grpc.aio.server(options=options(shared.settings, counted=watch is not None and tcp is not None))
    identity: Known
    async with AsyncExitStack() as stack:
        if place == UNIX or tcp is None:
            path = socket_of(shared.host.data.run)
            stack.enter_context(_bound(server, path))
            owner = await shared.host.door.authenticate(PrivateSocket(path))
            identity, spelled = Identity(shared.host.door, silent=owner), f"unix:{path}"
        elif watch is not None:
            path = shared.host.data.run / f"rpc-{number}.sock"
            front = watch.front(shared.settings, stack.enter_context(_bound(server, path)))
            identity, spelled = SecuredIdentity(shared.host, front, tokens=watch.tokens_count), ""
        else:
            identity, spelled = Identity(shared.host.door), _bind(server, tcp)
        server.add_generic_rpc_handlers(
            (Guard(shared, identity, SERVICE, METHODS), *standard_services(shared, identity))
        )
        await server.start()
        try:
            if front is not None and tcp is not None:
                spelled = await stack.enter_async_context(fronted(front, tcp))
            yield spelled
        finally:
            shared.closing.set()
            await server.stop(GRACE)


@contextmanager
def _bound(server: grpc.aio.Server, path: Path) -> Iterator[str]:
    """A socket in ``run/``: nobody else can look into that folder, nor open the socket. Gives a spelling of it."""
    address.clear(path)
    with address.short(path) as spelling:
        try:
            _added(lambda: server.add_insecure_port(f"unix:{spelling}"), str(path))
            path.chmod(0o600)
            yield spelling
        finally:
            path.unlink(missing_ok=True)


def _bind(server: grpc.aio.Server, place: TcpPlace) -> str:
    """A port of this machine that only this machine reaches."""
    wanted = place.spelled(place.port)
    return place.spelled(_added(lambda: server.add_insecure_port(wanted), wanted))


def _added(add: Callable[[], int], where: str) -> int:
    try:
        return add()
    except RuntimeError as error:
        why = str(error).partition(";")[0]  # what follows is of variables of gRPC's own
        raise Conflict(f"rpc cannot listen at {where}: {why}; is it in use?") from None


def options(settings: RpcSettings, *, counted: bool = False) -> list[tuple[str, int]]:
    """What gRPC itself sees to.

    Args:
        settings: of the door.
        counted: whether a front counts the connections; what has made way there, gRPC takes a moment to let go of.
    """
    keepalive = _milliseconds(settings.keepalive)
    connections = 2 * settings.max_connections + LEAVING if counted else settings.max_connections
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),  # else some of what is larger is let pass
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.max_concurrent_streams", settings.max_connection_calls),
        ("grpc.server_handshake_timeout_ms", _milliseconds(settings.handshake_timeout)),
        ("grpc.http2.settings_timeout", _milliseconds(settings.handshake_timeout)),  # until it has agreed to the limits
        ("grpc.max_connection_idle_ms", _milliseconds(settings.max_idle)),
        ("grpc.so_reuseport", 0),  # else a second process could share the port and get half of the calls
        ("grpc.keepalive_time_ms", keepalive),
        ("grpc.keepalive_timeout_ms", keepalive),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(PING_INTERVAL)),
        ("grpc.http2.max_ping_strikes", 2),
    ]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
