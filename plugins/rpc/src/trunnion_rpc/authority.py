"""A private authority and certificates by it, for trying TLS out: files in one folder, none of which is replaced."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trunnion import Conflict, InvalidArguments, NotFound
from trunnion_rpc.naming import SCHEME, is_trust_domain

AUTHORITY, SERVER, CLIENT = "ca", "server", "client"
AUTHORITY_DAYS = 3650
EARLY = datetime.timedelta(minutes=5)
"""Certificates count from a little before they are made: clocks differ."""

_client = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_host = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class Pair(NamedTuple):
    """A certificate and its key, as files.

    Attributes:
        certificate, key: where they lie.
        about: whose they are, in words.
    """

    certificate: Path
    key: Path
    about: str


class Authority(NamedTuple):
    """One that signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Wish(NamedTuple):
    """What is to be made.

    Attributes:
        folder: where.
        hosts: names and addresses the server's certificate is for; none makes no such certificate.
        clients: names of clients.
        trust_domain: whose they are.
        days: how long certificates count.
        add: whether the folder has an authority already, which signs these too.
    """

    folder: Path
    hosts: Sequence[str]
    clients: Sequence[str]
    trust_domain: str
    days: int
    add: bool


def name_of(client: str, trust_domain: str) -> str:
    """The name of a client's principal."""
    return f"{SCHEME}{trust_domain}/{client}"


def make(wish: Wish, now: datetime.datetime) -> list[Pair]:
    """Make what is wished for; all of it or nothing.

    Raises:
        InvalidArguments: something cannot be a name.
        Conflict: a file is there already.
        NotFound: there is no authority to add to.
    """
    _check(wish)
    folder = wish.folder
    files = {name: _pair(folder, name, about) for name, about in _abouts(wish).items()}
    if taken := [path for pair in files.values() for path in pair[:2] if os.path.lexists(path)]:
        raise Conflict(
            f"{taken[0]} is there already, and nothing is replaced: choose another folder or name, or remove it"
            + ("" if wish.add or taken[0].stem != AUTHORITY else "; --add makes more by the same authority")
        )
    authority = _load(folder) if wish.add else _new_authority(wish.trust_domain, now)
    contents = {} if wish.add else {AUTHORITY: _encoded(authority.certificate, authority.key)}
    contents |= _signed(authority, wish, now)
    _write(folder, [(files[name], *encoded) for name, encoded in contents.items()])
    return list(files.values())


def _check(wish: Wish) -> None:
    if not is_trust_domain(wish.trust_domain):
        raise InvalidArguments(f"{wish.trust_domain!r} is no trust domain, which has a-z, 0-9, dots, - and _ alone")
    for client in wish.clients:
        if not _client.fullmatch(client) or client in (".", ".."):
            raise InvalidArguments(
                f"{client!r} is no name for a client here: letters, digits, dots, - and _, 61 at most"
            )
    for host in wish.hosts:
        if not _is_address(host) and not _host.fullmatch(host):
            raise InvalidArguments(f"{host!r} is neither the name of a machine nor an address")
    if not wish.hosts and not wish.clients:
        raise InvalidArguments("nothing to make: name a --client, or a --host")


def _abouts(wish: Wish) -> dict[str, str]:
    """What is made, and whose it is."""
    made = {} if wish.add else {AUTHORITY: "the authority; its key signs more of them, so keep it apart from the host"}
    if wish.hosts:
        made[SERVER] = f"the host's, for {', '.join(wish.hosts)}"
    return made | {f"{CLIENT}-{each}": f"of {name_of(each, wish.trust_domain)}" for each in wish.clients}


def _pair(folder: Path, name: str, about: str) -> Pair:
    return Pair(folder / f"{name}.pem", folder / f"{name}.key", about)


# -- certificates ------------------------------------------------------------------------------------------------------


def _new_authority(trust_domain: str, now: datetime.datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"{trust_domain} (made by trunnion rpc certs)"[:64])
    builder = _builder(subject, subject, key, now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_others=True), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def _signed(authority: Authority, wish: Wish, now: datetime.datetime) -> dict[str, tuple[bytes, bytes]]:
    made = {}
    if wish.hosts:
        names = [_alternative(host) for host in wish.hosts]
        made[SERVER] = _leaf(authority, wish.hosts[0], names, ExtendedKeyUsageOID.SERVER_AUTH, wish.days, now)
    for client in wish.clients:
        uri = [x509.UniformResourceIdentifier(name_of(client, wish.trust_domain))]
        name = f"{CLIENT}-{client}"
        made[name] = _leaf(authority, client, uri, ExtendedKeyUsageOID.CLIENT_AUTH, wish.days, now)
    return made


def _leaf(
    authority: Authority,
    common: str,
    names: Sequence[x509.GeneralName],
    purpose: x509.ObjectIdentifier,
    days: int,
    now: datetime.datetime,
) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(common[:64]), authority.certificate.subject, key, now, days)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_others=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(identifier, critical=False)
    )
    return _encoded(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _alternative(host: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(host)) if _is_address(host) else x509.DNSName(host)


# -- files -------------------------------------------------------------------------------------------------------------


def _load(folder: Path) -> Authority:
    """The authority that was made before.

    Raises:
        NotFound: there is none, or it is something else.
    """
    pair = _pair(folder, AUTHORITY, "")
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        key = load_pem_private_key(pair.key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise NotFound(f"{folder} has no authority to add to, ca.pem and ca.key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise NotFound(f"{pair.key} is not the key of {pair.certificate}, as trunnion rpc certs made them")
    return Authority(certificate, key)


def _encoded(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _write(folder: Path, pairs: Sequence[tuple[Pair, bytes, bytes]]) -> None:
    """All of them or none.

    Raises:
        Conflict: one appeared meanwhile, or the folder cannot be written to.
    """
    written: list[Path] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for pair, certificate, key in pairs:
            for path, content, mode in ((pair.key, key, 0o600), (pair.certificate, certificate, 0o644)):
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                    written.append(path)
                    os.fchmod(file.fileno(), mode)
                    file.write(content)
    except OSError as error:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        raise Conflict(f"cannot write {error.filename or folder}: {error.strerror}") from None
