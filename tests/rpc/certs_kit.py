"""Authorities, and certificates with one thing wrong, made when a test asks for them."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trunnion_rpc.target import Tls

DOMAIN = "plant.example"
ANN = f"spiffe://{DOMAIN}/ann"
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
SIGNS = frozenset({"digital_signature"})
VOUCHES = frozenset({"key_cert_sign", "crl_sign"})
USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip

SHA1 = """\
-----BEGIN CERTIFICATE-----
MIIBoDCCAUegAwIBAgIUJWovbo0m8UEmUmsWJFtDF/6gmhAwCQYHKoZIzj0EATAS
MRAwDgYDVQQDDAdjbGllbnRzMCAXDTI2MTEzMDE0MTY0MloYDzIxMjYxMTA2MTQx
NjQyWjAOMQwwCgYDVQQDDANhbm4wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQo
BU5//CHKtNGSpBg3eT1kYcIzlXtdW3eUyWoHL3dFHYVQy1nPA8d0wbuOH1LKZI14
zmBaCWZEjMdeui9NzIIYo34wfDAlBgNVHREEHjAchhpzcGlmZmU6Ly9wbGFudC5l
eGFtcGxlL2FubjATBgNVHSUEDDAKBggrBgEFBQcDAjAdBgNVHQ4EFgQU/VYvAoR+
Pj23kbxhDqqLWt5SjNcwHwYDVR0jBBgwFoAU83hPMZ5OPNxTr5m94M2gd/eKYc4w
CQYHKoZIzj0EAQNIADBFAiAL80VWqk/a55+j9EjJ0uVNFMZHuMQnw6k8a/KnDmCq
fwIhAJCHLSEQJ4jFLpBzsXYHvI0JrKfY67ylnMoCYrpgW5VX
-----END CERTIFICATE-----

-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUZIoSoIoricSMUXiQcQKQSSUmmlIwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHY2xpZW50czAgFw0yNjExMzAxNDE2NDJaGA8yMTI2MTEwNjE0
MTY0MlowEjEQMA4GA1UEAwwHY2xpZW50czBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABHheaVyRwKtrGQWAVoSwXGhgYthx5SuTgnpPpg0pY22sb8OKJC4+3GVMSxCb
eDXuF5ZurkWOUrtPsPqtvfAkyJOjUzBRMB0GA1UdDgQWBBTzeE8xnk483FOvmb3g
zaB394phzjAfBgNVHSMEGDAWgBTzeE8xnk483FOvmb3gzaB394phzjAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIEmMMutHOxCOPCuGfzRmcaH/DuDh
e9jCWXhWZCL3PPPnAiEAnBQAjwoumeba5wTo3BOHW7Ko+kdC+4coyxVadRdbMlM=
-----END CERTIFICATE-----
"""
"""A client's certificate for ANN that is signed with SHA-1, and its authority's: made with openssl x509 -sha1."""


def uri(*names: str) -> list[x509.GeneralName]:
    """Alternative names of type URI, of any text."""
    return [x509.UniformResourceIdentifier._init_without_validation(name) for name in names]


@dataclass
class Made:
    """A certificate, its key, and those between it and its authority."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    chain: Sequence[x509.Certificate] = field(default=())

    def pem(self) -> bytes:
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.cert, *self.chain))

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def save(self, folder: Path, name: str) -> Path:
        """Write both; gives the certificate's file. The key's has the ending ``.key``."""
        path = folder / f"{name}.pem"
        write(path, self.pem())
        write(path.with_suffix(".key"), self.key_pem())
        return path


