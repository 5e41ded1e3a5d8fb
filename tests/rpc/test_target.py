"""Where a client may be told to connect, and that nobody can read along there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trunnion import TrunnionError
from trunnion_rpc.client import Client
from trunnion_rpc.target import Target, Tls, target_of

TLS = Tls(ca=Path("ca.pem"))
PAIR = Tls(cert=Path("c.pem"), key=Path("c.key"))


@pytest.mark.parametrize(
    ("given", "tls", "meant"),
    [
        (Path("/run/rpc.sock"), None, Target(Path("/run/rpc.sock"), None)),
        ("unix:/run/rpc.sock", None, Target(Path("/run/rpc.sock"), None)),
        ("unix:///run/rpc.sock", None, Target(Path("/run/rpc.sock"), None)),
        ("unix:run/rpc.sock", None, Target(Path("run/rpc.sock"), None)),
        ("127.0.0.1:50051", None, Target("127.0.0.1:50051", None)),
        ("grpc://127.0.0.1:50051", None, Target("127.0.0.1:50051", None)),
        ("grpc://localhost:50051", None, Target("localhost:50051", None)),
        ("grpc://[::1]:50051", None, Target("[::1]:50051", None)),
        ("grpcs://plant.example:50051", None, Target("plant.example:50051", Tls())),
        ("grpcs://plant.example:50051", TLS, Target("plant.example:50051", TLS)),
        ("grpcs://[2001:db8::1]:50051", PAIR, Target("[2001:db8::1]:50051", PAIR)),
        ("plant.example:50051", TLS, Target("plant.example:50051", TLS)),
    ],
)
def test_what_a_target_means(given: Path | str, tls: Tls | None, meant: Target) -> None:
    assert target_of(given, tls) == meant


@pytest.mark.parametrize(
    ("given", "tls", "why"),
    [
        ("grpc://plant.example:50051", None, "grpcs://plant.example:50051"),
        ("192.0.2.1:50051", None, "others could read along"),
        ("grpc://localhost.example:50051", None, "others could read along"),
        ("grpc://127.0.0.1:50051", TLS, "in the clear"),
        ("unix:/run/rpc.sock", TLS, "needs no certificates"),
        ("plant.example", None, "grpcs://HOST:PORT"),
        ("grpcs://plant.example", None, "grpcs://HOST:PORT"),
        ("grpcs://plant.example:0", None, "grpcs://HOST:PORT"),
        ("grpcs://plant.example:70000", None, "grpcs://HOST:PORT"),
        ("grpcs://user@plant.example:50051", None, "grpcs://HOST:PORT"),
        ("grpcs://plant.example:50051/path", None, "grpcs://HOST:PORT"),
        ("https://plant.example:50051", TLS, "grpcs://HOST:PORT"),
        ("dns:///plant.example:50051", None, "grpcs://HOST:PORT"),
        ("grpcs://plant.example:50051", Tls(cert=Path("c.pem")), "go together"),
    ],
)
def test_what_means_nothing_or_would_be_read_by_others_is_refused(given: str, tls: Tls | None, why: str) -> None:
    """Defence: ``target_of``; a token would go out in the clear."""
    with pytest.raises(TrunnionError) as error:
        target_of(given, tls)
    assert error.value.code == "invalid_arguments"
    assert why in error.value.message


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrunnionError) as error:
        await Client.connect("grpcs://127.0.0.1:1", tls=Tls(ca=tmp_path / "missing.pem"))
    assert error.value.code == "invalid_arguments"
    assert "missing.pem" in error.value.message


@pytest.mark.parametrize("token", ["sesame\n", "open sesame", "sésame", "sesame\0", ""])
async def test_what_can_be_no_token_is_refused_and_not_shown(tmp_path: Path, token: str) -> None:
    """Defence: ``_sendable``; gRPC raises an error of its own at the first call."""
    with pytest.raises(TrunnionError, match="one word") as error:
        await Client.connect(tmp_path / "rpc.sock", token=token)
    assert error.value.code == "invalid_arguments"
    assert "same" not in str(error.value)


@pytest.mark.parametrize(
    "target", ["grpc://127.0.0.1:{}", "grpc://localhost:{}", "grpc://[::1]:{}", "grpcs://127.0.0.1:{}"]
)
async def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """Defence: ``DIRECT``. For a proxy it would be another machine, which would be shown the token in the clear."""
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(TrunnionError) as error:
            await Client.connect(target.format(1), token="sesame")
    assert error.value.code == "unavailable"
    assert heard == []
