"""Whose certificates are believed, and whose name counts: J2 and J3 of the fault matrix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from certs_kit import (
    ANN,
    CLIENT,
    DOMAIN,
    PREFACE,
    SERVER,
    SHA1,
    Made,
    Plant,
    authority,
    knock,
    make,
    revocations,
    uri,
    write,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from rpc_kit import Rpc, opened
from test_access import access_events

from trunnion import Invocation, TrunnionError
from trunnion.kernel.rarely import Rarely
from trunnion.model.json import JsonObject
from trunnion_rpc import knocks, tls_front
from trunnion_rpc.certificates import read_chain
from trunnion_rpc.client import Client
from trunnion_rpc.misfit import Misfit

REFUSED = "the credential is not valid here"
BAD: dict[str, tuple[str, Callable[[Plant], Made]]] = {}
"""What is wrong -> the reason on record, and how such a certificate is made."""


def bad(reason: str) -> Callable[[Callable[[Plant], Made]], Callable[[Plant], Made]]:
    def keep(maker: Callable[[Plant], Made]) -> Callable[[Plant], Made]:
        BAD[maker.__name__] = (reason, maker)
        return maker

    return keep


@bad("expired")
def expired(plant: Plant) -> Made:
    return plant.client(ANN, begins=timedelta(hours=-2), ends=timedelta(seconds=-1))


@bad("not_yet_valid")
def early(plant: Plant) -> Made:
    return plant.client(ANN, begins=timedelta(minutes=10))


@bad("unknown_authority")
def another_authority(plant: Plant) -> Made:
    return plant.client(ANN, by=authority("others"))


@bad("self_signed")
def self_signed(plant: Plant) -> Made:
    return make("x", names=uri(ANN))


@bad("bad_signature")
def another_authority_of_the_same_name(plant: Plant) -> Made:
    return plant.client(ANN, by=authority("clients"), point_to_key=False)


@bad("unknown_authority")
def another_authority_of_the_same_name_that_says_which(plant: Plant) -> Made:
    return plant.client(ANN, by=authority("clients"))


@bad("revoked")
def revoked(plant: Plant) -> Made:
    made = plant.client(ANN)
    write(plant.folder / "clients.crl", revocations(plant.clients, made))
    return made


@bad("authority")
def an_authority_itself(plant: Plant) -> Made:
    uses = frozenset({"digital_signature", "key_cert_sign"})
    return make("ann", plant.clients, ca=True, names=uri(ANN), uses=uses)


@bad("authority")
def an_authority_that_may_not_sign_others(plant: Plant) -> Made:
    return make("ann", plant.clients, ca=True, names=uri(ANN))


@bad("authority")
def one_that_may_sign_others(plant: Plant) -> Made:
    return plant.client(ANN, uses=frozenset({"digital_signature", "key_cert_sign"}))


@bad("wrong_usage")
def one_for_servers(plant: Plant) -> Made:
    return plant.client(ANN, purposes=[SERVER])


@bad("wrong_usage")
def one_whose_key_may_not_sign(plant: Plant) -> Made:
    return plant.client(ANN, uses=frozenset({"key_encipherment"}))


@bad("weak_key")
def weak_key(plant: Plant) -> Made:
    return plant.client(ANN, key=rsa.generate_private_key(65537, 1024))


@bad("not_an_authority")
def signed_by_a_client(plant: Plant) -> Made:
    between = plant.client(ANN)
    made = plant.client(ANN, by=between, commons=["below"])
    return Made(made.cert, made.key, [between.cert])


@bad("no_revocations")
def by_an_authority_that_says_nothing_of_revocations(plant: Plant) -> Made:
    between = authority("between", plant.clients)
    made = plant.client(ANN, by=between)
    return Made(made.cert, made.key, [between.cert])


@bad("invalid")
def with_a_demand_that_nobody_knows(plant: Plant) -> Made:
    return plant.client(ANN, more=[x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\5\0")])


@asynccontextmanager
async def plant_host(plant: Plant, root: Path, **more: str) -> AsyncIterator[Rpc]:
    async with opened(root, *plant.settings(**more)) as host:
        assert host.part.status == "ready", host.part.reason
        await host.do("principals.add", name=ANN, kind="program", role="operator")
        await host.do("principals.add", name="ann", kind="program", role="operator")
        yield host


async def tried(host: Rpc, plant: Plant, made: Made | None, token: str | None = None) -> str:
    """What somebody is told who wants something done; ``""`` if it is done."""
    async with Client(host.part.address, tls=plant.tls(made), token=token, patience=0) as client:
        try:
            await client.run(Invocation(command_id="demo.effect", args={"what": "x"}))
        except TrunnionError as error:
            return f"{error.code}: {error.message}"
    return ""


def port_of(host: Rpc) -> int:
    return int(host.part.address.rpartition(":")[2])


async def reasons(host: Rpc) -> list[str]:
    return [event.data["reason"] for event in await access_events(host) if event.data["code"] == "access.refused"]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is told at once, however often."""

    def say(self: Rarely, code: str, key: object, text: str, again: object, *, facts: JsonObject) -> None:
        self._report(code, text, facts=facts)

    monkeypatch.setattr(Rarely, "say", say)
    monkeypatch.setattr(knocks, "FREE", 1000)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    made = Plant(tmp_path)
    write(made.folder / "clients.crl", revocations(made.clients))
    return made


