"""Who gets through TLS, and as whom: J1 and J9 of the fault matrix, and what the settings say."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from certs_kit import ANN, PREFACE, Plant, client_context, knock, revocations, write
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from rpc_kit import Raw, Rpc, opened, refused
from test_access import access_events
from test_places import HEALTH, reflected
from test_tls_names import REFUSED, plant_host, port_of, reasons, tried

from trunnion import Invocation, TrunnionError
from trunnion_rpc import trust
from trunnion_rpc.client import Client
from trunnion_rpc.identity import SecuredIdentity
from trunnion_rpc.target import Tls
from trunnion_rpc.v1 import runtime_pb2 as pb

HTTP1 = b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n"


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


class Secured(Raw):
    """Another client of gRPC than ours, by TLS."""

    def __init__(self, host: Rpc, tls: Tls, token: str | None = None) -> None:
        super().__init__("127.0.0.1:1", token)
        read = [None if path is None else path.read_bytes() for path in (tls.ca, tls.key, tls.cert)]
        options = [("grpc.use_local_subchannel_pool", 1)]
        credentials = grpc.ssl_channel_credentials(*read)
        self.channel = grpc.aio.secure_channel(f"127.0.0.1:{port_of(host)}", credentials, options=options)


# -- J1 ----------------------------------------------------------------------------------------------------


async def test_j1_no_certificate_no_encryption_the_wrong_protocol(
    plant: Plant, tmp_path: Path, figure: Callable[..., None]
) -> None:
    good, nobody = plant.tls(plant.client(ANN)), Tls(ca=plant.folder / "servers.pem")
    async with plant_host(plant, tmp_path) as host:
        port = port_of(host)
        heard = {
            "no certificate": await asyncio.to_thread(knock, port, nobody),
            "in the clear": await asyncio.to_thread(knock, port, None),
            "HTTP/1 in the clear": await asyncio.to_thread(knock, port, None, HTTP1),
            "HTTP/1 by TLS": await asyncio.to_thread(knock, port, good, HTTP1, ["http/1.1"]),
            "nothing in particular by TLS": await asyncio.to_thread(knock, port, good, HTTP1, []),
            "an older TLS": await asyncio.to_thread(_older, port, nobody),
        }
        assert await tried(host, plant, None) != ""
        async with Client(f"grpc://127.0.0.1:{port}", patience=0) as clear:
            with pytest.raises(TrunnionError):
                await clear.submit(Invocation(command_id="demo.effect", args={"what": "x"}))
        assert host.demo.effects == []
        told = {
            (event.data["kind"], event.data["reason"])
            for event in await access_events(host)
            if event.data["code"] == "access.refused"
        }
    figure("callers refused", len(heard) + 2)
    in_the_clear = {heard.pop("in the clear"), heard.pop("HTTP/1 in the clear")}
    assert in_the_clear <= {"closed", "alert"}  # as OpenSSL likes
    assert heard == {
        "no certificate": "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "HTTP/1 by TLS": "closed",
        "nothing in particular by TLS": "closed",
        "an older TLS": "TLSV1_ALERT_PROTOCOL_VERSION",
    }
    assert told == {
        ("certificate", "none"),
        ("connection", "not_tls"),
        ("connection", "not_http2"),
        ("connection", "tls_failed"),
    }


def _older(port: int, tls: Tls) -> str:
    context = client_context(tls)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain):
            return "let in"
    except ssl.SSLError as error:
        return str(error.reason)


async def test_j1_without_the_fault_a_certificate_opens_the_door(plant: Plant, tmp_path: Path) -> None:
    async with plant_host(plant, tmp_path) as host:
        good = plant.tls(plant.client(ANN))
        assert await asyncio.to_thread(knock, port_of(host), good) == "answered"
        async with await Client.connect(host.part.address, tls=good) as client:
            assert (await client.host()).principal == ANN
            run = await client.run(Invocation(command_id="demo.greet", args={"name": "A"}))
            assert (run.result, run.principal, run.source) == ("hello A", ANN, "rpc")
        async with Secured(host, good) as raw:
            assert (await raw.ask("GetHost", pb.GetHostRequest())).principal == ANN


async def test_j1_without_the_defence_whoever_connects_is_let_in(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the wish for a certificate, and without ``SecuredIdentity``."""
    monkeypatch.setattr(trust.ssl, "CERT_REQUIRED", ssl.CERT_OPTIONAL)
    async with plant_host(plant, tmp_path) as host:

        async def anybody(self: SecuredIdentity, metadata: object, peer: str) -> object:
            return host.host.local_caller()

        monkeypatch.setattr(SecuredIdentity, "caller", anybody)
        assert await tried(host, plant, None) == ""