def write(path: Path, data: bytes) -> None:
    """As tools that renew certificates do: whole, in the place of the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.chmod(0o600)
    new.replace(path)


def make(
    common: str = "x",
    by: Made | None = None,
    *,
    ca: bool | None = False,
    names: Sequence[x509.GeneralName] = (),
    uses: frozenset[str] | None = SIGNS,
    purposes: Sequence[x509.ObjectIdentifier] | None = (CLIENT,),
    begins: timedelta = timedelta(hours=-1),
    ends: timedelta = timedelta(hours=1),
    key: object = None,
    signer: object = None,
    point_to_key: bool = True,
    more: Sequence[x509.ExtensionType] = (),
    commons: Sequence[str] | None = None,
) -> Made:
    """A certificate, of a client unless something else is said."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    wanted = [common] if commons is None else commons
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in wanted])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.cert.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if uses is not None:
        builder = builder.add_extension(x509.KeyUsage(**{use: use in uses for use in USES}), critical=True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if by and point_to_key:
        pointer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.cert.public_key())
        builder = builder.add_extension(pointer, critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=True)
    signing = signer or (by.key if by else key)
    plain = isinstance(signing, ed25519.Ed25519PrivateKey)
    return Made(builder.sign(signing, None if plain else hashes.SHA256()), key)


def authority(common: str = "clients", by: Made | None = None, **more: object) -> Made:
    """An authority."""
    return make(common, by, ca=True, uses=VOUCHES, purposes=None, ends=timedelta(days=2), **more)


def revocations(by: Made, *revoked: Made, until: timedelta = timedelta(hours=1), critical: bool = False) -> bytes:
    """What an authority has revoked, in PEM."""
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.cert.subject)
    builder = builder.last_update(now - timedelta(hours=2)).next_update(now + until)
    if critical:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.cert.serial_number).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
"""What a client of HTTP/2 says first."""


def client_context(tls: Tls) -> ssl.SSLContext:
    """How a client connects that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tls.ca)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    return context


def knock(port: int, tls: Tls | None, say: bytes = PREFACE, alpn: Sequence[str] = ("h2",)) -> str:
    """What a client hears that takes any certificate; blocks.

    Returns:
        ``answered``, ``closed``, ``alert`` in the clear, or the one that ended TLS.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        if tls is None:
            return _heard(plain, say)
        context = client_context(tls)
        context.set_alpn_protocols(list(alpn))
        try:
            with context.wrap_socket(plain) as secured:
                return _heard(secured, say)
        except ssl.SSLError as error:
            return str(error.reason)
        except ConnectionResetError:
            return "closed"


def _heard(connected: socket.socket, say: bytes) -> str:
    try:
        connected.sendall(say)
        answer = connected.recv(1000)
        return "alert" if answer[:2] == b"\x15\x03" else "answered" if answer else "closed"
    except (ConnectionResetError, BrokenPipeError):
        return "closed"


class Plant:
    """The files of a host's door, of its clients, and the authorities behind them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pki"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.servers, self.clients = authority("servers"), authority("clients")
        write(self.folder / "servers.pem", self.servers.pem())
        write(self.folder / "clients.pem", self.clients.pem())
        self.serve()

    def door(self, **more: object) -> Made:
        """Another certificate of the door, not in its place yet."""
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return make("door", self.servers, names=names, purposes=[SERVER], **more)

    def serve(self, **more: object) -> Made:
        """Another certificate of the door."""
        made = self.door(**more)
        made.save(self.folder, "door")
        return made

    def client(self, *names: str, **more: object) -> Made:
        """A certificate of a client."""
        given = more.pop("names", None)
        return make("x", more.pop("by", self.clients), names=uri(*names) if given is None else given, **more)

    def tls(self, made: Made | None = None, name: str = "client", **more: object) -> Tls:
        """How a client connects."""
        ca = self.folder / "servers.pem"
        if made is None:
            return Tls(ca=ca, **more)
        cert = made.save(self.folder, name)
        return Tls(ca=ca, cert=cert, key=cert.with_suffix(".key"), **more)

    def settings(self, **more: str) -> list[str]:
        """Overrides for a host."""
        given = {
            "cert": self.folder / "door.pem",
            "key": self.folder / "door.key",
            "client_ca": self.folder / "clients.pem",
            "trust_domain": DOMAIN,
            "recheck": 1,
            **more,
        }
        return ['listen=["127.0.0.1:0"]', *(f"rpc.tls.{key}={value}" for key, value in given.items() if value)]