# -- J2 ----------------------------------------------------------------------------------------------------


async def test_j2_certificates_that_are_each_wrong_in_their_own_way(
    plant: Plant, tmp_path: Path, often: None, figure: Callable[..., None]
) -> None:
    made = {name: maker(plant) for name, (_, maker) in BAD.items()}
    told, heard = {}, {}
    async with plant_host(plant, tmp_path, crl=f'["{plant.folder / "clients.crl"}"]') as host:
        for name, each in made.items():
            before = len(await reasons(host))
            told[name] = await tried(host, plant, each)
            heard[name] = await asyncio.to_thread(knock, port_of(host), plant.tls(each))
            # gRPC tries again by itself, so more may still come of the certificates before.
            assert BAD[name][0] in (await reasons(host))[before:], name
        assert set(await reasons(host)) == {reason for reason, _ in BAD.values()}
        assert host.demo.effects == []
        logged = (host.host.data.root / "logs" / "host.jsonl").read_text()
        assert logged.count("a certificate was refused at rpc") >= len(made)
    assert all(told.values()), told
    # By TLS where OpenSSL refuses, and by one sentence where we do; neither tells more than that it is refused.
    assert {text for text in told.values() if not text.startswith("unavailable")} == {f"unauthenticated: {REFUSED}"}
    for name, text in told.items():
        if text.startswith("unavailable"):
            assert "refuses the certificate" in text or name == "one_whose_key_may_not_sign", (name, text)
            assert "ALERT" in heard[name], (name, heard[name])
    figure("certificates refused", len(made))
    figure("reasons on record", len({reason for reason, _ in BAD.values()}))


async def test_j2_without_the_fault_good_certificates_are_let_in(plant: Plant, tmp_path: Path) -> None:
    between = authority("between", plant.clients)
    below = plant.client(ANN, by=between)
    good = [
        plant.client(ANN),
        plant.client(ANN, key=rsa.generate_private_key(65537, 2048)),
        plant.client(ANN, key=ec.generate_private_key(ec.SECP384R1())),
        plant.client(ANN, ca=None, uses=None, purposes=None),
        plant.client(ANN, purposes=[SERVER, CLIENT]),
        Made(below.cert, below.key, [between.cert]),
    ]
    async with plant_host(plant, tmp_path) as host:
        assert [await tried(host, plant, made) for made in good] == [""] * len(good)
        assert len(host.demo.effects) == len(good)
        assert await reasons(host) == []


OURS = (
    "revoked",
    "an_authority_itself",
    "an_authority_that_may_not_sign_others",
    "one_that_may_sign_others",
    "by_an_authority_that_says_nothing_of_revocations",
)
"""What OpenSSL lets pass."""