async def test_without_a_certificate_nobody_calls_even_if_tls_lets_them_pass(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defence: ``SecuredIdentity`` by itself, behind that of TLS."""
    monkeypatch.setattr(trust.ssl, "CERT_REQUIRED", ssl.CERT_OPTIONAL)
    async with plant_host(plant, tmp_path) as host:
        assert await tried(host, plant, None) == f"unauthenticated: {REFUSED}"
        assert await reasons(host) == ["none"]


async def test_a_session_is_not_taken_up_again(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``num_tickets``: of a session that is resumed nobody would see the certificate."""
    async with plant_host(plant, tmp_path) as host:
        context = client_context(plant.tls(plant.client(ANN)))
        assert await asyncio.to_thread(_twice, port_of(host), context) == (False, False)


def _twice(port: int, context: ssl.SSLContext) -> tuple[bool, bool]:
    """Whether there was something to resume, and whether it was resumed."""
    session, tickets, reused = None, False, False
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port)) as plain:
            secured = context.wrap_socket(plain, session=session)
            secured.sendall(PREFACE)
            secured.recv(1000)
            session, reused = secured.session, secured.session_reused
            tickets = tickets or session.has_ticket
    return tickets, bool(reused)


async def test_the_socket_behind_is_no_way_round(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``SecuredIdentity`` knows the connections that came by TLS; the owner comes by the socket for them."""
    async with plant_host(plant, tmp_path) as host:
        behind = host.socket.with_name("rpc-0.sock")
        assert behind.stat().st_mode & 0o777 == 0o600
        async with Raw(behind) as raw:
            error = await refused(raw.ask("GetHost", pb.GetHostRequest()))
            assert (error.code(), error.details()) == (grpc.StatusCode.UNAUTHENTICATED, REFUSED)
        assert await reasons(host) == ["unknown"]
    assert not behind.exists()


async def test_j9_without_an_identity_nothing_is_listed_by_tls_either(plant: Plant, tmp_path: Path) -> None:
    more = ["reflection=known", 'rpc.tls.identify="either"']
    async with opened(tmp_path, *plant.settings(), *more) as host:
        await host.person(ANN, "viewer")
        async with Secured(host, plant.tls()) as stranger:
            error = await refused(stranger.ask("Check", HealthCheckRequest(), HEALTH))
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await reflected(stranger)
            assert unknown.value.code() == grpc.StatusCode.UNAUTHENTICATED
        async with Secured(host, plant.tls(plant.client(ANN))) as ann:
            answer = await ann.ask("Check", HealthCheckRequest(), HEALTH)
            assert HealthCheckResponse.FromString(answer).status == HealthCheckResponse.SERVING
            assert len((await reflected(ann)).list_services_response.service) == 3


# -- tokens ------------------------------------------------------------------------------------------------


async def test_where_certificates_count_a_token_does_not(plant: Plant, tmp_path: Path) -> None:
    """Defence: a credential that is shown counts or is refused, it is never passed over."""
    async with plant_host(plant, tmp_path) as host:
        token = await host.person("vera", "admin")
        assert await tried(host, plant, plant.client(ANN), token) == f"unauthenticated: {REFUSED}"
        assert await reasons(host) == ["not_here"]


async def test_tokens_by_tls_where_the_operator_says_so(plant: Plant, tmp_path: Path) -> None:
    more = {"identify": "token", "client_ca": "", "trust_domain": ""}
    async with plant_host(plant, tmp_path, **more) as host:
        token = await host.person("vera", "operator")
        assert await tried(host, plant, None, token) == ""
        assert await tried(host, plant, plant.client(ANN), token) == ""  # nobody asks for the certificate
        assert (await tried(host, plant, plant.client(ANN))).startswith("unauthenticated: say who you are")
        wrong = [await tried(host, plant, None, "trn_aaaaaaaaaaaa_" + "x" * 43) for _ in range(6)]
        assert [text.partition(":")[0] for text in wrong] == ["unauthenticated"] * 5 + ["busy"]


async def test_either_of_them(plant: Plant, tmp_path: Path) -> None:
    async with plant_host(plant, tmp_path, identify="either") as host:
        token, ann = await host.person("vera", "operator"), plant.client(ANN)
        for tls, shown, principal in (
            (plant.tls(ann), None, ANN),
            (plant.tls(), token, "vera"),
            (plant.tls(ann), token, "vera"),
        ):
            async with await Client.connect(host.part.address, tls=tls, token=shown) as client:
                assert (await client.host()).principal == principal
        assert (await tried(host, plant, None)).startswith("unauthenticated: say who you are")


async def test_a_certificate_that_is_refused_spoils_a_token(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``misfit`` comes first in ``SecuredIdentity``."""
    made = plant.client(ANN)
    write(plant.folder / "clients.crl", revocations(plant.clients, made))
    async with plant_host(plant, tmp_path, identify="either", crl=f'["{plant.folder / "clients.crl"}"]') as host:
        token = await host.person("vera", "operator")
        assert await tried(host, plant, made, token) == f"unauthenticated: {REFUSED}"
        assert await tried(host, plant, None, token) == ""


# -- settings ----------------------------------------------------------------------------------------------


async def test_other_machines_are_served_by_tls(plant: Plant, tmp_path: Path) -> None:
    _, *tls = plant.settings()
    async with opened(tmp_path, 'listen=["unix", "0.0.0.0:0", "[::1]:0"]', *tls) as host:
        unix, four, six = host.part.address.split(", ")
        assert unix == f"unix:{host.socket}"
        assert four.startswith("grpcs://0.0.0.0:")
        assert six.startswith("grpcs://[::1]:")
        await host.person(ANN, "viewer")
        names = plant.tls(plant.client(ANN), server_name="localhost")
        for address in (four.replace("0.0.0.0", "127.0.0.1"), six):
            async with await Client.connect(address, tls=names) as client:
                assert (await client.host()).principal == ANN


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"client_ca": ""}, "rpc.tls.client_ca: "),
        ({"trust_domain": ""}, "rpc.tls.trust_domain: say whose URIs count"),
        ({"trust_domain": "Plant.Example"}, "rpc.tls.trust_domain: "),
        ({"identify": "token"}, "rpc.tls.client_ca: "),
        ({"identify": "anything"}, "rpc.tls.identify: "),
        ({"key": ""}, "rpc.tls"),
        ({"recheck": "0"}, "rpc.tls.recheck: "),
        ({"colour": "red"}, "rpc.tls"),
    ],
)
async def test_settings_that_do_not_go_together_are_refused_with_the_configuration(
    plant: Plant, tmp_path: Path, more: dict[str, str], said: str
) -> None:
    with pytest.raises(TrunnionError) as error:
        async with opened(tmp_path, *plant.settings(**more)):
            pass
    assert error.value.code == "invalid_config"
    assert said in error.value.message


async def test_a_port_that_is_taken_is_left_alone(plant: Plant, tmp_path: Path) -> None:
    async with opened(tmp_path / "a", *plant.settings()) as one:
        _, *tls = plant.settings()
        async with opened(tmp_path / "b", f'listen=["127.0.0.1:{port_of(one)}"]', *tls) as other:
            assert (other.part.status, other.part.crashes) == ("failed", 1)
            assert "is it in use?" in other.part.reason
        assert await asyncio.to_thread(knock, port_of(one), plant.tls(plant.client(ANN)), PREFACE) == "answered"


async def test_a_folder_with_a_long_name_is_no_obstacle(plant: Plant, tmp_path: Path) -> None:
    """The socket behind is reached by the short spelling too."""
    deep = tmp_path / ("long" * 30) / ("deep" * 10)
    deep.mkdir(parents=True)
    async with plant_host(plant, deep) as host:
        assert await tried(host, plant, plant.client(ANN)) == ""
