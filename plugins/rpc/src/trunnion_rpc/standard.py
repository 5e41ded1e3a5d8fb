"""The services that gRPC itself defines: whether the door answers, and what the protocol is.

They stand behind the same guard as the service of the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping

import trunnion_rpc.quiet  # noqa: F401  # isort: skip
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from trunnion import Caller, NotFound, TrunnionError
from trunnion_rpc.call import Call, Shared
from trunnion_rpc.guard import Guard, Method, downward, duplex, unary
from trunnion_rpc.identity import Known
from trunnion_rpc.service import SERVICE

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


class Anybody:
    """Whoever asks whether the door answers; nothing can be done with it."""

    async def caller(self, metadata: Iterable[tuple[str, str | bytes]], peer: str) -> Caller:
        """Nobody."""
        return Caller("", "rpc", "viewer")

    def lost(self, peer: str) -> TrunnionError | None:
        """They need not be anybody."""
        return None


def standard_services(shared: Shared, identity: Known) -> Iterator[Guard]:
    """Those that are switched on; for whoever is known, unless the settings say otherwise."""
    settings = shared.settings
    if settings.health != "off":
        whom: Known = identity if settings.health == "known" else Anybody()
        yield Guard(shared, whom, HEALTH, HEALTH_METHODS)
    if settings.reflection != "off":
        yield Guard(shared, identity, REFLECTION, {"ServerReflectionInfo": _reflection(settings.health != "off")})


# -- health ------------------------------------------------------------------------------------------------------------


def _status(call: Call) -> HealthCheckResponse:
    closing = call.shared.closing.is_set()
    return HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING if closing else HealthCheckResponse.SERVING)


async def _check(call: Call, request: HealthCheckRequest) -> HealthCheckResponse:
    if request.service not in ("", SERVICE):
        raise NotFound(f"there is no service {request.service!r}")
    return _status(call)


async def _watch(call: Call, request: HealthCheckRequest) -> AsyncGenerator[bytes, None]:
    if request.service not in ("", SERVICE):
        yield HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN).SerializeToString()
        await asyncio.Event().wait()
    yield _status(call).SerializeToString()
    await call.shared.closing.wait()
    yield _status(call).SerializeToString()


HEALTH_METHODS: Mapping[str, Method] = {
    "Check": unary(HealthCheckRequest, _check),
    "Watch": downward(HealthCheckRequest, _watch),
}


# -- reflection --------------------------------------------------------------------------------------------------------


def _reflection(with_health: bool) -> Method:
    servicer = ReflectionServicer([SERVICE, REFLECTION, *([HEALTH] if with_health else [])])

    async def info(call: Call, requests: AsyncIterator[ServerReflectionRequest]) -> AsyncGenerator[bytes, None]:
        async for request in requests:
            # It has no use for a context.
            for answer in servicer.ServerReflectionInfo(iter((request,)), None):  # type: ignore[arg-type]
                yield answer.SerializeToString()

    return duplex(ServerReflectionRequest, info)