async def test_j2_without_the_defence_openssl_lets_some_pass(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``require_standing`` and ``_require_client``."""
    monkeypatch.setattr(tls_front, "require_standing", lambda *_: None)
    monkeypatch.setattr("trunnion_rpc.certificates._require_client", lambda _: None)
    made = {name: BAD[name][1](plant) for name in OURS}
    async with plant_host(plant, tmp_path, crl=f'["{plant.folder / "clients.crl"}"]') as host:
        assert [await tried(host, plant, each) for each in made.values()] == [""] * len(OURS)


async def test_whoever_goes_on_talking_hears_why_all_the_same(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``TlsLine`` says its last words and goes on listening; closed at once, they would be lost on the way."""
    made = expired(plant)
    async with plant_host(plant, tmp_path) as host:
        heard = await asyncio.to_thread(knock, port_of(host), plant.tls(made), PREFACE + bytes(3 << 20))
        assert heard == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


async def test_a_list_of_revocations_that_is_out_of_date_lets_nobody_in(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``until`` in ``_require_not_revoked``: what was revoked since is not in it."""
    write(plant.folder / "clients.crl", revocations(plant.clients, until=timedelta(seconds=-1)))
    async with plant_host(plant, tmp_path, crl=f'["{plant.folder / "clients.crl"}"]') as host:
        assert await tried(host, plant, plant.client(ANN)) == f"unauthenticated: {REFUSED}"
        assert await reasons(host) == ["old_revocations"]


async def test_an_authority_between_that_was_revoked_takes_its_clients_along(plant: Plant, tmp_path: Path) -> None:
    """Defence: all of the chain is looked up, not the client's own certificate alone."""
    between = authority("between", plant.clients)
    below = plant.client(ANN, by=between)
    write(plant.folder / "clients.pem", plant.clients.pem() + between.pem())
    both = revocations(plant.clients, between) + revocations(between)
    write(plant.folder / "clients.crl", both)
    async with plant_host(plant, tmp_path, crl=f'["{plant.folder / "clients.crl"}"]') as host:
        assert await tried(host, plant, Made(below.cert, below.key, [between.cert])) == f"unauthenticated: {REFUSED}"
        assert await reasons(host) == ["revoked"]


def test_a_signature_that_can_be_forged_is_refused() -> None:
    """Defence: ``_require_strong_signature``; OpenSSL may have been told to take them. Made with openssl -sha1."""
    leaf, root = (x509.load_pem_x509_certificate(each.encode()) for each in SHA1.split("\n\n"))
    with pytest.raises(Misfit) as misfit:
        read_chain([each.public_bytes(_der()) for each in (leaf, root)], DOMAIN)
    assert misfit.value.reason == "weak_signature"


def _der():
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


@pytest.mark.parametrize("key", [ec.SECP192R1, None], ids=["a short curve", "short RSA"])
def test_a_key_that_is_too_short_is_refused_whatever_openssl_says(key: type[ec.EllipticCurve] | None) -> None:
    """Defence: ``_require_strong_key``; how strict OpenSSL is depends on how it was built."""
    weak = ec.generate_private_key(key()) if key else rsa.generate_private_key(65537, 1024)
    root = authority()
    for chain in ([make("x", root, names=uri(ANN), key=weak), root], [make("x", names=uri(ANN)), authority(key=weak)]):
        with pytest.raises(Misfit) as misfit:
            read_chain([each.cert.public_bytes(_der()) for each in chain], DOMAIN)
        assert misfit.value.reason == "weak_key"
    strong = make("x", root, names=uri(ANN), key=ed25519.Ed25519PrivateKey.generate())
    assert read_chain([each.cert.public_bytes(_der()) for each in (strong, root)], DOMAIN).principal == ANN


# -- J3 ----------------------------------------------------------------------------------------------------

MISLEADING: dict[str, tuple[str, Sequence[x509.GeneralName]]] = {
    "two of them": ("many_names", uri(ANN, f"spiffe://{DOMAIN}/eve")),
    "the same one twice": ("many_names", uri(ANN, ANN)),
    "none": ("no_name", []),
    "one of type DNS": ("no_name", [x509.DNSName._init_without_validation(ANN)]),
    "one of type mail": ("no_name", [x509.RFC822Name._init_without_validation(ANN)]),
    "another trust domain": ("other_domain", uri("spiffe://other.example/ann")),
    "a trust domain that ends so": ("other_domain", uri(f"spiffe://evil-{DOMAIN}/ann")),
    "a trust domain that begins so": ("other_domain", uri(f"spiffe://{DOMAIN}.evil.example/ann")),
    "capitals in the scheme": ("bad_name", uri(f"SPIFFE://{DOMAIN}/ann")),
    "capitals in the domain": ("bad_name", uri("spiffe://Plant.Example/ann")),
    "another scheme": ("bad_name", uri(f"https://{DOMAIN}/ann")),
    "a percent code": ("bad_name", uri(f"spiffe://{DOMAIN}/%61nn")),
    "a percent code in the domain": ("bad_name", uri("spiffe://plant%2eexample/ann")),
    "a dot": ("bad_name", uri(f"spiffe://{DOMAIN}/./ann")),
    "two dots": ("bad_name", uri(f"spiffe://{DOMAIN}/eve/../ann")),
    "a slash at the end": ("bad_name", uri(f"{ANN}/")),
    "two slashes": ("bad_name", uri(f"spiffe://{DOMAIN}//ann")),
    "no path": ("bad_name", uri(f"spiffe://{DOMAIN}")),
    "an empty path": ("bad_name", uri(f"spiffe://{DOMAIN}/")),
    "a port": ("bad_name", uri(f"spiffe://{DOMAIN}:443/ann")),
    "a user": ("bad_name", uri(f"spiffe://ann@{DOMAIN}/ann")),
    "a question": ("bad_name", uri(f"{ANN}?x=1")),
    "a fragment": ("bad_name", uri(f"{ANN}#x")),
    "a space at the end": ("bad_name", uri(f"{ANN} ")),
    "a line break at the end": ("bad_name", uri(f"{ANN}\n")),
    "a zero byte": ("bad_name", uri(f"{ANN}\0.evil.example")),
    "a space before": ("bad_name", uri(f" {ANN}")),
    "too long": ("bad_name", uri(f"{ANN}{'n' * 200}")),
    "empty": ("bad_name", uri("")),
}


async def test_j3_names_that_are_written_in_a_misleading_way(
    plant: Plant, tmp_path: Path, often: None, figure: Callable[..., None]
) -> None:
    async with plant_host(plant, tmp_path) as host:
        for what, (reason, names) in MISLEADING.items():
            before = len(await reasons(host))
            made = plant.client(names=names, commons=[ANN]) if len(ANN) <= 64 else plant.client(names=names)
            assert await tried(host, plant, made) == f"unauthenticated: {REFUSED}", what
            assert (await reasons(host))[before:] == [reason], what
        assert host.demo.effects == []
    figure("misleading names refused", len(MISLEADING))


async def test_j3_without_the_fault_one_uri_beside_other_names_counts(plant: Plant, tmp_path: Path) -> None:
    others = [x509.DNSName("ann.example"), x509.RFC822Name("eve@plant.example"), x509.DirectoryName(x509.Name([]))]
    async with plant_host(plant, tmp_path) as host:
        assert await tried(host, plant, plant.client(names=[*others, *uri(ANN)])) == ""
        assert await tried(host, plant, plant.client(ANN, commons=["eve", "root"])) == ""


async def test_j3_without_the_defence_grpc_tells_names_without_their_types(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the plain list of names that gRPC would give, the first that fits."""

    def plain(certificate: x509.Certificate, trust_domain: str | None) -> str:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return next(str(name.value) for name in found if str(name.value).startswith("spiffe://"))

    monkeypatch.setattr("trunnion_rpc.certificates.principal_of", plain)
    async with plant_host(plant, tmp_path) as host:
        for what in ("two of them", "one of type DNS"):
            assert await tried(host, plant, plant.client(names=MISLEADING[what][1])) == ""


@pytest.mark.parametrize(
    ("commons", "reason"),
    [([], "no_name"), (["ann", "eve"], "many_names"), (["ann", "ann"], "many_names"), ([ANN], "bad_name")],
)
async def test_a_common_name_counts_on_request(plant: Plant, tmp_path: Path, commons: list[str], reason: str) -> None:
    """And there alone: else anybody whose authority does not look at it could be anybody."""
    async with plant_host(plant, tmp_path, principal="cn", trust_domain="") as host:
        assert await tried(host, plant, plant.client("spiffe://x.example/eve", commons=["ann"])) == ""
        assert await tried(host, plant, plant.client(ANN, commons=commons)) == f"unauthenticated: {REFUSED}"
        assert await reasons(host) == [reason]


async def test_a_name_that_nobody_has_added_is_nobody(plant: Plant, tmp_path: Path) -> None:
    """Deny by default: an authority vouches for names, not for rights."""
    async with plant_host(plant, tmp_path) as host:
        assert await tried(host, plant, plant.client(f"spiffe://{DOMAIN}/eve")) == f"unauthenticated: {REFUSED}"
        assert await reasons(host) == ["unknown"]
        await host.do("principals.add", name=f"spiffe://{DOMAIN}/eve")
        assert (await tried(host, plant, plant.client(f"spiffe://{DOMAIN}/eve"))).startswith("not_found")
        assert host.demo.effects == []
