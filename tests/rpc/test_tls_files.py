"""The files of ``[rpc.tls]``: what does not fit, or is damaged, is refused by name."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certs_kit import ANN, DOMAIN, SERVER, Plant, authority, make, revocations, write
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from figures import SEED
from rpc_kit import opened

from trunnion import InvalidConfig
from trunnion_rpc import trust
from trunnion_rpc.certificates import read_chain
from trunnion_rpc.misfit import Misfit
from trunnion_rpc.tls_settings import TlsSettings

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def _missing(plant: Plant) -> None:
    (plant.folder / "door.pem").unlink()


def _other_key(plant: Plant) -> None:
    write(plant.folder / "door.key", plant.client().key_pem())


def _open_to_others(plant: Plant) -> None:
    (plant.folder / "door.key").chmod(0o644)


def _with_a_password(plant: Plant) -> None:
    made = plant.serve()
    sealed = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    write(plant.folder / "door.key", sealed)


def _expired(plant: Plant) -> None:
    plant.serve(begins=timedelta(hours=-2), ends=timedelta(hours=-1))


def _weak(plant: Plant) -> None:
    plant.serve(key=rsa.generate_private_key(65537, 1024))


def _no_certificates(plant: Plant) -> None:
    write(plant.folder / "clients.pem", b"hello")


def _no_authority(plant: Plant) -> None:
    write(plant.folder / "clients.pem", plant.clients.pem() + make("eve", purposes=[SERVER]).pem())


def _no_list(plant: Plant) -> None:
    write(plant.folder / "clients.crl", b"hello")


def _a_list_by_somebody_else(plant: Plant) -> None:
    write(plant.folder / "clients.crl", revocations(authority("clients")))


def _part_of_a_list(plant: Plant) -> None:
    write(plant.folder / "clients.crl", revocations(plant.clients, critical=True))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_missing, "rpc.tls.cert: cannot read {folder}/door.pem: No such file"),
        (_other_key, "{folder}/door.key does not belong to the certificate in {folder}/door.pem"),
        (_open_to_others, "{folder}/door.key: others can open it (mode 0644)"),
        (_with_a_password, "{folder}/door.key is no key in PEM without a password"),
        (_expired, "{folder}/door.pem has expired"),
        (_weak, "{folder}/door.pem is too weak"),
        (_no_certificates, "{folder}/clients.pem has no certificates in PEM"),
        (_no_authority, "CN=eve is not the certificate of an authority"),
        (_no_list, "{folder}/clients.crl is no revocation list"),
        (_a_list_by_somebody_else, "is by CN=clients, which is no authority in client_ca"),
        (_part_of_a_list, "{folder}/clients.crl is no whole list of an authority"),
    ],
)
async def test_files_that_do_not_fit_keep_the_door_shut(
    plant: Plant, tmp_path: Path, spoil: Callable[[Plant], None], said: str
) -> None:
    write(plant.folder / "clients.crl", revocations(plant.clients))
    spoil(plant)
    async with opened(tmp_path, *plant.settings(crl=f'["{plant.folder / "clients.crl"}"]')) as host:
        assert (host.part.status, host.part.crashes) == ("failed", 1)
        assert said.format(folder=plant.folder) in host.part.reason


def test_files_with_damage_are_refused_by_name(plant: Plant, rounds: int) -> None:
    """Bytes of every file, at random places: what is raised is a sentence about the configuration, or nothing."""
    write(plant.folder / "clients.crl", revocations(plant.clients, plant.client()))
    names = {"cert": "door.pem", "key": "door.key", "client_ca": "clients.pem", "crl": "clients.crl"}
    settings = TlsSettings(
        **{key: str(plant.folder / name) for key, name in names.items() if key != "crl"},
        crl=(str(plant.folder / "clients.crl"),),
        trust_domain=DOMAIN,
    )
    now, chance = datetime.now(UTC), random.Random(SEED)
    trust.load_trust(settings, now)
    refused_by_name = 0
    for number in range(rounds * 20):
        path = plant.folder / list(names.values())[number % 4]
        whole = path.read_bytes()
        write(path, damaged(whole, chance))
        try:
            trust.load_trust(settings, now)
        except InvalidConfig as error:
            refused_by_name += 1
            assert "rpc.tls" in error.message
        write(path, whole)
    assert refused_by_name > rounds


def damaged(pem: bytes, chance: random.Random) -> bytes:
    """With some bytes of what it encodes changed, so that it is PEM still."""
    begin, *lines, end = pem.decode().splitlines()
    raw = bytearray(base64.b64decode("".join(lines)))
    for _ in range(chance.randint(1, 3)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return "\n".join([begin, base64.b64encode(raw).decode(), end, ""]).encode()


def test_chains_with_damage_are_misfits(plant: Plant, rounds: int) -> None:
    """Defence: ``UNREADABLE``; OpenSSL may let pass what another reader stumbles over."""
    chance = random.Random(SEED)
    authority_der = plant.clients.cert.public_bytes(Encoding.DER)
    whole = plant.client(ANN).cert.public_bytes(Encoding.DER)
    misfits = 0
    for _ in range(rounds * 100):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            assert read_chain([bytes(raw), authority_der], DOMAIN).principal  # nobody has looked at the signature here
        except Misfit:
            misfits += 1
    assert misfits > rounds


def test_files_that_change_while_they_are_read_are_not_taken_up(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: the second look at ``stamp_of``; a certificate of before could stand beside authorities of now."""
    files = {"cert": "door.pem", "key": "door.key", "client_ca": "clients.pem"}
    settings = TlsSettings(**{key: str(plant.folder / name) for key, name in files.items()}, trust_domain=DOMAIN)
    read = trust._authorities

    def meanwhile(file: str) -> object:
        found = read(file)
        plant.serve()
        return found

    monkeypatch.setattr(trust, "_authorities", meanwhile)
    with pytest.raises(InvalidConfig, match="are being changed"):
        trust.load_trust(settings, datetime.now(UTC))
    monkeypatch.undo()
    assert trust.load_trust(settings, datetime.now(UTC)).stamp == trust.stamp_of(settings)
