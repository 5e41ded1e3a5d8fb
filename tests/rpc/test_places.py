"""Ports of this machine, and what gRPC itself offers there: nothing for strangers."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from rpc_kit import Raw, opened, refused

from trunnion import TrunnionError
from trunnion_rpc.v1 import runtime_pb2 as pb

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


# -- ports -------------------------------------------------------------------------------------------------


async def test_a_port_of_this_machine_asks_for_a_token(tmp_path: Path) -> None:
    """Loopback is no identity: everybody on the machine gets there."""
    async with opened(tmp_path, 'listen=["unix", "127.0.0.1:0", "[::1]:0"]') as host:
        unix, four, six = host.part.address.split(", ")
        assert unix == f"unix:{host.socket}"
        token = await host.person("vera", "viewer")
        for address in (four, six):
            async with Raw(address) as raw:
                error = await refused(raw.ask("GetHost", pb.GetHostRequest()))
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED
                assert "authorization" in error.details()
            async with Raw(address, token) as raw:
                assert (await raw.ask("GetHost", pb.GetHostRequest())).principal == "vera"


async def test_a_port_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    """Defence: ``grpc.so_reuseport`` is off, else both would get half of the calls."""
    async with (
        opened(tmp_path / "a", 'listen=["127.0.0.1:0"]') as one,
        opened(tmp_path / "b", f'listen=["{one.part.address}"]') as other,
    ):
        assert (other.part.status, other.part.crashes) == ("failed", 1)
        assert other.part.reason.endswith(f"Failed to bind to address {one.part.address}; is it in use?")


@pytest.mark.parametrize("place", ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051", "localhost:1", "unix:/tmp/x", "127.0.0.1"])
async def test_what_others_could_reach_is_refused_with_the_configuration(tmp_path: Path, place: str) -> None:
    with pytest.raises(TrunnionError) as error:
        async with opened(tmp_path, f'listen=["{place}"]'):
            pass
    assert error.value.code == "invalid_config"
    assert "rpc.listen" in error.value.message


async def test_it_is_refused_by_the_door_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``is_afar`` in the frontend, should the configuration not have been looked at."""
    monkeypatch.setattr("trunnion_rpc.settings.is_afar", lambda _: False)
    async with opened(tmp_path, 'listen=["0.0.0.0:0"]') as host:
        assert (host.part.status, host.part.crashes) == ("failed", 1)
        assert "[rpc.tls]" in host.part.reason


# -- what gRPC itself offers -------------------------------------------------------------------------------


def listing() -> bytes:
    return ServerReflectionRequest(list_services="").SerializeToString()


async def reflected(raw: Raw) -> ServerReflectionResponse:
    call = raw.channel.stream_stream(f"/{REFLECTION}/ServerReflectionInfo")(metadata=raw.metadata)
    await call.write(listing())
    answer = await call.read()
    await call.done_writing()
    if answer is grpc.aio.EOF:
        raise await _ended(call)
    return ServerReflectionResponse.FromString(answer)


async def _ended(call) -> Exception:
    return grpc.aio.AioRpcError(await call.code(), None, None, await call.details())


async def test_j9_health_and_reflection_are_for_those_who_are_known(tmp_path: Path) -> None:
    async with opened(tmp_path, 'listen=["127.0.0.1:0"]', "reflection=known") as host:
        token = await host.person("vera", "viewer")
        async with Raw(host.part.address) as stranger:
            error = await refused(stranger.ask("Check", HealthCheckRequest(), HEALTH))
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            assert (await refused(stranger.listen("Watch", HealthCheckRequest(), HEALTH).read())).code() == error.code()
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await reflected(stranger)
            assert unknown.value.code() == grpc.StatusCode.UNAUTHENTICATED
        async with Raw(host.part.address, token) as vera:
            for service in ("", "trunnion.v1.RuntimeService"):
                answer = await vera.ask("Check", HealthCheckRequest(service=service), HEALTH)
                assert HealthCheckResponse.FromString(answer).status == HealthCheckResponse.SERVING
            error = await refused(vera.ask("Check", HealthCheckRequest(service="other"), HEALTH))
            assert error.code() == grpc.StatusCode.NOT_FOUND
            services = [service.name for service in (await reflected(vera)).list_services_response.service]
            assert services == [HEALTH, REFLECTION, "trunnion.v1.RuntimeService"]


async def test_j9_a_reflection_that_goes_on_does_not_outlive_its_token(tmp_path: Path) -> None:
    """Defence: ``Guard._still`` asks anew for each request."""
    async with opened(tmp_path, "reflection=known") as host:
        token = await host.person("vera", "viewer")
        async with Raw(host.socket, token) as vera:
            call = vera.channel.stream_stream(f"/{REFLECTION}/ServerReflectionInfo")(metadata=vera.metadata)
            request = ServerReflectionRequest(list_services="*").SerializeToString()
            await call.write(request)
            assert await call.read() is not grpc.aio.EOF
            await host.do("principals.set", name="vera", disabled=True)
            await call.write(request)
            assert (await refused(call.read())).code() == grpc.StatusCode.UNAUTHENTICATED


async def test_health_for_anybody_tells_anybody_and_nothing_else_does(tmp_path: Path) -> None:
    async with opened(tmp_path, 'listen=["127.0.0.1:0"]', "health=anybody") as host, Raw(host.part.address) as raw:
        answer = await raw.ask("Check", HealthCheckRequest(), HEALTH)
        assert HealthCheckResponse.FromString(answer).status == HealthCheckResponse.SERVING
        error = await refused(raw.ask("GetHost", pb.GetHostRequest()))
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_what_is_off_is_not_there(tmp_path: Path) -> None:
    async with opened(tmp_path, "health=off") as host, Raw(host.socket) as raw:
        error = await refused(raw.ask("Check", HealthCheckRequest(), HEALTH))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError) as off:
            await reflected(raw)
        assert off.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_whoever_watches_is_told_that_the_door_is_being_shut(tmp_path: Path) -> None:
    async with opened(tmp_path) as host, Raw(host.socket) as raw:
        call = raw.listen("Watch", HealthCheckRequest(), HEALTH)
        assert HealthCheckResponse.FromString(await call.read()).status == HealthCheckResponse.SERVING
        await host.host._parts.stop()
        assert HealthCheckResponse.FromString(await call.read()).status == HealthCheckResponse.NOT_SERVING
