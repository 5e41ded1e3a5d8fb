"""``trunnion rpc certs``: what it makes, what it says, and that what it says works."""

from __future__ import annotations

import re
import shlex
import socket
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from rpc_kit import opened

from trunnion import Conflict, InvalidArguments, NotFound, TrunnionError
from trunnion_rpc.authority import Wish, make
from trunnion_rpc.client import Client
from trunnion_rpc.target import Tls

TRUNNION = Path(sys.executable).with_name("trunnion")
NOW = datetime.now(UTC)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wish(folder: Path, *clients: str, add: bool = False, hosts: tuple[str, ...] = ("localhost", "127.0.0.1")) -> Wish:
    return Wish(folder, hosts, clients, "plant.example", 30, add)


def certs(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TRUNNION, "rpc", "certs", *words], capture_output=True, text=True, timeout=60, check=False)


def test_what_it_says_is_what_it_takes(tmp_path: Path) -> None:
    """Every line it prints, typed as it stands."""
    folder = tmp_path / "new" / "pki"
    done = certs(str(folder), "--host", "plant.example", "--client", "ann")
    assert (done.returncode, done.stderr) == (0, "")
    said = [line.removeprefix("  ") for line in done.stdout.splitlines()]
    begin, end = said.index("[rpc]"), said.index('trust_domain = "trunnion.internal"')
    port = free_port()
    config = "\n".join(said[begin : end + 1]).replace("0.0.0.0:50051", f"127.0.0.1:{port}").replace("# audit", "audit")
    (tmp_path / "trunnion.toml").write_text(f'{config}\n[host]\ndata_dir = "{tmp_path / "data"}"\n')
    add, connect = (next(line for line in said if line.startswith(f"trunnion {word}")) for word in ("princ", "--conn"))
    host = subprocess.Popen(
        [TRUNNION, "up", "--no-shell"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert any(f"grpcs://127.0.0.1:{port}" in line for line in host.stdout)
        for line in (add, connect.replace("plant.example:50051", f"localhost:{port}")):
            words = [str(TRUNNION), *shlex.split(line)[1:]]
            typed = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
            assert typed.returncode == 0, (line, typed.stdout, typed.stderr)
        assert "serving" in typed.stdout or "version" in typed.stdout
    finally:
        host.terminate()
        host.wait(30)
        host.stdout.close()


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    pairs = make(wish(tmp_path / "pki", "ann"), NOW)
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    assert {stat.S_IMODE(pair.key.stat().st_mode) for pair in pairs} == {0o600}
    assert [pair.certificate.name for pair in pairs] == ["ca.pem", "server.pem", "client-ann.pem"]
    assert sorted(path.name for path in (tmp_path / "pki").iterdir()) == sorted(
        path.name for pair in pairs for path in pair[:2]
    )


@pytest.mark.parametrize("there", ["ca.key", "server.pem", "client-ann.key"])
def test_nothing_is_replaced_and_then_nothing_is_made(tmp_path: Path, there: str) -> None:
    """Defence: all names are looked up before the first file is written; a link counts too."""
    (tmp_path / there).symlink_to(tmp_path / "nowhere")
    with pytest.raises(Conflict, match=re.escape(there)):
        make(wish(tmp_path, "ann"), NOW)
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_a_file_that_appears_meanwhile_is_not_replaced_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``O_EXCL``; and what was written is taken back."""
    (tmp_path / "client-ann.pem").write_text("mine")
    monkeypatch.setattr("trunnion_rpc.authority.os.path.lexists", lambda _: False)
    with pytest.raises(Conflict, match=r"client-ann\.pem"):
        make(wish(tmp_path, "ann"), NOW)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"client-ann.pem": "mine"}


def test_more_by_the_same_authority(tmp_path: Path) -> None:
    make(wish(tmp_path, "ann"), NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (pair,) = make(wish(tmp_path, "bob", add=True, hosts=()), NOW)
    ca = x509.load_pem_x509_certificate(before["ca.pem"])
    x509.load_pem_x509_certificate(pair.certificate.read_bytes()).verify_directly_issued_by(ca)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_there_must_be_an_authority_to_add_to(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"ca\.pem and ca\.key"):
        make(wish(tmp_path, "bob", add=True, hosts=()), NOW)
    make(wish(tmp_path / "a", "ann"), NOW)
    make(wish(tmp_path / "b", "ann"), NOW)
    (tmp_path / "a" / "ca.key").write_bytes((tmp_path / "b" / "ca.key").read_bytes())
    with pytest.raises(NotFound, match="is not the key of"):
        make(wish(tmp_path / "a", "bob", add=True, hosts=()), NOW)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "-x", "ü", "a b", "x" * 70, "a\n"])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    for made in (wish(tmp_path, name), wish(tmp_path, "ann", hosts=(name,)))[: 1 if name == "x" * 70 else 2]:
        with pytest.raises(InvalidArguments):
            make(made, NOW)
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    make(wish(tmp_path, "ann"), NOW)
    done = certs(str(tmp_path), "--client", "ann")
    assert done.returncode == 6
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "--add makes more" in done.stderr


async def test_they_count_for_their_time_and_open_the_door(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    make(wish(folder, "ann"), NOW)
    (old,) = make(Wish(folder, (), ["old"], "plant.example", 1, True), NOW - timedelta(days=2))
    files = {"cert": "server.pem", "key": "server.key", "client_ca": "ca.pem"}
    settings = [f"rpc.tls.{key}={folder / name}" for key, name in files.items()]
    own = ['listen=["127.0.0.1:0"]', "rpc.tls.trust_domain=plant.example"]
    async with opened(tmp_path, *own, *settings) as host:
        await host.do("principals.add", name="spiffe://plant.example/ann", role="viewer")
        ca = folder / "ca.pem"
        tls = Tls(ca=ca, cert=folder / "client-ann.pem", key=folder / "client-ann.key")
        async with await Client.connect(host.part.address, tls=tls) as client:
            assert (await client.host()).principal == "spiffe://plant.example/ann"
        with pytest.raises(TrunnionError, match="refuses the certificate"):
            await Client.connect(host.part.address, tls=Tls(ca=ca, cert=old.certificate, key=old.key))
        as_client = Tls(ca=ca, cert=folder / "server.pem", key=folder / "server.key")
        with pytest.raises(TrunnionError, match="refuses the certificate"):
            await Client.connect(host.part.address, tls=as_client)
